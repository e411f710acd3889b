"""Memory and files of streams: a batch that was kept never changes, and nothing grows."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tessera.datasets import Stream

from .stream_damage import frames, sequence
from .stream_many import RAGGED, many_shards


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many_shards(tmp_path_factory.mktemp("small"), 3, 8)


@pytest.mark.parametrize("count", [0, 2])
def test_a_batch_that_is_kept_never_changes(small: Path, count: int) -> None:
    """Memory of batches is used again; every kind of view keeps it."""
    kept: list[tuple[Any, Any]] = []
    with Stream(small, batch_size=2, threads=count) as stream:
        for epoch in range(6):
            for number, batch in enumerate(stream):
                tensor = batch["values"]
                views = [
                    tensor, tensor[1:, ::7], tensor.numpy()[0], memoryview(tensor.numpy()), tensor.flatten()[5:],
                    torch.from_dlpack(tensor), tensor.untyped_storage(), np.asarray(tensor)[..., None], iter(tensor),
                ]  # fmt: skip
                view = views[(epoch + number) % len(views)]
                if number % 2:
                    kept.append(
                        (view, [tensor.clone()] if not hasattr(view, "__next__") else [x.clone() for x in tensor])
                    )
                del tensor, views, view, batch
    for view, then in kept:
        if hasattr(view, "__next__"):
            assert all(torch.equal(new, old) for new, old in zip(view, then, strict=True))
            continue
        raw = (
            bytes(view) if isinstance(view, torch.UntypedStorage) else np.ascontiguousarray(np.asarray(view)).tobytes()
        )
        values = np.unique(np.frombuffer(raw[: len(raw) // 4 * 4], np.float32))
        allowed = {float(x) for x in then[0].unique()} | ({0.0} if isinstance(view, torch.UntypedStorage) else set())
        assert set(values.tolist()) <= allowed, type(view)


FEW_FILES = """
import resource, sys
from tessera.datasets import Mix, Stream
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
streams = [Stream(sys.argv[1], fields=["values"], batch_size=8, threads=2, seed=seed) for seed in range(5)]
for stream in streams:
    assert sum(len(batch["key"]) for batch in stream) == 200
assert sum(len(batch["key"]) for batch in Mix([(stream, 1) for stream in streams], length=1000)) == 1000
print("end")
"""


def test_few_files_and_many_shards(tmp_path: Path) -> None:
    root = many_shards(tmp_path, 200)
    command = [sys.executable, "-c", FEW_FILES, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@pytest.mark.parametrize("most", [1, 4000])
def test_indexes_that_do_not_fit_the_memory_for_them(toy: Any, built: Any, most: int) -> None:
    """An index that one thread drops while another thread opens it is opened again, never missed."""
    healthy = sequence(built.root)
    names = ["scale", "scene.cloud", "neighbours.scale"]
    with frames(toy.root, fields=names, threads=6, index_bytes=most) as stream:
        for _ in range(15):
            stream.set_epoch(1)
            stream.set_epoch(0)
            assert [batch["key"] for batch in stream] == healthy


EPOCHS = """
import os, sys, threading
from pathlib import Path
from tessera.datasets import Mix, Stream

def held():
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident, len(os.listdir("/proc/self/fd")), threading.active_count()

with Stream(sys.argv[1], batch_size=4, threads=2, seed=3) as stream:
    loader = Mix([(stream, 1)], batch_size=4) if sys.argv[2] == "mixed" else stream
    for epoch in range(200):
        for batch in loader:
            assert len(batch["key"]) == 4
        del batch
        if epoch == 20:
            first = held()
    last = held()
print(last[0] - first[0], last[1] - first[1], last[2] - first[2])
"""


@pytest.mark.parametrize("kind", ["regular", "ragged", "mixed"])
def test_two_hundred_epochs_take_no_more_than_twenty(small: Path, tmp_path: Path, kind: str) -> None:
    """In a process of its own: what other tests left to the allocator would count here."""
    if kind == "ragged":
        many_shards(tmp_path, 2, 12, RAGGED, (3_000, 60_000))
    root = tmp_path if kind == "ragged" else small
    command = [sys.executable, "-c", EPOCHS, str(root), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    memory, files, threads = (int(word) for word in done.stdout.split())
    assert memory < 24 << 20, f"{memory >> 20} MB more"
    assert (files, threads) == (0, 0)
