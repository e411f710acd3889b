"""Pools: what a stream draws of them."""

import numpy as np
import pytest
from scipy.stats import chisquare
from tessera.datasets import Field, FormatError, Linear, Octahedral, Reference, Rounded, Schema, Stream

from .stream_data import Rows, angles, by_key, same_batch, write_set

STRATA = ("inside", "near", "uniform")
POOL = Schema(
    (
        Field("points", "float32", ("points", 3), "npy"),
        Field("number", "int32", ("points",), "npy"),
        Field("packed", "int32", ("points",), "blosc"),
        Field("code", "float32", ("points",), "npy", storage=Linear(0, 255, 8)),
        Field("direction", "float32", ("points", 3), "blosc", storage=Octahedral(14)),
        Field("round", "float16", ("points",), "npz", storage=Rounded(10)),
        Field("points_strata", "int64", (4,), "npz", options={"strata": STRATA}),
        Field("other", "int16", ("others", 2), "npy"),
    ),
    {"points": None, "others": None},
)
SIZES = [(7, 20, 30), (1, 1, 1), (0, 5, 5), (0, 0, 40), (3, 0, 0), (64, 64, 64), (2, 9, 1), (50, 1, 100)]


def pool(sizes, dtype=np.int32):
    count = sum(sizes)
    numbers = np.arange(count, dtype=dtype)
    return {
        "points": np.stack([numbers, numbers + 0.25, -numbers], -1).astype(np.float32), "number": numbers,
        "packed": numbers * 3, "code": numbers.astype(np.float32), "direction": angles(numbers),
        "round": numbers.astype(np.float16), "points_strata": np.cumsum([0, *sizes]),
        "other": np.stack([numbers, numbers], -1).astype(np.int16),
    }  # fmt: skip


@pytest.fixture(scope="module")
def pools(tmp_path_factory):
    records = [(f"p-{i}", pool(sizes), {}) for i, sizes in enumerate(SIZES)]
    groups = [records[:3], records[3:]]
    return write_set(tmp_path_factory.mktemp("pools"), {"pools": Rows(POOL, {"train": groups}, limit=2000)})


def one_epoch(root, epoch=0, **options):
    stream = Stream(root, **({"batch_size": 3} | options))
    stream.set_epoch(epoch)
    return list(stream)


def drawn(root, epoch=0, name="number", **options):
    """By key, the numbers drawn."""
    return {key: row for key, (row,) in by_key(one_epoch(root, epoch, **options), name).items()}


@pytest.mark.parametrize("count", [1, 7, 64, 500])
def test_fields_over_one_dimension_stay_aligned(pools, count):
    """Raw, compressed and stored as codes: each row is that of the same element."""
    for batch in one_epoch(pools, sample={"points": count}, batch_size=4):
        numbers = batch["number"].numpy()
        assert numbers.shape == (4, count) and batch["points"].shape == (4, count, 3) and "points.offsets" not in batch
        np.testing.assert_array_equal(batch["points"], np.stack([numbers, numbers + 0.25, -numbers], -1))
        np.testing.assert_array_equal(batch["packed"], 3 * numbers)
        np.testing.assert_array_equal(batch["code"], numbers)
        np.testing.assert_array_equal(batch["round"], numbers)
        np.testing.assert_allclose(batch["direction"], angles(numbers), atol=2e-3)
        assert batch["other"].shape == (batch["other.offsets"][-1], 2), "another dimension is not drawn from"


def strata_of(key, numbers):
    """How many of the numbers are in each stratum of the record."""
    return np.bincount(np.searchsorted(np.cumsum(SIZES[int(key[2:])]), numbers, side="right"), minlength=3)


def test_as_many_of_each_stratum_as_asked(pools):
    asked = {"near": 6, "inside": 2, 2: 9}
    for epoch in range(5):
        for key, numbers in drawn(pools, epoch, sample={"points": asked}).items():
            sizes = np.array(SIZES[int(key[2:])])
            assert len(numbers) == 17 and (numbers < sizes.sum()).all()
            found = strata_of(key, numbers)
            if sizes.all():
                assert found.tolist() == [2, 6, 9]
            assert not found[sizes == 0].any(), "nothing comes from an empty stratum"
            assert (found >= np.array([2, 6, 9]) * (sizes > 0)).all(), "others make up for what it cannot give"


def test_no_element_comes_twice_before_all_have_come(pools):
    for asked in ({"near": 30, "uniform": 4}, {"inside": 5}, 45):
        for key, numbers in drawn(pools, sample={"points": asked}).items():
            sizes, found = SIZES[int(key[2:])], strata_of(key, numbers)
            bounds = np.cumsum([0, *sizes])
            for stratum, count in enumerate(found):
                times = np.bincount(numbers, minlength=bounds[-1])[bounds[stratum] : bounds[stratum + 1]]
                if count:
                    assert times.max() - times.min() <= 1 and times.sum() == count


