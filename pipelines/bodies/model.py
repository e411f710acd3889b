"""SMPL-X and SMPL bodies, posed by the `smplx` package from the user's own model files."""

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

from ...datasets.body_params import BODY_PARAMS
from ...datasets.errors import UsageError
from .model_files import HAND, NAMES, Kind, read_model

Floats = NDArray[np.float64]
GENDERS = ("neutral", "male", "female")
JOINTS: Mapping[Kind, int] = {"smplx": 55, "smpl": 24}
WHERE: Mapping[Kind, str] = {
    "smplx": "register at https://smpl-x.is.tue.mpg.de, download SMPL-X v1.1 (NPZ), and give the folder that holds "
    "smplx/SMPLX_{gender}.npz as --body-models",
    "smpl": "register at https://smpl.is.tue.mpg.de, download SMPL for Python (v1.1.0 has all genders), rename its "
    "basicmodel_*_lbs_10_207_0_v1.1.0.pkl (f, m, neutral), and give the folder that holds smpl/SMPL_{gender}.pkl as "
    "--body-models",
}


@dataclass(frozen=True, eq=False)
class Posed:
    """A body.

    Attributes:
        vertices: (V, 3) float64 in the model's frame: metres, y up at rest.
        joints: (J, 3) float64; 55 of SMPL-X, 24 of SMPL.
    """

    vertices: Floats
    joints: Floats


@dataclass(frozen=True, eq=False)
class BodyModel:
    """One model file.

    Attributes:
        kind: `smplx`, or `smpl`.
        faces: (F, 3) int32.
        template: (V, 3) float64 vertices at rest, metres, y up.
        weights: (V, J) float64.
        landmarks: (51, 3) float64 marks of the face on the template (iBUG's, without the jaw); (0, 3) of SMPL.
        stand_in: what the file is made of where it is a stand-in, None for the real model.
        sha256: of the file.
    """

    kind: Kind
    faces: NDArray[np.int32]
    template: Floats
    weights: Floats
    landmarks: Floats
    stand_in: str | None
    sha256: str
    _arrays: Mapping[str, NDArray[Any]]
    _module: Any

    def hand_pose(self, side: str, pose: ArrayLike, flat: bool) -> Floats:
        """(45,) axis-angles of a hand of SMPL-X of one side (`left`, `right`), relative to a flat hand.

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
            parameters: by name, as many numbers as `BODY_PARAMS` says for the kind; zero where left out. `betas` and
                `expression` in standard deviations; `global_orient`, `body_pose`, and of SMPL-X `left_hand_pose` and
                `right_hand_pose` (relative to flat hands), `jaw_pose`, `leye_pose`, `reye_pose` axis-angles in
                radians; `transl` metres.

        Raises:
            ValueError: a parameter is none of this kind of model, or has another size.
        """
        import torch

        given = {}
        for name, value in parameters.items():
            row = np.asarray(value, np.float64).reshape(1, -1)
            if row.size != BODY_PARAMS[self.kind].get(name):  # the package ignores names that it does not know
                raise ValueError(f"{name} of {row.size} numbers is no parameter of {NAMES[self.kind]}")
            given[name] = torch.tensor(row)
        with torch.no_grad():
            out = self._module(**given, return_verts=True)
        return Posed(out.vertices[0].numpy().copy(), out.joints[0, : JOINTS[self.kind]].numpy().copy())


def model_path(folder: Path, gender: str, kind: Kind = "smplx") -> Path:
    """The model file of a gender in the folder of the user's body models.

    Args:
        folder: holds `smplx/SMPLX_{NEUTRAL,MALE,FEMALE}.{npz,pkl}`, `smpl/SMPL_{...}.{npz,pkl}`, or the files itself.
        gender: `neutral`, `male` or `female`.
        kind: of the model.

    Raises:
        UsageError: it is not there; says where such files come from, and what they are called.
    """
    if gender not in GENDERS:
        raise UsageError(f"gender {gender!r} is none of {', '.join(GENDERS)}")
    stem = f"{kind.upper()}_{gender.upper()}"
    for name in (f"{place}{stem}.{ending}" for place in (f"{kind}/", "") for ending in ("npz", "pkl")):
        if (folder / name).is_file():
            return folder / name
    where = WHERE[kind].format(gender=gender.upper())
    raise UsageError(f"{folder}: no {NAMES[kind]} model for gender {gender!r}; {where}")


def present_models(folder: Path, kind: Kind) -> dict[str, Path]:
    """Model files in a folder of body models, by gender: neutral first, then male, female.

    Raises:
        UsageError: there is none.
    """
    found, missing = {}, None
    for gender in GENDERS:
        try:
            found[gender] = model_path(folder, gender, kind)
        except UsageError as error:
            missing = error
    if missing is not None and not found:
        raise missing
    return found


@lru_cache(maxsize=4)
def load_model(path: Path, kind: Kind | None = None) -> BodyModel:
    """Load a model file, once a process; nothing in it is run.

    Args:
        path: `SMPLX_*.npz`, `SMPL_*.npz`, or `.pkl` of either.
        kind: of the model that the file must hold; None for `smpl` where it is called `SMPL_...`, else `smplx`.

    Raises:
        FormatError: it is damaged, or no model of this kind.
    """
    kind = kind or ("smpl" if path.name.startswith("SMPL_") else "smplx")
    arrays, mark, sha256 = read_model(path, kind)
    return BodyModel(
        kind=kind,
        faces=np.ascontiguousarray(arrays["f"], np.int32),
        template=np.asarray(arrays["v_template"], np.float64),
        weights=np.asarray(arrays["weights"], np.float64),
        landmarks=_landmarks(arrays),
        stand_in=mark,
        sha256=sha256,
        _arrays={name: value for name, value in arrays.items() if name.startswith("hands_")},
        _module=_smplx(arrays) if kind == "smplx" else _smpl(arrays),
    )


def _landmarks(arrays: Mapping[str, NDArray[Any]]) -> Floats:
    """(51, 3) marks of the face on the template, (0, 3) where the file has none."""
    if "lmk_faces_idx" not in arrays:
        return np.zeros((0, 3))
    corners = arrays["v_template"][arrays["f"][arrays["lmk_faces_idx"].astype(np.int64)].astype(np.int64)]
    return np.einsum("nk,nki->ni", arrays["lmk_bary_coords"].astype(np.float64), corners.astype(np.float64))


def _smplx(arrays: Mapping[str, NDArray[Any]]) -> Any:
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


def _smpl(arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The torch module; of files the package would unpickle this kind, but it takes arrays, too."""
    import smplx
    import torch
    from smplx.utils import Struct

    with redirect_stdout(io.StringIO()):  # it prints that 10 shapes are few
        return smplx.SMPL("", data_struct=Struct(**arrays), num_betas=10, dtype=torch.float64)
