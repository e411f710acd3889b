"""`tessera sweep`: what a file asks for, what is checked before anything runs, and what is done, left, or refused."""

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tessera.commands import sweep_plan
from tessera.commands.sweep import main, run_all
from tessera.commands.sweep_plan import plan_jobs
from tessera.commands.train import parse
from tessera.datasets.errors import UsageError
from tessera.training import sweep as module
from tessera.training.config_yaml import to_yaml
from tessera.training.discover import load_engine
from tessera.training.sweep import Job, execute, last_lines, read_sweep, standing

SMALL = {"preset": "tiny", "model.filters": 4, "model.downs": 1, "model.blocks": 1, "model.size": 16, "device": "cpu",
         "cpu-threads": 1, "max_steps": 2, "val_every": 2, "pictures": False}  # fmt: skip


def file(root: Path, data: Path, **entries: object) -> Path:
    """A sweep's file; YAML knows JSON."""
    entries = {"engine": "normals", "out": str(root / "runs"), "options": SMALL | {"data": str(data)}, **entries}
    path = root / "sweep.yaml"
    path.write_text(json.dumps({name: value for name, value in entries.items() if value is not None}))
    return path


TWO = [{"name": "front", "options": {"model.sides": ["f"]}}, {"name": "bare", "options": {"model.body": False}}]


class Fake:
    """Stands in for the processes: writes what a run leaves behind, and remembers what it was told."""

    def __init__(self, fails: tuple[str, ...] = (), state: str = "finished") -> None:
        self.fails, self.state = fails, state
        self.told: list[tuple[str, str]] = []

    def __call__(self, job: Job, keep: tuple[int, ...]) -> int:
        for verb_name, *words in job.commands:
            self.told.append((job.name, f"{verb_name}{' --resume' if '--resume' in words else ''}"))
            if verb_name == "train":
                self.train(job, words[1:])
            else:
                self.test(job, words)
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "output.log").write_text("begins\nthe disk is full\n\n")
        return int(job.name in self.fails)

    def train(self, job: Job, words: list[str]) -> None:
        (job.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (job.folder / "checkpoints" / "last.ckpt").touch()
        (job.folder / "config.yaml").write_text(to_yaml(parse(load_engine("normals"), words)))
        state = "failed" if job.name in self.fails else self.state
        (job.folder / "summary.json").write_text(json.dumps({"state": state, "step": 2, "loader_share": 0.1}))

    def test(self, job: Job, words: list[str]) -> None:
        (job.folder / "eval").mkdir()
        options = {"split": "test", "limit": 1, "body": 0, "resolution": 0, "samples": 20000}
        about = {"data": "people", "data_hash": "aa", "step": 2, "options": options,
                 "means": {"angle": {"mean": 20.0, "within": 1.0, "records": 1}}}  # fmt: skip
        (job.folder / "eval" / "test.json").write_text(json.dumps(about))


def go(path: Path, fake: Fake, **options: object) -> tuple[int, list[tuple[str, str]]]:
    sweep = read_sweep(path)
    return run_all(sweep, plan_jobs(sweep, **options), run=fake), fake.told


def test_runs_are_those_of_the_list_and_of_the_grid_each_with_each_seed(tmp_path):
    grid = {"model.norm": ["batch", "group"], "optim.lr": [0.001], "model.body": [False], "model.sides": [["f", "b"]]}
    found = read_sweep(file(tmp_path, tmp_path, runs=TWO, grid=grid, seeds=[0, 7]))
    assert list(found.runs) == ["front-s0", "front-s7", "bare-s0", "bare-s7", "batch-lr0.001-no_body-f+b-s0",
                                "batch-lr0.001-no_body-f+b-s7", "group-lr0.001-no_body-f+b-s0",
                                "group-lr0.001-no_body-f+b-s7"]  # fmt: skip
    assert found.runs["front-s7"] == {k.replace("-", "_"): v for k, v in SMALL.items()} | {
        "data": str(tmp_path), "model.sides": ["f"], "seed": 7}  # fmt: skip
    assert found.evaluation is None


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"runz": []}, "runz: no such entry; there are engine, out"),
        ({"runs": {}}, "runs: '{}' is no list"),
        ({"runs": None}, "no run; give runs, grid, or both"),
        ({"out": None, "runs": TWO}, "engine and out are needed"),
        ({"runs": [{"options": {}}]}, r"runs\[0\]: name and options are wanted"),
        ({"runs": TWO + TWO[:1]}, "front: more than one run of that name"),
        ({"runs": [{"name": "../up"}]}, "'../up': names are letters"),
        ({"runs": [{"name": "a", "options": {"out": "x"}}]}, "run a: out: the sweep gives this itself"),
        ({"runs": [{"name": "a", "options": {"seed": 1}}], "seeds": [0]}, "seeds and the option seed"),
        ({"runs": TWO, "seeds": [0, 0]}, "seeds: whole numbers, each once"),
        ({"grid": {"optim.lr": 0.1}}, "grid: optim.lr: a list of values is wanted"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path, entries, said):
    with pytest.raises(UsageError, match=said):
        read_sweep(file(tmp_path, tmp_path, **entries))


