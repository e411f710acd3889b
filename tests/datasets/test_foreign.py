"""Records taken from the tars by the webdataset library and decoded by `record_decoder`."""

from pathlib import Path

import numpy as np
import pytest
import webdataset
from tessera.datasets import (
    Dataset,
    Field,
    FormatError,
    Octahedral,
    Rounded,
    Schema,
    SchemaError,
    ShardWriter,
    record_decoder,
    tar_paths,
)
from tessera.datasets.catalog import Catalog, scan_shards

SCHEMA = Schema(
    fields=(
        Field("image", "uint8", ("height", "width", 3), "png"),
        Field("depth", "float16", ("height", "width"), "blosc", nan="not measured"),
        Field("hdr", "float16", ("height", "width", 3), "blosc", storage=Rounded(8)),
        Field("normal", "float32", ("leaves", 3), "blosc", storage=Octahedral(14), optional=True),
        Field("points", "float32", ("points", 3), "npy"),
        Field("camera", "float64", (3, 3), "npz"),
        Field("note", "json", (), "json", optional=True),
    ),
    dimensions={"height": 4, "width": 6, "leaves": None, "points": None},
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    with ShardWriter(tmp_path / "train", "frames", "train", 3, SCHEMA, run="r") as writer:
        writer.begin("a")
        for i in range(5):
            normal = rng.normal(size=(i, 3)).astype(np.float32)
            values = {
                "image": rng.integers(0, 255, (4, 6, 3)).astype(np.uint8),
                "depth": np.where(rng.random((4, 6)) < 0.2, np.nan, 3).astype(np.float16),
                "hdr": rng.random((4, 6, 3)).astype(np.float16),
                "points": rng.random((i + 1, 3)).astype(np.float32),
                "camera": rng.random((3, 3)),
            }
            if i % 2:
                values |= {"normal": normal, "note": {"i": i}}
            writer.add(f"a-{i}", values, {})
        writer.commit({"a": "f"}, [], {})
    catalog = Catalog(
        name="x", recipe="x", state="complete", labels={}, options={}, selection={}, seed=0, groups={"train": 4},
        shard_bytes=1 << 20, tables={"frames": SCHEMA}, code_version="0",
    )  # fmt: skip
    catalog.with_shards(scan_shards(tmp_path, catalog), 0, "complete").write(tmp_path, "r")
    return tmp_path


def test_webdataset_gives_what_the_table_gives(root: Path) -> None:
    paths = tar_paths(root, "frames", "train")
    assert paths == [str(root / "train" / "frames-000003.tar")]
    samples = list(webdataset.WebDataset(paths, shardshuffle=False).map(record_decoder(root, "frames")))
    records = list(Dataset(root).table("frames"))
    assert [sample["__key__"] for sample in samples] == [record.key for record in records]
    for sample, record in zip(samples, records, strict=True):
        assert set(sample) - {"__key__"} == set(record)
        for name in record:
            np.testing.assert_array_equal(sample[name], record[name])
            assert name == "note" or sample[name].dtype == record[name].dtype


def test_only_the_fields_asked_for(root: Path) -> None:
    decode = record_decoder(root, "frames", fields=("depth", "camera"))
    sample = next(iter(webdataset.WebDataset(tar_paths(root, "frames", "train"), shardshuffle=False).map(decode)))
    assert set(sample) == {"__key__", "depth", "camera"}


def test_unknown_names_are_refused(root: Path) -> None:
    with pytest.raises(SchemaError, match="no table 'scenes'"):
        record_decoder(root, "scenes")
    with pytest.raises(SchemaError, match="no field 'colour'"):
        record_decoder(root, "frames", fields=("colour",))


def test_damaged_bytes_are_named(root: Path) -> None:
    decode = record_decoder(root, "frames", fields=("depth",))
    with pytest.raises(FormatError, match=r"a-0, field depth"):
        decode({"__key__": "a-0", "depth.blosc": b"not a frame at all"})
