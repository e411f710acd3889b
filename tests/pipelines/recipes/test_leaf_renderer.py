"""The tests' renderer of leaves against boxes cut one by one, and compositing against sums by hand."""

import numpy as np

from .leaf_renderer import Crossings, Leaves, composite, cross
from .losses import torch


def test_crossings_are_those_of_boxes_one_by_one() -> None:
    rng = np.random.default_rng(3)
    rows = np.full((6, 5, 4), -1, np.int32)
    rows[rng.random(rows.shape) < 0.3] = 0
    rows[rows == 0] = np.arange((rows == 0).sum())
    leaves = Leaves(0.5, np.array([-3, 2, 0]), rows, torch.zeros(int(rows.max()) + 1, 3))
    origin = rng.uniform(-3, 4, (40, 3))
    origin[::2] = rng.uniform([-1.5, 1, 0], [1.5, 3.5, 2], (20, 3))
    direction = rng.uniform([-1.5, 1, 0], [1.5, 3.5, 2], (40, 3)) - origin
    direction[::4, 0], direction[2::8, 1:] = 0, 0  # along planes and axes
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    found = cross(leaves, origin, direction)
    seen = 0
    for ray in range(40):
        expected = []
        for cell in np.argwhere(rows >= 0):
            low = (cell + leaves.low) * leaves.voxel
            with np.errstate(divide="ignore"):
                slabs = np.sort([(low - origin[ray]) / direction[ray], (low + 0.5 - origin[ray]) / direction[ray]], 0)
            enter, leave = max(slabs[0].max(), 0), slabs[1].min()
            if leave > enter:
                expected.append((enter, leave, rows[tuple(cell)]))
        count, expected = len(expected), sorted(expected)
        np.testing.assert_array_equal(found.leaf[ray, :count], [leaf for *_, leaf in expected])
        np.testing.assert_allclose(found.enter[ray, :count], [x for x, *_ in expected], atol=1e-5)
        np.testing.assert_allclose(found.leave[ray, :count], [x for _, x, _ in expected], atol=1e-5)
        assert (found.leaf[ray, count:] == -1).all() and found.hit[ray] == (count > 0)
        seen += count
    assert seen > 40


def test_compositing_fades_by_the_alpha_of_what_lies_before() -> None:
    leaf = torch.tensor([[2, 0, 1, -1], [-1, -1, -1, -1]])
    enter = torch.tensor([[1.0, 2.0, 3.0, 9.0], [0.0, 0.0, 0.0, 0.0]])
    alpha, colour = torch.tensor([0.5, 1.0, 0.25]), torch.eye(3)
    seen, distance, opacity = composite(Crossings(leaf, enter, enter + 1), alpha, colour)
    torch.testing.assert_close(seen, torch.tensor([[0.375, 0.375, 0.25], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(distance, torch.tensor([1.5 * 0.25 + 2.5 * 0.375 + 3.5 * 0.375, 0.0]))
    torch.testing.assert_close(opacity, torch.tensor([1.0, 0.0]))
