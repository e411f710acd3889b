"""Data sets of strangers: no code runs, no memory blows up, and what they say comes out as plain text.

Covered elsewhere: codecs, their sizes and pickles (test_codecs.py), paths and types in dataset.json (test_catalog.py),
offsets and sizes in an index (test_table.py), damaged indexes (test_index.py).
"""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from tessera.cli import run
from tessera.datasets import Dataset, FormatError, SchemaError, tar_paths, verify
from tessera.datasets.catalog import Catalog
from tessera.datasets.codecs import LARGE
from tessera.datasets.index import index_bytes, read_facts, read_keys, read_rows
from tessera.datasets.names import LONGEST, check_key
from tessera.datasets.parquet import read_parquet
from tessera.datasets.plain import printable
from tessera.datasets.regular import regular

from .trap import Trap, nothing_ran  # noqa: F401

ESCAPES = "\x1b]0;title\x07\x1b[2J\r\n\x85\u2028\u202e\x7f"


# ---- catalogs


def edited(toy, change) -> None:
    path = toy.root / "dataset.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    "name", ["pipe:mkdir canary #.tar", "train/frames-{000000..999999999}.tar", "train/scenes-000000.tar",
             "train/frames-000001.tar", "https://example.org/x.tar", "train/./frames-000000.tar", "", "train/x.tar",
             "train/frames-000000.Label.tar", "train/frames-000000.a.b.tar", "train/frames-000000\n.tar"],
)  # fmt: skip
def test_a_shard_is_called_as_a_shard_is(toy, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Found here: `tar_paths(".")` handed `pipe:COMMAND` to WebDataset, which runs it."""
    monkeypatch.chdir(toy.root)
    edited(toy, lambda values: values["shards"][0].update(tar=name))
    with pytest.raises(FormatError, match=r"dataset\.json: damaged .*such a file is called train/frames-000000"):
        list(webdataset.WebDataset(tar_paths(".", "frames", "train"), shardshuffle=False))
    edited(toy, lambda values: values["shards"][0].update(tar=None, index=name.replace(".tar", ".parquet")))
    with pytest.raises(FormatError, match=r"dataset\.json"):
        Dataset(".")
    assert not (toy.root / "canary").exists()


@pytest.mark.parametrize("name", ["records", "bytes", "group", "part"])
@pytest.mark.parametrize("wrong", [-1, 1 << 63, 10**300])
def test_counts_that_are_none(toy, name: str, wrong: int) -> None:
    """Found here: `len` of a table ended in an OverflowError, or a ValueError."""
    edited(toy, lambda values: values["shards"][0].update({name: wrong}))
    with pytest.raises(FormatError, match=r"dataset\.json: damaged"):
        Catalog.read(toy.root)


def test_numbers_of_groups_and_sizes_of_dimensions_take_no_memory(toy) -> None:
    def change(values: dict) -> None:
        values["groups"] = dict.fromkeys(values["groups"], 10**18)
        values["shard_bytes"] = 10**18
        values["tables"]["frames"]["dimensions"]["height"] = 10**12

    edited(toy, change)
    record = toy.table()["s2-0000"]
    for name in ("ids", "distance", "normal", "image"):
        with pytest.raises(FormatError, match=f"record s2-0000, field {name}"):
            record[name]
    assert record["pose"].shape == (4, 4)


@pytest.mark.parametrize("name", ["dataset.json", "train/frames-000001.parquet", "train/frames-000001.tar"])
def test_pipes_in_place_of_files_are_not_waited_for(toy, name: str) -> None:
    (toy.root / name).unlink()
    os.mkfifo(toy.root / name)
    with pytest.raises(FormatError, match="not a regular file; refused"):
        toy.table()["s2-0000"]["pose"]


def test_a_catalog_larger_than_memory_is_not_read(toy) -> None:
    with (toy.root / "dataset.json").open("r+b") as stream:
        stream.truncate(1 << 42)
    with pytest.raises(FormatError, match=rf"{1 << 42} bytes; refused"):
        Catalog.read(toy.root)
    assert regular(toy.root / "dataset.json", None).exists() and regular(toy.root / "absent") == toy.root / "absent"


# ---- indexes


def parquet(path: Path, columns: dict[str, object], **options: object) -> Path:
    pq.write_table(pa.table(columns), path, compression="zstd", **options)
    return path


def nulls(path: Path) -> Path:
    return parquet(path, {"key": pa.nulls(50_000_000, pa.int64())})


def zeros(path: Path) -> Path:
    return parquet(path, {"key": np.zeros(20_000_000, np.int64)}, use_dictionary=False)


def words(path: Path) -> Path:
    codes = pa.array(np.zeros(100_000, np.int32))
    return parquet(path, {"key": pa.DictionaryArray.from_arrays(codes, ["x" * 1_000_000])})


MEASURED = """
import resource, sys
from pathlib import Path
from tessera.datasets import FormatError
from tessera.datasets.parquet import read_parquet
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_parquet(Path(sys.argv[1]))
except FormatError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


@pytest.mark.parametrize("bomb", [nulls, zeros])
def test_a_size_that_a_file_admits_is_refused_before_anything_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bomb: object
) -> None:
    path = bomb(tmp_path / "x.parquet")  # type: ignore[operator]
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(FormatError, match="would take more than"):
        read_parquet(path)


@pytest.mark.parametrize("bomb", [nulls, zeros, words])
def test_a_small_index_that_unpacks_to_gigabytes(tmp_path: Path, bomb: object) -> None:
    path = bomb(tmp_path / "x.parquet")  # type: ignore[operator]
    assert path.stat().st_size < 200_000
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    kilobytes, said = done.stdout.split(" ", 1)
    assert "would take more than" in said and int(kilobytes) < 3 * LARGE // 1024, done.stdout