@pytest.mark.parametrize(
    ("options", "more", "said"),
    [
        ({"model.filtres": 4}, {}, r"run last: no option 'model\.filtres'"),
        ({"modle.filters": 4}, {}, r"run last: no option 'modle\.filters'"),
        ({"model.filters": "four"}, {}, r"run last: .*Error parsing --model\.filters"),
        ({"model.norm": "layer"}, {}, "run last: .*model.norm"),
        ({"model.body": "perhaps"}, {}, r"run last: model\.body: 'perhaps' is not true or false"),
        ({"optim.lr": -0.1}, {}, r"run last: --optim\.lr -0\.1: more than 0"),
        ({"preset": "huge"}, {}, "run last: engine normals: no preset 'huge'"),
        ({"split": "dev"}, {}, "run last: people: no split 'dev'"),
        ({"data": "absent"}, {}, "run last: absent"),
        ({}, {"eval": {"limt": 3}}, "run front: eval: limt: no such setting"),
        ({}, {"eval": {"limit": "few"}}, "run front: eval: limit: 'few' is not int"),
        ({}, {"engine": "normal"}, "no engine 'normal'"),
    ],
)
def test_a_typo_in_the_last_run_is_found_before_the_first_starts(data, tmp_path, options, more, said):
    path = file(tmp_path, data, runs=[*TWO, {"name": "last", "options": options}], **more)
    with pytest.raises(UsageError, match=said):
        go(path, Fake())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("asked", "said"), [
    ({"split": "nope"}, r"run front: eval: people has no record to test on in split 'nope' \(splits: .*test"),
    ({"body": 9}, r"eval: body 9: people has 2 noise variants"),
])  # fmt: skip
def test_an_evaluation_that_can_only_fail_is_found_before_the_first_run_starts(data, tmp_path, asked, said):
    with pytest.raises(UsageError, match=said):
        go(file(tmp_path, data, runs=TWO, eval=asked), Fake())
    assert not (tmp_path / "runs").exists()


def test_lists_reach_the_evaluation_as_on_the_command_line(data, tmp_path):
    job, *_ = plan_jobs(read_sweep(file(tmp_path, data, runs=TWO, eval={"yaws": [0, 120], "meshes": True})))
    words = job.commands[1]
    assert words[words.index("--yaws") :][:3] == ("--yaws", "0", "120") and "--meshes" in words


def test_values_reach_the_settings_as_on_the_command_line(data, tmp_path):
    options = {"optim.lr": "1e-4", "optim.betas": [0.8, 0.9], "optim.milestones": [], "model.body": False,
               "threads": None, "val-split": "", "model.l1": 2}  # fmt: skip
    (job,) = plan_jobs(read_sweep(file(tmp_path, data, runs=[{"name": "a", "options": options}])))
    made = parse(load_engine("normals"), list(job.commands[0][2:]))
    assert (made.optim.lr, made.optim.betas, made.optim.milestones) == (1e-4, (0.8, 0.9), ())
    assert (made.model.body, made.model.l1, made.data.threads, made.data.val_split) == (False, 2.0, None, "")
    assert made.train.pictures is False and made.train.out == tmp_path / "runs" / "a"


def test_a_sweep_trains_tests_and_compares_and_again_leaves_all_alone(data, tmp_path, capsys):
    path = file(tmp_path, data, runs=TWO, eval={"limit": 1})
    status, told = go(path, Fake())
    assert (status, told) == (0, [("front", "train"), ("front", "eval"), ("bare", "train"), ("bare", "eval")])
    assert "20 +/- 1" in capsys.readouterr().out
    assert "| front | f | true |" in (tmp_path / "runs" / "table.md").read_text()
    assert (tmp_path / "runs" / "table.csv").read_text().startswith("run,state,n,model.sides,model.body,angle,")
    assert go(path, Fake()) == (0, [])
    other = file(tmp_path, data, runs=TWO, eval={"limit": 2})  # only the evaluation is another one
    assert [job.commands[0][0] for job in plan_jobs(read_sweep(other))] == ["eval", "eval"]


def test_a_run_that_fails_is_told_and_the_others_go_on(data, tmp_path, capsys):
    path = file(tmp_path, data, runs=TWO)
    status, told = go(path, Fake(fails=("front",)))
    said = capsys.readouterr().err
    assert (status, told) == (1, [("front", "train"), ("bare", "train")])
    assert (
        "front: failed (exit status 1)" in said and "the disk is full" in said and "1 of 2 runs failed: front" in said
    )
    assert go(path, Fake()) == (1, [])  # its state says so; the same again would fail again
    assert go(path, Fake(), resume=True) == (0, [("front", "train --resume")])


