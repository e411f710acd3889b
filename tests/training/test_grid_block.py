"""Blocks of the stored grid: points in order, near the surface, and blocks that cover the lattice once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets import Field
from tessera.training.engines.implicit.grid_block import NEAR, GridBlock
from tessera.training.engines.implicit.grid_surface import blocks

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


@settings(deadline=None, max_examples=40)
@given(st.integers(10, 40), st.integers(0, 5), st.integers(40, 48))
def test_blocks_write_each_point_once_and_read_whole_cubes_around_it(side, halo, cells):
    written = np.zeros((cells,) * 3, int)
    halo_used = min(halo, (side - 1) // 2)
    for read, write, inner in blocks(side, cells, halo):
        written[write] += 1
        for r, w, i in zip(read, write, inner, strict=True):
            assert r.stop - r.start == side and r.start >= 0 and r.stop <= cells
            assert (w.start - r.start, w.stop - r.start) == (i.start, i.stop)
            assert w.start == 0 or w.start - r.start >= halo_used
            assert w.stop == cells or r.stop - w.stop >= halo_used
    assert (written == 1).all()
