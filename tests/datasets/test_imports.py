"""The ground floor stands on its own: no heavy library, no sibling folder, no torch."""

import subprocess
import sys
import textwrap

import pytest

BLOCKED = ["ray", "open3d", "trimesh", "lightning", "pytorch_lightning", "torch", "h5py", "cv2", "smplx", "scipy",
           "plotly", "pandas", "webdataset", "datasets"]  # fmt: skip
STREAMS = ["stream", "mix", "loading"]  # where tensors are made
SIBLINGS = ["pipelines", "training", "validation", "commands", "benchmarks", "cli"]


def run(code):
    """Run a script in a process of its own; returns what it printed."""
    script = textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_needs_none_of_the_libraries_that_other_folders_use():
    printed = run(f"""
        import sys

        class Block:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {BLOCKED}:
                    raise ImportError(name + " is blocked")

        sys.meta_path.insert(0, Block())
        import importlib, pkgutil
        try:
            import torch
        except ImportError:
            print("blocked")
        import tessera.datasets
        for module in pkgutil.iter_modules(tessera.datasets.__path__):
            if module.name in {STREAMS}:
                continue
            importlib.import_module("tessera.datasets." + module.name)
            print(module.name)
    """)
    assert printed[0] == "blocked" and {"table", "shard", "verify"} <= set(printed[1:])


def test_importing_takes_no_torch_and_no_sibling():
    loaded = set(run("import sys, tessera.datasets; print(*sys.modules)"))
    assert "tessera.datasets.table" in loaded
    assert not loaded & {*BLOCKED, *(f"tessera.{name}" for name in SIBLINGS)}


@pytest.mark.parametrize("name", ["Catalog", "Dataset", "Field", "Schema", "ShardWriter", "verify", "TesseraError"])
def test_public_names(name):
    import tessera.datasets

    assert name in tessera.datasets.__all__ and hasattr(tessera.datasets, name)
