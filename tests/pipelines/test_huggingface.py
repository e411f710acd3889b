"""`import datasets` inside the command is Hugging Face's package, not ours, wherever it runs (Ray: test_ray.py)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Toy

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(Path(sys.executable).with_name("tessera"))


@pytest.mark.parametrize(
    ("command", "cwd", "path"),
    [
        ([SCRIPT], ROOT, None),
        ([sys.executable, "-m", "tessera"], ROOT, None),
        ([sys.executable, "-m", "tessera"], ROOT, "."),
        ([SCRIPT], Path("/"), str(ROOT)),
        ([sys.executable, "-m", "tessera"], Path("/"), f"/nowhere{os.pathsep}{ROOT}/tests/.."),
    ],
)
def test_import_datasets_in_the_process(toy: Toy, command: list[str], cwd: Path, path: str | None) -> None:
    toy.unit("u01", "x")
    found = toy.root / "found"
    env = {**os.environ, "TOY_IMPORT": str(found)} | ({} if path is None else {"PYTHONPATH": path})
    arguments = [*command, *toy.command("--workers", "0")[3:]]
    done = subprocess.run(arguments, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (place,) = found.read_text().splitlines()
    assert Path(place).parent.parent.name == "site-packages" and not Path(place).is_relative_to(ROOT / "datasets")


def test_without_the_command_the_trap_is_there() -> None:
    """If this fails the trap is gone, and with it the reason for the guard and for the tests above."""
    code = "import datasets; print(datasets.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert Path(done.stdout.strip()) == ROOT / "datasets/__init__.py"
