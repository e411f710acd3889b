"""`tessera compare`: which settings become columns, what is averaged, what is best, and what is refused."""

import csv
import io
import json
import math
from pathlib import Path

import pytest
from tessera.commands.compare import csv_text, main, markdown, narrow
from tessera.datasets.errors import FormatError, UsageError
from tessera.training.compare import compare
from tessera.training.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from tessera.training.config_yaml import to_yaml
from tessera.training.engines.normals.config import NormalsConfig

BEST = {"loss": 0.5, "angle": 20.0, "step": 8, "epoch": 1}


def run(
    root: Path, name: str, engine="normals", state="finished", best=BEST, data=None, optim=None, train=None, **model
):
    """A fabricated run's folder."""
    folder = root / name
    (folder / "eval").mkdir(parents=True)
    settings = RunConfig(engine, "tiny", DataConfig("d", **(data or {})), NormalsConfig(**model),
                         OptimConfig(**(optim or {})), TrainConfig(out=folder, **(train or {})))  # fmt: skip
    (folder / "config.yaml").write_text(to_yaml(settings))
    modules = [{"module": "a", "parameters": 70, "trained": 50}, {"module": "b", "parameters": 9, "trained": 0}]
    summary = {"modules": modules, "state": state, "step": 10, "best": best, "loader_share": 0.25}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def evaluated(folder: Path, data_hash="aa", name="test", step=8, limit=0, **means: float) -> Path:
    """With an evaluation."""
    figures = {key: {"mean": value, "within": 0.5, "records": 4} for key, value in means.items()}
    options = {"split": name, "limit": limit, "body": 0, "resolution": 0, "samples": 20000, "seed": 0}
    about = {"data": "set", "data_hash": data_hash, "step": step, "options": options, "means": figures}
    (folder / "eval" / f"{name}.json").write_text(json.dumps(about))
    return folder


def table(*arguments: object, format: str, capsys) -> str:
    assert main([*map(str, arguments), "--format", format]) == 0
    return capsys.readouterr().out


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_columns_are_the_settings_that_differ_and_change_results(tmp_path):
    one = run(tmp_path, "one", sides=("f",), train={"device": "cpu", "log_every": 5, "seed": 1})
    two = run(tmp_path, "two", sides=("f", "b"), optim={"lr": 1e-3}, train={"device": "cuda", "cpu_threads": 3})
    assert compare([one, two]).settings == ("model.sides", "optim.lr")
    assert compare([one, two], by=["train.seed"]).settings == ("train.seed",)
    text = markdown(compare([one, two]))
    assert "| one | f | 0.0001 |" in text and "| two | f b | 0.001 |" in text
    with pytest.raises(UsageError, match=r"--by model\.nope: no such setting"):
        compare([one, two], by=["model.nope"])


def test_a_run_that_fails_on_the_hard_ones_is_not_the_best(tmp_path):
    one = evaluated(run(tmp_path, "one"), chamfer_cm=2.0, iou=0.5)
    two = evaluated(run(tmp_path, "two", blocks=3), chamfer_cm=1.0, iou=0.4)
    said = json.loads((two / "eval" / "test.json").read_text())
    said["means"]["chamfer_cm"]["records"] = 1
    (two / "eval" / "test.json").write_text(json.dumps(said))
    text = markdown(compare([one, two]))
    assert "| 2 +/- 0.5 (4 records) |" in text and "| 1 +/- 0.5 (1 records) |" in text and "**0.5 +/- 0.5**" in text
    assert "Note: chamfer_cm: means of different numbers of records" in text


