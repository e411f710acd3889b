"""A run of the pipeline in a process of its own: `python -m tessera.benchmarks.scenes.child RAW OUT ONLY WITHOUT SIZE`.

Prints a line of JSON: records, seconds of wall and processor, peak memory, processor seconds by stage, bytes by field.
Stages are timed by the processor's clock, so that they mean something on a machine with other work to do; what they
import is imported before.
"""

import json
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow.compute as pc

from ...datasets import Dataset, stages
from ...pipelines.discover import load_recipe
from ...pipelines.native import import_open3d
from ...pipelines.run import run_recipe
from ...pipelines.settings import RunSettings


def peak_bytes() -> int:
    """Peak resident memory of this process; Linux's `ru_maxrss` would begin with that of the process that started it.

    Raises:
        RuntimeError: the system is not Linux.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        raise RuntimeError(f"no {status}: peak memory is measured on Linux alone")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main(raw: Path, out: Path, only: str, without: str, size: str) -> None:
    """Run and print."""
    stages.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[assignment]
    recipe = load_recipe("hypersim")
    if "probes" not in without:
        import_open3d()
    start = time.perf_counter()
    settings = RunSettings(out=out, workers=0, quiet=True, only=only, strict=True, unit_timeout=0)
    summary = run_recipe(recipe, recipe.options(without=without, size=size), raw, settings)  # type: ignore[call-arg]
    wall, usage = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    frames = Dataset(out).table("frames")
    rows = frames.index()
    sizes = {field.name: pc.sum(rows[f"{field.name}.size"]).as_py() or 0 for field in frames.schema.fields}
    print(json.dumps({
        "frames": len(frames), "wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": peak_bytes(),
        "stages": summary.stages, "bytes": summary.bytes, "sizes": sizes,
    }))  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
