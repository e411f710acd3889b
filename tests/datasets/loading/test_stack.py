"""Transforms of single records in a stream: what they are given, and what becomes of what they give."""

import copy

import numpy as np
import pytest
from tessera.datasets import Field, SchemaError, Stream

from ..stream_data import Rows, same_batch, write_set
from ..stream_pictures import PICTURES, field_of, pictures

REFERENCES = [
    "image", "bits", "points", "meta", "camera", "mean", "neighbours", "scene.cloud", "scene.name",
    "neighbours.points", "neighbours.scale", "neighbours.image", "neighbours.meta", "neighbours.camera",
    "neighbours.mean", "neighbours.bits", "neighbours.neighbours.scale", "neighbours.neighbours.points",
]  # fmt: skip


def copied(value):
    return value.copy() if isinstance(value, np.ndarray | np.generic) else copy.copy(value)


SAME = {
    "itself": lambda record: record,
    "new_dict": dict,
    "other_order": lambda record: dict(reversed(record.items())),
}


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("gallery"), {"pictures": Rows(PICTURES, {"train": [pictures()]})})


def pairs(root, transform, **options):
    plain, other = (Stream(root, **options, transforms=each) for each in ((), (transform,)))
    return zip(plain, other, strict=True)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("name", SAME)
def test_a_transform_that_changes_nothing_changes_nothing(built, gallery, name, batch_size):
    """Whichever optional fields a batch's records lack."""
    for one, other in pairs(built.root, SAME[name], table="frames", batch_size=batch_size):
        same_batch(one, other)
    for one, other in pairs(built.root, SAME[name], table="frames", fields=REFERENCES, batch_size=batch_size):
        same_batch(one, other)
    for one, other in pairs(gallery, SAME[name], batch_size=batch_size):
        same_batch(one, other)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_copies_of_all_fields_give_the_same_batch(built, gallery, batch_size):
    """Ragged, optional, of free shape, behind references: packed again as they were."""

    def transform(record):
        return {name: copied(value) for name, value in record.items()}

    for one, other in pairs(built.root, transform, table="frames", batch_size=batch_size):
        same_batch(one, other)
    for one, other in pairs(built.root, transform, table="frames", fields=REFERENCES, batch_size=batch_size):
        same_batch(one, other)
    for one, other in pairs(gallery, transform, batch_size=batch_size):
        same_batch(one, other)


def test_a_record_has_the_fields_that_it_has(gallery):
    seen = {}

    def transform(record):
        seen[record["caption"]] = {name: np.shape(value) for name, value in record.items()}
        return record

    list(Stream(gallery, transforms=[transform], batch_size=4))
    for i in range(11):
        shapes = seen[f"picture {i} ä"]
        assert ("mask" in shapes) == ("few" in shapes) == ("wide" in shapes) == (i % 3 == 0)
        assert shapes["depth"] == (2 + i % 3, 1 + i % 5) and shapes["grid"] == (*shapes["depth"], 3)
        assert shapes["codes"] == (i % 4, 3) and shapes["curves"] == (2, i % 4) and shapes["flag"] == (3,)


def test_free_shapes_may_change(gallery):
    """A crop of pictures of many sizes: packed, with the new shapes."""

    def crop(record):
        return {**record, "depth": record["depth"][:2, :1] * 2}

    for one, other in pairs(gallery, crop, batch_size=4):
        for slot in range(4):
            np.testing.assert_array_equal(
                field_of(other, "depth", slot), field_of(one, "depth", slot)[:2, :1] * 2, strict=False
            )


def test_numbers_of_elements_may_change_and_fields_may_come_and_go(gallery):
    def transform(record):
        kept = {name: value for name, value in record.items() if name != "soft"}
        return kept | {"codes": record["codes"][1:], "length": np.float32(len(record["codes"])), "word": "new"}

    for one, other in pairs(gallery, transform, batch_size=4):
        assert "soft" not in other and "soft.offsets" not in other
        lengths = np.diff(one["codes.offsets"])
        assert np.diff(other["codes.offsets"]).tolist() == np.maximum(lengths - 1, 0).tolist()
        assert other["length"].tolist() == lengths.tolist() and other["word"] == ["new"] * 4


def test_an_optional_field_that_is_replaced_keeps_saying_where_it_is(built):
    def transform(record):
        return {**record, "image": 255 - record["image"]} if "image" in record else record

    for one, other in pairs(built.root, transform, table="frames", batch_size=1):
        assert one.keys() == other.keys() and one["image.present"].equal(other["image.present"])
        if one["image.present"].all():
            np.testing.assert_array_equal(255 - one["image"].numpy(), other["image"])


def test_random_transforms_depend_on_seed_epoch_and_record_only(built):
    class Noise:
        random = True

        def __call__(self, record, rng):
            return {"scale": np.float32(rng.random()), "more": rng.integers(1 << 30)}

    def noises(epoch=0, **options):
        stream = Stream(built.root, "frames", fields=["scale"], transforms=[Noise(), lambda r: r, Noise()], **options)
        stream.set_epoch(epoch)
        return {k: (float(s), int(m)) for b in stream for k, s, m in zip(b["key"], b["scale"], b["more"], strict=True)}

    expected = noises(batch_size=16, threads=0)
    assert len(set(expected.values())) == 16
    for options in ({"batch_size": 3, "threads": 3}, {"batch_size": 1, "order": "sequential"}):
        assert noises(**options) == expected
    halves = [noises(rank=rank, world_size=2, batch_size=4) for rank in range(2)]
    assert halves[0] | halves[1] == expected
    others = [noises(epoch=1), noises(seed=1)]
    assert all(not set(other.values()) & set(expected.values()) for other in others)


def test_transforms_that_ask_are_told_the_schema_of_what_comes(built):
    class Asking:
        def __init__(self):
            self.told = {}

        def bind(self, fields):
            self.told |= fields

        def __call__(self, record):
            return record

    transform = Asking()
    Stream(built.root, "frames", fields=["image", "camera", "scene.cloud", "neighbours.points"], transforms=[transform])
    assert set(transform.told) == {"image", "scene.cloud", "neighbours.points"}
    assert all(isinstance(entry, Field) for entry in transform.told.values())


def test_records_that_come_out_different_are_named(built):
    def transform(record):
        return {"some": np.zeros(3 if record["frame"] == 1 else 2)}

    with pytest.raises(SchemaError, match=r"'some' of record 's\d-\d{4}' has float64 \(\d,\).*'s\d-\d{4}' has"):
        list(Stream(built.root, "frames", fields=["frame"], transforms=[transform], batch_size=16))


def test_an_error_of_a_transform_names_the_record(built):
    def transform(record):
        raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError) as caught:
        list(Stream(built.root, "frames", fields=["scale"], transforms=[transform], order="sequential"))
    assert "s0-0000" in caught.value.__notes__[0]


def test_rows_behind_a_list_of_references_keep_their_number(built):
    def transform(record):
        return {**record, "neighbours.scale": record["neighbours.scale"][:1]}

    with pytest.raises(SchemaError, match=r"'neighbours\.scale'.*number of rows"):
        list(Stream(built.root, "frames", fields=["neighbours.scale"], transforms=[transform]))
