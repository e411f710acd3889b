"""Angles between predicted normals and the scan's, record by record."""

import time
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from ....datasets.errors import UsageError
from ....datasets.stream import Stream
from ....datasets.transforms import load_transform
from ....validation.metrics.images import ssim
from ....validation.metrics.normal_error import angle_error
from ...evaluate import EvalOptions, Row, chosen
from ...people.pictures import picture
from ...streams import required
from ...trained import Trained
from .config import NormalsConfig
from .engine import NormalsEngine, request


def evaluate(run: Trained, options: EvalOptions) -> Iterator[Row]:
    """A row for each view: of each side the mean and median angle, the share below 11.25, 22.5 and 30 degrees, SSIM.

    Raises:
        UsageError: there is no such noise variant to look at.
    """
    engine, config = run.engine, run.config.model
    assert isinstance(engine, NormalsEngine) and isinstance(config, NormalsConfig) and run.catalog is not None
    asked, transforms, more = request(config, run.catalog, False), [], ["subject", *(["yaw"] if options.yaws else [])]
    if options.body:
        if not config.body:
            raise UsageError(f"--body {options.body}: the network sees no body")
        more += [f"noisy_normal_{side}" for side in config.sides]
        transforms = [load_transform("pick_body", body=options.body)]
    stream = Stream(
        run.config.data.data, asked.table, options.split, (*asked.fields, *more), batch_size=1, order="sequential",
        transforms=[*required(run.catalog, asked, run.spec.name), *transforms],
        cache_dir=run.config.data.cache,
    )  # fmt: skip
    for batch in chosen(stream, options):
        start = time.perf_counter()
        moved = {k: v.to(run.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        row: Row = {"key": batch["key"][0], "subject": str(batch["subject"][0])}
        with torch.no_grad():
            found = engine.predicted(moved)
        for name, predicted in found.items():
            row |= _figures(name[-1], predicted, picture(moved, name, config.size))
        row["angle"] = float(np.mean([row[f"angle_{side}"] for side in config.sides]))
        if options.meshes:
            folder = run.folder.path / "eval" / "pictures"
            folder.mkdir(parents=True, exist_ok=True)
            engine._last = found
            Image.fromarray(engine.pictures(moved)["normals"]).save(folder / f"{row['key']}.png")
        yield row | {"seconds": time.perf_counter() - start}


def _figures(side: str, found: torch.Tensor, wanted: torch.Tensor) -> Row:
    seen, truth = found.float().permute(0, 2, 3, 1), wanted.permute(0, 2, 3, 1)
    there = truth.norm(dim=-1) > 0.5
    angle = angle_error(seen, truth, there)
    masked = torch.nn.functional.normalize(seen, dim=-1) * there[..., None]
    likeness = ssim((masked + 1) / 2, (truth + 1) / 2)
    return {
        f"angle_{side}": float(angle.mean[0]), f"median_{side}": float(angle.median[0]),
        f"below_11_{side}": float(angle.below_11[0]), f"below_22_{side}": float(angle.below_22[0]),
        f"below_30_{side}": float(angle.below_30[0]), f"ssim_{side}": float(likeness),
    }  # fmt: skip
