"""Recipes are found by being there: every file of `pipelines/recipes/`, and of the folders in TESSERA_RECIPES."""

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from ..datasets.errors import UsageError
from ..datasets.names import check_name
from .recipe import Recipe

FOLDERS = "TESSERA_RECIPES"


def _files() -> Iterator[tuple[str, Path | None]]:
    from . import recipes

    for module in pkgutil.iter_modules(recipes.__path__):
        yield module.name, None
    for folder in os.environ.get(FOLDERS, "").split(os.pathsep):
        if folder:
            for path in sorted(Path(folder).glob("*.py")):
                yield path.stem, path


def recipe_names() -> list[str]:
    """Names of all recipes: their files' names. Nothing is imported."""
    return sorted({name for name, _ in _files() if not name.startswith("_")})


def _module(name: str, path: Path | None) -> ModuleType:
    """The recipe file as a module, imported once."""
    if path is None:
        return importlib.import_module(f"..recipes.{name}", __name__)
    qualified = f"tessera_recipe_{name}"
    if qualified not in sys.modules or sys.modules[qualified].__file__ != str(path):
        spec = importlib.util.spec_from_file_location(qualified, path)
        assert spec and spec.loader
        sys.modules[qualified] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[qualified])
        except BaseException:
            del sys.modules[qualified]
            raise
    return sys.modules[qualified]


def load_recipe(name: str) -> Recipe:
    """The recipe called `name`: the constant RECIPE of its file.

    Raises:
        UsageError: there is no such file, it cannot be imported, or it defines no RECIPE of that name.
        ModuleNotFoundError: it needs a package that is not installed.
    """
    found = dict(_files())
    if name not in found:
        raise UsageError(f"no recipe {name!r} (recipes: {', '.join(recipe_names())})")
    try:
        module = _module(name, found[name])
    except ModuleNotFoundError:
        raise
    except Exception as error:
        where = found[name] or f"recipe {name}"
        raise UsageError(f"{where}: cannot be imported ({type(error).__name__}: {error})") from error
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe) or check_name(recipe.name, "recipe") != name:
        raise UsageError(f"{module.__file__}: a recipe file defines RECIPE = Recipe(name={name!r}, ...)")
    return recipe
