"""The checkout that this code runs from: kept off the import path, and its git state."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def guard_import_path() -> None:
    """Take the checkout's root off the import path, where our `datasets/` would hide Hugging Face's package.

    Ray puts it there in each worker.
    """
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or os.getcwd()) != str(ROOT)]


def ask_git(*words: str) -> str:
    """What git says of the checkout; empty outside one, and without git."""
    try:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=20,
                              check=True).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
