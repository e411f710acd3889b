"""The toy recipes with RAW and OUT folders of their own, run in this process or as a command."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tessera.pipelines import out_store
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.run import Summary, run_recipe
from tessera.pipelines.settings import RunSettings

RECIPES = Path(__file__).parent / "toy_recipes"


def file_hashes(out: Path) -> dict[str, str]:
    """SHA-256 of every file of a data set outside `runs/`, hidden and temporary ones included."""
    paths = (path for path in out.rglob("*") if path.is_file() and path.relative_to(out).parts[0] != "runs")
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def _heed_interrupts() -> None:
    """A shell makes its background jobs, and all that they start, ignore SIGINT; the tests may be such a job."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Toy:
    """RAW and OUT of a toy recipe below one temporary folder."""

    root: Path
    name: str = "toy"

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def unit(self, name: str, words: str) -> Path:
        self.raw.mkdir(exist_ok=True)
        path = self.raw / f"{name}.txt"
        path.write_text(words)
        return path

    def fill(self, units: int, records: int = 4) -> None:
        """Units u00, u01, ... whose words differ in length."""
        for u in range(units):
            self.unit(f"u{u:02d}", " ".join("x" * (1 + (3 * u + i) % 7) for i in range(records)))

    def run(
        self, out: Path | None = None, *, raw: Any = None, recipe: Any = None, console: Any = None, **settings: Any
    ) -> Summary:
        """Run in this process; options of the recipe are told from those of the run by their names."""
        recipe = recipe or load_recipe(self.name)
        names = recipe.options.__dataclass_fields__
        options = recipe.options(**{k: settings.pop(k) for k in list(settings) if k in names})
        settings = {"workers": 0, "quiet": True, **settings}
        return run_recipe(recipe, options, raw or self.raw, RunSettings(out=out or self.out, **settings), console)

    def fresh(self, **settings: Any) -> dict[str, str]:
        """Hashes of a data set that is built from nothing."""
        number = len(list(self.root.glob("fresh*")))
        self.run(self.root / f"fresh{number}", **settings)
        return file_hashes(self.root / f"fresh{number}")

    def hashes(self) -> dict[str, str]:
        return file_hashes(self.out)

    def command(self, *options: str, out: Path | None = None) -> list[str]:
        """The command line of a run."""
        place = ["--raw", str(self.raw), "--out", str(out or self.out)]
        return [sys.executable, "-m", "tessera", "shards", self.name, *place, *options]

    def start(
        self, *options: str, out: Path | None = None, cwd: Path | None = None, **env: str
    ) -> "subprocess.Popen[str]":
        """Start the command in a process group of its own, in the folder above RAW and OUT."""
        return subprocess.Popen(
            self.command(*options, out=out), cwd=cwd or self.root, env={**os.environ, **env}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=_heed_interrupts,
        )  # fmt: skip

    def call(
        self, *options: str, out: Path | None = None, cwd: Path | None = None, **env: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command to its end."""
        with self.start(*options, out=out, cwd=cwd, **env) as process:
            stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def events(self, event: str) -> list[dict[str, Any]]:
        """Events of one kind in all logs, oldest first."""
        paths = sorted((self.out / "runs").glob("*/log.jsonl"), key=lambda path: path.stat().st_ctime_ns)
        lines = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]


def _toy(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setenv("TESSERA_RECIPES", str(RECIPES))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return Toy(root, name)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    """The recipe `toy`, with no raw file yet."""
    yield _toy("toy", tmp_path, monkeypatch)


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    """The recipe `pairs` of two tables, with no raw file yet."""
    yield _toy("pairs", tmp_path, monkeypatch)


@pytest.fixture
def joint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    """The recipe `joint` of records that know each other, with no raw file yet."""
    yield _toy("joint", tmp_path, monkeypatch)


@pytest.fixture
def url(bucket: str, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> str:
    """An OUT in a bucket; mirrors lie below the test's own folder, and a group holds a few units."""
    monkeypatch.setenv("TESSERA_CACHE", str(toy.root / "cache"))
    monkeypatch.setenv("TOY_BYTES", "118000")
    monkeypatch.setattr(out_store, "WAITS", (0.1, 0.2))
    return f"{bucket}/some/out"
