"""A writer's shards hold exactly the units that were kept, and appear whole or not at all."""

import contextlib
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets import Column, Field, Schema, ShardWriter
from tessera.datasets.commit import sweep
from tessera.datasets.errors import SchemaError
from tessera.datasets.index import read_facts, read_rows
from tessera.datasets.shard import shard_stem
from tessera.datasets.verify import file_sha256

SCHEMA = Schema((Field("data", "uint8", ("n",), "npy"),), {"n": None}, (Column("i", "int64"),))
LIMIT = 6000
UNITS = st.lists(
    st.tuples(st.lists(st.integers(0, 3000), max_size=6), st.sampled_from(["good", "bad", "retried"])), max_size=8
)


def add(writer, unit, sizes):
    for i, size in enumerate(sizes):
        writer.add(f"{unit}-{i}", {"data": np.full(size, i, np.uint8)}, {"i": i})


def write(folder, units, *, limit=LIMIT, kinds=("good",), run="r"):
    """Write the units, roll back bad ones, write retried ones again after a failure; commit."""
    with ShardWriter(folder, "t", "train", 0, SCHEMA, run=run, limit=limit) as writer:
        for name, sizes, kind in units:
            writer.begin(name)
            add(writer, name, sizes)
            if kind != "good":
                writer.rollback()
            if kind == "retried":
                add(writer, name, sizes)
        kept = {name: f"hash of {name}" for name, _, kind in units if kind != "bad"}
        return writer.commit(kept, [], {})


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def named(units):
    return [(f"u{number}", sizes, kind) for number, (sizes, kind) in enumerate(units)]


@settings(max_examples=30, deadline=None)
@given(UNITS)
def test_units_rolled_back_leave_no_trace_and_retries_change_no_byte(tmp_path_factory, units):
    root, units = tmp_path_factory.mktemp("w"), named(units)
    write(root / "all", units)
    write(root / "clean", [(name, sizes, "good") for name, sizes, kind in units if kind != "bad"])
    assert files(root / "all") == files(root / "clean")


@settings(max_examples=30, deadline=None)
@given(UNITS.map(named), st.integers(2000, 9000))
def test_only_a_unit_that_alone_exceeds_the_limit_is_cut(tmp_path_factory, units, limit):
    folder = tmp_path_factory.mktemp("w")
    facts = write(folder, units, limit=limit)
    rows = [read_rows(folder / f"{shard_stem('t', 0, fact.part)}.parquet").to_pylist() for fact in facts]
    parts, size = {}, {}
    for number, part in enumerate(rows):
        for row in part:
            parts.setdefault(row["unit"], set()).add(number)
            size[row["unit"]] = size.get(row["unit"], 0) + row["record.size"]
    assert all(size[unit] >= limit for unit, numbers in parts.items() if len(numbers) > 1)
    expected = [f"{name}-{i}" for name, sizes, kind in units if kind != "bad" for i in range(len(sizes))]
    assert [row["key"] for part in rows for row in part] == expected
    assert len(facts) == 1 or all(rows), "an empty part"


def test_a_unit_below_the_limit_overfills_its_part_rather_than_being_cut(tmp_path):
    facts = write(tmp_path, [("a", [2000], "good"), ("b", [2500, 1000], "good"), ("c", [1], "good")], limit=6000)
    assert [[source.unit for source in fact.sources if source.records] for fact in facts] == [["a", "b"], ["c"]]


def test_a_retried_unit_is_cut_where_it_would_have_been_at_first(tmp_path):
    units = [("a", [3000], "good"), ("b", [2500] * 5, "retried")]
    write(tmp_path / "retried", units)
    write(tmp_path / "once", [(*unit[:2], "good") for unit in units])
    assert files(tmp_path / "retried") == files(tmp_path / "once")
    assert len(list((tmp_path / "once").glob("*.tar"))) == 3


def test_a_refused_record_leaves_the_writer_as_it_was(tmp_path):
    with ShardWriter(tmp_path, "t", "train", 0, SCHEMA, run="r") as writer:
        writer.begin("u")
        add(writer, "u", [5, 5])
        good = {"data": np.zeros(3, np.uint8)}
        for key, values, scalars, match in [
            ("u-0", good, {"i": 1}, "'u-0' is already in t-000000"),
            ("u.0", good, {"i": 1}, "dot"),
            ("v-0", good, {"i": 1}, "'v-0'.*'u'"),
            ("u-9", {"data": np.zeros(3)}, {"i": 1}, "'data'"),
            ("u-9", good, {"i": "one"}, "'i'"),
            ("u-9", good, {"i": 1 << 64}, "'i'"),
        ]:
            with pytest.raises(SchemaError, match=match):
                writer.add(key, values, scalars)
        assert writer.counts() == {"u": 2}
        writer.commit({"u": "x"}, [], {})
    write(tmp_path / "clean", [("u", [5, 5], "good")])
    assert (tmp_path / "t-000000.tar").read_bytes() == (tmp_path / "clean/t-000000.tar").read_bytes()