def test_a_table_that_is_too_wide_is_turned_and_cut_between_runs():
    lines = [["run", "iou", "chamfer_cm"], *([f"run-{i}", f"0.{i}", f"{i}.25"] for i in range(7))]
    parts = narrow(lines, 40)
    assert len(parts) > 1 and all(part[0][0] == "run" and [row[0] for row in part] == lines[0] for part in parts)
    assert [name for part in parts for name in part[0][1:]] == [f"run-{i}" for i in range(7)]
    assert [cell for part in parts for cell in part[2][1:]] == [f"{i}.25" for i in range(7)]
    assert all(1 + sum(3 + max(map(len, cells)) for cells in zip(*part, strict=True)) <= 40 for part in parts)
    assert len(narrow(lines, 5)) == 7, "a run by itself where there is room for none"


def test_runs_that_differ_by_seed_only_are_averaged(tmp_path):
    paths = [evaluated(run(tmp_path, f"a{seed}", train={"seed": seed}), iou=iou) for seed, iou in ((0, 0.5), (1, 0.7))]
    paths.append(evaluated(run(tmp_path, "b", blocks=3), iou=0.4))
    found = compare(paths)
    first, second = found.rows
    assert (first.name, first.runs, second.name, second.runs) == ("a0 and 1 more", 2, "b", 1)
    assert first.figures["iou"].mean == pytest.approx(0.6) and second.figures["iou"].spread == 0.5
    assert first.figures["iou"].spread == pytest.approx(math.sqrt(0.02))
    again = evaluated(run(tmp_path, "again", train={"seed": 1}), iou=0.9)  # the same seed is no second sample
    assert [row.runs for row in compare([*paths[:2], again]).rows] == [2, 1]
    other = evaluated(run(tmp_path, "other", train={"seed": 2}, data={"batch": 8}), iou=0.9)
    assert [row.runs for row in compare([*paths[:2], other]).rows] == [2, 1]


def test_runs_of_other_training_data_are_no_seeds_of_each_other(tmp_path):
    one, two = (evaluated(run(tmp_path, name, train={"seed": seed}), iou=0.5) for seed, name in enumerate("ab"))
    path = two / "config.yaml"
    path.write_text(path.read_text().replace("data: d\n", "data: elsewhere\n"))
    assert [row.runs for row in compare([one, two]).rows] == [1, 1]


