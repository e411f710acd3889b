"""NVIDIA Warp: signs by winding numbers, or by rays; in float32, on the CPU (one thread) or a GPU."""

# mypy: ignore-errors
# What a kernel says means something else to Warp's own compiler.

from collections.abc import Callable
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from .meshes import Mesh
from .peers import Clock, Run

FAR = 100.0  # metres
WAYS = ("winding numbers", "rays")


@wp.kernel
def _by_winding(
    mesh: wp.uint64, points: wp.array(dtype=wp.vec3), far: float, distance: wp.array(dtype=float),
    face: wp.array(dtype=int), place: wp.array(dtype=wp.vec2),
) -> None:  # fmt: skip
    at = wp.tid()
    found = wp.mesh_query_point_sign_winding_number(mesh, points[at], far)
    closest = wp.mesh_eval_position(mesh, found.face, found.u, found.v)
    distance[at] = found.sign * wp.length(points[at] - closest)
    face[at] = found.face
    place[at] = wp.vec2(found.u, found.v)


@wp.kernel
def _by_rays(
    mesh: wp.uint64, points: wp.array(dtype=wp.vec3), far: float, distance: wp.array(dtype=float),
    face: wp.array(dtype=int), place: wp.array(dtype=wp.vec2),
) -> None:  # fmt: skip
    at = wp.tid()
    found = wp.mesh_query_point(mesh, points[at], far)
    closest = wp.mesh_eval_position(mesh, found.face, found.u, found.v)
    distance[at] = found.sign * wp.length(points[at] - closest)
    face[at] = found.face
    place[at] = wp.vec2(found.u, found.v)


def devices() -> list[str]:
    """The CPU, and the first GPU where there is one."""
    wp.config.quiet, wp.config.log_level = True, getattr(wp, "LOG_ERROR", 40)  # by the former in older versions
    wp.init()
    return ["cpu", "cuda:0"] if wp.get_cuda_device_count() else ["cpu"]


def asker(device: str, way: str) -> Callable[[Mesh, NDArray[np.float64], int], Run]:
    """A peer's `ask`."""

    def ask(mesh: Mesh, points: NDArray[np.float64], threads: int) -> Run:
        kernel = _by_winding if way == WAYS[0] else _by_rays
        vertices, asked = mesh.vertices.astype(np.float32), points.astype(np.float32)
        _query(kernel, _build(mesh.vertices[mesh.faces[0]], np.arange(3), device), asked[:1], device)  # compiles
        clock = Clock()
        built = _build(vertices, mesh.faces, device)
        wp.synchronize_device(device)
        build, _ = clock.lap()
        distance = _query(kernel, built, asked, device)
        return Run(distance.astype(np.float64), build, *clock.lap())

    return ask


def _build(vertices: NDArray[Any], faces: NDArray[Any], device: str) -> Any:
    return wp.Mesh(
        points=wp.array(vertices, dtype=wp.vec3, device=device),
        indices=wp.array(faces.reshape(-1).astype(np.int32), dtype=int, device=device),
        support_winding_number=True,
    )


def _query(kernel: Any, mesh: Any, points: NDArray[np.float32], device: str) -> NDArray[np.float32]:
    """Distances; points come from this machine's memory, and all results go there."""
    count = len(points)
    asked = wp.array(points, dtype=wp.vec3, device=device)
    out = [wp.zeros(count, dtype=kind, device=device) for kind in (float, int, wp.vec2)]
    wp.launch(kernel, dim=count, inputs=[mesh.id, asked, FAR, *out], device=device)
    distance, _, _ = (array.numpy() for array in out)
    return distance
