"""Streams inside torch's DataLoader and torchdata's StatefulDataLoader: fork, spawn, persistent workers, pickles."""

import gc
import multiprocessing
import os
import pickle
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tessera.datasets import Mix, Stream, UsageError
from tessera.datasets.transforms import load_transform
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.data import DataLoader
from torch.utils.data._utils.worker import WorkerInfo

from .stream_data import numbers, numbers_set, same_batch

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
RECORDS, BATCH = 47, 4  # 12 steps, the last with one repeat
STEPS = 12


class Double:
    """A transform that pickles."""

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "double": 2 * record["number"]}


class Draw:
    """A transform that draws."""

    random = True

    def __call__(self, record: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        return {**record, "drawn": np.float64(rng.uniform())}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbers_set(tmp_path_factory.mktemp("numbers") / "set", RECORDS)


@pytest.fixture(autouse=True)
def clean() -> Any:
    """Nothing is left behind: no thread of a stream, no child process."""
    yield
    gc.collect()  # tracebacks of expected errors hold iterators
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("tessera")]
    assert not multiprocessing.active_children()


def stream_of(root: Path, **options: Any) -> Stream:
    return Stream(root, **{"fields": ["number"], "batch_size": BATCH, "seed": 3, "threads": 1, **options})


def loader_of(stream: Any, workers: int, context: str = "fork", **options: Any) -> DataLoader:
    return DataLoader(
        stream, batch_size=None, num_workers=workers, multiprocessing_context=context if workers else None, **options
    )


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_a_data_loader_gives_the_stream_in_its_order(root: Path, workers: int) -> None:
    plain = list(stream_of(root, transforms=[Double(), Draw()]))
    loader = loader_of(stream_of(root, transforms=[Double(), Draw()]), workers)
    given = list(loader)
    assert len(loader) == len(given) == len(plain) == STEPS
    for one, other in zip(plain, given, strict=True):
        same_batch(one, other)
    assert sorted(numbers(given)) == list(range(RECORDS))


def test_spawned_workers_give_the_stream_in_its_order(root: Path) -> None:
    options = {"transforms": [load_transform("occupancy", field="number")]}  # spawned processes import no tests
    plain = list(stream_of(root, **options))
    for one, other in zip(plain, loader_of(stream_of(root, **options), 2, "spawn"), strict=True):
        same_batch(one, other)


def test_drop_leaves_the_same_records_out(root: Path) -> None:
    plain = numbers(stream_of(root, last="drop"))
    assert numbers(loader_of(stream_of(root, last="drop"), 3)) == plain
    assert len(plain) == RECORDS // BATCH * BATCH


def test_more_workers_than_steps(root: Path) -> None:
    assert numbers(loader_of(stream_of(root, batch_size=30), 3)) == numbers(stream_of(root, batch_size=30))


