"""Engines are found by being there: every folder of `training/engines/`."""

import importlib

from ..datasets.errors import UsageError
from .engine import EngineSpec
from .names import engine_names


def load_engine(name: str) -> EngineSpec:
    """The engine called `name`: the constant ENGINE of its folder.

    Raises:
        UsageError: there is no such engine.
    """
    if name not in engine_names():
        raise UsageError(f"no engine {name!r} (engines: {', '.join(engine_names())})")
    spec = importlib.import_module(f".engines.{name}", __package__).ENGINE
    if not isinstance(spec, EngineSpec) or spec.name != name:
        raise UsageError(f"engine {name}: its folder offers no ENGINE of that name")
    return spec


def preset_config(spec: EngineSpec, name: str) -> str:
    """The preset's name, the first where none was given.

    Raises:
        UsageError: the engine has none of that name.
    """
    name = name or next(iter(spec.presets))
    if name not in spec.presets:
        raise UsageError(f"engine {spec.name}: no preset {name!r} (presets: {', '.join(spec.presets)})")
    return name
