"""The folder of a run: settings, git state, log, figures, checkpoints, pictures."""

import contextlib
import json
import platform
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..datasets.assets import Assets
from ..datasets.catalog import Catalog
from ..datasets.checkout import ask_git
from ..datasets.commit import write_file
from ..datasets.errors import FormatError, UsageError
from ..datasets.stream import open_files
from .config import DataConfig, EngineConfig, RunConfig
from .config_yaml import from_plain, read_yaml, to_plain, to_yaml
from .errors import TrainingError

CONFIG, SUMMARY, LAST, BEST = "config.yaml", "summary.json", "checkpoints/last.ckpt", "checkpoints/best.ckpt"


class RunFolder:
    """Where a run keeps what it makes.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / LAST

    @property
    def best(self) -> Path:
        """The checkpoint of the best validation."""
        return self.path / BEST

    def chosen(self) -> Path:
        """The best checkpoint, the last where none was validated.

        Raises:
            UsageError: there is none.
        """
        for path in (self.best, self.last):
            if path.is_file():
                return path
        raise UsageError(f"{self.path}: no checkpoint in it; was it trained? (tessera train ... --out {self.path})")

    def begin(self, config: RunConfig, command: list[str]) -> None:
        """Write down what the run is: settings, command, machine, git state and what differs from it."""
        for name in ("checkpoints", "pictures"):
            with _told(self.path / name):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        self.write(CONFIG, to_yaml(config))
        commit = ask_git("rev-parse", "HEAD").strip()
        about = {
            "command": command, "version": __version__, "git": commit, "python": platform.python_version(),
            "torch": torch.__version__, "machine": platform.platform(), "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        }  # fmt: skip
        with (self.path / "starts.jsonl").open("a") as stream:
            stream.write(json.dumps(about) + "\n")
        self.write("git.diff", ask_git("diff", "HEAD"))

    def keep_assets(self, data: DataConfig, catalog: Catalog) -> None:
        """Keep what all records share (the faces of bodies): runs are used on pictures without a data set."""
        _, files, _ = open_files(data.data, data.cache, 64 << 30)
        assets = Assets(catalog, files)
        for name in catalog.assets:
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, assets.content(name), "run")
        files.close()

    def config(self, engine: EngineConfig) -> RunConfig:
        """The settings of the run, whose engine has such a configuration.

        Raises:
            FormatError: `config.yaml` is missing or damaged.
        """
        return read_config(self.path / CONFIG, engine)

    def write(self, name: str, text: str) -> None:
        """Write a file, whole or not at all.

        Raises:
            TrainingError: it cannot be written.
        """
        path = self.path / name
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, text.encode(), "run")

    def summarise(self, **values: Any) -> None:
        """Write or renew entries of `summary.json`."""
        self.write(SUMMARY, json.dumps(self.summary() | to_plain(values), indent=1) + "\n")

    def summary(self) -> dict[str, Any]:
        """Entries of `summary.json`; none where it is not there yet.

        Raises:
            FormatError: it is damaged.
        """
        path = self.path / SUMMARY
        if not path.is_file():
            return {}
        try:
            return dict(json.loads(path.read_text()))
        except ValueError as error:
            raise FormatError(f"{path}: damaged ({error})") from error


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say what cannot be written.

    Raises:
        TrainingError: with the path, and what to look at.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise TrainingError(f"{path}: cannot be written ({why}); is there space, and is --out yours?") from error


def read_config(path: Path, engine: EngineConfig | None = None) -> RunConfig:
    """Settings of a `config.yaml`.

    Args:
        path: the file.
        engine: any configuration of the engine that it names; looked up where it is not given.

    Raises:
        FormatError: it is missing, damaged, or has unknown settings.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; a run's folder holds {CONFIG}")
    values = read_yaml(path)
    if engine is None:
        from .discover import load_engine

        engine = next(iter(load_engine(str(values.get("engine"))).presets.values())).model
    base = RunConfig("", "", DataConfig(""), engine)
    try:
        return from_plain(RunConfig, values, base)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def new_folder(engine: str, preset: str, root: Path = Path("runs")) -> Path:
    """The first folder `runs/ENGINE-PRESET-NUMBER` that is not there."""
    pattern = re.compile(re.escape(f"{engine}-{preset}-") + r"(\d+)")
    names = [path.name for path in root.iterdir()] if root.is_dir() else []
    there = [int(found[1]) for name in names if (found := pattern.fullmatch(name))]
    return root / f"{engine}-{preset}-{max(there, default=0) + 1:03d}"


def command_line() -> list[str]:
    """What was typed, without the path of the program."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
