"""A pickle that tells on whoever loads it, for tests of data sets from strangers.

A module that imports `nothing_ran` has each of its tests checked; the fixture `canary` names the folder.
"""

import os
from pathlib import Path

import pytest

__all__ = ["Trap", "nothing_ran"]


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.canary),)


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path) -> object:
    yield
    assert not (tmp_path / "canary").exists(), "code of a stranger was run"
