"""The labels of whole scenes: every stage beside the plain way, and whole scenes of 24 and 800 frames.

Raw data: the full demo (96 frames of 1024x768), made once in `raw/hypersim_demo`. The large scene is made of its frames
by hard links (`scenes/raw.py`). Everything is held to one core; times are the processor's, as other work on the machine
may slow the clock's down. The 800 frames take most of the quarter of an hour.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from threadpoolctl import threadpool_limits

from ..commands.demo import make_demo
from ..pipelines.discover import load_recipe
from ..pipelines.limits import use_one_thread
from .scenes import compare, compare_frames, whole
from .scenes.fused import fuse
from .scenes.race import Row
from .scenes.raw import SOURCE, make_house

RAW = Path("raw") / "hypersim_demo"
SIZE = "384x512"


def tables(cameras: int = 8, frames: int = 100, some: int = 4, repeats: int = 3) -> dict[str, list[Row]]:
    """The benchmark's tables, by title.

    Args:
        cameras: of the large scene.
        frames: of each of its cameras.
        some: frames for which the stages of single frames are compared.
        repeats: the best of so many runs of a stage counts.
    """
    raw = make_demo(load_recipe("hypersim"), RAW, Console(stderr=True))
    stages = list(by_stage(raw, SIZE, some, repeats))
    return {"scene labels, time by stage, before and after": stages, **whole_scenes(raw, cameras, frames)}


def by_stage(raw: Path, size: str, some: int, repeats: int) -> Iterator[Row]:
    """Each stage on the demo's first scene, beside the plain way."""
    use_one_thread()
    with threadpool_limits(1):
        fused = fuse(raw, SOURCE, size)
        for scene_stage in compare.STAGES:
            yield scene_stage(fused, repeats)
        for frame_stage in compare_frames.STAGES:
            yield frame_stage(fused, some, repeats)


def whole_scenes(raw: Path, cameras: int, frames: int, size: str = SIZE) -> dict[str, list[Row]]:
    """Runs of the demo's first scene and of the large one, and the demo's without scene labels."""
    with tempfile.TemporaryDirectory(dir=raw.parent) as folder:
        place = Path(folder)
        make_house(raw, place / "raw", cameras, frames)
        small = whole.run(raw, place / "small", SOURCE, size=size)
        alone = whole.run(raw, place / "alone", SOURCE, whole.SCENE_LABELS, size=size)
        large = whole.run(place / "raw", place / "large", size=size)
    runs = {f"{small.frames} frames": small, f"{large.frames} frames": large}
    without = f"{alone.frames} frames, no scene labels"
    return {
        "whole scenes": [*(whole.figures(what, ran) for what, ran in runs.items()), whole.figures(without, alone),
                         whole.bounds()],
        "processor milliseconds a frame by stage": whole.by_stage({without: alone, **runs}),
        "all of Hypersim": [
            whole.core_hours("with scene labels", whole.extrapolated(small, large)),
            whole.core_hours("without", alone.a_frame),
        ],
    }  # fmt: skip
