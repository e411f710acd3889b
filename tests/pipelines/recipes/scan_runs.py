"""What tests of the recipes of scanned people share: the demo, a few of its subjects, commands, hashes, rejects."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import mock

from tessera.datasets import Dataset
from tessera.pipelines.bodies.standin import write_stand_in
from tessera.pipelines.bodies.standin_smpl import write_stand_in_smpl
from tessera.pipelines.demo.thuman2 import generate, produce
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.recipe import Reject
from tessera.pipelines.rejects import read_rejects
from tessera.pipelines.run import Summary, run_recipe
from tessera.pipelines.settings import RunSettings

Once = Callable[[str, Callable[[Path], object]], Path]


def body_models(once: Once) -> Path:
    """The stand-in for SMPL-X."""
    return once("body_models", write_stand_in)


def smpl_models(once: Once) -> Path:
    """The stand-ins for SMPL-X and SMPL."""

    def make(path: Path) -> None:
        shutil.copytree(body_models(once), path)
        write_stand_in_smpl(path)

    return once("smpl_models", make)


def thuman2_demo(once: Once) -> Path:
    """The small demo with faults: 12 subjects, the last six with one fault each."""
    models = body_models(once)

    def make(out: Path) -> None:
        with mock.patch.object(produce, "write_stand_in", lambda folder: shutil.copytree(models, folder)):
            generate(out, scale="small", faults=True)

    return once("thuman2_demo", make)


def some_subjects(demo: Path, out: Path, names: Iterable[str], *, models: bool = False) -> Path:
    """A RAW of its own with these subjects of the demo, and its body models where asked for."""
    kept = list(names)
    for name in kept:
        shutil.copytree(demo / "scans" / name, out / "scans" / name)
        shutil.copytree(demo / "fits" / name, out / "fits" / name)
    (out / "all.txt").write_text("".join(f"{name}\n" for name in kept))
    for split in ("train", "val", "test"):
        listed = [line for line in (demo / f"{split}.txt").read_text().splitlines() if line[-4:] in kept]
        (out / f"{split}.txt").write_text("".join(f"{line}\n" for line in listed))
    if models:
        shutil.copytree(demo / "body_models", out / "body_models")
    return out


def run(recipe: str, raw: Path, out: Path, **options: object) -> Summary:
    """Run in this process; options of the recipe are told from those of the run by their names."""
    loaded = load_recipe(recipe)
    own = {name: options.pop(name) for name in list(options) if name in loaded.options.__dataclass_fields__}
    settings = RunSettings(**{"out": out, "workers": 0, "quiet": True, "max_reject": 1.0, **options})  # type: ignore[arg-type]
    return run_recipe(loaded, loaded.options(**own), raw, settings)


def tessera(*arguments: object, status: int = 0, cwd: str | Path = "/") -> subprocess.CompletedProcess[str]:
    """Run the command; it has to end with this status, and never with a traceback."""
    command = [sys.executable, "-m", "tessera", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)
    assert done.returncode == status, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done


def hashes(out: Path) -> dict[str, str]:
    """sha256 of every file outside `runs/`."""
    files = [path for path in out.rglob("*") if path.is_file() and path.relative_to(out).parts[0] != "runs"]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rejects(out: Path) -> dict[str, Reject]:
    """Rejects by unit; each of these tests has one a unit."""
    found = read_rejects(out)
    assert len({reject.unit for reject in found}) == len(found)
    return {reject.unit: reject for reject in found}


def subjects(out: Path) -> list[str]:
    """Keys of the subjects."""
    return sorted(Dataset(out).table("subjects").keys())
