"""Weights from other runs, whole or by module; what is frozen stays as it is; and all of it is told."""

import json
from pathlib import Path

import pytest
import torch
from tessera.datasets.errors import UsageError
from tessera.training.discover import load_engine
from tessera.training.streams import read_catalog
from tessera.training.weights import freeze, init_from

from .runs import go, same_weights, settings, weights

LINE = """--model.normals predicted --model.normals-filters 4 --model.normals-downs 1 --model.normals-blocks 1
    --max-epochs 1"""
PREDICTED = LINE.split()


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One short run of each engine; not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    for engine in ("normals", "implicit"):
        go(engine, data, folder / engine, "--max-epochs", 1, "--seed", 1)
    return {engine: folder / engine for engine in ("normals", "implicit")}


def fresh(engine: str, data: Path, *more: object):
    config = settings(engine, data, None, *more)
    return load_engine(engine).build(config, read_catalog(config.data))


def part(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """Arrays of one module, by their names in it."""
    short = {key.removeprefix("network."): value for key, value in state.items()}
    return {key.removeprefix(f"{name}."): value for key, value in short.items() if key.startswith(f"{name}.")}


def modules(run: Path) -> dict[str, dict[str, object]]:
    return {row["module"]: row for row in json.loads((run / "summary.json").read_text())["modules"]}


def test_a_whole_run_is_loaded(data, runs):
    engine = fresh("implicit", data)
    assert not same_weights(dict(engine.state_dict()), weights(runs["implicit"], "best"))
    sources = init_from(engine, str(runs["implicit"]))
    assert sources == dict.fromkeys(("image_encoder", "head"), str(runs["implicit"]))
    assert same_weights(dict(engine.state_dict()), weights(runs["implicit"], "best"))


def test_a_checkpoint_is_named_by_its_file_too(data, runs):
    engine = fresh("normals", data)
    init_from(engine, str(runs["normals"] / "checkpoints" / "last.ckpt"))
    assert same_weights(dict(engine.state_dict()), weights(runs["normals"], "last"))


def test_modules_that_fit_are_loaded_and_others_stay_new(data, runs):
    engine = fresh("implicit", data, "--model.hidden", 32, 8)
    before = {name: value.clone() for name, value in engine.state_dict().items()}
    assert [*init_from(engine, str(runs["implicit"]))] == ["image_encoder"]
    after, found = dict(engine.state_dict()), weights(runs["implicit"], "best")
    assert same_weights(part(after, "image_encoder"), part(found, "image_encoder"))
    assert same_weights(part(after, "head"), part(before, "head"))


def test_networks_of_normals_go_into_implicit(data, runs):
    engine = fresh("implicit", data, *PREDICTED)
    init_from(engine, f"normals={runs['normals']}")
    loaded = part(dict(engine.state_dict()), "normals")
    assert loaded and same_weights(loaded, part(weights(runs["normals"], "best"), "normals"))


def test_several_sources_each_for_its_module(data, runs):
    engine = fresh("implicit", data, *PREDICTED)
    sources = init_from(engine, f"normals={runs['normals']}, head={runs['implicit']}")
    assert sources == {"normals": str(runs["normals"]), "head": str(runs["implicit"])}


def test_where_nothing_fits_it_says_what_differs(data, runs):
    with pytest.raises(UsageError, match=r"no module of it fits; .* arrays are missing, such as"):
        init_from(fresh("implicit", data), str(runs["normals"]))
    with pytest.raises(UsageError, match=r"--init-from head=.*does not fit; .*have another shape, such as .* not "):
        init_from(fresh("implicit", data, "--model.hidden", 32, 8), f"head={runs['implicit']}")


def test_an_unknown_module_is_refused_with_those_there_are(data, runs):
    with pytest.raises(UsageError, match=r"no module 'neck' \(modules: image_encoder, head\)"):
        init_from(fresh("implicit", data), f"neck={runs['implicit']}")
    with pytest.raises(UsageError, match=r"--freeze neck: .*modules: image_encoder, head"):
        freeze(fresh("implicit", data), "neck")


def test_what_is_frozen_does_not_change_and_is_told(data, runs, tmp_path):
    run = tmp_path / "run"
    screen = go("implicit", data, run, *PREDICTED, "--init-from", f"normals={runs['normals']}", "--freeze", "normals")
    assert same_weights(part(weights(run), "normals"), part(weights(runs["normals"], "best"), "normals"))
    row = next(line for line in screen.splitlines() if "normals" in line and "frozen" in line)
    assert str(runs["normals"])[:20] in row
    told = modules(run)
    assert told["normals"]["trained"] == 0 and told["normals"]["weights"] == str(runs["normals"])
    assert told["head"]["trained"] == told["head"]["parameters"] > 0 and told["head"]["weights"] == "new"


def test_what_is_not_frozen_is_trained(data, runs, tmp_path):
    run = tmp_path / "run"
    go("implicit", data, run, *PREDICTED, "--init-from", f"normals={runs['normals']}")
    before = part(weights(runs["normals"], "best"), "normals")
    after = part(weights(run), "normals")
    moved = [name for name, value in after.items() if not torch.equal(value, before[name])]
    assert len(moved) == len(after)
    assert modules(run)["normals"]["trained"] == modules(run)["normals"]["parameters"]


@pytest.mark.parametrize(("frozen", "other"), [("head", "image_encoder"), ("image_encoder", "head")])
def test_statistics_of_frozen_norms_do_not_change(frozen, other, data, runs, tmp_path):
    line = ["--model.norm", "batch", "--model.encoder-norm", "batch", "--max-epochs", 1]
    go("implicit", data, tmp_path / "first", *line)
    go("implicit", data, tmp_path / "run", *line, "--init-from", tmp_path / "first", "--freeze", frozen)
    before, after = weights(tmp_path / "first", "best"), weights(tmp_path / "run")
    statistics = [name for name in part(after, frozen) if "running" in name]
    assert statistics and same_weights(part(after, frozen), part(before, frozen))
    assert not same_weights(part(after, other), part(before, other))


def test_with_everything_frozen_there_is_nothing_to_train(data, tmp_path):
    with pytest.raises(UsageError, match="nothing is trained"):
        go("implicit", data, tmp_path / "run", "--freeze", "head,image_encoder")


def test_after_a_resume_the_table_says_where_the_weights_are_from(data, runs, tmp_path):
    import shutil

    run = Path(shutil.copytree(runs["normals"], tmp_path / "run"))
    go("normals", data, run, "--max-epochs", 2, "--seed", 1, "--resume")
    assert modules(run)["normals"]["weights"] == str(run / "checkpoints" / "last.ckpt")
