"""SMPL-X bodies, posed by the `smplx` package from the user's own model files."""

import hashlib
import io
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...datasets.errors import FormatError, UsageError
from ...datasets.pickle_values import SparseMatrix
from ...datasets.safe_pickle import safe_loads
from .standin import MARK

REGISTER = "https://smpl-x.is.tue.mpg.de"
GENDERS = ("neutral", "male", "female")
JOINTS, HAND, BODY = 55, 45, 63
NEEDED = {
    "v_template": (None, 3), "f": (None, 3), "shapedirs": (None, 3, None), "posedirs": (None, 3, 9 * (JOINTS - 1)),
    "J_regressor": (JOINTS, None), "kintree_table": (2, JOINTS), "weights": (None, JOINTS),
    "hands_componentsl": (HAND, HAND), "hands_componentsr": (HAND, HAND), "hands_meanl": (HAND,),
    "hands_meanr": (HAND,), "lmk_faces_idx": (51,), "lmk_bary_coords": (51, 3),
}  # fmt: skip
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Posed:
    """A body.

    Attributes:
        vertices: (V, 3) float64 in the model's frame: metres, y up at rest.
        joints: (55, 3) float64.
    """

    vertices: Floats
    joints: Floats


@dataclass(frozen=True, eq=False)
class BodyModel:
    """One model file.

    Attributes:
        faces: (F, 3) int32.
        template: (V, 3) float64 vertices at rest.
        weights: (V, 55) float64.
        stand_in: what the file is made of where it is a stand-in, None for SMPL-X.
        sha256: of the file.
    """

    faces: NDArray[np.int32]
    template: Floats
    weights: Floats
    stand_in: str | None
    sha256: str
    _arrays: Mapping[str, NDArray[Any]]
    _module: Any

    def hand_pose(self, side: str, pose: ArrayLike, flat: bool) -> Floats:
        """(45,) axis-angles of a hand of one side (`left`, `right`), relative to a flat hand.

        Args:
            side: which.
            pose: (45,) axis-angles, or (n,) weights of the model's first n components.
            flat: whether the pose is relative to a flat hand, not to the model's mean.
        """
        given = np.asarray(pose, np.float64).reshape(-1)
        full = given if len(given) == HAND else given @ self._arrays[f"hands_components{side[0]}"][: len(given)]
        return full if flat else full + self._arrays[f"hands_mean{side[0]}"]

    def pose(self, parameters: Mapping[str, ArrayLike]) -> Posed:
        """Pose the body.

        Args:
            parameters: `betas` (10,), `expression` (10,), `global_orient` (3,), `body_pose` (63,), `left_hand_pose`
                and `right_hand_pose` (45,) relative to flat hands, `jaw_pose`, `leye_pose`, `reye_pose` (3,), radians,
                `transl` (3,); zero where left out.
        """
        import torch

        given = {name: torch.tensor(np.asarray(value, np.float64).reshape(1, -1)) for name, value in parameters.items()}
        with torch.no_grad():
            out = self._module(**given, return_verts=True)
        return Posed(out.vertices[0].numpy().copy(), out.joints[0, :JOINTS].numpy().copy())


def model_path(folder: Path, gender: str) -> Path:
    """The model file of a gender in the folder of the user's body models.

    Raises:
        UsageError: it is not there; says where such files come from, and what they are called.
    """
    if gender not in GENDERS:
        raise UsageError(f"gender {gender!r} is none of {', '.join(GENDERS)}")
    names = [f"{place}SMPLX_{gender.upper()}.{ending}" for place in ("smplx/", "") for ending in ("npz", "pkl")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UsageError(
        f"{folder}: no SMPL-X model for gender {gender!r}; register at {REGISTER}, download SMPL-X v1.1 (NPZ), and "
        f"give the folder that holds {names[0]} as --body-models"
    )


@lru_cache(maxsize=4)
def load_model(path: Path) -> BodyModel:
    """Load a model file, once a process; nothing in it is run.

    Args:
        path: `SMPLX_*.npz` or `.pkl`.

    Raises:
        FormatError: it is damaged, or no SMPL-X model.
    """
    data = path.read_bytes()
    arrays = _npz(path, data) if path.suffix == ".npz" else _pkl(path, data)
    for name, shape in NEEDED.items():
        found = arrays.get(name)
        fits = found is not None and found.ndim == len(shape)
        if found is None or not fits or any(n not in (None, m) for n, m in zip(shape, found.shape, strict=True)):
            what = "is missing" if found is None else f"has shape {found.shape}, not {shape}"
            raise FormatError(f"{path}: {name} {what}; this is no SMPL-X model")
    mark = arrays.pop(MARK, None)
    return BodyModel(
        faces=np.ascontiguousarray(arrays["f"], np.int32),
        template=np.asarray(arrays["v_template"], np.float64),
        weights=np.asarray(arrays["weights"], np.float64),
        stand_in=None if mark is None else str(mark),
        sha256=hashlib.sha256(data).hexdigest(),
        _arrays={name: value for name, value in arrays.items() if name.startswith("hands_")},
        _module=_module(arrays),
    )


def _npz(path: Path, data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays that are needed; others are never opened, for published files hold pickles."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            wanted = [name for name in (*NEEDED, MARK) if name in file.files]
            return {name: file[name] for name in wanted}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise FormatError(f"{path}: cannot be read as a SMPL-X model ({error})") from error


def _pkl(path: Path, data: bytes) -> dict[str, NDArray[Any]]:
    found = safe_loads(data, str(path))
    if not isinstance(found, Mapping):
        raise FormatError(f"{path}: holds no dict; this is no SMPL-X model")
    arrays = {}
    for name in NEEDED:
        value = found.get(name)
        if isinstance(value, SparseMatrix):
            value = value.dense()
        if value is not None:
            arrays[name] = np.asarray(value)
    return arrays


def _module(arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The torch module; `smplx` reads files, so it is given one that holds these arrays and nothing else."""
    import smplx
    import torch

    given: dict[str, Any] = dict(arrays)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):  # it prints that 10 shapes are few
        file = Path(folder) / "SMPLX_NEUTRAL.npz"
        np.savez(file, **given)
        return smplx.SMPLX(
            str(file), num_betas=10, num_expression_coeffs=10, use_pca=False, flat_hand_mean=True, ext="npz",
            dtype=torch.float64,
        )  # fmt: skip
