"""How the hands of the stand-in bend: 45 directions of pose each, the first of which are grips."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

JOINTS, THUMB = 15, 4  # three for index, middle, pinky, ring, thumb
CURL = 0.15  # radians that fingers are bent by when relaxed


def hand_components() -> dict[str, NDArray[Any]]:
    """`hands_componentsl/r` (45, 45), orthonormal rows, and `hands_meanl/r` (45,), axis-angle radians.

    In the T pose fingers point to the side and palms look down: they bend about the z axis. The first row bends all
    fingers, five more bend one finger each, five spread them, and then come all other directions.
    """
    bend = np.zeros((JOINTS, 3))
    bend[:, 2] = -1.0
    bend[3 * THUMB :] = [0, -1.0, 0]  # the thumb bends towards the palm's side
    rows = [bend.reshape(-1)]
    for finger in range(5):
        one = np.zeros((JOINTS, 3))
        one[3 * finger : 3 * finger + 3] = bend[3 * finger : 3 * finger + 3]
        rows.append(one.reshape(-1))
    for finger in range(5):
        one = np.zeros((JOINTS, 3))
        one[3 * finger, 1] = 1.0 if 3 * finger < 3 * THUMB else 0.0
        one[3 * finger, 0] += finger == THUMB
        rows.append(one.reshape(-1))
    basis: list[NDArray[np.float64]] = []
    for row in [*rows, *np.eye(3 * JOINTS)]:  # Gram and Schmidt
        rest = row - sum((row @ other) * other for other in basis) if basis else row
        if np.linalg.norm(rest) > 1e-6 and len(basis) < 3 * JOINTS:
            basis.append(rest / np.linalg.norm(rest))
    left = np.stack(basis)
    mirror = np.tile([1.0, -1.0, -1.0], JOINTS)  # of a rotation in the plane x = 0
    mean = CURL * bend.reshape(-1)
    return {"hands_componentsl": left, "hands_componentsr": left * mirror,
            "hands_meanl": mean, "hands_meanr": mean * mirror}  # fmt: skip
