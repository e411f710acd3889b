"""A tiny data set of people, written once, and runs on it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from . import people

Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def data(once: Once) -> Path:
    """Five people to train on (15 views), three to validate on (6), one to test on (4)."""
    return once("people", people.write_people)


@pytest.fixture(autouse=True, scope="module")
def unflushed() -> Iterator[None]:
    """Nothing here survives a power cut anyway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    """One thread of torch for such small networks; a run sets their number for its whole process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
