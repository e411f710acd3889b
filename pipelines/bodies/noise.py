"""Noise variants of a fit: bodies that are as wrong as those that a network estimates from a picture.

The joints and the amounts are those of ICON's training (Y. Xiu et al., "ICON: Implicit Clothed humans Obtained from
Normals", 2022), which drew them anew for each view. Here a subject has a few, and all labels of each belong together.
The joints' numbers are those of SMPL and SMPL-X alike.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

JOINTS = (4, 5, 7, 8, 13, 14, 16, 17, 18, 19, 20, 21)  # knees, ankles, collars, shoulders, elbows, wrists
POSE, SHAPE = 0.05, 0.5  # of pi radians; of a standard deviation
Parameters = dict[str, NDArray[np.float64]]


def noisy(
    parameters: Mapping[str, NDArray[np.float64]], rng: np.random.Generator, pose: float = POSE, shape: float = SHAPE
) -> Parameters:
    """A variant of a fit: pose and shape with uniform noise, everything else as it is.

    Args:
        parameters: of the fit, `body_pose` radians, (63,) of SMPL-X or (69,) of SMPL, and `betas` (10,) among them.
        rng: keyed generator of this variant.
        pose: largest noise of an axis-angle number, in units of pi.
        shape: largest noise of a shape weight.
    """
    body = parameters["body_pose"].copy()
    rows = np.array(JOINTS) - 1  # the root has its own field
    numbers = (3 * rows[:, None] + np.arange(3)).reshape(-1)
    body[numbers] += rng.uniform(-np.pi * pose, np.pi * pose, len(numbers))
    betas = parameters["betas"] + rng.uniform(-shape, shape, parameters["betas"].shape)
    return {**parameters, "body_pose": body, "betas": betas}
