"""Where batches go: nothing goes near a GPU that was not chosen; the chosen one gets them through pinned memory."""

import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tessera.datasets import Stream, UsageError
from tessera.datasets.loading.buffers import Buffers
from tessera.datasets.loading.tensors import Tensors

from .stream_data import numbers, numbers_set

RECORDS = 30
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU is here")

UNTOUCHED = """
import sys, threading
import torch

def refuse(*_, **__):
    raise AssertionError("a GPU was asked for")

torch.Tensor.pin_memory = refuse
for name in ("init", "_lazy_init", "current_device", "set_device", "device_count", "is_available"):
    setattr(torch.cuda, name, refuse)

from tessera.datasets import Mix, Stream

def stream(**options):
    return Stream(sys.argv[1], fields=["number"], batch_size=4, threads=2, **options)

for loader in (stream(), stream(device="cpu"), stream(device="cpu", pin_memory=False), Mix([(stream(), 1)])):
    found = sorted(n for batch in loader for n, again in zip(batch["number"].tolist(), batch["repeat"].tolist()) if not again)
    assert found == list(range(30)), found
    loader.stats(), loader.close()
assert not torch.cuda.is_initialized()
print("untouched")
"""  # noqa: E501


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbers_set(tmp_path_factory.mktemp("numbers") / "set", RECORDS)


def stream_of(root: Path, **options: Any) -> Stream:
    return Stream(root, **{"fields": ["number"], "batch_size": 4, "threads": 2, **options})


def test_no_gpu_is_touched_that_was_not_chosen(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", UNTOUCHED, str(root)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "untouched\n", done.stderr


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu")])
def test_batches_stay_in_main_memory(root: Path, device: Any) -> None:
    with stream_of(root, device=device) as stream:
        assert all(batch["number"].device.type == "cpu" and not batch["number"].is_pinned() for batch in stream)


def test_batch_transforms_run_on_threads_for_the_cpu(root: Path) -> None:
    names = set()

    def double(batch: dict[str, Any]) -> dict[str, Any]:
        names.add(threading.current_thread().name)
        return {**batch, "double": 2 * batch["number"]}

    for device in (None, "cpu"):
        with stream_of(root, device=device, batch_transforms=[double]) as stream:
            assert all(torch.equal(batch["double"], 2 * batch["number"]) for batch in stream)
    assert names and all(name.startswith("tessera-stream") for name in names)


def test_batch_transforms_run_in_order_and_without_threads(root: Path) -> None:
    more = [lambda batch: {**batch, "x": batch["number"] + 1}, lambda batch: {**batch, "x": 10 * batch["x"]}]
    with stream_of(root, threads=0, batch_transforms=more) as stream:
        assert all(torch.equal(batch["x"], 10 * (batch["number"] + 1)) for batch in stream)


def test_a_batch_transform_that_fails_says_so_where_its_batch_is_due(root: Path) -> None:
    def fail(batch: dict[str, Any]) -> dict[str, Any]:
        if 7 in batch["number"].tolist():
            raise ValueError("seven")
        return batch

    with stream_of(root, batch_transforms=[fail], order="sequential") as stream:
        seen = []
        with pytest.raises(ValueError, match="seven"):
            seen.extend(iter(stream))
        assert numbers(seen) == [0, 1, 2, 3]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA GPU is here")
@pytest.mark.parametrize("options", [{"device": "cuda"}, {"device": "cuda:1"}, {"pin_memory": True}])
def test_a_gpu_that_is_not_there_is_refused_at_once(root: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no CUDA GPU"):
        stream_of(root, **options)


def test_a_device_that_does_not_exist_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="device 'gpu'"):
        stream_of(root, device="gpu")


def test_pinned_memory_is_taken_from_the_chosen_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread's current GPU is the first one, whatever the main thread chose: pinning there would occupy it."""
    current, pinned_on, moved, real = [0], [], [], torch.empty

    @contextmanager
    def device(chosen: torch.device) -> Any:
        current.append(chosen.index)
        yield
        current.pop()

    def empty(*shape: Any, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        if pin_memory:
            pinned_on.append(current[-1])
        return real(*shape, **options)

    def move(tensor: torch.Tensor, device: torch.device, non_blocking: bool) -> torch.Tensor:
        moved.append((tensor, device, non_blocking))
        return tensor

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch, "empty", empty)
    tensors = Tensors("cuda:1", None)
    array = tensors.buffers(Buffers()).array((40, 3), np.dtype(np.float32))
    assert (pinned_on, current) == ([1], [0])
    batch = tensors.wrap({"x": array, "key": ["a"]})
    monkeypatch.setattr(torch.Tensor, "to", move)
    tensors.place(batch)
    assert moved == [(batch["x"], torch.device("cuda", 1), True)]
    assert batch["x"].data_ptr() == array.ctypes.data


@cuda
def test_a_chosen_gpu_gets_the_batches(root: Path) -> None:
    with stream_of(root, device="cuda", batch_transforms=[lambda b: {**b, "double": 2 * b["number"]}]) as stream:
        batches = list(stream)
    assert all(batch["number"].is_cuda and batch["double"].is_cuda for batch in batches)
    assert sorted(numbers(batches)) == list(range(RECORDS))


@cuda
def test_batches_are_pinned_when_asked(root: Path) -> None:
    with stream_of(root, pin_memory=True) as stream:
        assert all(batch["number"].is_pinned() for batch in stream)
