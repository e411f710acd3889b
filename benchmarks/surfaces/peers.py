"""Who tells signed distances: our tree, and other libraries, each as its own documentation says."""

import importlib.util
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.surface.surface import Surface
from ...pipelines.labels.mesh_to_sdf_backend import SAMPLES, ask
from ...pipelines.native import import_open3d
from .meshes import Mesh

OURS, OPEN3D, MESH_TO_SDF = "tessera", "Open3D", "mesh-to-sdf"
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Run:
    """What a peer said of points, and what it took.

    Attributes:
        distance: (n,) metres, negative inside.
        build: seconds to make the mesh ready.
        query: seconds of the points.
        cores: processor seconds a second of the query.
    """

    distance: Floats
    build: float
    query: float
    cores: float


@dataclass(frozen=True)
class Peer:
    """A way to tell signed distances.

    Attributes:
        title: in the tables.
        needs: the module that it needs.
        ask: makes a mesh ready, asks the points, in so many threads.
        points: that are asked at most; for others its rate is taken to be the same.
        rounds: that are run at most.
    """

    title: str
    needs: str
    ask: Callable[[Mesh, Floats, int], Run]
    points: int | None = None
    rounds: int | None = None

    @property
    def missing(self) -> bool:
        """Whether the module is not installed."""
        return importlib.util.find_spec(self.needs) is None


class Clock:
    """Seconds of wall and processor, children included, since it was made or asked."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), sum(os.times()[:4])

    def lap(self) -> tuple[float, float]:
        """Seconds, and processor seconds a second."""
        wall, processor = self._wall, self._processor
        self._wall, self._processor = time.perf_counter(), sum(os.times()[:4])
        seconds = self._wall - wall
        return seconds, (self._processor - processor) / max(seconds, 1e-9)


def ours(mesh: Mesh, points: Floats, threads: int) -> Run:
    """Our tree; what is made for the first point belongs to the build."""
    clock = Clock()
    surface = Surface(mesh.vertices, mesh.faces, threads=threads)
    surface.signed_distance(points[:1])
    build, _ = clock.lap()
    distance = surface.signed_distance(points).distance
    return Run(distance, build, *clock.lap())


def open3d(mesh: Mesh, points: Floats, threads: int, closest: bool = True) -> Run:
    """Open3D's scene for rays: signs by the parity of crossings; closest faces and places on them by a second call."""
    core, geometry = import_open3d().core, import_open3d().t.geometry
    vertices, faces = mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32)
    asked = core.Tensor(points.astype(np.float32))
    clock = Clock()
    scene = geometry.RaycastingScene(nthreads=threads)
    scene.add_triangles(core.Tensor(vertices), core.Tensor(faces))
    scene.compute_distance(asked[:1], nthreads=threads)
    build, _ = clock.lap()
    distance = scene.compute_signed_distance(asked, nthreads=threads).numpy()
    if closest:
        scene.compute_closest_points(asked, nthreads=threads)
    return Run(distance.astype(np.float64), build, *clock.lap())


def open3d_distance(mesh: Mesh, points: Floats, threads: int) -> Run:
    """The same without closest faces, which our tree always tells."""
    return open3d(mesh, points, threads, closest=False)


def igl_pseudonormal(mesh: Mesh, points: Floats, threads: int) -> Run:
    """libigl, signs by pseudonormals."""
    import igl

    return _igl(mesh, points, igl.SIGNED_DISTANCE_TYPE_PSEUDONORMAL)


def igl_winding(mesh: Mesh, points: Floats, threads: int) -> Run:
    """libigl, signs by fast winding numbers."""
    import igl

    return _igl(mesh, points, igl.SIGNED_DISTANCE_TYPE_FAST_WINDING_NUMBER)


def _igl(mesh: Mesh, points: Floats, kind: Any) -> Run:
    """One call does both: the build is what a call with one point takes."""
    import igl

    faces = mesh.faces.astype(np.int64)
    clock = Clock()
    igl.signed_distance(points[:1], mesh.vertices, faces, kind)
    build, _ = clock.lap()
    distance = igl.signed_distance(points, mesh.vertices, faces, kind)[0]
    seconds, cores = clock.lap()
    return Run(distance, build, max(seconds - build, 1e-9), cores)


def by_trimesh(mesh: Mesh, points: Floats, threads: int) -> Run:
    """trimesh, whose distances are positive inside."""
    import trimesh

    clock = Clock()
    loaded = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    trimesh.proximity.signed_distance(loaded, points[:1])
    build, _ = clock.lap()
    distance = -trimesh.proximity.signed_distance(loaded, points)
    return Run(distance, build, *clock.lap())


def mesh_to_sdf(mesh: Mesh, points: Floats, threads: int, samples: int = SAMPLES) -> Run:
    """mesh-to-sdf by points sampled on the surface; the start of its process is not counted."""
    clock = Clock()
    told = ask(mesh.vertices, mesh.faces, points, samples, threads)
    _, cores = clock.lap()
    return Run(told.distance, told.build, told.query, cores)


def peers() -> list[Peer]:
    """All of them, ours first; those on a GPU where there is one."""
    found = [
        Peer(OURS, "numba", ours),
        Peer(OPEN3D, "open3d", open3d),
        Peer("Open3D, no closest faces", "open3d", open3d_distance),
        Peer("libigl, pseudonormals", "igl", igl_pseudonormal),
        Peer("libigl, fast winding numbers", "igl", igl_winding),
    ]
    if importlib.util.find_spec("warp") is None:
        found.append(Peer("Warp", "warp", ours))
    else:
        from . import warp_peer

        found += [
            Peer(f"Warp on {device}, {way}", "warp", warp_peer.asker(device, way))
            for device in warp_peer.devices()
            for way in warp_peer.WAYS
        ]
    return [
        *found,
        Peer("trimesh", "rtree", by_trimesh, points=1_000, rounds=1),
        Peer(MESH_TO_SDF, "mesh_to_sdf", mesh_to_sdf, rounds=2),
    ]