def test_an_interrupted_run_goes_on_and_one_without_checkpoint_begins_anew(data, tmp_path):
    path = file(tmp_path, data, runs=TWO)
    go(path, Fake(state="interrupted"))
    (tmp_path / "runs" / "bare" / "checkpoints" / "last.ckpt").unlink()
    assert go(path, Fake())[1] == [("front", "train --resume"), ("bare", "train")]


@pytest.mark.parametrize("change", [{"max_steps": 3}, {"seed": 4}, {"model.filters": 5}])
def test_a_run_with_other_settings_is_refused(data, tmp_path, change):
    go(file(tmp_path, data, runs=TWO), Fake())
    runs = [TWO[0], {"name": "bare", "options": TWO[1]["options"] | change}]
    with pytest.raises(
        UsageError, match=rf"run bare: .*holds a run with other settings \(.*{next(iter(change))} differ\); remove"
    ):
        go(file(tmp_path, data, runs=runs), Fake())


def test_settings_that_change_no_result_are_no_other_run(data, tmp_path):
    spec, folder = load_engine("normals"), tmp_path / "runs" / "front"
    go(file(tmp_path, data, runs=TWO[:1]), Fake())
    settings = parse(spec, ["--config", str(folder / "config.yaml"), "--log-every", "3", "--cpu-threads", "2"])
    assert standing(folder, settings) == "finished"
    assert standing(tmp_path / "none", settings) == "new"
    with pytest.raises(UsageError, match=r"data\.data differ"):
        standing(folder, replace(settings, data=replace(settings.data, data="other")))


def test_only_names_runs_and_plan_runs_none(data, tmp_path, capsys):
    path = file(tmp_path, data, runs=TWO, seeds=[0, 1], eval={"limit": 1})
    assert main([str(path), "--plan", "--only", "bare,front-s1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line[0] == "#"] == ["# front-s1: to do", "# bare-s0: to do", "# bare-s1: to do"]
    assert lines[1].startswith("tessera train normals --preset tiny") and "--seed 1" in lines[1]
    assert lines[2].startswith(f"tessera eval {tmp_path / 'runs' / 'front-s1'} --data={data}")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UsageError, match=r"--only back: no such run \(runs: front-s0"):
        main([str(path), "--only", "back"])


def test_ray_tasks_share_the_cores_and_choose_their_cards(data, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_plan.os, "cpu_count", lambda: 8)
    free = {k: v for k, v in SMALL.items() if k != "cpu-threads"} | {"data": str(data)}
    (job,) = plan_jobs(read_sweep(file(tmp_path, data, runs=TWO[:1], options=free)), ray=4)
    assert job.commands[0][-2:] == ("--cpu-threads", "2")
    for wrong in ({"ray": 2}, {"device": "cuda:1"}):
        with pytest.raises(UsageError, match="run front: a run that is a Ray task"):
            plan_jobs(read_sweep(file(tmp_path, data, runs=TWO[:1], options=free | wrong)), ray=4)


def test_two_sweeps_in_one_folder_are_kept_apart(data, tmp_path):
    path = file(tmp_path, data, runs=TWO[:1])

    def second(job: Job, keep: tuple[int, ...]) -> int:
        with pytest.raises(UsageError, match="another sweep"):
            go(path, Fake())
        return Fake()(job, keep)

    sweep = read_sweep(path)
    assert run_all(sweep, plan_jobs(sweep), run=second) == 0


def test_processes_are_told_to_stop_and_waited_for(tmp_path, monkeypatch):
    script = tmp_path / "stand_in.py"
    script.write_text("import signal, sys, time\n"
                      "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(130)))\n"
                      "print('ready', flush=True)\ntime.sleep(60)\n")  # fmt: skip
    monkeypatch.setattr(module, "tessera_command", lambda: [sys.executable])
    job = Job("a", tmp_path / "a", ((str(script),), ("never",)))

    def interrupt() -> None:
        while "ready" not in last_lines(job.folder):
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            execute(job)
    finally:
        signal.signal(signal.SIGINT, before)
    assert last_lines(job.folder) == ["ready", "saved"]


def test_the_first_command_that_fails_ends_a_job(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "tessera_command", lambda: [sys.executable, "-c"])
    job = Job("a", tmp_path / "a", (("print(1)",), ("print(2); raise SystemExit(3)",), ("print(4)",)))
    assert execute(job) == 3 and last_lines(job.folder) == ["1", "2"]


@pytest.mark.slow
def test_end_to_end(data, tmp_path):
    path = file(tmp_path, data, runs=[{"name": "good"}, {"name": "bad", "options": {"init_from": "nowhere"}}],
                eval={"limit": 1})  # fmt: skip
    line = [*module.tessera_command(), "sweep", str(path)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=500, cwd=tmp_path)
    assert ended.returncode == 1, ended.stderr
    assert "[1/2] good: done" in ended.stderr and "nowhere: no such checkpoint" in ended.stderr
    assert "| good |" in (tmp_path / "runs" / "table.md").read_text() and "angle" in ended.stdout
    assert json.loads((tmp_path / "runs" / "good" / "summary.json").read_text())["state"] == "finished"
