"""Blocks that cover the grid's lattice once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.training.engines.implicit.grid_surface import blocks


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
