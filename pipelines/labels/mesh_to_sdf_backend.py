"""Signed distances by the package `mesh-to-sdf`, in a process of its own that ends after each mesh.

The package samples points on the surface, takes the distance to the closest of them, and the side that most of the
closest eleven face. It keeps memory from one mesh to the next, slows down and at last crashes or hangs; so
`python -m tessera.pipelines.labels.mesh_to_sdf_backend FOLDER` answers one question, left in a folder, and ends.
"""

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import TesseraError, UsageError
from ..limits import THREAD_VARIABLES

SAMPLES = 10_000_000  # points on the surface
QUESTION, ANSWER = "question.npz", "answer.npz"


class Answer(NamedTuple):
    """What the process found.

    Attributes:
        distance: (n,) float64, in the mesh's unit, negative inside.
        build: seconds that it took to sample the surface and to make ready for questions.
        query: seconds that the points took.
    """

    distance: NDArray[np.float64]
    build: float
    query: float


def ask(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], points: NDArray[np.float64], samples: int = SAMPLES,
    threads: int = 1,
) -> Answer:  # fmt: skip
    """Signed distances of points to a mesh; the same for the same mesh, however often and wherever it is asked.

    Args:
        vertices: (V, 3) positions, any unit.
        faces: (F, 3) vertices of each triangle, all looking outwards.
        points: (n, 3) in the mesh's frame.
        samples: points on the surface; their spacing is the error near it.
        threads: of the linear algebra; the search itself has one.

    Raises:
        UsageError: the package is not installed.
        TesseraError: the process failed, or was ended.
    """
    if importlib.util.find_spec("mesh_to_sdf") is None:
        raise UsageError("the backend mesh_to_sdf needs a package that is not installed: pip install mesh-to-sdf")
    if not len(points):
        return Answer(np.zeros(0), 0.0, 0.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / QUESTION, vertices=vertices, faces=faces, points=points, samples=samples)
        _run(folder, f"a mesh of {len(faces)} faces, {len(points)} points", threads)
        with np.load(folder / ANSWER, allow_pickle=False) as found:
            return Answer(found["distance"].astype(np.float64), float(found["build"]), float(found["query"]))


def _command(folder: Path) -> list[str]:
    """How the process is started: `-P` keeps the current folder off its import path."""
    return [sys.executable, "-P", "-m", __name__, str(folder)]


def _run(folder: Path, question: str, threads: int) -> None:
    """Wait for the process; it ends early with this one, however this one ends, for its pipe is closed then."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    reading, writing = os.pipe()
    try:
        ended = subprocess.run(
            _command(folder), env=environment, stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace", check=False,
        )  # fmt: skip
    finally:
        os.close(reading)
        os.close(writing)
    if ended.returncode < 0:
        name = signal.Signals(-ended.returncode).name
        memory = "; it may have run out of memory" if name == "SIGKILL" else ""
        raise TesseraError(f"mesh-to-sdf: {question}: its process was ended by {name}{memory}")
    if ended.returncode or not (folder / ANSWER).exists():
        said = [line for line in ended.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise TesseraError(f"mesh-to-sdf: {question}: its process ended with status {ended.returncode}: {said[-1]}")


def main(folder: Path) -> None:
    """Answer the question in a folder."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import mesh_to_sdf
    import trimesh

    with np.load(folder / QUESTION, allow_pickle=False) as found:
        question = dict(found)
    mesh = trimesh.Trimesh(question["vertices"], question["faces"], process=False)
    vars(mesh)["sample"] = partial(_sample, mesh, _seed(question["vertices"], question["faces"]))
    start = time.perf_counter()
    cloud = mesh_to_sdf.get_surface_point_cloud(mesh, "sample", sample_point_count=int(question["samples"]))
    built = time.perf_counter()
    distance = cloud.get_sdf_in_batches(question["points"])
    end = time.perf_counter()
    np.savez(folder / ANSWER, distance=distance, build=built - start, query=end - built)


def _sample(mesh: Any, seed: int, count: int, return_index: bool = False) -> Any:
    """Points on the surface, as `Trimesh.sample` draws them, which takes no seed or is given none."""
    import trimesh

    points, faces = trimesh.sample.sample_surface(mesh, count, seed=seed)
    return (points, faces) if return_index else points


def _seed(*arrays: NDArray[Any]) -> int:
    digest = hashlib.blake2b(digest_size=4)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return int.from_bytes(digest.digest(), "little")


def _end_with_parent() -> None:
    """Nothing is ever written to standard input: it ends when the parent does."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
