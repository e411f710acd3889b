"""What a stream delivers is what the plain reader reads: every codec, storage, kind of field, and reference."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tessera.datasets import Catalog, Dataset, Field, Schema, Stream, TesseraError, UsageError

from .stream_data import NUMBERS, Rows, numbers, numbers_set, same_batch, write_set
from .stream_pictures import PICTURES, assert_record, pictures


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    rows = Rows(PICTURES, {"train": [pictures()]}, limit=4000)
    return write_set(tmp_path_factory.mktemp("gallery"), {"pictures": rows})


@pytest.mark.parametrize("threads", [0, 3])
@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_every_field_of_every_record_is_that_of_the_plain_reader(built, threads, batch_size):
    table, seen = built.table(), set()
    for batch in Stream(built.root, "frames", batch_size=batch_size, threads=threads):
        for slot, key in enumerate(batch["key"]):
            assert_record(batch, slot, table[key], table.schema.by_name)
            seen.add(key)
    assert seen == set(table.keys())


@pytest.mark.parametrize("batch_size", [1, 4, 11])
@pytest.mark.parametrize("order", ["global", "block", "sequential"])
def test_free_shapes_storages_and_rare_dtypes_are_those_of_the_plain_reader(gallery, batch_size, order):
    table = Dataset(gallery).table("pictures")
    count = 0
    for batch in Stream(gallery, batch_size=batch_size, order=order):
        for slot, key in enumerate(batch["key"]):
            assert_record(batch, slot, table[key], table.schema.by_name)
            count += not batch["repeat"][slot]
    assert count == 11


def test_a_batch_is_tensors_and_lists_of_the_documented_kinds(built, gallery):
    batch = next(iter(Stream(built.root, "frames", batch_size=4, order="sequential")))
    assert batch["key"] == ["s0-0000", "s0-0001", "s0-0002", "s0-0003"]
    assert batch["repeat"].dtype == torch.bool and batch["repeat"].tolist() == [False] * 4
    assert batch["image"].shape == (4, 6, 8, 3) and batch["image"].is_contiguous()
    assert batch["image.present"].dtype == torch.bool and batch["image.present"].tolist() == [True, False, True, False]
    assert not batch["image"][1].any()  # nothing of another record where there is none
    assert batch["scale"].shape == (4,) and batch["pose"].dtype == torch.float64
    assert batch["points.offsets"].dtype == torch.int64 and batch["points.offsets"].shape == (5,)
    assert batch["points"].shape == (int(batch["points.offsets"][-1]), 3)
    assert "points.present" not in batch and "points.shapes" not in batch
    assert batch["bits.present"].tolist() == [True, False, True, False] and batch["bits.offsets"].tolist() == [
        0,
        5,
        5,
        10,
        10,
    ]
    assert batch["meta"][1] is None and batch["meta"][0]["words"] == ["ä", 0]
    free = next(iter(Stream(gallery, batch_size=3)))
    assert (
        free["depth"].ndim == 1 and free["depth.shapes"].shape == (3, 2) and free["depth.shapes"].dtype == torch.int64
    )
    assert free["grid.shapes"].shape == (3, 3) and len(free["grid"]) == int(free["grid.offsets"][-1])
    assert isinstance(free["caption"], list)


def test_optional_json_fields_say_whether_they_are_there(built):
    batch = next(iter(Stream(built.root, "frames", fields=["meta"], batch_size=4, order="sequential")))
    assert batch["meta.present"].tolist() == [True, False, True, False]


def test_a_batch_in_which_no_record_has_an_optional_field(tmp_path):
    rows = Rows(PICTURES, {"train": [pictures(5, optional=lambda i: False)]})
    root = write_set(tmp_path, {"pictures": rows})
    batch = next(iter(Stream(root, batch_size=5)))
    for name in ("mask", "wide", "fine", "few"):
        assert batch[f"{name}.present"].tolist() == [False] * 5
    assert batch["fine"].shape == (5, 2, 3) and not batch["fine"].any()
    assert len(batch["few"]) == 0 and batch["few.offsets"].tolist() == [0] * 6
    assert batch["mask.shapes"].tolist() == [[0, 0]] * 5


def test_only_what_was_asked_for_is_delivered(built):
    batch = next(iter(Stream(built.root, "frames", fields=["scale", "camera", "frame", "scene"])))
    names = {name.removesuffix(".present") for name in batch}
    assert names == {"key", "repeat", "scale", "camera", "frame", "scene"}
    assert set(next(iter(Stream(built.root, "frames", fields=[])))) == {"key", "repeat"}


def test_columns_and_references_by_key_are_those_of_the_index(built):
    names = ["camera", "frame", "mean", "good", "scene", "neighbours"]
    for batch in Stream(built.root, "frames", fields=names, batch_size=6):
        for slot, key in enumerate(batch["key"]):
            written = built.scalars["frames"][key]
            for name in names:
                value = batch[name][slot]
                assert (value.item() if isinstance(value, torch.Tensor) else value) == written[name]
    assert batch["frame"].dtype == torch.int64 and batch["mean"].dtype == torch.float64
    assert batch["good"].dtype == torch.bool and isinstance(batch["camera"], list)


def test_records_by_key(built):
    with Stream(built.root, "frames", fields=["scale", "points", "camera"], batch_size=2) as stream:
        keys = ["s3-0001", "s0-0000", "s0-0000", "s2-0003"]
        batch, table = stream.get(keys), built.table()
        assert batch["key"] == keys and not batch["repeat"].any()
        for slot, key in enumerate(keys):
            assert_record(batch, slot, table[key], ["scale", "points"])
        with pytest.raises(UsageError, match="which keys"):
            stream.get([])
        with pytest.raises(UsageError, match="no record 's9-0000'"):
            stream.get(["s0-0000", "s9-0000"])
        assert len(numbers_of(stream)) == 16


def numbers_of(stream):
    return [key for batch in stream for key in batch["key"]]


def test_keys_outside_the_split_are_not_there(built):
    stream = Stream(built.root, "frames", "val", ["scale"])
    assert {key[:2] for key in numbers_of(stream)} == {"s3"}
    with pytest.raises(UsageError, match="s0-0000"):
        stream.get(["s0-0000"])


def test_splits_and_tables(built):
    count = {
        name: len(set(numbers_of(Stream(built.root, "frames", name, ["scale"])))) for name in ("train", "val", None)
    }
    assert count == {"train": 12, "val": 4, None: 16}
    assert set(numbers_of(Stream(built.root, "scenes"))) == {"s0", "s1", "s2", "s3"}


WRONG = {
    "table": ({"table": "views"}, r"'views'.*frames, scenes"),
    "no_table": ({"table": None}, r"which table.*frames, scenes"),
    "split": ({"split": "test"}, r"'test'.*train, val"),
    "field": ({"fields": ["imge"]}, r"'imge'.*image"),
    "reference": ({"fields": ["subject.points"]}, r"'subject'.*scene, neighbours"),
    "field_behind": ({"fields": ["scene.sdf"]}, r"'sdf'.*cloud"),
    "one_text": ({"fields": "image"}, r"\['image'\]"),
    "order": ({"order": "random"}, r"global, block or sequential"),
    "last": ({"last": "keep"}, r"'pad' or 'drop'"),
    "batch": ({"batch_size": 0}, r"batch_size 0"),
    "threads": ({"threads": -1}, r"threads -1"),
    "prefetch": ({"prefetch": 0}, r"prefetch 0"),
    "rank_alone": ({"rank": 1}, r"rank and world_size go together"),
    "rank": ({"rank": 2, "world_size": 2}, r"ranks are 0 to 1"),
    "on_error": ({"on_error": "ignore"}, r"'raise' or 'skip'"),
    "sample": ({"sample": {"pionts": 3}}, r"'pionts'"),
    "sample_of_a_scalar": ({"sample": {"scale": 3}}, r"'scale'"),
    "no_count": ({"sample": {"points": 0}}, r"0 is no number"),
    "fraction": ({"sample": {"points": 0.5}}, r"0.5 is no number"),
    "strata": ({"sample": {"points": {"near": 3}}}, r"no strata"),
    "twice": ({"sample": {"points": 3, "sdf": 3}}, r"drawn from twice"),
    "not_asked": ({"fields": ["scale"], "sample": {"points": 3}}, r"no field over dimension 'points'"),
    "stride": ({"stride": 3}, r"go with a window"),
    "window": ({"window": 3}, r"along which dimension.*leaves, points"),
    "along": ({"window": 3, "along": "height"}, r"along which dimension"),
    "window_size": ({"window": 0, "along": "points"}, r"at least 1"),
    "both": ({"window": 2, "along": "points", "sample": {"points": 2}}, r"either a window or a sample"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named_with_what_there_is(built, name):
    arguments, message = WRONG[name]
    with pytest.raises(UsageError, match=message) as caught:
        Stream(built.root, **({"table": "frames"} | arguments))
    assert "\n" not in str(caught.value)


def test_no_data_set_says_so(tmp_path):
    with pytest.raises(TesseraError, match=r"no dataset\.json"):
        Stream(tmp_path)


def test_an_empty_table_says_so(tmp_path):
    root = write_set(tmp_path, {"things": Rows(NUMBERS, {"train": [[]]})})
    with pytest.raises(UsageError, match="no record"):
        Stream(root)


def test_the_table_may_be_left_out_where_there_is_one(tmp_path):
    assert sorted(numbers(Stream(numbers_set(tmp_path, 10), batch_size=3))) == list(range(10))


@pytest.mark.parametrize("field", ["repeat"])
def test_a_field_with_a_name_that_batches_use_is_refused(tmp_path, field):
    """It would be lost behind the batch's own."""
    schema = Schema((Field(field, "int64", (), "npz"), Field("other", "int64", (), "npz")))
    record = ("a-1", {field: np.int64(1), "other": np.int64(2)}, {})
    root = write_set(tmp_path, {"things": Rows(schema, {"train": [[record]]})})
    with pytest.raises(UsageError, match=f"'{field}'"):
        Stream(root)
    assert numbers_of(Stream(root, fields=["other"], batch_size=1)) == ["a-1"]