def test_a_number_takes_strata_in_their_own_proportions(pools):
    for key, numbers in drawn(pools, sample={"points": 30}).items():
        sizes = np.array(SIZES[int(key[2:])])
        np.testing.assert_array_less(np.abs(strata_of(key, numbers) - 30 * sizes / sizes.sum()), 1)


def test_one_draw_after_another_covers_the_pool_evenly(pools):
    stream = Stream(pools, fields=["number"], sample={"points": {"inside": 3, "uniform": 5}})
    counts, first = np.zeros(192), np.zeros((2, 64))
    for epoch in range(1000):
        stream.set_epoch(epoch)
        numbers = stream.get(["p-5"])["number"][0].numpy()
        counts[numbers] += 1
        first[0, numbers[0]] += 1
        first[1, numbers[3] - 128] += 1
    assert counts[:64].sum() == 3000 and counts[128:].sum() == 5000 and not counts[64:128].any()
    assert counts[:64].min() > 20 and counts[128:].min() > 40
    assert all(chisquare(each).pvalue > 1e-3 for each in first), "runs begin anywhere"


def test_records_and_epochs_draw_on_their_own(tmp_path):
    records = [(f"p-{i:03d}", pool((0, 0, 200)), {}) for i in range(60)]
    root = write_set(tmp_path, {"pools": Rows(POOL, {"train": [records]})})
    one, two = (drawn(root, epoch, sample={"points": 1}) for epoch in (0, 1))
    other = drawn(root, sample={"points": 1}, seed=1)
    starts = [np.array([numbers[key][0] for key in sorted(numbers)]) for numbers in (one, two, other)]
    assert all(len(np.unique(each)) > 40 for each in starts)
    assert max((a == b).sum() for a, b in [starts[:2], starts[1:], starts[::2]]) < 5
    assert abs(np.corrcoef(starts[0], starts[1])[0, 1]) < 0.4


@pytest.mark.parametrize("asked", [9, {"near": 4, "uniform": 5}])
def test_draws_do_not_depend_on_batch_size_threads_ranks_or_order(pools, asked):
    expected = drawn(pools, 3, sample={"points": asked}, threads=0, batch_size=8)
    for options in ({"batch_size": 1, "threads": 3}, {"batch_size": 5, "order": "sequential"}, {"checksums": False}):
        found = drawn(pools, 3, sample={"points": asked}, **options)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[key], expected[key]) for key in expected)
    parts = [drawn(pools, 3, sample={"points": asked}, rank=rank, world_size=3, batch_size=1) for rank in range(3)]
    for part in parts:
        assert all(np.array_equal(part[key], expected[key]) for key in part)


def test_a_resumed_epoch_draws_the_same(pools):
    batches = one_epoch(pools, sample={"points": 5})
    stream = Stream(pools, batch_size=3, sample={"points": 5})
    steps = iter(stream)
    next(steps)
    again = Stream(pools, batch_size=3, sample={"points": 5})
    again.load_state_dict(stream.state_dict())
    steps.close()
    for one, other in zip(batches[1:], again, strict=True):
        same_batch(one, other)


def test_records_by_key_draw_as_in_the_epoch(pools):
    stream = Stream(pools, sample={"points": 5}, seed=2)
    batch = stream.get(["p-5", "p-1"])
    expected = drawn(pools, sample={"points": 5}, seed=2)
    assert all(np.array_equal(batch["number"][row], expected[key]) for row, key in enumerate(batch["key"]))


def test_fixed_dimensions_are_drawn_from_too(tmp_path):
    schema = Schema(
        (
            Field("points", "float32", ("points", 2), "npy"),
            Field("label", "uint8", ("points",), "blosc"),
            Field("curve", "int64", ("points", "turns"), "npy"),
        ),
        {"points": 40, "turns": None},
    )
    records = []
    for i in range(6):
        label = np.arange(40, dtype=np.uint8)
        values = {"points": np.stack([label, label + i], -1).astype(np.float32), "label": label}
        values["curve"] = np.repeat(label[:, None].astype(np.int64), 1 + i % 3, axis=1)
        records.append((f"p-{i}", values, {}))
    root = write_set(tmp_path, {"pools": Rows(schema, {"train": [records]})})
    for batch in one_epoch(root, sample={"points": 12}):
        assert batch["points"].shape == (3, 12, 2) and batch["label"].shape == (3, 12)
        np.testing.assert_array_equal(batch["points"][..., 0], batch["label"])
        for row, key in enumerate(batch["key"]):
            number = int(key[2:])
            assert (batch["points"][row, :, 1] - batch["points"][row, :, 0] == number).all()
            low, high = batch["curve.offsets"][row : row + 2].tolist()
            curve = batch["curve"][low:high].reshape(batch["curve.shapes"][row].tolist())
            assert curve.shape == (12, 1 + number % 3)
            assert (curve == batch["label"][row][:, None]).all()


