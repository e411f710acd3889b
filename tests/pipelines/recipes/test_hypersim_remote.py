"""Hypersim from an object store into another folder of it."""

from pathlib import Path

import pytest
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.out_store import OutStore
from tessera.pipelines.run import run_recipe
from tessera.pipelines.settings import RunSettings

from .conftest import HALF, build


@pytest.mark.slow
def test_the_demo_from_a_bucket_to_a_bucket(
    demo: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESSERA_CACHE", str(tmp_path / "cache"))
    raw, store = OutStore(f"{bucket}/raw"), OutStore(f"{bucket}/shards")
    for path in sorted(path for path in demo.rglob("*") if path.is_file()):
        raw.put(path.relative_to(demo).as_posix(), path)
    recipe = load_recipe("hypersim")
    settings = RunSettings(out=store.url, workers=2, quiet=True)
    assert run_recipe(recipe, recipe.options(size=HALF), raw.url, settings).complete
    local = build(demo, tmp_path / "local", size=HALF).root
    files = [path for path in local.rglob("*") if path.is_file() and "runs" not in path.relative_to(local).parts]
    names = {path.relative_to(local).as_posix() for path in files}
    assert names == {name for name in store.list() if not name.startswith("runs/")} and len(names) > 4
    for name in names:
        assert store.read(name) == (local / name).read_bytes(), name
    assert run_recipe(recipe, recipe.options(size=HALF), raw.url, settings).built_groups == 0
