"""Makes a Hypersim raw folder: lights every scene, renders every camera, then moves the finished folder into place."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ....datasets.errors import TesseraError, UsageError
from .faults import Fault, table_faults
from .metadata import write_tables
from .scenes import CAMERAS, SCALES, SCENES
from .tasks import Job, forget, light_scene, render_frames, run_single

FRAMES_A_TASK = 4


Report = Annotated[Callable[[str], None] | None, tyro.conf.Fixed, tyro.conf.Suppress]


def generate(
    out: Path, *, scale: Literal["small", "full"] = "full", faults: bool = False, seed: int = 0,
    workers: int | None = None, report: Report = None,
) -> None:  # fmt: skip
    """Writes demo raw data in Hypersim's layout and encodings.

    The same scale, faults and seed give the same bytes in every file, whatever the number of workers.

    Args:
        out: folder to make; its parent is made too. Nothing is left there when the work fails.
        scale: `full` is 4 scenes x 2 cameras x 12 frames of 1024 x 768, `small` is 3 frames of 256 x 192.
        faults: put in the deliberate faults that `faults.json` then lists.
        seed: varies small things in the rooms, the camera paths and the grain.
        workers: processes; by default one for `small` and one for each core for `full`. More than one are spawned, so a
            script that calls this needs the usual `if __name__ == "__main__":`.
        report: called with a line of progress now and then.

    Raises:
        UsageError: `out` holds something already, or an argument is out of range.
        TesseraError: a worker process was killed.
    """
    out = Path(os.path.abspath(out))
    _check(out, scale, seed, workers)
    out.parent.mkdir(parents=True, exist_ok=True)
    root = out.parent / f".{out.name}.unfinished-{os.getpid()}"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    try:
        job = Job(root, scale, faults, seed)
        count = workers or (1 if scale == "small" else os.cpu_count() or 1)
        kinds, found = _run(job, count, report or (lambda line: None))
        write_tables(root, SCALES[scale], faults, kinds)
        if faults:
            _write_faults(root, found + table_faults())
        for leftover in root.glob(".light_*"):
            leftover.unlink()
        if out.exists():
            out.rmdir()
        root.rename(out)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _check(out: Path, scale: str, seed: int, workers: int | None) -> None:
    """Refuses arguments that make no sense, before anything is written."""
    if scale not in SCALES:
        raise UsageError(f"scale is {scale!r}: choose one of {', '.join(SCALES)}")
    if seed < 0:
        raise UsageError(f"seed is {seed}: it has to be 0 or more")
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}: it has to be at least 1")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder: choose another one for the demo data, or remove it")


def _write_faults(root: Path, faults: list[Fault]) -> None:
    """`faults.json`: the entries in a fixed order, whichever process made them."""
    ordered = sorted(faults, key=lambda f: (f.scene, f.camera, -1 if f.frame is None else f.frame, f.kind, f.file))
    (root / "faults.json").write_text(json.dumps([fault.record() for fault in ordered], indent=1) + "\n")


def _parts(scale: str) -> Iterator[tuple[int, slice]]:
    """Camera and frames of each rendering task of a scene."""
    frames = SCALES[scale].frames
    for camera in range(len(CAMERAS)):
        for start in range(0, frames, FRAMES_A_TASK):
            yield camera, slice(start, min(start + FRAMES_A_TASK, frames))


def _run(job: Job, workers: int, report: Callable[[str], None]) -> tuple[dict[str, str], list[Fault]]:
    """Runs all tasks, in this process or in several; gives scene types by name and the faults put into frames."""
    if workers > 1:
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        try:
            return _spread(pool, job, report)
        except BrokenProcessPool as error:
            raise TesseraError("a rendering process was killed (too little memory?): use fewer workers") from error
        finally:
            pool.shutdown(cancel_futures=True)
    kinds: dict[str, str] = {}
    found: list[Fault] = []
    for index, scene in enumerate(SCENES):
        kinds[scene.name] = run_single(light_scene, job, index)
        for camera, part in _parts(job.scale):
            found += run_single(render_frames, job, index, camera, part)
        forget()
        report(f"{scene.name}: {kinds[scene.name].lower()}, scene {index + 1} of {len(SCENES)} done")
    return kinds, found


def _spread(pool: ProcessPoolExecutor, job: Job, report: Callable[[str], None]) -> tuple[dict[str, str], list[Fault]]:
    """Lights all scenes, and renders each as soon as it is lit."""
    kinds: dict[str, str] = {}
    lighting = {pool.submit(run_single, light_scene, job, index): index for index in range(len(SCENES))}
    rendering: list[Future[list[Fault]]] = []
    for future in as_completed(lighting):
        index = lighting[future]
        kinds[SCENES[index].name] = future.result()
        report(f"{SCENES[index].name}: {future.result().lower()}, lit")
        rendering += [
            pool.submit(run_single, render_frames, job, index, camera, part) for camera, part in _parts(job.scale)
        ]
    found: list[Fault] = []
    for number, task in enumerate(rendering, start=1):
        found += task.result()
        report(f"{number} of {len(rendering)} parts rendered")
    return kinds, found
