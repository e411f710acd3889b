"""Pages that follow from the code, and the house's own rules."""

import ast
from pathlib import Path

from tessera.pipelines.catalogue import recipes_markdown

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("datasets", "pipelines", "training", "validation", "commands", "benchmarks")


def sources() -> list[Path]:
    return [path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py")] + [ROOT / "cli.py"]


def test_recipe_table_is_up_to_date(monkeypatch) -> None:
    """`tessera ls --markdown > docs/recipes.md`"""
    monkeypatch.delenv("TESSERA_RECIPES", raising=False)
    assert (ROOT / "docs" / "recipes.md").read_text() == recipes_markdown()


def test_no_file_is_longer_than_400_lines_and_no_recipe_than_150() -> None:
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in sources()}
    assert max(lengths.values()) <= 400
    assert all(length <= 150 for name, length in lengths.items() if name.startswith("pipelines/recipes/"))
    assert sorted(lengths.values())[len(lengths) // 2] <= 120


def test_every_public_function_is_documented_and_annotated() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert node.returns is not None, f"{path}: {node.name} has no return annotation"


def test_folders_keep_to_their_side_of_the_house() -> None:
    """design: `datasets/` imports no sibling folder; `pipelines/` neither `training` nor `validation`."""
    for path in sources():
        folder = path.relative_to(ROOT).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                depth = len(path.relative_to(ROOT).parts) - node.level
                target = (node.module or "").split(".")[0] if depth == 0 else folder
                if folder == "datasets":
                    assert target == "datasets", f"{path} imports {target}"
                if folder == "pipelines":
                    assert target in ("pipelines", "datasets", ""), f"{path} imports {target}"


def test_every_package_folder_is_in_the_wheel() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {"tessera"} | {
        "tessera." + path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for folder in PACKAGES
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert listed == found
