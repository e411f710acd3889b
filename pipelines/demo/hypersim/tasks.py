"""The work of one process: light a scene, or render some frames of one camera."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from .assembly import Mesh, assemble
from .bake import bake
from .charts import unfold
from .detail import write_detail, write_exact_mesh
from .faults import EMPTY_CAMERA, Fault, damage_files, listed_frames, spoil
from .frames import render
from .layout import write_frame, write_trajectory
from .painter import Painter
from .scenes import CAMERAS, SCALES, SCENES
from .shell import Room
from .stage import Tracer
from .walk import walk

Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """What `generate` was asked for, and the unfinished raw folder it writes to."""

    root: Path
    scale: str
    faults: bool
    seed: int


@contextmanager
def single_thread() -> Iterator[None]:
    """Keeps this process to one thread: several then share the cores, and no sum changes its order."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)


def run_single(task: Callable[..., Result], *arguments: object) -> Result:
    """Calls a task within `single_thread`; what worker processes run."""
    with single_thread():
        return task(*arguments)


@lru_cache(maxsize=4)
def _prepared(index: int, seed: int) -> tuple[Room, Mesh, Tracer]:
    room = SCENES[index].build(np.random.default_rng([seed, index]))
    mesh = assemble(room.items)
    return room, mesh, Tracer(mesh)


def _light_file(job: Job, index: int) -> Path:
    return job.root / f".light_{index}.npy"


@lru_cache(maxsize=4)
def _painter(job: Job, index: int) -> Painter:
    room, mesh, tracer = _prepared(index, job.seed)
    atlas = unfold(mesh, SCALES[job.scale].quality.fine)
    return Painter(mesh, tracer, room.sky, atlas, np.load(_light_file(job, index)))


def forget() -> None:
    """Frees the rooms that this process keeps from task to task."""
    _painter.cache_clear()
    _prepared.cache_clear()


def light_scene(job: Job, index: int) -> str:
    """Bakes a scene's light for the frames to come and writes its `_detail` and exact mesh; gives its scene type."""
    scene = SCENES[index]
    room, mesh, tracer = _prepared(index, job.seed)
    _, light = bake(tracer, mesh, room.lights, SCALES[job.scale].quality, [job.seed, index])
    np.save(_light_file(job, index), light)
    cameras = [*CAMERAS, EMPTY_CAMERA[1]] if job.faults and scene.name == EMPTY_CAMERA[0] else list(CAMERAS)
    write_detail(job.root, scene.name, mesh, scene.unit, cameras)
    write_exact_mesh(job.root, scene.name, mesh)
    return room.kind


def render_frames(job: Job, index: int, camera: int, part: slice) -> list[Fault]:
    """Renders and writes a part of a camera's frames, with its trajectory; gives the faults that were put in."""
    scene, scale, name = SCENES[index], SCALES[job.scale], CAMERAS[camera]
    room, mesh, tracer = _prepared(index, job.seed)
    rendered, withheld = listed_frames(scene.name, name, scale.frames, job.faults)
    matrix = scene.camera.matrix()
    path = walk(tracer, mesh, room, matrix, camera, len(rendered) + len(withheld), [job.seed, index, camera])
    if part.start == 0:
        write_trajectory(job.root, scene.name, name, path, scene.unit)
    found: list[Fault] = []
    for number in rendered[part]:
        seed = [job.seed, index, camera, number]
        frame = render(_painter(job, index), matrix, scale.size, path.positions[number], path.orientations[number],
                       scene.unit, seed)  # fmt: skip
        faults = spoil(frame, scene.name, name, number) if job.faults else []
        write_frame(job.root, scene.name, name, number, frame)
        damage_files(job.root, faults)
        found += faults
    return found