def test_pools_without_strata_go_round(tmp_path):
    schema = Schema((Field("number", "int64", ("points",), "npy"),), {"points": None})
    records = [(f"p-{n}", {"number": np.arange(n)}, {}) for n in (1, 2, 10, 33)]
    root = write_set(tmp_path, {"pools": Rows(schema, {"train": [records]})})
    begins = set()
    for epoch in range(150):
        for key, numbers in drawn(root, epoch, sample={"points": 25}).items():
            size = int(key[2:])
            assert ((np.diff(numbers) - 1) % size == 0).all()
            begins.add((size, int(numbers[0])))
    assert {(1, 0), (2, 0), (2, 1)} <= begins and len([x for x in begins if x[0] == 10]) == 10


@pytest.mark.parametrize("strata", [False, True])
def test_an_empty_pool_is_an_error_that_names_the_record(tmp_path, strata):
    """There is nothing that could be given instead; never memory of any content."""
    fields = POOL.fields if strata else POOL.fields[:6]
    schema = Schema(fields, POOL.dimensions)
    records = [
        (f"p-{i}", {x.name: pool(sizes)[x.name] for x in fields}, {}) for i, sizes in enumerate([(1, 2, 3), (0,) * 3])
    ]
    root = write_set(tmp_path, {"pools": Rows(schema, {"train": [records]})})
    with pytest.raises(FormatError, match=r"'?points'?.* is empty"):
        one_epoch(root, sample={"points": 4}, batch_size=2)
    with pytest.raises(FormatError, match="p-1"):
        one_epoch(root, sample={"points": 4}, batch_size=2)
    batches = one_epoch(root, sample={"points": 4}, batch_size=2, on_error="skip")
    assert [batch["key"] for batch in batches] == [["p-0", "p-0"]] and batches[0]["repeat"].sum() == 1


VIEWS = Schema(
    (Field("own", "int64", (), "npz"),),
    references=(Reference("subject", "pools"), Reference("near", "pools", many=True)),
)


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """Views of the pools; every fourth has no subject, every third no neighbours."""
    pools = [(f"p-{i}", pool(sizes), {}) for i, sizes in enumerate(SIZES)]
    records = []
    for i in range(24):
        subject = None if i % 4 == 3 else f"p-{i % 8}"
        near = [] if i % 3 == 0 else [f"p-{(i + k) % 8}" for k in range(i % 5)]
        records.append((f"v-{i:02d}", {"own": np.int64(i)}, {"subject": subject, "near": near}))
    tables = {"views": Rows(VIEWS, {"train": [records]}), "pools": Rows(POOL, {"train": [pools]}, limit=2000)}
    return write_set(tmp_path_factory.mktemp("views"), tables)


FIELDS = ["own", "subject.number", "subject.points", "subject.direction", "near.number", "near.code"]


@pytest.mark.parametrize("asked", [11, {"inside": 3, "uniform": 8}])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_pools_behind_references_are_drawn_from(views, asked, batch_size):
    sample = {"subject.points": asked, "near.points": 4}
    options = {"table": "views", "fields": FIELDS, "sample": sample, "batch_size": batch_size}
    for batch in one_epoch(views, **options):
        assert batch["subject.points"].shape == (batch_size, 11, 3)
        bounds = batch["near.offsets"].tolist()
        assert batch["near.number"].shape == batch["near.code"].shape == (bounds[-1], 4)
        np.testing.assert_array_equal(batch["near.number"], batch["near.code"])
        for row, key in enumerate(batch["key"]):
            number = int(key[2:])
            there = number % 4 != 3
            numbers = batch["subject.number"][row].numpy()
            assert batch["subject.number.present"][row] == there
            np.testing.assert_array_equal(batch["subject.points"][row, :, 0], numbers)
            if not there:
                assert not numbers.any()
                continue
            np.testing.assert_allclose(batch["subject.direction"][row], angles(numbers), atol=2e-3)
            sizes = np.array(SIZES[number % 8])
            if isinstance(asked, dict) and sizes[[0, 2]].all():
                assert strata_of(f"p-{number % 8}", numbers).tolist() == [3, 0, 8]


def test_records_that_share_a_subject_draw_on_their_own(views):
    found = drawn(
        views, name="subject.number", table="views", fields=FIELDS, sample={"subject.points": 3, "near.points": 1}
    )
    shared = [tuple(found[f"v-{i:02d}"]) for i in (5, 13, 21)]  # all of the pool with 192 elements
    assert len(set(shared)) == 3
