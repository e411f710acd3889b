"""Fixtures for all tests: where the real samples lie."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real samples; tests that need it are skipped, by name, where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("real samples (../shared/data) are not here")
    return SHARED
