"""Parameters of a body model in one row: how records keep them, and how to take them apart."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import FormatError

# In the order of a row. Radians (axis-angles, hands relative to flat ones) and metres of the model.
BODY_PARAMS: dict[str, dict[str, int]] = {
    "smplx": {"betas": 10, "expression": 10, "global_orient": 3, "body_pose": 63, "left_hand_pose": 45,
              "right_hand_pose": 45, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "transl": 3},
    "smpl": {"betas": 10, "global_orient": 3, "body_pose": 69, "transl": 3},
}  # fmt: skip
SIZES = {kind: sum(sizes.values()) for kind, sizes in BODY_PARAMS.items()}


def join_params(kind: str, values: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    """Rows (..., 188) of SMPL-X or (..., 85) of SMPL of its parameters by name, each (..., n)."""
    return np.concatenate([np.asarray(values[name], np.float64) for name in BODY_PARAMS[kind]], -1)


def split_params(rows: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Parameters by name, each (..., n), of rows `body_params` (..., 188) of SMPL-X or (..., 85) of SMPL.

    They are what the `smplx` package takes, with `use_pca=False, flat_hand_mean=True`. A body of the record is the
    model's vertices times `body_scale`, plus `body_translation`.

    Raises:
        FormatError: rows of another length.
    """
    given = np.asarray(rows, np.float64)
    kind = next((kind for kind, size in SIZES.items() if given.shape[-1:] == (size,)), None)
    if kind is None:
        raise FormatError(f"body parameters of shape {given.shape}: rows have {SIZES} numbers")
    ends = np.cumsum(list(BODY_PARAMS[kind].values()))
    return dict(zip(BODY_PARAMS[kind], np.split(given, ends[:-1], -1), strict=True))
