"""What goes wrong stops the run with a message that says what and where, and the last good checkpoint stays."""

import errno
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from tessera.datasets.errors import FormatError, TesseraError, UsageError
from tessera.training.callbacks import checkpoints
from tessera.training.devices import memory_message
from tessera.training.engines.normals.engine import NormalsEngine
from tessera.training.errors import TrainingError
from tessera.training.trained import load_trained
from tessera.training.weights import read_checkpoint

from . import people
from .runs import Started, checkpoint, go, same_weights, weights, words

GIB = 1 << 30


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of the engine `normals`; not to be changed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    go("normals", data, out, "--max-epochs", 1)
    return out


def poison(monkeypatch: pytest.MonkeyPatch, key: str, epoch: int) -> None:
    """A loss that is no number, of one record."""
    old = NormalsEngine.losses

    def losses(self, batch):
        found = old(self, batch)
        if self.training and self.trainer.current_epoch == epoch:
            wrong = torch.tensor([float("nan") if name == key else 0.0 for name in batch["key"]])
            found["normal_b"] = found["normal_b"] + wrong
        return found

    monkeypatch.setattr(NormalsEngine, "losses", losses)


def test_a_loss_that_is_no_number_stops_names_the_record_and_keeps_its_batch(data, tmp_path, monkeypatch):
    poison(monkeypatch, "0003-090", epoch=1)
    with pytest.raises(TrainingError) as caught:
        go("normals", data, tmp_path / "run", "--batch", 4)
    text = str(caught.value)
    assert "normal_b is no number for 0003-090;" in text and "normal_f is" not in text
    assert str(tmp_path / "run" / "checkpoints" / "last.ckpt") in text
    kept = torch.load(tmp_path / "run" / "bad_batch_0.pt", weights_only=True)
    assert kept["keys"] == ["0003-090"] and "0003-090" in kept["batch"]["key"] and len(kept["batch"]["key"]) == 4
    assert kept["batch"]["image"].shape == (4, people.SIZE, people.SIZE, 3)
    assert f"step {kept['step'] + 1}: " in text and 4 <= kept["step"] < 8
    assert checkpoint(tmp_path / "run")["global_step"] == 4
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["state"] == "failed"
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "run").values())


def test_before_any_checkpoint_it_says_that_there_is_none(data, tmp_path, monkeypatch):
    poison(monkeypatch, "0003-090", epoch=0)
    with pytest.raises(TrainingError, match="no checkpoint yet"):
        go("normals", data, tmp_path / "run")


@pytest.mark.parametrize(("switch", "value", "field", "label"), [
    ("--model.geometry", "volume", "subject.body_volume", "--with voxels"),
    ("--model.inputs", "orientation", "orientation", "--with orientation"),
    ("--model.geometry", "norm", "subject.body_normals", "--body-models"),
])  # fmt: skip
def test_a_missing_field_is_named_with_what_gives_it(switch, value, field, label, data, tmp_path, monkeypatch):
    from tessera.training import streams

    whole = streams.read_catalog

    def without(config):
        catalog = whole(config)
        for schema in catalog.tables.values():
            left = tuple(x for x in schema.fields if not x.name.startswith(field.rpartition(".")[2]))
            object.__setattr__(schema, "fields", left)
        return catalog

    monkeypatch.setattr(streams, "read_catalog", without)
    line = ["--model.no-by-visibility", switch, value, "--max-epochs", 1]
    with pytest.raises(UsageError) as caught:
        go("implicit", data, tmp_path / "run", *line)
    assert field in str(caught.value) and label in str(caught.value) and "tessera shards thuman2" in str(caught.value)


def full_disk(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """A disk that is full from a step on: a part of the file is written, then no more."""
    from lightning.pytorch import Trainer

    old = Trainer.save_checkpoint

    def save(self, path, *rest, **named):
        old(self, path, *rest, **named)
        if self.global_step >= step:
            os.truncate(path, 1000)
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Trainer, "save_checkpoint", save)


