"""Covisibility of the frames of a scene: which frames see the same surfaces, and where.

C_ij is the share of frame i's measured pixels that frame j sees (state VISIBLE); the covisibility of a pair is the
smaller of C_ij and C_ji, so that a close-up inside a wide view counts as little as it shares.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...datasets.visibility import NEIGHBOURS, ViewState, pack_visibility
from .scene_view import SceneView
from .visibility import TAU, axis_states, pixel_points, view_points

VERSION = 2  # raised whenever a neighbour, a covisibility or a state changes

SAMPLES = 768  # of a frame's pixels
LEAST = 0.01  # covisibility below which a frame is nobody's neighbour

# Steps of the two-dimensional golden-ratio sequence (powers of the root of g^3 = g + 1; M. Roberts, 2018). Its samples
# hardly ever share a row or column, so that the strip that a slightly moved camera loses at an edge is measured to its
# share; a square grid of as many pixels loses a whole row of 24 or none.
_STEPS = np.float64(1.324717957244746) ** -np.array([1, 2])

Float = NDArray[np.float32]
States = NDArray[np.uint8]


def covisibility_matrix(views: Sequence[SceneView], samples: int = SAMPLES, tau: float = TAU) -> Float:
    """Covisibility of all pairs of frames, from a sample of each frame's pixels.

    The sample is fixed and spread evenly; its points are looked up in the targets' full pictures. Work grows with the
    square of the number of frames, memory with the number of samples (some 50 bytes each).

    Args:
        views: F frames of one scene.
        samples: pixels used of each frame.
        tau: relative tolerance of visibility.

    Returns:
        (F, F) float32 in [0, 1], symmetric, 1 on the diagonal; 0 for pairs with a frame that measured nothing.
    """
    clouds = [_sampled_points(view, samples) for view in views]
    frame = np.repeat(np.arange(len(views)), [cloud.shape[1] for cloud in clouds])
    points = np.concatenate([np.empty((3, 0), np.float32), *clouds], axis=1)
    measured = np.isfinite(points[0])
    points, frame = points[:, measured], frame[measured]
    valid = np.maximum(np.bincount(frame, minlength=len(views)), 1)
    share = np.empty((len(views), len(views)), np.float32)
    for j, target in enumerate(views):
        visible = axis_states(points, target, tau) == ViewState.VISIBLE
        share[:, j] = np.bincount(frame[visible], minlength=len(views)) / valid
    matrix = np.minimum(share, share.T)
    np.fill_diagonal(matrix, 1)
    return matrix


def _sampled_points(view: SceneView, samples: int) -> Float:
    """World points (3, N) of `samples` pixels spread evenly over a frame, or of all if it has no more."""
    height, width = view.distance.shape
    if samples >= view.distance.size:
        return view_points(view)
    column, row = (np.arange(1, samples + 1)[:, None] * _STEPS % 1 * (width, height)).astype(np.int64).T
    return pixel_points(view, row, column)


def best_neighbours(matrix: Float, count: int = NEIGHBOURS, least: float = LEAST) -> list[NDArray[np.int64]]:
    """The frames that share most with each frame.

    Args:
        matrix: (F, F) covisibility.
        count: most neighbours of a frame.
        least: smallest covisibility of a neighbour.

    Returns:
        for each frame, up to `count` indices of other frames, best first, the lower index first among equals.
    """
    others = matrix.copy()
    np.fill_diagonal(others, -1)
    order = np.argsort(-others, axis=1, kind="stable")[:, :count]
    return [row[others[i, row] >= least] for i, row in enumerate(order)]


def frame_visibility(
    view: SceneView, targets: Sequence[SceneView], tau: float = TAU
) -> tuple[States, NDArray[np.float32]]:
    """Visibility of every pixel of a frame in its neighbours, and its exact covisibility with each.

    Args:
        view: a frame of (h, w) pixels.
        targets: its neighbours, at most 4.
        tau: relative tolerance of visibility.

    Returns:
        (h, w) uint8, packed as `unpack_visibility` expects; (targets,) float32 symmetric covisibility over all pixels.

    Raises:
        ValueError: more than four targets.
    """
    points = view_points(view)
    states = np.empty((len(targets), *view.distance.shape), np.uint8)
    shared = np.empty(len(targets), np.float32)
    for k, target in enumerate(targets):
        states[k] = axis_states(points, target, tau).reshape(view.distance.shape)
        theirs = view_points(target)
        back = axis_states(theirs, view, tau)
        shared[k] = min(_visible_share(states[k], points), _visible_share(back, theirs))
    return pack_visibility(states), shared


def _visible_share(states: States, points: Float) -> float:
    """Share of the measured among points (3, N) that is VISIBLE; 0 where none is measured."""
    measured = int(np.count_nonzero(np.isfinite(points[0])))
    return int(np.count_nonzero(states == ViewState.VISIBLE)) / max(measured, 1)
