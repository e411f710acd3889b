"""`tessera try`: a contact sheet of a sample and the plan of the whole, leaving nothing else behind."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOYS = Path(__file__).parents[1] / "pipelines" / "toy_recipes"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for u in range(30):
        (folder / f"u{u:02d}.txt").write_text("one two three four")
    return folder


def tessera(tmp_path: Path, *arguments: object, **env: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tessera", *map(str, arguments)]
    environment = {"PATH": "", "HOME": str(tmp_path), "TESSERA_RECIPES": str(TOYS), **env}
    return subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False)


def test_plan_is_of_the_whole_and_the_sample_of_the_limit(raw: Path, tmp_path: Path) -> None:
    done = tessera(tmp_path, "try", "toy", "--raw", raw, "--limit", 8)
    assert done.returncode == 0, done.stderr
    assert "total: 120 records" in done.stdout and "measured on 8 records" in done.stdout
    assert "120 records in" in done.stdout and "no contact sheet" in done.stdout  # its fields are no pictures
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_recipe_with_pictures_gives_a_contact_sheet(tmp_path: Path) -> None:
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "blots.py").write_text(PICTURES)
    (tmp_path / "raw").mkdir()
    for i in range(9):
        np.save(tmp_path / "raw" / f"b{i}.npy", np.full((32, 48, 3), 20 * i, np.uint8))
    done = tessera(
        tmp_path, "try", "blots", "--raw", "raw", "--limit", 5, "--out", "sheet", TESSERA_RECIPES=str(recipes)
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"contact sheet: sheet.contact_sheet\.png", done.stdout) and "total: 9 records" in done.stdout
    assert Image.open(tmp_path / "sheet" / "contact_sheet.png").size[0] == 4 * 384
    assert [path.name for path in (tmp_path / "sheet").iterdir()] == ["contact_sheet.png"]


@pytest.mark.parametrize("arguments, says", [
    ((), "name a recipe first"), (("nothing",), "no recipe"), (("toy", "--raw", "gone"), "no such folder"),
    (("toy", "--raw", "raw", "--limit", "0"), "at least one record"),
])  # fmt: skip
def test_bad_arguments_are_one_line(raw: Path, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = tessera(tmp_path, "try", *arguments)
    assert done.returncode in (1, 2) and says in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


PICTURES = """
import io

import numpy as np
from tessera.datasets import Field
from tessera.pipelines.recipe import Label, LabelOptions, Plan, Recipe, Sample, TableSpec, Unit


def plan(raw, options):
    return Plan(tuple(Unit(p.stem, "train", {f"{p.stem}-0": {}}) for p in sorted(raw.glob("*.npy"))))


def read(unit, files, options):
    yield Sample(f"{unit.name}-0", np.load(io.BytesIO(files.read(f"{unit.name}.npy"))), "blots")


PICTURE = Field("picture", "uint8", ("height", "width", 3), "png")
RECIPE = Recipe(
    name="blots", summary="Blots.", options=LabelOptions, plan=plan, read=read, record_bytes=lambda options: 5000,
    tables={"blots": TableSpec((Label("picture", 1, lambda data, options: {"picture": data}, (PICTURE,)),),
                               lambda options: {"height": 32, "width": 48})},
)
"""