@pytest.mark.parametrize("rows", [0, 1, 70_000, 200_000])
@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"row_group_size": 30_000}])
def test_honest_tables_come_back_whole(tmp_path: Path, rows: int, options: dict[str, object]) -> None:
    columns = {
        "key": pa.array([f"unit-{i % 977}" for i in range(rows)], pa.string()),
        "size": pa.array(range(rows), pa.int64()),
        "crc": pa.array([[i] for i in range(rows)], pa.list_(pa.uint32())),
    }
    path = parquet(tmp_path / "x.parquet", columns, **options)
    assert read_parquet(path).equals(pq.read_table(path)) and read_parquet(path).schema == pq.read_schema(path)
    assert read_parquet(path, ["size", "absent"]).to_pydict() == {"size": list(range(rows))}


def test_extension_types_of_an_index_run_nothing(tmp_path: Path, canary: Path) -> None:
    """pyarrow once unpickled what a column's metadata held (CVE-2023-47248)."""
    trap = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Trap(canary))}
    schema = pa.schema([pa.field("key", pa.string(), metadata=trap)])
    pq.write_table(pa.table({"key": ["a"]}, schema=schema), tmp_path / "x.parquet")
    assert read_keys(tmp_path / "x.parquet") == ["a"]
    with pytest.raises(FormatError):
        read_facts(tmp_path / "x.parquet")


def rewritten(toy, change) -> None:
    """The rows of an index after `change`, and dataset.json with its new hash."""
    rows = read_rows(toy.index()).to_pylist()
    for row in rows:
        change(row)
    schema = toy.dataset.catalog.tables["frames"]
    toy.index().write_bytes(index_bytes(schema, rows, read_facts(toy.index())))
    toy.catalog()


@pytest.mark.parametrize("key", ["../../x", "/etc/x", "a.b", f"s2-{ESCAPES}", "s2-0\n", "", "-x", "s2-0000\0"])
def test_keys_that_are_none_never_reach_a_user(toy, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Keys become file names (`tessera show`) and go into messages."""
    rewritten(toy, lambda row: row.update(key=key) if row["key"] == "s2-0001" else None)
    for read in (list, lambda table: list(table.keys()), lambda table: table["s2-0000"], lambda table: table.index()):
        with pytest.raises(FormatError, match=r"frames-000001\.parquet: holds a key that is none"):
            read(toy.table())
    assert any("holds a key that is none" in problem for _, found in verify(toy.root) for problem in found)
    assert run(["verify", str(toy.root)]) == 1
    assert all(x.isprintable() or x == "\n" for x in capfd.readouterr().out)


def test_an_index_of_other_columns_is_a_problem_and_no_traceback(toy) -> None:
    table = pq.read_table(toy.index())
    for names in (["key"], ["unit"], []):
        pq.write_table(table.select(names), toy.index())
        assert any("columns are not those" in problem for _, found in verify(toy.root) for problem in found)
        with pytest.raises(FormatError, match=r"frames-000001\.parquet"):
            list(toy.table())
    pq.write_table(table.set_column(0, "key", pa.array(range(len(table)))), toy.index())
    with pytest.raises(FormatError, match=r"frames-000001\.parquet: has no column of keys"):
        list(toy.table().keys())


# ---- what is printed


def test_printable_shows_what_is_there_and_twice_is_once() -> None:
    assert printable("plain text, ä ß 漢 'x' \\n") == "plain text, ä ß 漢 'x' \\n"
    shown = printable(ESCAPES + "\udcff")
    assert shown == r"\x1b]0;title\x07\x1b[2J\r\n\x85\u2028\u202e\x7f\udcff" and shown.isprintable()
    assert printable(shown) == shown and printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@pytest.mark.parametrize("verb", ["info", "verify", "show"])
def test_verbs_print_what_a_catalog_says_as_plain_text(
    toy, verb: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))

    def change(values: dict) -> None:
        values["name"] = values["recipe"] = values["code_version"] = f"[/x]{ESCAPES}"
        values["options"] = {f"[/x]{ESCAPES}": f"[/x]{ESCAPES}"}
        values["tables"]["frames"]["fields"][0]["frame"] = f"[/x]{ESCAPES}"
        values["assets"] = {f"[/x]{ESCAPES}": ESCAPES}

    edited(toy, change)
    run([verb, str(toy.root), *(["--out", str(tmp_path / "shown")] if verb == "show" else [])])
    said = capfd.readouterr()
    assert all(x.isprintable() or x == "\n" for x in said.out + said.err), said
    edited(toy, lambda values: values.update(state=ESCAPES))
    assert run([verb, str(toy.root)]) == 1
    said = capfd.readouterr()
    assert said.err.count("\n") == 1 and said.err[:-1].isprintable(), said.err


def test_an_error_is_one_plain_line_whatever_it_quotes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for folder in (tmp_path / f"no{ESCAPES}", tmp_path / f"there{ESCAPES}"):
        if folder.name.startswith("there"):
            folder.mkdir()
            (folder / "dataset.json").mkdir()
        assert run(["info", str(folder)]) == 1
        said = capfd.readouterr()
        assert said.out == "" and said.err.count("\n") == 1 and said.err[:-1].isprintable() and r"\x1b[2J" in said.err


def test_keys_have_room_in_a_tar_member() -> None:
    check_key("k" * LONGEST, "k" * LONGEST)
    with pytest.raises(SchemaError, match=f"{LONGEST + 1} characters"):
        check_key("k" * (LONGEST + 1), "k")
