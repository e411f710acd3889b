"""Records that records refer to, and labels that were added later, as a stream delivers them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tessera.datasets import Catalog, Column, Field, Linear, Octahedral, Reference, Schema, Stream
from tessera.datasets.catalog import scan_sidecar
from tessera.datasets.entries import Sidecar
from tessera.datasets.sidecar_writer import SidecarWriter, read_base

from .conftest import FRAMES, UNITS
from .stream_data import Rows, write_set
from .stream_pictures import assert_record, field_of


def test_references_bring_the_fields_of_the_records_they_name(built):
    fields = ["scale", "scene.cloud", "scene.name", "neighbours.points", "neighbours.scale", "neighbours.image"]
    fields += ["neighbours.camera", "neighbours.mean", "neighbours.meta", "neighbours.normal"]
    table, scenes = built.table(), built.table("scenes")
    for batch in Stream(built.root, "frames", fields=fields, batch_size=5):
        bounds = batch["neighbours.offsets"].tolist()
        assert len(bounds) == 6 and bounds[0] == 0 and batch["neighbours.offsets"].dtype == torch.int64
        for slot, key in enumerate(batch["key"]):
            scalars = built.scalars["frames"][key]
            assert_record(batch, slot, scenes[scalars["scene"]], ["cloud", "name"], "scene.")
            rows = range(bounds[slot], bounds[slot + 1])
            assert len(rows) == len(scalars["neighbours"])
            for row, other in zip(rows, scalars["neighbours"], strict=True):
                names = ["points", "scale", "image", "meta", "normal"]
                assert_record(batch, row, table[other], names, "neighbours.")
                assert batch["neighbours.camera"][row] == built.scalars["frames"][other]["camera"]
                assert batch["neighbours.mean"][row] == built.scalars["frames"][other]["mean"]


def test_references_of_references(built):
    fields = [
        "neighbours.scene.cloud",
        "neighbours.neighbours.scale",
        "neighbours.neighbours.points",
        "neighbours.scene",
    ]
    table, scenes = built.table(), built.table("scenes")
    for batch in Stream(built.root, "frames", fields=fields, batch_size=7):
        outer, inner = batch["neighbours.offsets"].tolist(), batch["neighbours.neighbours.offsets"].tolist()
        assert len(inner) == outer[-1] + 1
        for slot, key in enumerate(batch["key"]):
            others = built.scalars["frames"][key]["neighbours"]
            for row, other in zip(range(outer[slot], outer[slot + 1]), others, strict=True):
                scalars = built.scalars["frames"][other]
                assert_record(batch, row, scenes[scalars["scene"]], ["cloud"], "neighbours.scene.")
                assert batch["neighbours.scene"][row] == scalars["scene"]
                for last, name in zip(range(inner[row], inner[row + 1]), scalars["neighbours"], strict=True):
                    assert_record(batch, last, table[name], ["scale", "points"], "neighbours.neighbours.")


def test_records_of_another_split_are_found_by_reference(tmp_path):
    """A subject is stored once, a view that names it may lie in any split."""
    rows = Rows(LINKED, {"train": [[("a-1", {"own": np.float32(1)}, {"subject": "z-9"})]], "val": [[]]})
    subjects = Rows(SUBJECTS, {"train": [[]], "val": [[("z-9", subject(9), {"age": 7, "town": "A", "parent": None})]]})
    root = write_set(tmp_path, {"views": rows, "subjects": subjects})
    batch = next(iter(Stream(root, "views", "train", ["own", "subject.size", "subject.age"], batch_size=1)))
    assert batch["subject.size"].item() == 9 and batch["subject.age"].item() == 7


LINKED = Schema((Field("own", "float32", (), "npz"),), references=(Reference("subject", "subjects"),))
SUBJECTS = Schema(
    (
        Field("size", "float32", (), "npz"),
        Field("cloud", "float32", ("points", 3), "npy", storage=Linear(0, 16)),
        Field("direction", "float32", (3,), "npy", storage=Octahedral(14)),
        Field("note", "json", (), "json"),
    ),
    {"points": None},
    (Column("age", "int64"), Column("town", "string")),
    (Reference("parent", "subjects"),),
)


def subject(number):
    cloud = np.full((number % 4, 3), number, np.float32)
    return {
        "size": np.float32(number),
        "cloud": cloud,
        "direction": np.eye(3, dtype="f4")[number % 3],
        "note": [number],
    }


@pytest.fixture(scope="module")
def orphans(tmp_path_factory):
    """Every second view names no subject; no subject but the first names a parent."""
    views = [(f"v-{i}", {"own": np.float32(i)}, {"subject": f"s-{i}" if i % 2 else None}) for i in range(8)]
    people = [
        (f"s-{i}", subject(i), {"age": i, "town": f"t{i}", "parent": "s-3" if i == 1 else None}) for i in range(8)
    ]
    tables = {"views": Rows(LINKED, {"train": [views]}), "subjects": Rows(SUBJECTS, {"train": [people]})}
    return write_set(tmp_path_factory.mktemp("orphans"), tables)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_null_reference_is_absent_not_zero(orphans, batch_size):
    names = ["size", "cloud", "direction", "note", "age", "town", "parent.size", "parent.cloud"]
    fields = ["own", "subject", *(f"subject.{name}" for name in names)]
    kinds = set()
    for batch in Stream(orphans, "views", fields=fields, batch_size=batch_size):
        kinds.add(frozenset(batch))
        for slot, key in enumerate(batch["key"]):
            number = int(key[2:])
            there = bool(number % 2)
            assert batch["subject"][slot] == (f"s-{number}" if there else None)
            assert batch["subject.size.present"][slot] == there and batch["subject.age.present"][slot] == there
            assert batch["subject.parent.size.present"][slot] == (number == 1)
            assert batch["subject.town"][slot] == (f"t{number}" if there else None)
            if there:
                expected = subject(number)
                np.testing.assert_allclose(field_of(batch, "subject.cloud", slot), expected["cloud"], atol=1e-3)
                np.testing.assert_allclose(batch["subject.direction"][slot], expected["direction"], atol=1e-3)
                assert batch["subject.size"][slot] == number and batch["subject.note"][slot] == [number]
            else:
                assert not batch["subject.size"][slot] and batch["subject.note"][slot] is None
            if number == 1:
                assert batch["subject.parent.size"][slot] == 3
                assert field_of(batch, "subject.parent.cloud", slot).shape == (3, 3)
    assert len(kinds) == 1, "every batch has the same names, whichever references are null in it"


STRICT = Schema(
    (
        Field("heat", "float32", ("height", "width"), "blosc", storage=Linear(0, 4)),
        Field("weight", "float32", ("points",), "npy"),
        Field("track", "float32", ("times", 2), "npy"),
    ),
    {"height": 6, "width": 8, "points": None, "times": None},
    (Column("warm", "bool"), Column("word", "string")),
    (Reference("next", "frames"),),
)
LABEL = replace(STRICT, fields=tuple(replace(entry, optional=True) for entry in STRICT.fields))


def add_label(toy, only=()):
    """Add the label to some groups; every record that ends in 2 has none."""
    for (split, group), units in UNITS.items():
        if only and (split, group) not in only:
            continue
        with SidecarWriter(
            toy.root / split, "frames", split, group, label="warmth", schema=LABEL, strict=STRICT,
            base=read_base(toy.root / split, "frames", group, FRAMES), run="run",
        ) as writer:  # fmt: skip
            for unit in units:
                writer.begin(unit)
                for key in writer.keys(unit):
                    if key.endswith("2"):
                        writer.leave(key)
                        continue
                    points, digit = len(toy.values["frames"][key]["points"]), int(key[-1])
                    values = {"heat": np.full((6, 8), digit, "f4"), "weight": np.arange(points, dtype="f4")}
                    values["track"] = np.full((digit + 2, 2), digit, "f4")
                    writer.add(key, values, {"warm": True, "word": key, "next": key})
            writer.commit(dict.fromkeys(units, "f"), [], {"labels": {"warmth": 1}})
    catalog = replace(Catalog.read(toy.root), sidecars={"warmth": Sidecar(1, "complete", {"frames": LABEL})})
    catalog.with_sidecars({"warmth": scan_sidecar(toy.root, catalog, "warmth")}).write(toy.root, "run")


@pytest.mark.parametrize("only", [(), (("train", 0),)])
def test_labels_added_later_are_fields_like_others(toy, only):
    add_label(toy, only)
    table = toy.table()
    fields = ["heat", "weight", "points", "warm", "word", "next", "next.scale", "neighbours.heat", "track"]
    count = 0
    for batch in Stream(toy.root, "frames", fields=fields, batch_size=5):
        bounds = batch["neighbours.offsets"].tolist()
        for slot, key in enumerate(batch["key"]):
            record = table[key]
            there = not key.endswith("2") and (not only or key[:2] in ("s0", "s1"))
            assert bool(batch["heat.present"][slot]) == there == ("heat" in record)
            assert_record(batch, slot, record, ["heat", "weight", "points", "track"])
            assert bool(batch["warm.present"][slot]) == there and bool(batch["warm"][slot]) == there
            assert batch["word"][slot] == batch["next"][slot] == (key if there else None)
            assert bool(batch["next.scale.present"][slot]) == there
            for row, other in zip(range(*bounds[slot : slot + 2]), record.columns["neighbours"], strict=True):
                assert_record(batch, row, table[other], ["heat"], "neighbours.")
            count += there
    assert count


def test_windows_along_a_dimension_that_a_label_brought(toy):
    add_label(toy, [("train", 0)])
    stream = Stream(toy.root, "frames", fields=["track"], window=2, along="times", order="sequential")
    found = [int(row[0]) for batch in stream for row in batch["track"][~batch["repeat"]].reshape(-1, 4)]
    assert sorted(found) == sorted([0, 1, 1, 3, 3, 3] * 2)  # 2, 3 and 5 moments, of two units
