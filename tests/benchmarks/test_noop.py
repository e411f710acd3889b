"""The benchmark of runs with nothing to do: what it makes, and that it measures what it says."""

from pathlib import Path

from tessera.benchmarks import noop
from tessera.datasets import Catalog
from tessera.pipelines.fingerprint import group_of


def test_names_fall_into_groups_of_their_own() -> None:
    names = noop.unit_names(300)
    assert sorted(group_of(0, "files", name, 300) for name in names) == list(range(300))


def test_row(tmp_path: Path) -> None:
    row = noop.measure(tmp_path / "place", 12, 3, 2)
    assert (row["shards"], row["raw_files"]) == (12, 36)
    assert 0 < row["best_s"] <= row["median_s"] and row["cpu_s"] > 0 and row["building_s"] > 0
    catalog = Catalog.read(tmp_path / "place/out")
    assert len(catalog.shards) == 12 and catalog.state == "complete"
    assert len(list(tmp_path.glob("place/raw/*/*.txt"))) == 36
    assert len(list(tmp_path.glob("place/out/runs/*/log.jsonl"))) == 3
