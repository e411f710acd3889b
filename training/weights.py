"""Weights from other runs, and what is trained: users found networks silently frozen, so all of it is told."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..datasets.errors import FormatError, UsageError
from .config_yaml import read_yaml
from .engine import Engine
from .runfolder import RunFolder


@dataclass(frozen=True)
class ModuleRow:
    """One module of an engine in the table of what is trained.

    Attributes:
        module: name.
        parameters: numbers in it.
        trained: of these, how many are trained.
        weights: where they come from.
    """

    module: str
    parameters: int
    trained: int
    weights: str


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint; nothing in it is run.

    Raises:
        FormatError: it is damaged or holds something else than numbers.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such checkpoint") from error
    except Exception as error:  # torch raises many kinds for a damaged file
        what = f"{type(error).__name__}: {str(error)[:200]}"
        raise FormatError(f"{path}: no checkpoint that can be read ({what})") from error
    if not isinstance(found, dict) or "state_dict" not in found:
        raise FormatError(f"{path}: no checkpoint of a run (it has no state_dict)")
    return found


def checkpoint_path(text: str) -> Path:
    """A checkpoint named by its file or by its run's folder."""
    path = Path(text)
    return RunFolder(path).chosen() if path.is_dir() else path


def init_from(engine: Engine, text: str) -> dict[str, str]:
    """Load weights: of a whole run, or of single modules.

    Args:
        engine: whose modules get them.
        text: `RUN`, or `MODULE=RUN` (the module of that name there, or the whole network where RUN has no such module),
            several with commas between.

    Returns:
        Where each module's weights come from, by module.

    Raises:
        UsageError: there is no such module, or nothing of the checkpoint fits; says what differs.
    """
    sources: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        module, _, path = part.rpartition("=")
        state = read_checkpoint(checkpoint_path(path))["state_dict"]
        if module:
            _load_module(engine, module, state, path)
            sources[module] = path
        else:
            sources |= dict.fromkeys(_load_whole(engine, state, path), path)
    return sources


def _load_whole(engine: Engine, state: dict[str, Any], path: str) -> list[str]:
    """Load all modules whose weights fit; returns them."""
    loaded = [name for name, module in engine.parts().items() if _load(module, name, state)]
    if not loaded:
        raise UsageError(f"--init-from {path}: no module of it fits; {_difference(engine.state_dict(), state)}")
    return loaded


def _load_module(engine: Engine, name: str, state: dict[str, Any], path: str) -> None:
    parts = engine.parts()
    if name not in parts:
        raise UsageError(f"--init-from {name}={path}: the engine has no module {name!r} (modules: {', '.join(parts)})")
    if not _load(parts[name], name, state):
        what = _difference(parts[name].state_dict(), _inner(state, name))
        raise UsageError(f"--init-from {name}={path}: does not fit; {what}{_settings(path, name)}")


def _settings(path: str, module: str) -> str:
    """What the run there says of its network, which must be built alike: numbers and names."""
    file = Path(path) / "config.yaml"
    found = read_yaml(file).get("model") if file.is_file() else None
    if not isinstance(found, dict):
        return ""
    told = [f"{name} {value}" for name, value in found.items() if isinstance(value, int | str) and value is not True
            and value is not False and value != ""]  # fmt: skip
    return f"; that run has {', '.join(told)}: give it the same (--model.{module}-...)"


def _load(module: nn.Module, name: str, state: dict[str, Any]) -> bool:
    """Load a module's weights where a checkpoint has all of them, in their shapes."""
    wanted, some = module.state_dict(), _inner(state, name)
    if set(some) != set(wanted) or any(some[key].shape != value.shape for key, value in wanted.items()):
        return False  # more arrays are another network too: statistics of a norm that this one does not have
    module.load_state_dict({key: some[key] for key in wanted})
    return True


def _inner(state: dict[str, Any], name: str) -> dict[str, Any]:
    """Arrays of a module in a checkpoint, whether its engine has a `network` or not."""
    for prefix in (f"network.{name}.", f"{name}."):
        some = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if some:
            return some
    return {}


def _difference(own: dict[str, Any], state: dict[str, Any]) -> str:
    missing = [name for name in own if name not in state]
    other = [name for name in own if name in state and own[name].shape != state[name].shape]
    texts = [f"{len(missing)} of {len(own)} arrays are missing, such as {', '.join(missing[:3])}"] if missing else []
    if other:
        shapes = ", ".join(f"{name} {tuple(state[name].shape)} not {tuple(own[name].shape)}" for name in other[:3])
        texts.append(f"{len(other)} have another shape, such as {shapes}")
    more = [name for name in state if name not in own]
    if more:
        texts.append(f"it has {len(more)} more, such as {', '.join(more[:3])}")
    return "; ".join(texts) or "its arrays have other names"


def freeze(engine: Engine, text: str) -> None:
    """Leave modules as they are, also the statistics of their norms.

    Raises:
        UsageError: the engine has no module of that name.
    """
    children = engine.parts()
    for name in filter(None, (name.strip() for name in text.split(","))):
        if name not in children:
            raise UsageError(f"--freeze {name}: the engine has no such module (modules: {', '.join(children)})")
        children[name].requires_grad_(False)
        children[name].eval()
        children[name].train = partial(_stays, children[name])  # type: ignore[method-assign]


def _stays(module: nn.Module, mode: bool = True) -> nn.Module:
    """What a frozen module does when it is told to train: nothing."""
    return module


def module_rows(engine: Engine, sources: dict[str, str]) -> list[ModuleRow]:
    """What is trained and what is not, by module."""
    rows = []
    for name, child in engine.parts().items():
        sizes = [(p.numel(), p.requires_grad) for p in child.parameters()]
        if sizes:
            trained = sum(size for size, learns in sizes if learns)
            rows.append(ModuleRow(name, sum(size for size, _ in sizes), trained, sources.get(name, "new")))
    return rows
