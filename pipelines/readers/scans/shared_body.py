"""What all bodies of a data set share: faces, canonical colours and parts, in `assets/body.npz`."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import UsageError
from ....datasets.joints import JOINT_SETS
from ...bodies.model import BodyModel, load_model, present_models
from ...bodies.model_files import Kind
from ...labels.body_parts import PARTS, canonical_colours, vertex_parts
from ...raw import Raw
from ...shared import Shared, npz
from .views import ScanOptions, models_folder

JOINTS: dict[Kind, str] = {"smplx": "smplx55", "smpl": "smpl24"}


def shared_path(folder: Path, kind: Kind) -> Path | None:
    """The model that canonical colours are of: the neutral one, or the first gender that is there; None without any."""
    try:
        return next(iter(present_models(folder, kind).values()))
    except UsageError:
        return None


def shared_model(folder: Path, kind: Kind) -> BodyModel | None:
    """That model, loaded; None where there is none."""
    path = shared_path(folder, kind)
    return None if path is None else load_model(path)


def shared_body(raw: Raw, options: ScanOptions, kind: Kind) -> Shared:
    """The asset and the joint set of a data set whose fits are of one kind; nothing where there is no such model.

    `body.npz` holds `faces` (F, 3) int32, `canonical` (V, 3) float32 (vertices at rest, each axis from 0 to 1), `part`
    (V,) uint8 and `part_names`.
    """
    if options.fits == "ignore" or (options.body_models is None and raw.local is None):
        return Shared()
    path = shared_path(models_folder(raw, options), kind)
    if path is None:
        return Shared()
    return Shared({"body.npz": _asset(path, path.stat().st_size, path.stat().st_mtime_ns)}, (JOINT_SETS[JOINTS[kind]],))


@lru_cache(maxsize=4)
def _asset(path: Path, size: int, mtime_ns: int) -> bytes:
    model = load_model(path)
    names: NDArray[np.str_] = np.array(PARTS)
    return npz({"faces": model.faces, "canonical": canonical_colours(model.template).astype(np.float32),
                "part": vertex_parts(model.weights), "part_names": names})  # fmt: skip
