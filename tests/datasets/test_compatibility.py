"""Shards and indexes are read unchanged by the tools that people have; the bytes themselves are frozen."""

import hashlib
import io
import shutil
import subprocess
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from tessera.datasets import Column, Field, Schema, ShardWriter
from tessera.datasets.index import read_rows
from tessera.datasets.members import FORMAT_VERSION


def test_tarfile_reads_members_in_order_of_keys_and_names(built):
    with tarfile.open(built.tar(), "r:") as archive:
        infos = archive.getmembers()
    names = [info.name for info in infos]
    assert names == sorted(names) and len(set(names)) == len(names)
    assert list(dict.fromkeys(name.split(".")[0] for name in names)) == [f"s2-000{i}" for i in range(4)]
    assert {(info.mtime, info.uid, info.gid, info.gname) for info in infos} == {(0, 0, 0, f"format{FORMAT_VERSION}")}


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar command here")
def test_the_tar_command_unpacks_it_without_a_word(built, tmp_path):
    done = subprocess.run(["tar", "-xf", built.tar(), "-C", tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for key, written in built.values["frames"].items():
        if key.startswith("s2"):
            np.testing.assert_array_equal(np.load(tmp_path / f"{key}.points.npy"), written["points"])


def test_webdataset_decodes_it_with_its_own_decoders(built):
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset(str(built.tar()), shardshuffle=False).decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == [f"s2-000{i}" for i in range(4)]
    for sample in samples:
        written = built.values["frames"][sample["__key__"]]
        names = {"distance.blosc", "hdr.blosc", "ids.png", "labels.npz", "normal.blosc", "points.npy", "sdf.npy"}
        names |= {"image.jpg", "meta.json"} if "image" in written else set()
        assert {name for name in sample if not name.startswith("__")} == names
        np.testing.assert_array_equal(sample["points.npy"], written["points"])
        np.testing.assert_array_equal(sample["sdf.npy"], written["sdf"])
        for name in ("pose", "scale"):
            np.testing.assert_array_equal(sample["labels.npz"][name], written[name])
            assert sample["labels.npz"][name].shape == np.shape(written[name])
        if "image" in written:
            assert np.abs(sample["image.jpg"].astype(int) - written["image"]).max() <= 12
            assert sample["meta.json"] == written["meta"]


@pytest.mark.parametrize("group", [0, 1])
def test_offsets_of_the_index_point_at_the_array_data_in_the_tar(built, group):
    for index in (built.root / "train").glob(f"frames-{group:06d}*.parquet"):
        data = index.with_suffix(".tar").read_bytes()
        for row in read_rows(index).to_pylist():
            written = built.values["frames"][row["key"]]
            for name in ("points", "sdf", "pose", "scale", "bits"):
                if name in written:
                    array = np.asarray(written[name])
                    found = np.frombuffer(data, array.dtype, array.size, row[f"{name}.offset"])
                    assert found.tobytes() == array.tobytes() and row[f"{name}.size"] == array.nbytes
                else:
                    assert row[f"{name}.offset"] is None
                if name in ("points", "sdf"):
                    assert row[f"{name}.offset"] % 64 == 0
            record = data[row["record.offset"] : row["record.offset"] + row["record.size"]]
            with tarfile.open(fileobj=io.BytesIO(record + bytes(1024)), mode="r:") as archive:
                assert {name.split(".")[0] for name in archive.getnames()} == {row["key"]}


def test_pandas_reads_the_index(built):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(built.index())
    assert frame["key"].tolist() == [f"s2-000{i}" for i in range(4)]
    assert frame["mean"].tolist() == [0, 0.5, 1, 1.5]
    assert frame["image.offset"].isna().tolist() == [False, True, False, True]
    assert frame["neighbours"].map(list).tolist() == pq.read_table(built.index())["neighbours"].to_pylist()


def test_duckdb_queries_the_index(built):
    duckdb = pytest.importorskip("duckdb")
    pattern = f"{built.root}/train/frames-*.parquet"
    query = f"select key, \"image.offset\", neighbours from '{pattern}' where good and unit = 's2' order by key"
    found = duckdb.sql(query).fetchall()
    rows = {row["key"]: row for row in read_rows(built.index()).to_pylist()}
    expected = [(key, rows[key]["image.offset"], rows[key]["neighbours"]) for key in ("s2-0002", "s2-0003")]
    assert found == expected and found[0][1] is not None and found[1][1] is None
    assert duckdb.sql(f"select count(*), sum(frame) from '{pattern}'").fetchall() == [(12, 18)]


def test_same_input_same_bytes_in_another_folder_and_run(built, toy):
    for path in built.root.rglob("*"):
        if path.suffix in (".tar", ".parquet"):
            (toy.root / path.relative_to(built.root)).unlink()
    toy.group("val", 0, ("s3",))
    toy.group("train", 1, ("s2",))
    toy.group("train", 0, ("s0", "s1"))
    toy.catalog()
    for path in (path for path in built.root.rglob("*") if path.is_file()):
        assert (toy.root / path.relative_to(built.root)).read_bytes() == path.read_bytes(), path.name


GOLDEN = "59889579c0b45022a5ed726b8530539842b26b21b43f0c943b63a5dbbe27ca8a"


def test_the_bytes_of_a_tar_are_frozen_until_the_format_version_is_raised(tmp_path):
    schema = Schema(
        (Field("points", "float32", ("n", 3), "npy"), Field("pose", "float64", (4, 4), "npz"),
         Field("scale", "float32", (), "npz"), Field("meta", "json", (), "json")),
        {"n": None}, (Column("frame", "int64"),),
    )  # fmt: skip
    with ShardWriter(tmp_path, "frames", "train", 0, schema, run="r") as writer:
        for unit in ("a", "b"):
            writer.begin(unit)
            for i in range(3):
                points = np.arange(3 * i, dtype=np.float32).reshape(-1, 3)
                values = {"points": points, "pose": np.eye(4), "scale": np.float32(i), "meta": {"i": i, "a": "ä"}}
                writer.add(f"{unit}-{i}", values, {"frame": i})
        facts = writer.commit({"a": "x", "b": "y"}, [], {})
    assert FORMAT_VERSION == 1
    assert facts[0].tar_sha256 == hashlib.sha256((tmp_path / "frames-000000.tar").read_bytes()).hexdigest() == GOLDEN
