"""Blocks of the stored grid: points in order, near the surface."""

import numpy as np
import pytest
from tessera.datasets import Field
from tessera.datasets.errors import SchemaError, UsageError
from tessera.datasets.storage import Barycentric
from tessera.datasets.transforms._mirror import mirror_kind
from tessera.datasets.transforms.grid_block import NEAR, GridBlock

SIDE, HALF = 32, 0.9


@pytest.fixture
def record() -> dict[str, np.ndarray]:
    """Distances to a ball of 40 cm about the origin."""
    axis = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1) * HALF
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    distance = (np.linalg.norm(places, axis=-1) - 0.4).astype(np.float16)
    numbers = np.arange(SIDE**3, dtype=np.uint16).reshape(SIDE, SIDE, SIDE)
    return {
        "subject.grid": distance, "subject.grid_body_face": numbers,
        "subject.grid_body_bary": np.repeat(numbers[..., None], 3, -1).astype(np.float32),
        "subject.cube_half_side": np.float64(HALF), "mask": np.ones((4, 4), bool),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_points_lie_where_their_distances_are_and_the_block_is_near_the_surface(record, seed):
    made = GridBlock(8)(record, np.random.default_rng(seed))
    points, sdf = made["subject.points"], made["subject.sdf"]
    assert points.shape == (512, 3) and sdf.shape == (512,) and made["subject.body_bary"].shape == (512, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1) - 0.4, sdf, atol=2e-3)
    cell = 2 * HALF / SIDE
    middle = points.reshape(8, 8, 8, 3)[4, 4, 4]
    assert abs(np.linalg.norm(middle) - 0.4) < NEAR * cell + 1e-3
    steps = np.diff(points.reshape(8, 8, 8, 3), axis=2)[..., 2]
    np.testing.assert_allclose(steps, cell, rtol=1e-4)  # z fastest
    np.testing.assert_array_equal(made["subject.body_bary"][:, 0].astype(int), made["subject.body_face"])
    assert "subject.grid" not in made and "mask" in made and "subject.cube_half_side" in made


def test_a_bound_block_tells_the_stream_what_becomes_of_the_grids():
    block = GridBlock(4)
    shape = ("grid", "grid", "grid")
    block.bind({
        "subject.grid": Field("grid", "float16", shape, "blosc"),
        "subject.grid_body_face": Field("grid_body_face", "uint16", shape, "blosc"),
    })  # fmt: skip
    assert block.changes["subject.grid"] is None and block.changes["subject.body_face"].dtype == "uint16"
    assert "subject.body_bary" not in block.changes and block.changes["subject.sdf"].shape == ("points",)


def test_a_block_as_large_as_the_grid_is_all_points_in_order(record):
    made = GridBlock(SIDE)(record, np.random.default_rng(3))
    np.testing.assert_array_equal(made["subject.sdf"], record["subject.grid"].reshape(-1))
    np.testing.assert_allclose(np.linalg.norm(made["subject.points"], axis=1) - 0.4, made["subject.sdf"], atol=2e-3)
    assert made["subject.points"].dtype == np.float32 and made["subject.points"].flags.c_contiguous
    np.testing.assert_allclose(made["subject.points"][[0, -1]], [[-HALF + HALF / SIDE] * 3, [HALF - HALF / SIDE] * 3])


def test_a_record_of_a_subject_itself_has_no_prefix(record):
    own = {name.removeprefix("subject."): array for name, array in record.items()}
    made, of_view = (
        GridBlock(8, name)(each, np.random.default_rng(1)) for name, each in (("", own), ("subject", record))
    )
    assert {f"subject.{name}" for name in made if name != "mask"} == set(of_view) - {"mask"}
    np.testing.assert_array_equal(made["points"], of_view["subject.points"])


def test_a_block_that_is_larger_than_the_grid_is_refused(record):
    with pytest.raises(SchemaError, match=r"33 points a side, but `subject.grid` has 32"):
        GridBlock(33)(record, np.random.default_rng(0))
    for side in (0, -1, True):
        with pytest.raises(ValueError, match="1 or more"):
            GridBlock(side)


def test_what_a_record_lacks_is_named(record):
    with pytest.raises(SchemaError, match=r"lacks subject.cube_half_side"):
        GridBlock(4)({"subject.grid": record["subject.grid"]}, np.random.default_rng(0))


def test_points_of_the_pool_beside_the_grid_s_are_refused():
    pool = Field("points", "float32", ("points", 3), "npy", "metre", "world")
    grid = Field("grid", "float16", ("grid", "grid", "grid"), "blosc")
    with pytest.raises(UsageError, match=r"leave subject\.points out"):
        GridBlock(4).bind({"subject.grid": grid, "subject.points": pool})


def test_a_mirror_that_follows_knows_what_the_points_are():
    shape, block = ("grid", "grid", "grid"), GridBlock(4)
    block.bind({
        "subject.grid": Field("grid", "float16", shape, "blosc", "metre", "world"),
        "subject.grid_body_face": Field("grid_body_face", "uint16", shape, "blosc"),
        "subject.grid_body_bary": Field("grid_body_bary", "float32", (*shape, 3), "blosc", storage=Barycentric(8)),
    })  # fmt: skip
    kinds = {name: mirror_kind(name, entry) for name, entry in block.changes.items() if entry}
    assert kinds == {"subject.points": "vector", "subject.sdf": "same", "subject.body_face": "refused",
                     "subject.body_bary": "same"}  # fmt: skip