def test_best_is_marked_by_the_direction_of_each_figure(tmp_path, capsys):
    figures = {
        "iou": (0.5, 0.6),
        "below_11_f": (0.2, 0.1),
        "angle": (20, 30),
        "ssim_f": (0.8, 0.9),
        "chamfer_cm": (1, 2),
    }
    paths = [evaluated(run(tmp_path, f"r{i}", blocks=i + 1), **{k: v[i] for k, v in figures.items()}) for i in (0, 1)]
    lines = [line for line in table(*paths, format="markdown", capsys=capsys).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    marked = {name: [row[i].startswith("**") for row in cells[2:]] for i, name in enumerate(cells[0])}
    assert {name for name, (first, _) in marked.items() if first} == {"below_11_f", "angle", "chamfer_cm"}
    assert {name for name, (_, second) in marked.items() if second} == {"iou", "ssim_f"}


def test_relative_is_the_difference_to_the_first_run(tmp_path, capsys):
    paths = [evaluated(run(tmp_path, f"r{i}", blocks=i + 1), angle=value) for i, value in enumerate((20.0, 15.0))]
    assert "15 +/- 0.5 * (-25.0 %)" in table(*paths, "--relative", format="table", capsys=capsys)
    found = rows(table(*paths, "--relative", format="csv", capsys=capsys))
    assert [row["angle relative %"] for row in found] == ["", "-25.0"]


def test_csv_has_numbers_as_they_are(tmp_path, capsys):
    path = evaluated(run(tmp_path, "r"), angle=1 / 3, lost=math.nan)
    (row,) = rows(table(path, format="csv", capsys=capsys))
    assert (float(row["angle"]), row["angle +/-"], row["lost"]) == (1 / 3, "0.5", "")
    counts = [row[name] for name in ("state", "n", "steps", "parameters trained", "loader share")]
    assert counts == ["finished", "1", "10.0", "50.0", "0.25"]


def test_runs_without_evaluation_show_their_best_validation(tmp_path):
    one, two = evaluated(run(tmp_path, "one"), angle=25), run(tmp_path, "two", blocks=2, best={**BEST, "angle": 18.0})
    assert [set(row.figures) for row in compare([one]).rows] == [
        {"angle", "steps", "parameters trained", "loader share"}
    ]
    first, second = compare([one, two]).rows
    assert first.figures["angle"].mean == 25 and first.figures["val angle"].mean == 20  # never in one column
    assert second.figures["val angle"].mean == 18 and "angle" not in second.figures


def test_a_run_that_is_not_finished_is_marked(tmp_path):
    paths = [run(tmp_path, "one", state="interrupted"), run(tmp_path, "two", blocks=2, best={})]
    (paths[1] / "summary.json").unlink()
    text = markdown(compare(paths))
    assert "| one (interrupted) |" in text and "| two (running) |" in text
    seeds = [run(tmp_path, f"s{i}", state=state, train={"seed": i}) for i, state in enumerate(("finished", "failed"))]
    assert "s0 and 1 more (1 of 2 not finished)" in markdown(compare(seeds))


def test_evaluations_of_other_data_or_options_are_refused(tmp_path):
    one = evaluated(run(tmp_path, "one"), iou=0.5)
    for name, change, said in (
        ("two", {"data_hash": "bb"}, "of different data"),
        ("six", {"limit": 3}, "with different options"),
    ):
        other = evaluated(run(tmp_path, name, blocks=2), iou=0.5, **change)
        with pytest.raises(UsageError, match=rf"evaluations \(test\) {said}: one: .*; {name}: .*13 %.*--mixed"):
            compare([one, other])
        assert said in compare([one, other], mixed=True).notes[0]
    val = run(tmp_path, "val", blocks=3, data={"val_split": "other"})
    with pytest.raises(UsageError, match="validations on different data"):
        compare([val, run(tmp_path, "more", blocks=4)])
    none = [run(tmp_path, f"n{i}", best={}, data={"val_split": str(i)}) for i in range(2)]
    assert compare(none).notes == ()  # there is nothing that could be mistaken


def test_an_evaluation_of_an_older_checkpoint_is_noted(tmp_path):
    assert compare([evaluated(run(tmp_path, "new"), iou=0.5)]).notes == ()
    (note,) = compare([evaluated(run(tmp_path, "old"), iou=0.5, step=4)]).notes
    assert "old (step 4, its best is step 8)" in note


def test_what_is_no_run_or_no_peer_is_refused(tmp_path, capsys):
    one = run(tmp_path, "one")
    with pytest.raises(UsageError, match=r"absent: no run here"):
        compare([one, tmp_path / "absent"])
    with pytest.raises(UsageError, match=r"different engines .*normals: one; implicit: two"):
        compare([one, run(tmp_path, "two", engine="implicit")])
    with pytest.raises(UsageError, match=r"one: named twice"):
        main([str(one), str(one)])
    with pytest.raises(UsageError, match="name the folders"):
        main([])
    with pytest.raises(UsageError, match="is a folder"):
        main([str(one), "--out", str(tmp_path)])
    (one / "summary.json").write_text('{"modules": [{}]}')
    with pytest.raises(FormatError, match=r"one: summary\.json .* damaged"):
        compare([one])


def test_out_is_written_and_strange_names_stay_in_their_cells(tmp_path, capsys):
    one, out = evaluated(run(tmp_path, "a|b\x1b[2J"), iou=0.5), tmp_path / "new" / "t.csv"
    assert main([str(one), "--format", "csv", "--out", str(out)]) == 0
    assert capsys.readouterr().out == "" and out.read_text() == csv_text(compare([one]))
    text = markdown(compare([one]))
    assert "a\\|b\\x1b[2J" in text and "\x1b" not in text
