"""What a reviewer found: each of these was wrong once."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from tessera.cli import run
from tessera.datasets import Dataset
from tessera.datasets.body_arrays import ARRAYS, BODY
from tessera.datasets.errors import SchemaError, UsageError
from tessera.training.config_yaml import from_plain
from tessera.training.discover import load_engine
from tessera.training.engines.implicit.config import ImplicitConfig
from tessera.training.engines.implicit.engine import limited
from tessera.training.engines.implicit.evaluate import OfPerson, check_variants, open_evaluation, write_person
from tessera.training.engines.implicit.inputs import world_points
from tessera.training.engines.implicit.surface import vertex_sigma
from tessera.training.errors import TrainingError
from tessera.training.evaluate import NAME, EvalOptions
from tessera.training.fields.colours import sigma_colours
from tessera.training.fields.mesh import Mesh
from tessera.training.fit import train
from tessera.training.required import Required
from tessera.training.streams import open_streams
from tessera.training.trained import load_trained

from .runs import go, settings


def test_a_record_without_a_fit_is_refused_and_not_read_as_zeros() -> None:
    required = Required(["body_normal_f", "image"], "normals")
    assert required({"body_normal_f": 1, "image": 2}) == {"body_normal_f": 1, "image": 2}
    with pytest.raises(SchemaError, match=r"no body_normal_f \(a scan without a fit\?\), which engine normals"):
        required({"image": 2})


def test_optional_fields_are_required_of_each_record(data: Path, tmp_path: Path) -> None:
    config = settings("normals", data, tmp_path / "run")
    source = open_streams(load_engine("normals"), config)
    names = [x.name for x in source.train._arguments["transforms"]]
    required = source.train._arguments["transforms"][0]
    assert names[0] == "required" and set(required.reads) == {"body_normal_f", "body_normal_b"}


@pytest.mark.parametrize("engine", ["implicit", "normals"])
def test_compile_compiles_what_is_called(data: Path, tmp_path: Path, engine: str) -> None:
    config = settings(engine, data, tmp_path / "run")
    spec = load_engine(engine)
    source = open_streams(spec, config)
    made = spec.build(config, source.catalog)
    called = made.called()
    seen = []
    for module in called:
        module.register_forward_hook(lambda module, *_: seen.append(module))
    made.losses(next(iter(source.train)))
    assert called and {id(x) for x in seen} == {id(x) for x in called}
    torch._dynamo.reset()
    for module in called:
        module.compile(backend="eager")
    torch._dynamo.utils.counters.clear()
    made.losses(next(iter(source.train)))
    assert torch._dynamo.utils.counters["frames"]["total"] > 0


def test_units_of_a_run_that_was_begun_from_count_as_trained_on(data: Path, tmp_path: Path, capsys) -> None:
    go("normals", data, tmp_path / "leaky", "--split", "test", "--max-epochs", 1, "--val-split", "")
    go("normals", data, tmp_path / "next", "--init-from", tmp_path / "leaky", "--max-epochs", 1)
    options = ["--data", str(data), "--split", "test", "--device", "cpu"]
    assert run(["eval", str(tmp_path / "next"), *options]) == 2
    assert "was trained on 1 of the 1 units" in capsys.readouterr().err
    assert (
        run(["eval", str(tmp_path / "leaky"), "--data", str(data), "--device", "cpu"]) == 0
    )  # val, not the trained test
    assert [path.name for path in (tmp_path / "leaky" / "eval").glob("*.json")] == ["val.json"]


def test_weights_that_are_no_numbers_are_not_saved_over_good_ones(data: Path, tmp_path: Path, monkeypatch) -> None:
    spec = load_engine("normals")
    step = type(spec.build(settings("normals", data, None), None)).training_step

    def spoilt(self, batch, number):
        loss = step(self, batch, number)
        return loss * (float("nan") if self.global_step == 2 else 1.0)

    monkeypatch.setattr(f"{spec.build.__module__}.NormalsEngine.training_step", spoilt)
    with pytest.raises(TrainingError, match=r"step 3: weights are no numbers any more .*last good checkpoint is"):
        go("normals", data, tmp_path / "run", "--save-every", 1, "--optim.clip", 0)
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 2 and all(torch.isfinite(x).all() for x in state["state_dict"].values())


def test_a_loss_that_is_no_number_in_validation_names_its_records(data: Path, tmp_path: Path, monkeypatch) -> None:
    spec = load_engine("normals")
    losses = spec.build.losses

    def spoilt(self, batch):
        found = losses(self, batch)
        return found if self.training else {name: loss * float("nan") for name, loss in found.items()}

    monkeypatch.setattr(spec.build, "losses", spoilt)
    with pytest.raises(TrainingError, match=r"is no number for 0005-000.*bad_batch_0\.pt"):
        go("normals", data, tmp_path / "run")


@pytest.mark.parametrize("change", [("--optim.lr", 0.5), ("--optim.name", "sgd"), ("--freeze", "head")])
def test_a_resumed_run_refuses_another_optimiser(data: Path, tmp_path: Path, change: tuple) -> None:
    go("implicit", data, tmp_path / "run", "--max-epochs", 1)
    with pytest.raises(UsageError, match=r"--resume: .*(optim\.|freeze).* differ"):
        go("implicit", data, tmp_path / "run", "--resume", *change)


@pytest.mark.parametrize(
    "changes",
    [
        ("--model.inputs", "image", "body_normal_f", "--model.geometry", "z", "--model.no-by-visibility"),
        ("--model.inputs", "image", "normal_f", "normal_b", "--model.geometry", "z", "--model.no-by-visibility",
         "--model.normals", "predicted", "--model.normals-filters", "4", "--model.normals-downs", "1",
         "--model.normals-blocks", "1", "--model.body", "random"),
        ("--model.inputs", "body_normal_f", "body_normal_b", "--model.geometry", "sdf", "--model.body", "random"),
    ],
)  # fmt: skip
def test_bodies_in_pictures_alone_are_trained_on_and_evaluated(data: Path, tmp_path: Path, changes: tuple) -> None:
    go("implicit", data, tmp_path / "run", "--max-epochs", 1, *changes)
    options = ["--data", str(data), "--split", "test", "--device", "cpu", "--limit", "1"]
    for body in (0, 1):
        assert run(["eval", str(tmp_path / "run"), *options, "--body", str(body), "--name", f"b{body}"]) == 0
    trained = load_trained(tmp_path / "run", str(data), device="cpu")
    seen = []
    for body in (0, 1):
        with open_evaluation(trained, EvalOptions(split="test", body=body)) as opened:
            seen.append(next(iter(opened)))
    record = Dataset(data).table("views", split="test")[seen[0]["key"][0]]
    sides = [name[-1] for name in seen[0] if name.startswith("body_normal_") and len(name) == len("body_normal_f")]
    assert sides
    for side in sides:
        np.testing.assert_array_equal(seen[0][f"body_normal_{side}"][0], record[f"body_normal_{side}"])
        np.testing.assert_array_equal(seen[1][f"body_normal_{side}"][0], record[f"noisy_normal_{side}"][0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("--model.inputs", "image", "--model.geometry", "z", "--model.no-by-visibility"), "the network sees no body"),
        (("--model.inputs", "image", "body_parts", "--model.no-by-visibility"), "body_parts, which is of the fit"),
    ],
)  # fmt: skip
def test_a_noisy_body_that_is_not_seen_is_refused(
    data: Path, tmp_path: Path, capsys, changes: tuple, said: str
) -> None:
    go("implicit", data, tmp_path / "run", "--max-epochs", 1, *changes)
    options = ["--data", str(data), "--split", "test", "--device", "cpu"]
    assert run(["eval", str(tmp_path / "run"), *options, "--body", "1"]) == 2
    assert said in capsys.readouterr().err


def test_a_grid_has_no_noisy_bodies() -> None:
    config = replace(load_engine("implicit").presets["icon-tiny"].model, grid=16, body="fit")
    with pytest.raises(UsageError, match="--body 2: the network sees the stored grid, which is of the fit alone"):
        check_variants(config, 2)


def test_views_are_chosen_by_their_sides(data: Path, tmp_path: Path, capsys) -> None:
    go("normals", data, tmp_path / "run", "--max-epochs", 1)
    options = ["--data", str(data), "--split", "test", "--device", "cpu"]
    views = Dataset(data).table("views", split="test").index()
    yaws = sorted({round(yaw) for yaw in views.column("yaw").to_pylist()})
    assert len(yaws) > 1
    assert run(["eval", str(tmp_path / "run"), *options, "--yaws", str(yaws[0] + 360)]) == 0
    rows = list(csv.DictReader((tmp_path / "run" / "eval" / "test.csv").open()))
    wanted = {key for key, yaw in zip(views.column("key").to_pylist(), views.column("yaw").to_pylist(), strict=True)
              if round(yaw) == yaws[0]}  # fmt: skip
    assert {row["key"] for row in rows} == wanted
    assert run(["eval", str(tmp_path / "run"), *options, "--yaws", "7"]) == 2
    assert "--yaws 7: no view of the split is from there" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a/b", "../a", "", ".hidden"])
def test_figures_stay_in_the_run_s_folder(name: str) -> None:
    assert not NAME.fullmatch(name)


def test_a_run_that_was_begun_from_people_to_validate_on_is_refused(data: Path, tmp_path: Path) -> None:
    go("normals", data, tmp_path / "one", "--max-epochs", 1, "--split", "val", "--val-split", "")
    with pytest.raises(UsageError, match=r"^--init-from .*one: was trained on .* of split 'val'"):
        go("normals", data, tmp_path / "two", "--max-epochs", 1, "--init-from", tmp_path / "one")
    go("normals", data, tmp_path / "two", "--max-epochs", 1, "--init-from", tmp_path / "one", "--val-split", "")


def test_sigma_is_the_one_that_the_loss_knew() -> None:
    assert limited(torch.tensor([-20.0, 0.0, 90.0])).tolist() == [-5, 0, 5]


@pytest.mark.parametrize(
    "changes",
    [
        {"grid": 16, "dropout": 0.5}, {"grid": 16, "head": "mixer"}, {"grid": 200}, {"head": "mixer", "shape": "u"},
        {"resolution": 100}, {"body": "random", "inputs": ["image", "body_parts"], "by_visibility": False},
        {"normal_noise": 0.1, "inputs": ["image"], "by_visibility": False},
    ],
)  # fmt: skip
def test_settings_that_would_do_nothing_or_fail_later_are_refused(changes: dict) -> None:
    with pytest.raises(UsageError, match="--model"):
        from_plain(ImplicitConfig, changes, load_engine("implicit").presets["icon-tiny"].model)


@pytest.mark.parametrize(("engine", "size"), [("implicit", 30), ("normals", 15)])
def test_pictures_that_cannot_be_halved_are_refused_before_the_first_step(data, tmp_path, engine, size) -> None:
    with pytest.raises(UsageError, match=rf"pictures of {size} pixels: a multiple of \d+ is wanted"):
        go(engine, data, tmp_path / "run", "--model.size", size)


def test_a_network_with_more_arrays_is_another_network(data: Path, tmp_path: Path) -> None:
    go("normals", data, tmp_path / "batch", "--model.norm", "batch", "--max-epochs", 1)
    config = settings("normals", data, tmp_path / "next", "--init-from", tmp_path / "batch")
    with pytest.raises(UsageError, match=r"no module of it fits.*more"):
        train(config)


def test_uncertainty_is_evaluated(data: Path, tmp_path: Path) -> None:
    go("implicit", data, tmp_path / "run", "--max-epochs", 2, "--model.uncertainty")
    options = ["--data", str(data), "--split", "test", "--device", "cpu", "--limit", "1"]
    assert run(["eval", str(tmp_path / "run"), *options]) == 0
    means = json.loads((tmp_path / "run" / "eval" / "test.json").read_text())["means"]
    assert means["sigma"]["mean"] > 0 and -1 <= means["sigma_tells"]["mean"] <= 1


def test_uncertainty_is_shown_on_written_surfaces(data: Path, tmp_path: Path) -> None:
    """At the vertices of a known mesh, what the network says there; and it lies in the files as colours."""
    go("implicit", data, tmp_path / "run", "--max-epochs", 2, "--model.uncertainty")
    run = load_trained(tmp_path / "run", str(data), device="cpu")
    with open_evaluation(run, EvalOptions(split="test")) as opened:
        batch = next(iter(opened))
    body = OfPerson(run.assets()(BODY, ARRAYS, "")).body(batch, run.config.model)
    ball = trimesh.creation.icosphere(2, 0.4)
    mesh = Mesh(np.asarray(ball.vertices), np.asarray(ball.faces, np.int32))
    sigma = vertex_sigma(run.engine, batch, body, mesh, chunk=50)
    world = world_points(torch.from_numpy(mesh.vertices)[None].float(), batch["calib"])
    with torch.no_grad():
        encoded = run.engine.network.encode(batch)
        out = run.engine.network.query(encoded, {**batch, **body(world[0])}, world)[-1]
    np.testing.assert_allclose(sigma, out[0, 1].clamp(-5, 5).exp().numpy(), rtol=1e-4)
    assert sigma.std() > 0
    write_person(tmp_path / "made", "a", mesh, batch, sigma)
    lines = (tmp_path / "made" / "a.obj").read_text().splitlines()
    colours = np.array([line.split()[4:] for line in lines if line.startswith("v ")], float)
    np.testing.assert_allclose(colours * 255, sigma_colours(sigma), atol=0.01)
    assert (tmp_path / "made" / "a_sigma.png").is_file()
    run.engine.config = replace(run.engine.config, uncertainty=False)
    assert vertex_sigma(run.engine, batch, body, mesh) is None


def test_a_perspective_run_says_that_pictures_do_not_do(data: Path, tmp_path: Path, capsys) -> None:
    go("implicit", data, tmp_path / "run", "--max-epochs", 1)
    summary = tmp_path / "run" / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"camera": "perspective"}))
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.png").write_bytes(b"")
    assert run(["predict", str(tmp_path / "run"), "--images", str(tmp_path / "pics"), "--device", "cpu"]) == 2
    assert "perspective pictures, which is not made of pictures here" in capsys.readouterr().err
