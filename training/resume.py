"""Whether a run can go on from its last checkpoint, with the settings and the data that it is given."""

from dataclasses import dataclass
from pathlib import Path

from ..datasets.errors import UsageError
from .config import RunConfig
from .engine import EngineSpec, Source
from .provenance import check_fits, check_unseen, trained_on
from .runfolder import RunFolder
from .weights import read_checkpoint


@dataclass(frozen=True)
class Resumed:
    """Where a run goes on.

    Attributes:
        path: of the checkpoint.
        step: at which it was saved.
        note: what the user should know.
    """

    path: Path
    step: int
    note: str = ""


def resumed(config: RunConfig, spec: EngineSpec, source: Source, folder: RunFolder) -> Resumed | None:
    """Where a run goes on; None for a new one.

    Raises:
        UsageError: the folder holds a run that was not to go on, or none that can; or the data, the network, the
            optimiser or what is frozen is another one.
    """
    there = folder.last.is_file()
    if not config.train.resume:
        if there:
            raise UsageError(f"{folder.path}: holds a run already; go on with --resume, or give another --out")
        return None
    if not there:
        raise UsageError(f"--resume: {folder.path} has no checkpoint to go on from")
    state = read_checkpoint(folder.last)
    trained = trained_on(state, folder.last)
    asked = spec.request(config.model, source.catalog, True)
    check_fits(trained, source.catalog, asked, str(folder.path))
    for split in source.catalog.splits:
        if split not in (config.data.split, trained.split):
            check_unseen(trained, source.catalog, asked.table, split, str(folder.path))
    old = folder.config(config.model)
    _check_same(old, config)
    return Resumed(folder.last, int(state["global_step"]), _note(old, config))


def _note(old: RunConfig, new: RunConfig) -> str:
    """Of another length, by which a schedule goes."""
    lengths = [(f"--{name.replace('_', '-')}", getattr(old.train, name), getattr(new.train, name))
               for name in ("max_steps", "max_epochs")]  # fmt: skip
    told = ", ".join(f"{name} was {was}, is {now}" for name, was, now in lengths if was != now)
    follows = "; the learning rate follows the new length from here" if new.optim.schedule == "cosine" else ""
    return f"; {told}{follows}" if told else ""


def _check_same(old: RunConfig, new: RunConfig) -> None:
    """Refuse to go on with another network, another optimiser, or other modules frozen.

    Raises:
        UsageError: with the settings that differ.
    """
    if old.engine != new.engine or old.model != new.model:
        pairs = [name for name in vars(new.model) if getattr(old.model, name, None) != getattr(new.model, name)]
        other = ", ".join(pairs) or old.engine
        raise UsageError(f"--resume: the run in this folder has another network ({other} differ)")
    pairs = [f"optim.{name}" for name in vars(new.optim) if getattr(old.optim, name) != getattr(new.optim, name)]
    pairs += [] if old.train.freeze == new.train.freeze else ["freeze"]
    if pairs:
        raise UsageError(
            f"--resume: {', '.join(pairs)} differ from the run's, whose optimiser goes on as it was; for other "
            "settings begin a new run with --init-from"
        )