def test_persistent_workers_go_on_to_new_orders(root: Path) -> None:
    plain = stream_of(root)
    loader = loader_of(stream_of(root), 2, persistent_workers=True)
    epochs = [numbers(loader) for _ in range(3)]
    assert epochs == [numbers(plain) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    del loader


def test_persistent_workers_after_an_epoch_broken_off(root: Path) -> None:
    plain = stream_of(root)
    loader = loader_of(stream_of(root), 2, persistent_workers=True)
    for step, _ in enumerate(loader):
        if step == 3:
            break
    plain.set_epoch(1)
    assert numbers(loader) == numbers(plain)
    del loader


def test_workers_made_anew_take_the_epoch_that_is_set(root: Path) -> None:
    plain, inside = stream_of(root), stream_of(root)
    loader = loader_of(inside, 2)
    for epoch in range(2):
        inside.set_epoch(epoch)
        assert numbers(loader) == numbers(plain)


def test_workers_go_on_from_the_state_of_a_stream(root: Path) -> None:
    plain = stream_of(root)
    batches = iter(plain)
    for _ in range(5):
        next(batches)
    inside = stream_of(root)
    inside.load_state_dict(plain.state_dict())
    assert numbers(loader_of(inside, 3)) == numbers(batches)


def test_ranks_share_the_epoch_inside_workers(root: Path) -> None:
    given = [numbers(loader_of(stream_of(root, rank=rank, world_size=2), 2)) for rank in range(2)]
    assert sorted(given[0] + given[1]) == list(range(RECORDS))


def test_a_worker_has_the_rank_of_the_process_that_started_it(root: Path, tmp_path: Path) -> None:
    """A spawned worker has no torch.distributed, and its environment may not name the rank."""
    torch.distributed.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    try:
        copy = pickle.dumps(stream_of(root))
        here = numbers(stream_of(root))
    finally:
        torch.distributed.destroy_process_group()
    assert numbers(pickle.loads(copy)) == here == numbers(stream_of(root, rank=1, world_size=2))


def test_a_number_of_ranks_without_a_rank_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each process would take rank 0's records."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    stream = stream_of(root)
    with pytest.raises(UsageError, match="WORLD_SIZE is 2"):
        next(iter(stream))


def test_a_stream_pickles_with_its_place(root: Path) -> None:
    def stream() -> Stream:
        return stream_of(root, transforms=[Double(), Draw()], split="train", order="block", threads=0)

    plain = stream()
    batches = iter(plain)
    for _ in range(7):
        next(batches)
    resumed = stream()
    resumed.load_state_dict(plain.state_dict())
    copy = pickle.loads(pickle.dumps(resumed))
    assert copy.state_dict() == plain.state_dict()
    for one, other in zip(batches, copy, strict=True):
        same_batch(one, other)
    for one, other in zip(plain, copy, strict=True):
        same_batch(one, other)


def test_a_copy_does_what_the_original_would(root: Path) -> None:
    """After a look at a first batch, a new epoch begins: in the stream, its pickle, and workers of either start."""
    stream = stream_of(root)
    next(iter(stream))
    copy, forked = pickle.loads(pickle.dumps(stream)), numbers(loader_of(stream, 2))
    assert numbers(stream) == numbers(copy) == forked
    assert sorted(forked) == list(range(RECORDS))


def test_a_mixture_pickles_and_goes_into_workers(root: Path) -> None:
    def mix() -> Mix:
        return Mix([(stream_of(root), 2), (stream_of(root, seed=9), 1)], batch_size=6, threads=1)

    plain = mix()
    batches = iter(plain)
    for _ in range(4):
        next(batches)
    resumed = mix()
    resumed.load_state_dict(plain.state_dict())
    copy = pickle.loads(pickle.dumps(resumed))
    assert copy.state_dict() == plain.state_dict()
    rest = list(batches)
    for one, other in zip(rest, loader_of(copy, 2), strict=True):
        same_batch(one, other)
    for one, other in zip(rest, copy, strict=True):
        same_batch(one, other)


def test_a_pickle_holds_no_records(root: Path) -> None:
    stream = stream_of(root)
    before = len(pickle.dumps(stream))
    list(stream)
    assert len(pickle.dumps(stream)) < before + 100 < 3000


@pytest.mark.parametrize("threads", [0, 3])
def test_a_forked_child_reads_while_the_parent_does(root: Path, threads: int) -> None:
    """The parent's threads hold locks that nobody in the child would release."""
    stream = stream_of(root, threads=threads)
    batches = iter(stream)
    first = numbers([next(batches)])
    pid = os.fork()
    if not pid:  # no assertion and no pytest in here: only the exit status gets out
        try:
            stream.set_epoch(1)
            good = sorted(numbers(stream)) == list(range(RECORDS))
            del batches
            stream.close()
            os._exit(0 if good else 3)
        finally:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert sorted(first + numbers(batches)) == list(range(RECORDS))


def test_locks_that_threads_held_at_a_fork_are_not_waited_for(root: Path) -> None:
    stream = stream_of(root, threads=1)
    batches = iter(stream)
    next(batches)
    (pump,) = stream._pumps
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with pump._changed:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with stream._files._handles._lock, stream._buffers._lock:
        pid = os.fork()
        if not pid:
            signal.alarm(20)
            try:
                batches.close()
                good = sorted(numbers(stream)) == list(range(RECORDS))
                stream.close()
                os._exit(0 if good else 3)
            finally:
                os._exit(4)
    done.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    batches.close()


def test_an_iterator_does_not_survive_a_fork(root: Path) -> None:
    batches = iter(stream_of(root, threads=2))
    next(batches)
    pid = os.fork()
    if not pid:
        try:
            list(batches)
        except UsageError as error:
            os._exit(0 if "fork" in str(error) else 3)
        finally:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    batches.close()


def test_workers_leave_no_files(root: Path) -> None:
    def left() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    list(loader_of(stream_of(root), 2))
    before, epochs = left(), 6
    for _ in range(epochs):
        list(loader_of(stream_of(root), 2))
    assert left() - before < epochs, "torch may open some of its own once; ours would be one an epoch, or more"


# --------------------------------------------------------------------- torchdata


def stateful(stream: Any, workers: int, **options: Any) -> Any:
    loaders = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")
    context = "fork" if workers else None
    return loaders.StatefulDataLoader(
        stream, batch_size=None, num_workers=workers, multiprocessing_context=context, **options
    )


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("at", [1, 5, 11])
def test_a_stateful_loader_resumes_in_the_middle(root: Path, workers: int, at: int) -> None:
    whole = numbers(stream_of(root))
    loader = stateful(stream_of(root), workers)
    batches = iter(loader)
    seen = [next(batches) for _ in range(at)]
    state = pickle.loads(pickle.dumps(loader.state_dict()))
    del batches
    again = stateful(stream_of(root), workers)
    again.load_state_dict(state)
    assert numbers(seen) + numbers(again) == whole


def test_a_stateful_loader_resumes_twice(root: Path) -> None:
    """A state taken before all workers have given a batch since the last resume."""
    whole, seen, state = numbers(stream_of(root)), [], None
    for steps in (3, 1, 4):
        loader = stateful(stream_of(root), 3)
        if state:
            loader.load_state_dict(state)
        batches = iter(loader)
        seen += [next(batches) for _ in range(steps)]
        state = loader.state_dict()
        del batches
    last = stateful(stream_of(root), 3)
    last.load_state_dict(state)
    assert numbers(seen) + numbers(last) == whole


def state_of_a_worker(root: Path, steps: int) -> dict[str, Any]:
    """State of the first stream of two workers."""
    loader = stateful(stream_of(root), 2)
    batches = iter(loader)
    for _ in range(steps):
        next(batches)
    return loader.state_dict()["_snapshot"]["_worker_snapshots"]["worker_0"]["dataset_state"]


def test_a_state_of_workers_is_refused_elsewhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without processes: torch waits five seconds for each worker that raised."""

    def as_worker(number: int, of: int) -> None:
        info = WorkerInfo(id=number, num_workers=of, seed=0, dataset=None)
        monkeypatch.setattr(torch.utils.data._utils.worker, "_worker_info", info)

    state = state_of_a_worker(root, 4)
    alone, inside, other = stream_of(root), stream_of(root), stream_of(root, batch_size=5)
    for stream in (alone, inside, other):
        stream.load_state_dict(state)
    with pytest.raises(UsageError, match="worker 0 of 2 of a DataLoader"):
        next(iter(alone))
    with pytest.raises(UsageError, match=r"worker 0 of 2 of a DataLoader.*this is worker . of 3"):
        as_worker(1, 3)
        next(iter(inside))
    with pytest.raises(UsageError, match=r"4 records a step.*5 records a step"):
        as_worker(0, 2)
        next(iter(other))
