"""The labels of one view of a scanned subject."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.schema import Column, Field
from ...datasets.storage import Linear, Octahedral
from ..recipe import Label
from . import body_parts, body_visible, mesh_raster, orientation, scan_picture
from .mesh_raster import Seen
from .scan_camera import ScanCamera, about
from .subject import MeshView, SubjectView

Made = Mapping[str, Any]
HW, HW3 = ("height", "width"), ("height", "width", 3)
STEP = 2.0**-14  # metres, 61 micrometres: a power of two, so that 0 (nothing there) is a code
UNIT, DEPTH = Octahedral(14), Linear(-2, 2 - STEP)
SIDES = {
    "l": 90.0,
    "r": -90.0,
}  # degrees that the camera goes round, seen from above: to the person's left when yaw is 0
SEEN = mesh_raster.VERSION + body_visible.VERSION


def camera(view: SubjectView, options: Any) -> Made:
    """Matrices of the camera, and where it stands."""
    return {"intrinsics": view.camera.intrinsics, "world_from_camera": view.camera.world_from_camera,
            "calib": view.camera.calib}  # fmt: skip


def image(view: SubjectView, options: Any) -> Made:
    """The picture under a light of its own."""
    seed, light = view.light
    return {"image": view.picture, "alpha": view.samples.alpha, "light": light.astype(np.float32),
            "light_seed": seed}  # fmt: skip


def relit(view: SubjectView, options: Any) -> Made:
    """The same picture under other lights."""
    lights = np.stack([view.light_of(number)[1] for number in range(1, options.lights + 1)])
    return {"relit": np.stack([view.samples.under(light) for light in lights]),
            "relit_light": lights.astype(np.float32)}  # fmt: skip


def mask(view: SubjectView, options: Any) -> Made:
    """Pixels whose centres see the scan."""
    seen = view.scan[0].mask
    return {"mask": seen, "mask_share": float(seen.mean())}


def normals(view: SubjectView, options: Any) -> Made:
    """Normals of the scan, front and back."""
    return _normals("normal", view.subject.scan, view.scan, view.camera)


def depths(view: SubjectView, options: Any) -> Made:
    """Depths of the scan, front and back."""
    return _depths("depth", view.scan)


def body_normals(view: SubjectView, options: Any) -> Made:
    """Normals of the fit, and of each noise variant."""
    made: dict[str, Any] = {}
    for number, (mesh, seen) in enumerate(zip(view.subject.body_views, view.bodies, strict=True)):
        for name, found in _normals("normal", mesh, seen, view.camera).items():
            made.setdefault(f"noisy_{name}" if number else f"body_{name}", []).append(found)
    return {name: np.stack(found) if name.startswith("noisy") else found[0] for name, found in made.items()}


def body_depths(view: SubjectView, options: Any) -> Made:
    """Depths of the fit, front and back."""
    return _depths("body_depth", view.bodies[0]) if view.bodies else {}


def parts(view: SubjectView, options: Any) -> Made:
    """Which part of the fit each pixel sees, by the vertex of the face that is nearest to the place."""
    bodies = view.subject.bodies
    if bodies is None:
        return {}
    seen = view.bodies[0][0]
    out = np.zeros(seen.mask.shape, np.uint8)
    face, bary = seen.face[seen.mask], seen.bary[seen.mask]
    out[seen.mask] = 1 + bodies.parts[np.take_along_axis(bodies.faces[face], bary.argmax(1)[:, None], 1)[:, 0]]
    return {"body_parts": out}


def visible(view: SubjectView, options: Any) -> Made:
    """Which vertices of each body the camera sees."""
    if not view.bodies:
        return {"body_visible_share": None}
    seen = np.stack([mesh.visible(view.camera) for mesh in view.subject.body_views])
    return {"body_visible": np.packbits(seen, axis=1, bitorder="little"), "body_visible_share": float(seen[0].mean())}


def sides(view: SubjectView, options: Any) -> Made:
    """Normals of the fit and of each noise variant, and depths of the fit, from both sides, each in its own camera."""
    if not view.subject.body_views:
        return {}
    made: dict[str, Any] = {}
    for side, yaw in SIDES.items():
        turned = side_camera(view.camera, yaw)
        seen = [mesh.rays.front(turned) for mesh in view.subject.body_views]
        fit, *noisy = (mesh.normal_map(x, turned) for mesh, x in zip(view.subject.body_views, seen, strict=True))
        made |= {f"body_normal_{side}": fit, f"body_depth_{side}": _depth(seen[0]),
                 f"side_{side}": turned.world_from_camera}  # fmt: skip
        if noisy:
            made[f"noisy_normal_{side}"] = np.stack(noisy)
    return made


def orientations(view: SubjectView, options: Any) -> Made:
    """Orientation of the picture's structures."""
    angle, sure = orientation.orientation_map(view.picture, view.scan[0].mask)
    return {"orientation": angle, "orientation_confidence": sure}


def side_camera(camera: ScanCamera, yaw: float) -> ScanCamera:
    """The camera after it has gone round the vertical axis of its own picture, to look at the origin from a side."""
    turn = np.eye(4)
    down = camera.world_from_camera[:3, 1]
    turn[:3, :3] = about(down, -yaw)
    world_from_camera = turn @ camera.world_from_camera
    return replace(camera, world_from_camera=world_from_camera, calib=camera.calib @ np.linalg.inv(turn))


