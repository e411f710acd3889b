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
def test_half_inside_and_uniform_as_rare_as_in_what_the_references_keep(count, balance):
    drawn = balance(count)
    assert sum(drawn.values()) == count and set(drawn) <= set(STRATA) and min(drawn.values()) > 0
    for side, half, of in (("inside", count // 2, 500), ("outside", count - count // 2, 10)):
        near, uniform = drawn.get(f"near_5cm_{side}", 0), drawn.get(f"uniform_{side}", 0)
        assert near + uniform == half and abs(uniform - half / of) <= 0.5
    assert sum(drawn.get(f"{kind}_inside", 0) for kind in ("near_5cm", "uniform")) <= count / 2  # theirs: at most half


def test_the_references_numbers():
    assert icon_balance() == {
        "near_5cm_inside": 3992, "uniform_inside": 8, "near_5cm_outside": 3600, "uniform_outside": 400,
    }  # fmt: skip
    assert sum(pifu_balance().values()) == 5000


def test_the_shares_are_those_of_the_references_rule():
    """Their rule played on a body of discs in a slab: 4 N near and N / 4 uniform, shuffled, half kept of each side."""
    rng, count = np.random.default_rng(0), 400_000
    radii = np.array([0.15, 0.08, 0.08, 0.045, 0.045])  # metres: torso, legs, arms
    centres = np.array([[0, 0], [-0.5, 0], [0.5, 0], [-0.8, 0], [0.8, 0]])
    which = rng.choice(5, 4 * count, p=radii / radii.sum())
    angle = rng.uniform(0, 2 * np.pi, 4 * count)
    near = centres[which] + radii[which, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    near += rng.normal(scale=0.05, size=near.shape)
    half_side = np.sqrt((np.pi * radii**2).sum() / 0.012) / 2  # the person fills 1.2 % of the cube
    points = np.concatenate([near, rng.uniform(-half_side, half_side, (count // 4, 2))])
    uniform = np.arange(len(points)) >= 4 * count
    inside = (np.linalg.norm(points[:, None] - centres, axis=2) < radii).any(1)
    for side, found in (("inside", uniform[inside].mean()), ("outside", uniform[~inside].mean())):
        drawn = icon_balance(8000)
        assert drawn[f"uniform_{side}"] / 4000 == pytest.approx(found, rel=0.3)


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
