"""Streams as Lightning's loaders: epochs, validation, checkpoints in the middle of an epoch, two processes, a kill."""

import json
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from tessera.datasets import Stream

pytest.importorskip("lightning", reason="lightning is not installed")

from .loops.lightning_fit import BATCH, EPOCHS, EVERY, SEED, Model, streams, trainer_of
from .stream_data import numbers, numbers_set

SCRIPT = Path(__file__).parent / "loops" / "lightning_fit.py"
RECORDS = 61  # 16 steps of one process, 8 of two
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory"),
    pytest.mark.filterwarnings("ignore:GPU available"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbers_set(tmp_path_factory.mktemp("numbers") / "set", RECORDS)


@pytest.fixture(autouse=True)
def clean() -> Any:
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("tessera")]


def fit(root: Path, folder: Path, checkpoint: Path | None = None, **options: Any) -> Model:
    """A fit in this process; what it saw is in the model."""
    model, (train, val) = Model(None), streams(root)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*not resumable.*")
        trainer_of(folder, **options).fit(model, train, val, ckpt_path=checkpoint)
    return model


def flat(steps: list[list[int]]) -> list[int]:
    return [value for step in steps for value in step]


def test_epochs_are_those_of_the_stream(root: Path, tmp_path: Path) -> None:
    model, plain = fit(root, tmp_path, max_epochs=3, num_sanity_val_steps=2), streams(root)[0]
    assert flat(model.train_seen) == [value for _ in range(3) for value in numbers(plain)]


def test_validation_sees_the_same_records_after_each_epoch(root: Path, tmp_path: Path) -> None:
    model = fit(root, tmp_path, max_epochs=3, num_sanity_val_steps=2)
    assert flat(model.val_seen) == list(range(2 * BATCH)) + 3 * list(range(RECORDS))


def test_limited_validation_sees_the_same_records(root: Path, tmp_path: Path) -> None:
    model = fit(root, tmp_path, limit_val_batches=3, num_sanity_val_steps=0)
    assert flat(model.val_seen) == EPOCHS * list(range(3 * BATCH))


@pytest.mark.parametrize("step", [5, 10, 15, 20, 30])
def test_a_checkpoint_goes_on_where_it_was_taken(root: Path, tmp_path: Path, step: int) -> None:
    whole = fit(root, tmp_path)
    again = fit(root, tmp_path / "again", tmp_path / f"step={step}.ckpt")
    assert len(whole.train_seen) == 32
    assert again.train_seen == whole.train_seen[step:]


@pytest.mark.parametrize("limit", [4, 5, 7])
@pytest.mark.parametrize("step", [5, 10])
def test_limited_epochs_resume_as_they_would_go_on(root: Path, tmp_path: Path, limit: int, step: int) -> None:
    """A step that ends a limited epoch (5 of 5) leads to the next epoch, not to the records that were left out."""
    options = {"limit_train_batches": limit, "max_epochs": 4}
    whole = fit(root, tmp_path, **options)
    plain = streams(root)[0]
    expected = []
    for epoch in range(4):
        plain.set_epoch(epoch)
        expected += [values for values, _ in zip(([*numbers([batch])] for batch in plain), range(limit))]
    plain.close()
    assert whole.train_seen == expected
    again = fit(root, tmp_path / "again", tmp_path / f"step={step}.ckpt", **options)
    assert again.train_seen == whole.train_seen[step:]


@pytest.mark.parametrize("limit", [1.0, 5])
def test_a_checkpoint_at_an_epochs_end_leads_to_the_next(root: Path, tmp_path: Path, limit: float) -> None:
    from lightning.pytorch.callbacks import ModelCheckpoint

    whole = fit(root, tmp_path, limit_train_batches=limit, max_epochs=3)
    saves = ModelCheckpoint(tmp_path / "ends", "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    fit(root, tmp_path, limit_train_batches=limit, max_epochs=3, callbacks=[saves])
    again = fit(root, tmp_path, tmp_path / "ends" / "epoch=0.ckpt", limit_train_batches=limit, max_epochs=3)
    assert again.train_seen == whole.train_seen[len(whole.train_seen) // 3 :]


def test_a_second_fit_goes_on_with_new_orders(root: Path, tmp_path: Path) -> None:
    train, _ = streams(root)
    first, second = Model(None), Model(None)
    trainer_of(tmp_path, max_epochs=1).fit(first, train)
    trainer_of(tmp_path, max_epochs=1).fit(second, train)
    plain = streams(root)[0]
    assert [flat(first.train_seen), flat(second.train_seen)] == [numbers(plain), numbers(plain)]


def test_a_state_loaded_by_hand_is_kept(root: Path, tmp_path: Path) -> None:
    train, plain = streams(root)[0], streams(root)[0]
    plain.set_epoch(3)
    batches = iter(plain)
    for _ in range(4):
        next(batches)
    train.load_state_dict(plain.state_dict())
    model = Model(None)
    trainer_of(tmp_path, max_epochs=1).fit(model, train)
    assert flat(model.train_seen) == numbers(batches)


# --------------------------------------------------------------------- two processes


def ddp(root: Path, folder: Path, name: str, kill_at: int = 0, checkpoint: Path | None = None) -> list[list[list[Any]]]:
    """What each rank logged: (kind, epoch, step, numbers)."""
    command = [sys.executable, str(SCRIPT), str(root), str(folder), str(folder / name), str(kill_at)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    done = subprocess.run(
        command + ([str(checkpoint)] if checkpoint else []), env=environment | {"OMP_NUM_THREADS": "1"}, timeout=150,
        capture_output=True, text=True, start_new_session=True,
    )  # fmt: skip
    assert (done.returncode != 0) == bool(kill_at), done.stderr[-3000:]
    lines = [(folder / name).with_suffix(f".{rank}").read_text().splitlines() for rank in range(2)]
    return [[json.loads(line) for line in each] for each in lines]


def steps_of(logs: list[list[list[Any]]], kind: str, before: int | None = None) -> list[list[int]]:
    """Numbers of each step, of both ranks; only steps before one, where it is given."""
    each = [[row[3] for row in rank if row[0] == kind and (before is None or row[2] < before)] for rank in logs]
    return [one + other for one, other in zip(*each, strict=True)]


@pytest.mark.slow
def test_two_processes_killed_in_mid_epoch_see_what_an_unbroken_run_sees(root: Path, tmp_path: Path) -> None:
    """Killed at step 13 of 16, in the second epoch; the last checkpoint is that of step 10."""
    with Stream(root, fields=["number"], batch_size=2 * BATCH, seed=SEED) as plain:
        unbroken = [numbers([batch]) for _ in range(EPOCHS) for batch in plain]
    first = ddp(root, tmp_path, "first", kill_at=13)
    checkpoints = sorted(tmp_path.glob("*.ckpt"), key=lambda path: int(path.stem.partition("=")[2]))
    last = int(checkpoints[-1].stem.partition("=")[2])
    assert last == 13 // EVERY * EVERY
    second = ddp(root, tmp_path, "second", checkpoint=checkpoints[-1])
    seen = steps_of(first, "train", before=last) + steps_of(second, "train")
    assert seen == unbroken
    assert sorted(flat(seen)) == sorted(2 * list(range(RECORDS)))
    assert sorted(flat(steps_of(second, "val"))) == list(range(RECORDS))
