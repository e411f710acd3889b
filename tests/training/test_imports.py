"""A training machine has no open3d, ray, trimesh, h5py or OpenCV; the trainer needs none, and no sibling folder."""

import os
import subprocess
import sys
from pathlib import Path

from .runs import figures, words

BLOCKED = ["ray", "open3d", "trimesh", "h5py", "cv2", "rtree", "plotly", "smplx"]
BLOCK = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED} or name.startswith("tessera.pipelines"):
            raise ModuleNotFoundError(name + " is blocked", name=name)

sys.meta_path.insert(0, Block())
"""
TRAINED = """
import importlib, pkgutil
from tessera.commands.train import main
import tessera.training as training
status = main(sys.argv[1:])
assert status == 0, status
for module in pkgutil.walk_packages(training.__path__, "tessera.training."):
    if module.name != "tessera.training.ray_train":
        importlib.import_module(module.name)
names = set(sys.modules)
print("SEEN", *sorted(names & {*BLOCKED} | {x for x in names if x.startswith("tessera.pipelines")}))
print("TOO", *sorted(x for x in names if x.startswith(("tessera.validation", "tessera.benchmarks"))))
"""


def test_one_epoch_is_trained_and_everything_imports_without_them(data: Path, tmp_path: Path):
    script = f"{BLOCK}\nBLOCKED = {BLOCKED}\n{TRAINED}"
    line = ["implicit", *words("implicit", data, tmp_path / "run", "--max-epochs", 1)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run([sys.executable, "-c", script, *line], capture_output=True, text=True, timeout=200,
                          cwd=tmp_path, env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(figures(tmp_path / "run")) == 4
    said = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith(("SEEN", "TOO"))}
    assert said["SEEN"] == []
    assert all(name == "tessera.validation" or name.startswith("tessera.validation.metrics") for name in said["TOO"])
