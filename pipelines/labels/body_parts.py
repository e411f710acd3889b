"""Parts of a body: which of them a vertex belongs to, and what a face of the scan near it is a face of."""

import numpy as np
from numpy.typing import NDArray

from ...datasets.joints import JOINT_SETS

VERSION = 1  # raised whenever a part changes
PARTS = JOINT_SETS["smpl24"].joints  # a part is what moves with a joint of SMPL; SMPL-X's fingers belong to the hands
HEAD, HANDS, FEET = PARTS.index("head"), ("wrist", "hand"), ("ankle", "foot")
SMPLX_JOINTS = 55
FACE_REACH = 0.025  # metres around the landmarks that are the face: it ends before the ears
Floats = NDArray[np.float64]


def vertex_parts(weights: Floats) -> NDArray[np.uint8]:
    """(V,) part of each vertex: of the joints that move it, the one that moves it most.

    Args:
        weights: (V, 24) skinning weights of SMPL, or (V, 55) of SMPL-X.
    """
    if weights.shape[1] == SMPLX_JOINTS:
        left, right = (np.arange(25, 40), np.arange(40, 55))
        parts = np.arange(SMPLX_JOINTS)
        parts[22:25] = HEAD  # jaw and eyes
        parts[left], parts[right] = PARTS.index("left_hand"), PARTS.index("right_hand")
        gathered = np.zeros((len(weights), len(PARTS)))
        np.add.at(gathered.T, parts, weights.T)
        weights = gathered
    return weights.argmax(1).astype(np.uint8)


def face_vertices(template: Floats, parts: NDArray[np.uint8], landmarks: Floats) -> NDArray[np.bool_]:
    """(V,) vertices of the face proper: of the head, and near landmarks of brows, eyes, nose and mouth.

    Args:
        template: (V, 3) vertices at rest, metres.
        parts: (V,) their parts.
        landmarks: (n, 3) on the template; where there are none, the front half of the head is the face.
    """
    head = parts == HEAD
    if not len(landmarks):
        middle = template[head, 2].mean() if head.any() else 0.0
        return head & (template[:, 2] > middle)
    distance = np.linalg.norm(template[:, None] - landmarks[None], axis=2).min(1)
    return head & (distance < FACE_REACH)


def face_regions(parts: NDArray[np.uint8], face: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(V,) number of each vertex's region in `scan_pool.REGIONS`: 0 body, 1 face, 2 hands, 3 feet."""
    named = np.array([name.removeprefix("left_").removeprefix("right_") for name in PARTS])
    region = np.where(np.isin(named, HANDS), 2, np.where(np.isin(named, FEET), 3, 0))
    return np.where(face, 1, region[parts]).astype(np.uint8)


def canonical_colours(template: Floats) -> Floats:
    """(V, 3) places at rest as colours, each axis from 0 to 1: ICON's and PaMIR's `cmap`.

    Args:
        template: (V, 3) vertices at rest.
    """
    low, high = template.min(0), template.max(0)
    return (template - low) / (high - low)
