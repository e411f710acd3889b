"""Names of the engines, without importing any."""

import pkgutil
from pathlib import Path


def engine_names() -> list[str]:
    """Names of all engines: their folders' names. Nothing is imported."""
    folder = str(Path(__file__).with_name("engines"))
    return sorted(module.name for module in pkgutil.iter_modules([folder]) if module.ispkg)
