"""Who stands there: shapes, poses and hands of the demo's people, as fits of THuman2.0 have them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...bodies.joints import SMPLX_JOINTS

Floats = NDArray[np.float64]
_DOWN = {"left_shoulder": (0, 0.1, -1.0), "right_shoulder": (0, -0.1, 1.0)}
POSES: tuple[Mapping[str, Sequence[float]], ...] = (
    _DOWN | {"left_elbow": (0, -0.3, -0.1), "right_elbow": (0, 0.3, 0.1)},
    _DOWN | {"left_hip": (-0.5, 0, 0.1), "left_knee": (0.6, 0, 0), "right_hip": (0.25, 0, -0.05),
             "right_knee": (0.25, 0, 0), "left_elbow": (0, -0.9, 0), "right_shoulder": (0.3, 0.2, 0.95)},
    {"left_shoulder": (0, 0, -0.2), "right_shoulder": (0, 0, 0.9), "left_elbow": (0, -0.5, 0),
     "spine2": (0, 0.3, 0), "head": (0, 0.4, 0), "right_elbow": (0, 1.2, 0)},
    _DOWN | {"left_shoulder": (0.2, -0.6, -0.5), "left_elbow": (0, -1.7, 0), "right_hip": (0, 0, -0.25),
             "left_hip": (0, 0, 0.25), "spine1": (0.15, 0, 0)},
    {"left_shoulder": (0, 0, 0.9), "left_elbow": (0, -0.4, 0), "right_shoulder": (0, 0.2, 1.05),
     "left_collar": (0, 0, 0.3), "right_hip": (-0.2, 0, 0), "right_knee": (0.4, 0, 0), "neck": (-0.2, 0, 0)},
    {"left_hip": (-1.0, 0, 0.15), "right_hip": (-1.0, 0, -0.15), "left_knee": (1.5, 0, 0), "right_knee": (1.5, 0, 0),
     "spine1": (0.4, 0, 0), "left_ankle": (-0.4, 0, 0), "right_ankle": (-0.4, 0, 0),
     "left_shoulder": (0, -0.9, -0.7), "right_shoulder": (0, 0.9, 0.7)},
)  # fmt: skip


def person(number: int, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Parameters of a person as a fit file has them: (1, n) float32 each, hands by twelve numbers.

    Args:
        number: which; poses come in turn.
        rng: keyed generator of this person.
    """
    body = np.zeros((21, 3))
    for joint, turn in POSES[number % len(POSES)].items():
        body[SMPLX_JOINTS.index(joint) - 1] = turn
    body[: 20 - 1] += rng.normal(scale=0.04, size=(19, 3))
    grip = rng.uniform(0.0, 3.0, 2)
    hands = rng.normal(scale=0.25, size=(2, 12))
    hands[:, 0] += grip
    found = {
        "betas": np.clip(rng.normal(scale=0.9, size=10), -1.8, 1.8),
        "global_orient": rng.normal(scale=0.05, size=3) + np.array([0, rng.uniform(-0.4, 0.4), 0]),
        "body_pose": body.reshape(-1),
        "left_hand_pose": hands[0], "right_hand_pose": hands[1],
        "jaw_pose": np.array([rng.uniform(0, 0.08), 0, 0]),
        "leye_pose": np.zeros(3), "reye_pose": np.zeros(3),
        "expression": rng.normal(scale=0.5, size=10),
    }  # fmt: skip
    return {name: value.astype(np.float32)[None] for name, value in found.items()}
