"""What files of SMPL-X and SMPL hold, read without running anything in them."""

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import FormatError
from ...datasets.safe_pickle import safe_loads
from ...datasets.sparse_matrix import SparseMatrix
from .standin import MARK

Kind = Literal["smplx", "smpl"]
NAMES: Mapping[Kind, str] = {"smplx": "SMPL-X", "smpl": "SMPL"}
HAND = 45  # numbers of a hand's pose
SHAPES: Mapping[Kind, int] = {"smplx": 20, "smpl": 10}  # the fewest in a file; expressions among them


def _needed(vertices: int, faces: int, joints: int) -> dict[str, tuple[int | None, ...]]:
    """Shapes of what every model file holds."""
    return {
        "v_template": (vertices, 3), "f": (faces, 3), "shapedirs": (vertices, 3, None),
        "posedirs": (vertices, 3, 9 * (joints - 1)), "J_regressor": (joints, vertices), "kintree_table": (2, joints),
        "weights": (vertices, joints),
    }  # fmt: skip


NEEDED: Mapping[Kind, Mapping[str, tuple[int | None, ...]]] = {
    "smplx": _needed(10475, 20908, 55) | {
        "hands_componentsl": (HAND, HAND), "hands_componentsr": (HAND, HAND), "hands_meanl": (HAND,),
        "hands_meanr": (HAND,), "lmk_faces_idx": (51,), "lmk_bary_coords": (51, 3),
    },
    "smpl": _needed(6890, 13776, 24),
}  # fmt: skip
FAULTS = (OSError, ValueError, TypeError, EOFError, KeyError, RuntimeError, MemoryError, SyntaxError, TokenError,
          struct.error, zipfile.BadZipFile, zlib.error)  # fmt: skip


def read_model(path: Path, kind: Kind) -> tuple[dict[str, NDArray[Any]], str | None, str]:
    """The arrays of a model file, `NEEDED` of its kind and no others.

    Args:
        path: an npz archive or, by any other ending, a pickle.
        kind: of the model that it should hold.

    Returns:
        Arrays by name; what the file says that it is made of, where it is a stand-in; and the file's sha256.

    Raises:
        FormatError: it is damaged, hostile, or no model of this kind.
    """
    data = path.read_bytes()
    found = _npz(path, data, kind) if path.suffix == ".npz" else _pkl(path, data, kind)
    arrays = {name: _array(path, name, found.get(name), kind) for name in NEEDED[kind]}
    parents = arrays["kintree_table"][0, 1:]
    fine = _within(arrays["f"], len(arrays["v_template"])) and _within(parents, np.arange(len(parents)) + 1)
    if not fine or (kind == "smplx" and not _within(arrays["lmk_faces_idx"], len(arrays["f"]))):
        raise FormatError(f"{path}: names vertices, faces or parents that are not there; a damaged {NAMES[kind]} model")
    mark = found.get(MARK)
    return arrays, None if mark is None else str(mark), hashlib.sha256(data).hexdigest()


def _within(numbers: NDArray[Any], end: Any) -> bool:
    return bool(((numbers >= 0) & (numbers < end)).all())


def _npz(path: Path, data: bytes, kind: Kind) -> dict[str, NDArray[Any]]:
    """The arrays that are needed; others are never opened, for published files hold pickles."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            wanted = [name for name in (*NEEDED[kind], MARK) if name in file.files]
            return {name: file[name] for name in wanted}
    except FAULTS as error:
        raise FormatError(f"{path}: cannot be read as a {NAMES[kind]} model ({error})") from error


def _pkl(path: Path, data: bytes, kind: Kind) -> Mapping[str, Any]:
    found = safe_loads(data, str(path))
    if not isinstance(found, Mapping):
        raise FormatError(f"{path}: holds no dict; this is no {NAMES[kind]} model")
    return found


def _array(path: Path, name: str, value: Any, kind: Kind) -> NDArray[Any]:
    """An array of a file, once its shape and its numbers were found to be what they should be."""
    shape, fewest = NEEDED[kind][name], SHAPES[kind]
    if not isinstance(value, np.ndarray | SparseMatrix):
        what = "is missing" if value is None else "is no array"
    elif len(shape) != len(value.shape) or any(n not in (None, m) for n, m in zip(shape, value.shape, strict=True)):
        what = f"has shape {value.shape}, not {shape}"
    elif None in shape and value.shape[-1] < fewest:
        what = f"has {value.shape[-1]} shapes, fewer than {fewest}"
    else:
        array = value.dense() if isinstance(value, SparseMatrix) else value
        if array.dtype.kind in "iuf" and np.isfinite(array).all():
            return array
        what = "holds no finite numbers"
    raise FormatError(f"{path}: {name} {what}; this is no {NAMES[kind]} model")