@pytest.mark.parametrize("more", [["--val-split", ""], []], ids=["last", "best"])
def test_a_full_disk_leaves_the_last_good_checkpoint_and_says_so(more, data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        full_disk(patch, 5)
        with pytest.raises(TrainingError) as caught:
            go("normals", data, run, "--save-every", 0, *more)
    text = str(caught.value)
    assert "the disk is full" in text and "of step 8 cannot be written" in text
    assert f"the last good one is {run}/checkpoints/last.ckpt" in text and "--resume" in text
    assert json.loads((run / "summary.json").read_text())["state"] == "failed"
    assert checkpoint(run)["global_step"] == 4
    assert {x.name for x in (run / "checkpoints").iterdir()} <= {"last.ckpt", "best.ckpt"}
    go("normals", data, run, "--save-every", 0, "--resume", *more)
    assert checkpoint(run)["global_step"] == 8


def test_a_file_that_may_grow_no_further_is_told_too(data, tmp_path):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\nimport signal\n"
    limit += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "import os\nos.environ['GIT_DIR'] = os.devnull"  # or what differs from the commit may be as long
    line = ["train", "normals", *words("normals", data, tmp_path / "run", "--max-epochs", 1)]
    started = Started(tmp_path / "said", line, limit)
    assert started.wait() == 1, started.text()
    assert "cannot be written" in started.text() and "there is no earlier one" in started.text()
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    assert "Traceback" not in started.text()


def test_going_on_at_the_end_leaves_a_finished_run_as_it_is(data, trained, tmp_path):
    run = copied(trained, tmp_path)
    before = {path.name: path.read_bytes() for path in run.glob("*.*") if path.is_file()}
    with pytest.raises(TrainingError, match="it stands at its end, step 4; raise --max-steps or --max-epochs"):
        go("normals", data, run, "--max-epochs", 1, "--resume")
    assert {path.name: path.read_bytes() for path in run.glob("*.*") if path.is_file()} == before


def test_a_folder_that_takes_no_files_is_told(data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").mkdir()
    with pytest.raises(TrainingError, match=r"run/config.yaml: cannot be written \(.*\); is there space"):
        go("normals", data, tmp_path / "run")


def test_other_errors_while_saving_are_not_called_a_full_disk(tmp_path):
    error = RuntimeError("shapes differ")
    assert checkpoints._failed(error, tmp_path / "last.ckpt", tmp_path / "last.ckpt", 3) is error


def test_a_run_that_takes_no_step_fails(data, trained, tmp_path):
    with pytest.raises(TrainingError, match="the run took no step: it stands at its end, step 4"):
        go("normals", data, copied(trained, tmp_path), "--max-epochs", 1, "--resume")


def copied(run: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_a_folder_that_holds_a_run_is_refused_without_resume(data, trained):
    before = weights(trained)
    with pytest.raises(UsageError, match="holds a run already; go on with --resume"):
        go("normals", data, trained)
    assert same_weights(before, weights(trained))


def test_resume_without_a_run_is_refused(data, tmp_path):
    with pytest.raises(UsageError, match="no checkpoint to go on from"):
        go("normals", data, tmp_path / "run", "--resume")


@pytest.mark.parametrize(("engine", "more", "word"), [
    ("normals", ["--model.filters", 8], "filters"), ("normals", ["--model.l1", 1], "l1"), ("implicit", [], "normals"),
])  # fmt: skip
def test_another_network_on_resume_is_refused(engine, more, word, data, trained, tmp_path):
    run = copied(trained, tmp_path)
    with pytest.raises(TesseraError, match=word):
        go(engine, data, run, "--max-epochs", 2, "--resume", *more)
    assert same_weights(weights(run), weights(trained))


@pytest.mark.parametrize(("batch", "total", "peak", "fixed", "error", "parts"), [
    # (14 taken + 2 asked - 4 fixed) / 8 = 1.5 a record; (0.9 x 16 - 4) / 1.5 = 6.9
    (8, 16 * GIB, 14 * GIB, 4 * GIB, "Tried to allocate 2.00 GiB. GPU 0", ["--batch 6 ", "14.0 of 16.0 GiB", "2.00"]),
    (32, 16 * GIB, 15 * GIB, 1 * GIB, "allocate 18.00 GiB.", ["--batch 13 ", "--optim.accumulate 2"]),
    (1, 16 * GIB, 15 * GIB, 2 * GIB, "allocate 4.00 GiB.", ["not even one record fits"]),
    (2, 16 * GIB, 15 * GIB, 15 * GIB, "allocate 512.00 MiB.", ["not even one record fits", "0.50 more"]),
    (4, 16 * GIB, 8 * GIB, 1 * GIB, "no numbers at all", ["--batch 3 "]),
])  # fmt: skip
def test_a_full_gpu_names_numbers_and_a_batch_that_fits(batch, total, peak, fixed, error, parts):
    text = memory_message(batch, total, peak, fixed, error)
    assert text.startswith(f"the GPU's memory is full at --batch {batch}: ")
    assert all(part in text for part in parts), text


def test_a_damaged_checkpoint_is_refused_by_name(data, trained, tmp_path):
    run = copied(trained, tmp_path)
    path = run / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(FormatError, match=r"last\.ckpt: no checkpoint that can be read"):
        go("normals", data, run, "--max-epochs", 2, "--resume")


class Hostile:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("where", ["resume", "init-from", "eval"])
def test_a_hostile_checkpoint_runs_nothing(where, data, trained, tmp_path):
    run, canary = copied(trained, tmp_path), tmp_path / "canary"
    for name in ("last", "best"):
        torch.save(checkpoint(trained) | {"hyper_parameters": Hostile(canary)}, run / "checkpoints" / f"{name}.ckpt")
    with pytest.raises(FormatError, match="no checkpoint that can be read"):
        if where == "resume":
            go("normals", data, run, "--max-epochs", 2, "--resume")
        elif where == "init-from":
            go("normals", data, tmp_path / "new", "--init-from", run)
        else:
            load_trained(run, str(data), device="cpu")
    assert not canary.exists()
    pickle.loads(pickle.dumps(Hostile(canary)))
    assert canary.exists(), "the trap works"


def test_something_else_than_a_checkpoint_is_refused(tmp_path):
    torch.save({"model": torch.zeros(3)}, tmp_path / "other.ckpt")
    with pytest.raises(FormatError, match="no state_dict"):
        read_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(UsageError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")
