"""Metrics are used where there is no Ray, Open3D or trimesh: on training machines."""

import subprocess
import sys

BLOCKED = ["ray", "open3d", "trimesh", "h5py", "smplx", "plotly", "skimage", "sklearn"]
SIBLINGS = ["pipelines", "training", "commands", "benchmarks", "cli"]
SCRIPT = f"""
import importlib, pkgutil, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Block())
import tessera.validation.metrics as metrics
for module in pkgutil.iter_modules(metrics.__path__):
    importlib.import_module(metrics.__name__ + "." + module.name)
print(*sys.modules)
"""


def test_metrics_need_no_sibling_and_none_of_its_libraries():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {f"tessera.validation.metrics.{name}" for name in ("surface_error", "raster", "occupancy")} <= loaded
    assert not loaded & {*BLOCKED, *(f"tessera.{name}" for name in SIBLINGS)}
