"""How arrays change when a scene is mirrored, x to -x in every frame: the rule by schema entry, and the arithmetic."""

import re
from collections.abc import Callable, Container
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schema import Field
from ..storage import Barycentric
from ._fields import are_positions, is_picture, measured_in

# laid out along a frame's axes, or raw
LAID_OUT = ("octree_", "voxel_blocks", "voxel_states", "probe_radiance", "probe_mask", "raw_")
# of bodies: parameters in one row, what left and right are the names of (numbers of faces, whose colours and parts have
# sides), and the references' own units
BODIES = re.compile(
    r"body_params|body_face|body_volume|grid(_body_\w+)?|(\w+_)?parts?|body_(normal|depth)_[lr]|\w+_translation_180"
)
VECTORS = ("metre", "unit vector")
DEGREES = re.compile(r"deg(ree)?s?( per .*)?")
# words of names: what turns (`body_pose`, `rot6d`, `quaternion`, `global_orient`), and what only tells how good it is
TURNS = re.compile(r"quat\w*|rot(?!or|ated)\w*|\w*poses?(\d\w*)?|orient(ation)?s?|euler\w*|thetas?")
QUALITY = re.compile(r"(conf|valid|visib|weight|score|error|mask|heat)\w*")
Change = Callable[[NDArray[Any], int], NDArray[Any]]  # an array and the picture's width to the mirrored array


def mirror_kind(name: str, field: Field, joints: Container[str] = ()) -> str:
    """Which of `CHANGES` mirrors a field; "same" where a mirror changes nothing, "refused" where nobody knows.

    Args:
        name: the field's name in the batch.
        field: its schema entry.
        joints: dimensions that count joints, beside those whose names end so.
    """
    kind = _kind(name, field)
    if kind == "same" and _is_of_joints(field, joints) and not _named(name, QUALITY):
        return "refused"  # a joint's quaternion, 6 numbers of a rotation, two angles, ...: a scalar each would stay
    known = kind in ("intrinsics", "matrix", "pixels", "axis_angle") or measured_in(field, "metre")
    if not known and _named(name, TURNS) and not _named(name, QUALITY) and field.dtype.startswith("float"):
        return "refused"
    return kind


def _named(name: str, words: re.Pattern[str]) -> bool:
    return any(words.fullmatch(word) for word in name.rpartition(".")[2].split("_"))


def _is_of_joints(field: Field, joints: Container[str]) -> bool:
    """Whether a field gives several numbers to each joint."""
    last = field.shape[-1] if field.shape else 0
    counts = any(isinstance(side, str) and (side.endswith("joints") or side in joints) for side in field.shape)
    return field.dtype.startswith("float") and isinstance(last, int) and last > 1 and counts


def _kind(name: str, field: Field) -> str:
    base, shape = name.rpartition(".")[2], field.shape
    if base.startswith(LAID_OUT) or BODIES.fullmatch(base) or field.frame.startswith("raw") or base.endswith("cmap"):
        return "refused"
    if is_picture(field):
        return _picture_kind(field)
    if base.endswith("intrinsics") and shape[-2:] == (3, 3):
        return "intrinsics"
    if shape[-2:] == (4, 4) and ("_from_" in base or base.endswith("calib")):
        return "matrix"
    if shape[-2:] in ((3, 3), (4, 4)):
        return "refused"
    if any(str(side).endswith(("height", "width")) for side in shape) or shape[-2:] == (3, 4):
        return "refused"  # pictures behind other axes, projections
    if any(word in field.unit.split() for word in ("pixel", "pixels")):
        return "pixels" if are_positions(field) else "refused"
    if any(word in field.unit.split() for word in ("radian", "radians")):
        return "axis_angle" if field.unit in ("radian", "radians") and shape[-1:] == (3,) else "refused"
    if DEGREES.fullmatch(field.unit):  # angles of joints, or Euler's: no rule
        return "refused"
    return _frame_kind(base, field)


def _frame_kind(base: str, field: Field) -> str:
    if isinstance(field.storage, Barycentric):
        return "same"  # shares of three corners, wherever these go
    last, floats = field.shape[-1:], field.dtype.startswith("float")
    if base.endswith("cube") and last == (4,):
        return "vector"
    if not field.frame:
        vectors = floats and last == (3,) and (not field.unit or measured_in(field, *VECTORS))
        return "refused" if vectors else "same"
    if floats and (last == (3,) or (last == (2,) and field.frame == "ndc")):
        return "vector" if not field.unit or measured_in(field, *VECTORS) else "refused"
    scalar = floats and (not last or last[0] == 1 or isinstance(last[0], str)) and not measured_in(field, "radian")
    return "same" if scalar or not last else "refused"


def _picture_kind(field: Field) -> str:
    if measured_in(field, "pixel") or len(field.shape) > 3:  # optical flow, stacks of unknown meaning
        return "refused"
    if field.frame and field.shape[2:] == (3,):
        if field.dtype == "uint8":
            return "coded_picture"
        return "vector_picture" if field.dtype.startswith("float") else "refused"
    return "picture" if len(field.shape) == 3 else "flat_picture"


def _vector(array: NDArray[Any], width: int) -> NDArray[Any]:
    mirrored = np.array(array)
    np.negative(mirrored[..., 0], out=mirrored[..., 0])
    return mirrored


def _picture(array: NDArray[Any], width: int) -> NDArray[Any]:
    return np.ascontiguousarray(array[..., ::-1, :])


def _coded_picture(array: NDArray[Any], width: int) -> NDArray[Any]:
    mirrored = _picture(array, width)
    mirrored[..., 0] = np.where(mirrored.any(axis=-1), 255 - mirrored[..., 0], 0)
    return mirrored


def _axis_angle(array: NDArray[Any], width: int) -> NDArray[Any]:
    mirrored = np.array(array)
    np.negative(mirrored[..., 1:], out=mirrored[..., 1:])
    return mirrored


def _pixels(array: NDArray[Any], width: int) -> NDArray[Any]:
    mirrored = np.array(array)
    np.subtract(width, array[..., 0], out=mirrored[..., 0], casting="same_kind")
    return mirrored


def _matrix(array: NDArray[Any], width: int) -> NDArray[Any]:
    mirrored = np.array(array)
    mirrored[..., 0, 1:] *= -1
    mirrored[..., 1:, 0] *= -1
    return mirrored


def _intrinsics(array: NDArray[Any], width: int) -> NDArray[Any]:
    mirrored = np.array(array)
    mirrored[..., 0, 1] *= -1
    mirrored[..., 0, 2] = width * array[..., 2, 2] - array[..., 0, 2]
    return mirrored


CHANGES: dict[str, Change] = {
    "picture": _picture,
    "flat_picture": lambda array, width: np.ascontiguousarray(array[..., ::-1]),
    "vector_picture": lambda array, width: _vector(array[..., ::-1, :], width),
    "coded_picture": _coded_picture,
    "intrinsics": _intrinsics,
    "matrix": _matrix,
    "pixels": _pixels,
    "axis_angle": _axis_angle,
    "vector": _vector,
}