def test_facts_tell_what_was_committed(tmp_path):
    units = [("a", [100], "good"), ("b", [2500, 2500], "good"), ("c", [], "good"), ("d", [10], "good")]
    facts = write(tmp_path, units)
    assert [fact.tar for fact in facts] == ["t-000000.tar", "t-000000-1.tar"]
    assert [(fact.part, fact.parts) for fact in facts] == [(0, 2), (1, 2)]
    sources = {(fact.part, s.unit): (s.records, s.fingerprint) for fact in facts for s in fact.sources}
    # every unit of the group is told in the first part, also those whose records are elsewhere or nowhere
    assert sources == {
        (0, "a"): (1, "hash of a"), (0, "b"): (2, "hash of b"), (0, "c"): (0, "hash of c"), (0, "d"): (0, "hash of d"),
        (1, "d"): (1, "hash of d"),
    }  # fmt: skip
    for fact in facts:
        tar = tmp_path / fact.tar
        assert (tar.stat().st_size, file_sha256(tar)) == (fact.tar_bytes, fact.tar_sha256)
        assert read_facts(tar.with_suffix(".parquet")) == fact


def test_a_group_without_records_has_an_index_and_no_tar(tmp_path):
    facts = write(tmp_path, [("a", [10], "bad"), ("b", [], "good")])
    assert list(files(tmp_path)) == ["t-000000.parquet"]
    assert facts[0].tar is None and [s.records for s in facts[0].sources] == [0]
    assert read_rows(tmp_path / "t-000000.parquet").num_rows == 0


def test_commit_replaces_old_shards_and_surplus_parts_of_this_group_alone(tmp_path):
    write(tmp_path, [("a", [5000] * 4, "good")], limit=5000)
    assert len(files(tmp_path)) == 8
    others = ["t-000001.tar", "t-000001-1.parquet", "t-0000000.tar", "tt-000000.tar", "x.t-000000.tar"]
    for name in others:
        (tmp_path / name).write_bytes(b"another's")
    write(tmp_path, [("b", [10], "good")])
    assert sorted(files(tmp_path)) == sorted([*others, "t-000000.tar", "t-000000.parquet"])
    write(tmp_path, [])
    assert sorted(files(tmp_path)) == sorted([*others, "t-000000.parquet"])


def test_leaving_without_commit_leaves_nothing_but_the_old(tmp_path):
    write(tmp_path, [("a", [10], "good")])
    before = files(tmp_path)
    with pytest.raises(KeyboardInterrupt), ShardWriter(tmp_path, "t", "train", 0, SCHEMA, run="x", limit=100) as writer:
        writer.begin("b")
        add(writer, "b", [4000] * 3)
        assert len(files(tmp_path)) == 5
        raise KeyboardInterrupt
    assert files(tmp_path) == before


def test_a_full_disk_leaves_nothing_but_the_old(tmp_path):
    write(tmp_path, [("a", [10], "good")])
    before, limits = files(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
        with pytest.raises(OSError):
            write(tmp_path, [("b", [200, 5000, 200], "good")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(tmp_path) == before


def test_what_cannot_be_told_is_refused_before_the_old_shards_go(tmp_path):
    write(tmp_path, [("a", [10], "good")])
    before = files(tmp_path)
    with pytest.raises(KeyError), ShardWriter(tmp_path, "t", "train", 0, SCHEMA, run="x") as writer:
        writer.begin("b")
        add(writer, "b", [10])
        writer.commit({"another": "hash"}, [], {})
    assert files(tmp_path) == before


class Killed(BaseException):
    pass


def kill_after(monkeypatch, steps):
    """From its step `steps` on, nothing that renames, deletes or flushes happens any more."""
    left = [steps]

    def counted(real):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*arguments, **options)

        return call

    monkeypatch.setattr(os, "replace", counted(os.replace))
    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    return left


def whole(folder):
    """Files of the group if its indexes say that it is whole, else nothing."""
    first = folder / "t-000000.parquet"
    if not first.exists():
        return {}
    found = {}
    for part in range(read_facts(first).parts):
        index = folder / f"{shard_stem('t', 0, part)}.parquet"
        if not index.exists():
            return {}
        tar = folder / read_facts(index).tar
        found |= {index.name: index.read_bytes(), tar.name: tar.read_bytes()}
    return found


def test_a_process_that_dies_at_any_step_of_the_commit(tmp_path):
    old = [("a", [5000] * 3, "good")]
    new = [("b", [5500] * 2, "good")]
    write(tmp_path / "new", new, limit=5000)
    states, finished, step = set(), False, 0
    while not finished:
        folder = tmp_path / f"{step}"
        write(folder, old, limit=5000)
        before = files(folder)
        with pytest.MonkeyPatch.context() as patch:
            left = kill_after(patch, step)
            with contextlib.suppress(Killed):
                write(folder, new, limit=5000, run="dying")
        finished, step = left[0] >= 0, step + 1
        for index in folder.glob("t-*.parquet"):
            facts = read_facts(index)
            tar = folder / facts.tar
            assert (tar.stat().st_size, file_sha256(tar)) == (facts.tar_bytes, facts.tar_sha256)
        group = whole(folder)
        states.add("none" if not group else "old" if group == before else "new")
        assert group in ({}, before, files(tmp_path / "new"))
        sweep(folder)
        write(folder, new, limit=5000, run="again")
        assert files(folder) == files(tmp_path / "new")
    assert states == {"old", "none", "new"} and step > 15