def _normals(name: str, mesh: MeshView, seen: Iterable[Seen], camera: ScanCamera) -> dict[str, NDArray[np.float32]]:
    return {f"{name}_{side}": mesh.normal_map(each, camera) for side, each in zip("fb", seen, strict=True)}


def _depths(name: str, seen: Iterable[Seen]) -> dict[str, NDArray[np.float32]]:
    return {f"{name}_{side}": _depth(each) for side, each in zip("fb", seen, strict=True)}


def _depth(seen: Seen) -> NDArray[np.float32]:
    """Planar depth, 0 where there is nothing."""
    return np.where(seen.mask, seen.depth, 0).astype(np.float32)


def _maps(name: str, what: str, of: str, extra: tuple[str, ...] = (), sides: str = "fb") -> tuple[Field, ...]:
    said = {"f": "what is seen first", "b": "what is behind all, on the same pixels", "l": "from the left, in camera "
            "side_l", "r": "from the right, in camera side_r"}  # fmt: skip
    if what == "normal":
        return tuple(
            Field(f"{name}_{side}", "float32", (*extra, *HW3), "blosc", "unit vector", "camera", f"normals of {of}, "
                  f"{said[side]}; zero where there is nothing", UNIT, optional=of != "the scan") for side in sides
        )  # fmt: skip
    return tuple(
        Field(f"{name}_{side}", "float32", (*extra, *HW), "blosc", "metre", "camera", f"planar depth of {of}, "
              f"{said[side]}, from the plane through the world's origin (camera z = depth + |camera centre|); 0 where "
              "there is nothing", DEPTH, optional=of != "the scan") for side in sides
    )  # fmt: skip


PICTURE, BODY = scan_picture.VERSION + body_visible.VERSION, 1 + body_parts.VERSION
VIEW_LABELS = (
    Label("camera", 1, camera, (
        Field("intrinsics", "float64", (3, 3), "npz", "pixel", "camera", "corner origin, pixel centres at +0.5; of an "
              "orthographic camera pixel = intrinsics (x, y, 1), not divided by z"),
        Field("world_from_camera", "float64", (4, 4), "npz", "metre", "world", "OpenCV camera axes"),
        Field("calib", "float64", (4, 4), "npz", "1 / metre", "ndc", "world metres to the references' cube [-1, 1]: x "
              "right, y down, z towards the camera; of a perspective view, of the orthographic camera in its place"),
    )),
    Label("image", PICTURE, image, (
        Field("image", "uint8", HW3, "png", "sRGB", meaning="the scan under the light, over black"),
        Field("alpha", "uint8", HW, "blosc", meaning="share of the pixel that the scan covers, 255 for all"),
        Field("light", "float32", (9, 3), "npz", meaning="real spherical harmonics up to order 2, world frame, by "
              "colour; image = texture x (transfer . light)^(1/2.2)"),
    ), (Column("light_seed", "int64", "of numpy's default generator, which drew the light"),)),
    Label("mask", SEEN, mask, (
        Field("mask", "bool", HW, "blosc", meaning="the pixel's centre sees the scan: where normals and depths are"),
    ), (Column("mask_share", "float64", "share of the picture"),)),
    Label("normals", SEEN, normals, _maps("normal", "normal", "the scan")),
    Label("depths", SEEN, depths, _maps("depth", "depth", "the scan")),
    Label("body_normals", SEEN + BODY, body_normals, (
        *_maps("body_normal", "normal", "the fit"),
        *_maps("noisy_normal", "normal", "each noise variant", ("variants",)),
    )),
    Label("body_depths", SEEN + BODY, body_depths, _maps("body_depth", "depth", "the fit")),
    Label("body_parts", SEEN + BODY, parts, (
        Field("body_parts", "uint8", HW, "blosc", meaning="part of the fit that is seen: 0 none, k + 1 for part k of "
              "smpl24 (with SMPL-X, fingers belong to the hands, jaw and eyes to the head)", optional=True),
    )),
    Label("body_visible", SEEN + BODY, visible, (
        Field("body_visible", "uint8", ("bodies", "vertex_bytes"), "npz", meaning="which vertices of the fit and of "
              "each noise variant are seen, eight a byte, the first in the lowest bit", optional=True),
    ), (Column("body_visible_share", "float64", "share of the fit's vertices"),)),
    Label("sides", 1 + SEEN + BODY, sides, (
        *_maps("body_normal", "normal", "the fit", sides="lr"), *_maps("body_depth", "depth", "the fit", sides="lr"),
        *_maps("noisy_normal", "normal", "each noise variant", ("variants",), sides="lr"),
        *(Field(f"side_{side}", "float64", (4, 4), "npz", "metre", "world", "world from the camera at the side",
                optional=True) for side in "lr"),
    ), default=False),
    Label("relit", PICTURE, relit, (
        Field("relit", "uint8", ("lights", *HW3), "blosc", "sRGB", meaning="the picture under other lights"),
        Field("relit_light", "float32", ("lights", 9, 3), "npz", meaning="those lights, as `light`"),
    ), default=False),
    Label("orientation", orientation.VERSION + PICTURE, orientations, (
        Field("orientation", "float16", HW, "blosc", "radian", "camera", "direction of fine structures, 0 to pi, from "
              "the x axis (right) towards the y axis (down)", nan="outside the mask"),
        Field("orientation_confidence", "float16", HW, "blosc", meaning="0 (none stands out) to 1"),
    ), default=False),
)  # fmt: skip
