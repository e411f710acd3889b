"""Normals of pictures of one's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize

from ....datasets.errors import UsageError
from ...people.own_body import read_body
from ...predict import Given, PredictOptions, read_given
from ...trained import Trained
from .config import NormalsConfig
from .engine import NormalsEngine


def predict(run: Trained, options: PredictOptions) -> Callable[[Path, Path], dict[str, Any]]:
    """Write NAME_normal_f.png, NAME_normal_b.png: y up, z towards the camera, -1 to 1 as 0 to 255, alpha the mask."""
    size = picture_size(run)

    def one(path: Path, out: Path) -> dict[str, Any]:
        given, row = read_given(path, size), {}
        for name, normals in predicted_normals(run, given, options.height).items():
            coded = np.rint((normals + 1) * 127.5).astype(np.uint8)
            alpha = np.where(given.mask, 255, 0).astype(np.uint8)
            Image.fromarray(np.dstack([coded, alpha])).save(out / f"{given.name}_{name}.png")
            row[name] = f"{given.name}_{name}.png"
        return row

    return one


def picture_size(run: Trained) -> int:
    """Pixels of a side that the run's networks see."""
    assert isinstance(run.config.model, NormalsConfig)
    return run.config.model.size or run.picture_size()


@torch.no_grad()
def predicted_normals(run: Trained, given: Given, height: float) -> dict[str, np.ndarray]:
    """Unit normals (size, size, 3) float32 by side, ICON's axes, zero outside the mask.

    Raises:
        UsageError: the run is of another engine, or its network wants a body that is not there.
    """
    engine = run.engine
    if not isinstance(engine, NormalsEngine):
        raise UsageError(f"{run.folder.path}: a run of engine {run.spec.name}, not of normals")
    batch: dict[str, Any] = {"image": torch.from_numpy(given.image)[None], "mask": torch.from_numpy(given.mask)[None]}
    if engine.config.body:
        body = read_body(given, height, run.folder.path)
        for side in engine.config.sides:
            batch[f"body_normal_{side}"] = torch.from_numpy(body.normal_map(given.mask.shape[0], side == "b"))[None]
    found = engine.predicted({name: value.to(run.device) for name, value in batch.items()})
    made = {}
    for name, predicted in found.items():
        seen = normalize(predicted[0].float(), dim=0).permute(1, 2, 0).cpu().numpy()
        made[name] = seen * given.mask[..., None]
    return made
