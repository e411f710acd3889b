"""Recipes are found by being there; the command line, `tessera ls` and the docs follow."""

import sys
from pathlib import Path

import pytest
from tessera.cli import run
from tessera.datasets import TesseraError, UsageError
from tessera.pipelines.catalogue import recipe_rows, recipes_markdown
from tessera.pipelines.discover import load_recipe, recipe_names

from .conftest import RECIPES, Toy


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of recipes of one's own."""
    path = tmp_path / "mine"
    path.mkdir()
    monkeypatch.setenv("TESSERA_RECIPES", f"{tmp_path / 'absent'}:{path}")
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield path
    for name in set(sys.modules) - before:
        if name.startswith("tessera_recipe_"):
            del sys.modules[name]


def drop(folder: Path, name: str) -> None:
    """The toy recipe under another name, in a file of that name."""
    text = (RECIPES / "toy.py").read_text().replace('name="toy"', f'name="{name}"')
    (folder / f"{name}.py").write_text(text.replace("Lines of text files, for tests.", f"The recipe {name}."))


def test_a_dropped_file_is_a_recipe_everywhere(
    folder: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TESSERA_RECIPES", str(folder))
    assert "dropped" not in recipe_names()
    with pytest.raises(UsageError, match=r"no recipe 'dropped' \(recipes: .*hypersim"):
        load_recipe("dropped")
    drop(folder, "dropped")
    assert "dropped" in recipe_names() and load_recipe("dropped").name == "dropped"
    rows = [row for row in recipe_rows() if row.recipe == "dropped"]
    assert [(row.label, row.default) for row in rows] == [("vector", True), ("square", True), ("cube", False)]
    page = recipes_markdown()
    assert "## dropped\n\nThe recipe dropped.\n" in page
    assert "| cube | `--with cube` | `cube` | float64 | 1 | npz |" in page
    assert "| vector | yes | `vector` | float32 | points | npy |  | repeated |" in page
    assert run(["ls"]) == 0 and "dropped" in capsys.readouterr().out
    assert run(["ls", "--markdown"]) == 0 and capsys.readouterr().out == page

    toy.fill(2)
    toy.name = "dropped"
    assert run([*toy.command("--workers", "0", "--scale", "2")[3:]]) == 0
    assert "built 8 records" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        run(["shards", "dropped", "--help"])
    said = capsys.readouterr().out
    assert stopped.value.code == 0 and "--scale FLOAT" in said and "--unit-timeout" in said and "The recipe" in said
    (folder / "dropped.py").unlink()
    assert "dropped" not in recipe_names()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("RECIPE = (", r"broken\.py: cannot be imported \(SyntaxError: "),
        ("1 / 0", r"broken\.py: cannot be imported \(ZeroDivisionError: division by zero\)"),
        ("from tessera.datasets import Nothing", r"broken\.py: cannot be imported \(ImportError: cannot import name"),
        ("x = 1", r"broken\.py: a recipe file defines RECIPE = Recipe\(name='broken', \.\.\.\)"),
        ("RECIPE = 1", r"broken\.py: a recipe file defines RECIPE"),
    ],
)
def test_a_broken_recipe_says_where_and_why_every_time(folder: Path, text: str, why: str) -> None:
    (folder / "broken.py").write_text(text)
    for _ in range(2):
        with pytest.raises(UsageError, match=why):
            load_recipe("broken")


def test_a_recipe_of_another_name_than_its_file(folder: Path) -> None:
    drop(folder, "first")
    (folder / "first.py").rename(folder / "second.py")
    with pytest.raises(UsageError, match=r"second\.py: a recipe file defines RECIPE = Recipe\(name='second'"):
        load_recipe("second")
    drop(folder, "Bad")
    with pytest.raises(TesseraError, match=r"recipe 'Bad': names match"):
        load_recipe("Bad")


def test_broken_recipes_on_the_command_line_give_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.py").write_text("1 / 0")
    (folder / "needy.py").write_text("import a_package_that_is_not_there")
    for arguments, status, said in (
        (["shards", "broken"], 2, "cannot be imported"),
        (["ls"], 2, "cannot be imported"),
        (["shards", "needy"], 1, "a_package_that_is_not_there is not installed"),
    ):
        assert run(arguments) == status
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith(f"tessera {arguments[0]}: ") and said in line


def test_a_file_is_imported_once_and_names_need_no_import(folder: Path) -> None:
    drop(folder, "once")
    (folder / "_helper.py").write_text("1 / 0")
    (folder / "crash.py").write_text("raise SystemExit(9)")
    assert {"once", "crash"} <= set(recipe_names()) and "_helper" not in recipe_names()
    assert load_recipe("once") is load_recipe("once")


def test_two_folders_may_hold_a_recipe_of_one_name_and_the_later_wins(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    drop(folder, "same")
    drop(other, "same")
    monkeypatch.setenv("TESSERA_RECIPES", f"{folder}:{other}")
    assert recipe_names().count("same") == 1
    load_recipe("same")
    assert sys.modules["tessera_recipe_same"].__file__ == str(other / "same.py")


def test_recipes_of_the_house_load() -> None:
    names = {path.stem for path in (Path(__file__).parents[2] / "pipelines/recipes").glob("[a-z]*.py")}
    assert names <= set(recipe_names()) and "hypersim" in names
    for name in names:
        assert load_recipe(name).name == name
