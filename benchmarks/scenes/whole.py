"""Whole runs of the real pipeline, each in a process of its own: time, memory and bytes, and what they mean for all."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...pipelines.limits import one_thread_environment

Row = dict[str, Any]
ALL_FRAMES, MEAN_SCENE = 74_619, 163
BOUNDS = {"peak GB": 3.0, "cpu s a frame": 2.0, "MB a frame": 1.7, "without HDR": 0.9}
SCENE_LABELS = "neighbours,points,probes,octree_seen,scene"


@dataclass(frozen=True)
class Ran:
    """What one run took; seconds of the whole process, bytes of the frames' fields."""

    frames: int
    wall: float
    cpu: float
    peak: int
    stages: dict[str, float]
    bytes: int
    sizes: dict[str, int]

    @property
    def inside(self) -> float:
        """Processor seconds of all stages; those that begin with `read: ` are parts of `read`."""
        return sum(seconds for stage, seconds in self.stages.items() if not stage.startswith("read: "))

    @property
    def a_frame(self) -> float:
        """Processor seconds of all stages a frame: what many scenes in one run cost."""
        return self.inside / self.frames


def run(raw: Path, out: Path, only: str = "*", without: str = "", *, size: str) -> Ran:
    """Run the pipeline.

    Args:
        raw: raw data.
        out: folder of the data set, which must not be there.
        only: pattern of the scenes.
        without: labels that are left out.
        size: height x width of the records.

    Raises:
        RuntimeError: the run fails.
    """
    raw, module = raw.resolve(), "tessera.benchmarks.scenes.child"
    command = [sys.executable, "-m", module, str(raw), str(out.resolve()), only, without, size]
    env = {**os.environ, **one_thread_environment()}
    said = subprocess.run(command, capture_output=True, text=True, env=env, cwd=raw.parent, check=False)
    if said.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {said.stderr[-2000:]}")
    return Ran(**json.loads(said.stdout.splitlines()[-1]))


def figures(what: str, ran: Ran) -> Row:
    """A run's row of the table of whole scenes."""
    return {
        "what": what, "frames": ran.frames, "peak GB": ran.peak / 1e9, "cpu s a frame": ran.cpu / ran.frames,
        "wall s a frame": ran.wall / ran.frames, "MB a frame": ran.bytes / ran.frames / 1e6,
        "without HDR": (ran.bytes - ran.sizes.get("hdr", 0)) / ran.frames / 1e6,
    }  # fmt: skip


def bounds() -> Row:
    """The row of what is allowed."""
    return {"what": "bound", "frames": "", "wall s a frame": "", **BOUNDS}


def by_stage(runs: dict[str, Ran]) -> list[Row]:
    """Processor milliseconds a frame by stage of each run, those of the largest first; what is in no stage at the end.

    Stages that begin with `read: ` are parts of `read`.
    """
    last = list(runs.values())[-1]
    order = sorted(last.stages, key=lambda stage: -last.stages[stage])
    rows: list[Row] = [
        {"stage": stage, **{what: 1e3 * ran.stages.get(stage, 0) / ran.frames for what, ran in runs.items()}}
        for stage in order
    ]
    rest = {what: 1e3 * (ran.cpu - ran.inside) / ran.frames for what, ran in runs.items()}
    return [*rows, {"stage": "start, plan and end", **rest}]


def extrapolated(small: Ran, large: Ran) -> float:
    """Processor seconds a frame of a scene of the mean size, on the line through two measured sizes.

    Some stages take a fixed time a frame, some a fixed time a scene, pairs and culling grow with the scene.
    """
    if small.frames == large.frames:
        return small.a_frame
    slope = (large.a_frame - small.a_frame) / (large.frames - small.frames)
    return small.a_frame + slope * (MEAN_SCENE - small.frames)


def core_hours(what: str, seconds: float) -> Row:
    """Core-hours of all frames of the data set at so many seconds a frame."""
    return {
        "what": what, "s a frame, scene of 163": seconds, "core-hours for 74,619 frames": seconds * ALL_FRAMES / 3600,
    }  # fmt: skip