def test_a_data_set_that_is_still_building_is_streamed_as_far_as_it_is(toy):
    catalog = Catalog.read(toy.root)
    toy.index(group=1).unlink()
    replace(catalog, state="building", shards=()).write(toy.root, "run")
    keys = set(numbers_of(Stream(toy.root, "frames", fields=["scale"])))
    assert keys == {key for key in toy.values["frames"] if key[:2] != "s2"}


def test_batches_do_not_depend_on_checksums_threads_or_prefetch(built):
    def batches(**options):
        return [*Stream(built.root, "frames", batch_size=3, seed=5, **options)]

    expected = batches(threads=0)
    for options in ({"threads": 4}, {"threads": 1, "prefetch": 1}, {"threads": 2, "prefetch": 9, "checksums": False}):
        for one, other in zip(expected, batches(**options), strict=True):
            same_batch(one, other)


def test_records_are_the_readers_own_and_stay(built):
    """What a user writes into a batch is in no other batch."""
    stream = Stream(built.root, "frames", fields=["image", "normal"], batch_size=4, order="sequential")
    first = [copy.deepcopy(batch) for batch in stream]
    for batch in stream:
        batch["normal"].fill_(7)
    stream.set_epoch(0)
    for one, other in zip(first, stream, strict=True):
        same_batch(one, other)
