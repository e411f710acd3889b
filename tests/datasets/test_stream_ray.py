"""Streams in Ray Train: two workers of a TorchTrainer share each epoch; one is killed, and the run resumes."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from tessera.datasets import Stream

from .stream_data import numbers, numbers_set

ray = pytest.importorskip("ray", reason="ray is not installed")
train = pytest.importorskip("ray.train", reason="ray.train is not installed")

RECORDS, BATCH, SEED, EPOCHS, SAVE_EVERY, KILL_AT = 61, 4, 7, 2, 5, 12
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def train_loop(stream: Stream, folder: Path) -> Any:
    """What each worker runs; a closure, so that workers need not import this file."""
    epochs, save_every, kill_at = EPOCHS, SAVE_EVERY, KILL_AT

    def loop(_: dict[str, Any]) -> None:
        """Rank and number of ranks are those of torch.distributed."""
        rank, step, checkpoint = train.get_context().get_world_rank(), 0, train.get_checkpoint()
        if checkpoint:
            saved = json.loads((Path(checkpoint.path) / "stream.json").read_text())
            step = saved.pop("step")
            stream.load_state_dict(saved)
        run = "second" if (folder / "killed").exists() else "first"
        with (folder / f"{run}.{rank}").open("w") as out:
            while stream.state_dict()["epoch"] < epochs:
                for batch in stream:
                    step += 1
                    print(json.dumps([step, batch["number"][~batch["repeat"]].tolist()]), file=out, flush=True)
                    if step % save_every == 0:
                        state = None
                        if rank == 0:
                            kept = folder / f"{run}{step}"
                            kept.mkdir()
                            (kept / "stream.json").write_text(json.dumps(stream.state_dict() | {"step": step}))
                            state = train.Checkpoint.from_directory(kept)
                        train.report({"step": step}, checkpoint=state)
                    if step == kill_at and run == "first":
                        train.get_all_reported_checkpoints()  # waits until Ray has noted them
                        if rank == 1:
                            (folder / "killed").touch()
                            os.kill(os.getpid(), signal.SIGKILL)
        left = [thread.name for thread in threading.enumerate() if thread.name.startswith("tessera")]
        (folder / f"left.{rank}").write_text(json.dumps(left))

    return loop


def steps_of(folder: Path, run: str) -> dict[int, list[int]]:
    """Numbers of each step that both workers logged, of both."""
    logs = [dict(json.loads(line) for line in (folder / f"{run}.{rank}").read_text().splitlines()) for rank in range(2)]
    return {step: logs[0][step] + logs[1][step] for step in sorted(logs[0].keys() & logs[1].keys())}


def test_a_killed_worker_costs_no_record_and_repeats_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.train.torch import TorchTrainer

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "1")
    monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    root = numbers_set(tmp_path / "set", RECORDS)
    stream = Stream(root, fields=["number"], batch_size=BATCH, seed=SEED, threads=1)
    scaling = train.ScalingConfig(num_workers=2, use_gpu=False, resources_per_worker={"CPU": 1})
    failures = train.FailureConfig(max_failures=1)
    run = train.RunConfig(name="run", storage_path=str(tmp_path / "runs"), failure_config=failures)
    ray.init(num_cpus=3, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    try:
        TorchTrainer(train_loop(stream, tmp_path), scaling_config=scaling, run_config=run).fit()
    finally:
        ray.shutdown()
    first, second = steps_of(tmp_path, "first"), steps_of(tmp_path, "second")
    last = KILL_AT // SAVE_EVERY * SAVE_EVERY
    assert [*second] == [*range(last + 1, 17)]
    plain = Stream(root, fields=["number"], batch_size=2 * BATCH, seed=SEED, threads=0)
    unbroken = [numbers([batch]) for _ in range(EPOCHS) for batch in plain]
    assert [first[step] for step in range(1, last + 1)] + [*second.values()] == unbroken
    assert [json.loads((tmp_path / f"left.{rank}").read_text()) for rank in range(2)] == [[], []]
