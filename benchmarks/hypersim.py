"""Frames a second by number of workers, time by stage, the run's own overhead, and peak memory at 1x and 4x the data.

Raw data: the full demo (96 frames of 1024x768), made once in `raw/hypersim_demo`; the 4x data set holds each scene
under four names by hard links, so that it costs no disk.
"""

import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from ..commands.demo import make_demo
from ..pipelines.discover import load_recipe
from ..pipelines.run import Summary, run_recipe
from ..pipelines.settings import RunSettings

RAW = Path("raw") / "hypersim_demo"
CSVS = ("metadata_camera_parameters.csv", "metadata_images_split_scene_v1.csv")
SHARD_MB = 8  # small shards, so that there are more groups than workers
ROUNDS = 2


def tables() -> dict[str, list[dict[str, Any]]]:
    """The benchmark's tables, by title."""
    recipe = load_recipe("hypersim")
    raw = make_demo(recipe, RAW, Console(stderr=True))
    with tempfile.TemporaryDirectory(dir=raw.parent) as folder:
        double = Path(folder) / "raw2"
        copies(raw, double, 2)
        runs = {workers: [_run(double, Path(folder) / "out", workers) for _ in range(ROUNDS)] for workers in (0, 1, 2)}
        four = Path(folder) / "raw4"
        copies(raw, four, 4)
        memory = [_memory(raw, Path(folder) / "m1", 1), _memory(four, Path(folder) / "m4", 4)]
    return {
        f"frames a second, best of {ROUNDS}": _rates(runs),
        "time by stage, workers 0": _stages(min(runs[0], key=_worked)),
        "peak memory, workers 2": memory,
    }


def copies(raw: Path, out: Path, times: int) -> None:
    """A RAW with each scene of another under `times` names, by hard links; tables and rows follow."""
    out.mkdir()
    scenes = sorted(path.name for path in raw.glob("ai_*"))
    renamed = {(scene, i): f"ai_{int(scene[3:6]) + i:03d}_{scene[7:]}" for scene in scenes for i in range(times)}
    for (scene, _), name in renamed.items():
        shutil.copytree(raw / scene, out / name, copy_function=os.link)
    for name in CSVS:
        with (raw / name).open(newline="") as source, (out / name).open("w", newline="") as target:
            reader = csv.DictReader(source)
            writer = csv.DictWriter(target, reader.fieldnames or [])
            writer.writeheader()
            for row in reader:
                for i in range(times):
                    writer.writerow({**row, "scene_name": renamed.get((row["scene_name"], i), row["scene_name"])})


def _run(raw: Path, out: Path, workers: int) -> Summary:
    shutil.rmtree(out, ignore_errors=True)
    recipe = load_recipe("hypersim")
    settings = RunSettings(out=out, workers=workers, shard_mb=SHARD_MB, quiet=True)
    return run_recipe(recipe, recipe.options(), raw, settings)


def _worked(summary: Summary) -> float:
    return summary.seconds - summary.setup_seconds


def _rates(runs: dict[int, list[Summary]]) -> list[dict[str, Any]]:
    rows = []
    for workers, summaries in runs.items():
        best = min(summaries, key=_worked)
        inside = sum(seconds for stage, seconds in best.stages.items() if not stage.startswith("read: "))
        rows.append({
            "workers": workers,
            "frames/s best": best.built_records / _worked(best),
            "frames/s median": best.built_records / statistics.median(_worked(s) for s in summaries),
            "start and stop s": best.setup_seconds,
            "stages s": inside,
            "overhead %": 100 * (1 - inside / (_worked(best) * max(workers, 1))),
        })  # fmt: skip
    one, two = (row["frames/s best"] for row in rows[1:])
    return [*({**row, "efficiency 1 to 2": two / one / 2 if row["workers"] == 2 else ""} for row in rows)]


def _stages(summary: Summary) -> list[dict[str, Any]]:
    order = sorted(summary.stages.items(), key=lambda item: -item[1])
    return [{"stage": name, "ms a frame": 1000 * seconds / summary.built_records} for name, seconds in order]


def _memory(raw: Path, out: Path, times: int) -> dict[str, Any]:
    """Peak resident memory of the driver and of the largest worker, sampled five times a second."""
    command = [sys.executable, "-m", "tessera", "shards", "hypersim", "--raw", str(raw), "--out", str(out)]
    with subprocess.Popen(
        [*command, "--workers", "2", "--shard-mb", str(SHARD_MB)], stdout=subprocess.DEVNULL
    ) as process:
        peaks = {"driver": 0, "worker": 0}
        watcher = threading.Thread(target=_watch, args=(process.pid, peaks))
        watcher.start()
        status = process.wait()
        watcher.join()
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {status}")
    return {"data": f"{times}x", **{f"{name} MiB": peak / 2**20 for name, peak in peaks.items()}}


def _watch(pid: int, peaks: dict[str, int]) -> None:
    while psutil.pid_exists(pid):
        try:
            driver = psutil.Process(pid)
            if driver.status() == psutil.STATUS_ZOMBIE:
                return
            peaks["driver"] = max(peaks["driver"], driver.memory_info().rss)
            for child in driver.children(recursive=True):
                if child.name().startswith("ray::"):
                    peaks["worker"] = max(peaks["worker"], child.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.2)
