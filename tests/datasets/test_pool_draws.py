"""The references' balances of points, and what a stream draws by them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.datasets import Field, Reference, Schema, Stream, UsageError
from tessera.datasets.pool_draws import icon_balance, pifu_balance
from tessera.pipelines.labels.scan_pool import STRATA

from .stream_data import NUMBERS, Rows, write_set

POOL = Schema(
    (
        Field("points", "float32", ("points", 3), "npy", "metre", "world"),
        Field("sdf", "float16", ("points",), "npy", "metre"),
        Field("points_strata", "int32", (len(STRATA) + 1,), "npz", options={"strata": list(STRATA)}),
    ),
    {"points": None},
)


@given(st.integers(1, 100_000), st.sampled_from([icon_balance, pifu_balance]))
def test_half_inside_and_sixteen_near_to_one_uniform(count, balance):
    drawn = balance(count)
    assert sum(drawn.values()) == count and set(drawn) <= set(STRATA) and min(drawn.values()) > 0
    for side, half in (("inside", count // 2), ("outside", count - count // 2)):
        near, uniform = drawn.get(f"near_5cm_{side}", 0), drawn.get(f"uniform_{side}", 0)
        assert near + uniform == half and abs(near - half * 16 / 17) <= 0.5
    assert sum(drawn.get(f"{kind}_inside", 0) for kind in ("near_5cm", "uniform")) <= count / 2  # theirs: at most half


def test_the_references_numbers():
    assert icon_balance() == {
        "near_5cm_inside": 3765, "uniform_inside": 235, "near_5cm_outside": 3765, "uniform_outside": 235,
    }  # fmt: skip
    assert sum(pifu_balance().values()) == 5000


@pytest.mark.parametrize("count", [0, -1, 2.5, True, "8000"])
def test_counts_that_are_none_are_refused(count):
    with pytest.raises(UsageError, match="count"):
        icon_balance(count)


def pool(seed):
    """A pool whose points tell their stratum and their own number."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(20, 90, len(STRATA))
    stratum = np.repeat(np.arange(len(STRATA)), sizes)
    points = np.stack([stratum, np.arange(len(stratum)), np.full(len(stratum), seed)], 1).astype(np.float32)
    sdf = np.where(stratum % 2, 0.1, -0.1).astype(np.float16)
    return {"points": points, "sdf": sdf, "points_strata": np.cumsum([0, *sizes]).astype(np.int32)}


@pytest.mark.parametrize(("balance", "count"), [(icon_balance, 340), (pifu_balance, 101)])
def test_a_stream_draws_by_them_over_a_reference(tmp_path, balance, count):
    views = Schema(NUMBERS.fields, references=(Reference("subject", "subjects"),))
    subjects = [(f"s{i}", pool(i), {}) for i in range(4)]
    looks = [(f"s{i}-{k}", {"number": np.int64(k)}, {"subject": f"s{i}"}) for i in range(4) for k in range(2)]
    root = tmp_path / "people"
    write_set(root, {"subjects": Rows(POOL, {"train": [subjects]}), "views": Rows(views, {"train": [looks]})})
    sample = {"subject.points": balance(count)}
    stream = Stream(root, "views", "train", ["subject.points", "subject.sdf"], sample=sample, threads=0)
    (batch,) = stream
    assert batch["subject.points"].shape == (8, count, 3)
    for row, key in enumerate(batch["key"]):
        points = batch["subject.points"][row].numpy()
        found = {STRATA[s]: int((points[:, 0] == s).sum()) for s in np.unique(points[:, 0]).astype(int)}
        assert found == balance(count) and (points[:, 2] == int(key[1])).all()
        assert int((batch["subject.sdf"][row] < 0).sum()) == count // 2
