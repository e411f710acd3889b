"""Pictures of labels that join the views of a scanned person: depths, noise variants, points, visible vertices."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..datasets.errors import FormatError
from ..datasets.schema import Field
from ..datasets.storage import Linear
from ..datasets.table import Record

Picture = NDArray[np.uint8]
Painter = Callable[[NDArray, float, float], Picture]
SLAB, REACH = 0.015, 0.12  # metres: points nearer than that to the middle plane are shown; where colours end
SEEN, UNSEEN = (60, 220, 90), (150, 30, 30)
FRONT = 512  # pixels of a side, for a subject, which has no camera of its own


def scan_panels(
    record: Record, spectrum: Painter, direction: Callable[[NDArray], Picture]
) -> Iterator[tuple[str, Picture]]:
    """(name, picture) of each of these labels that a view, or a subject, has."""
    for name in record:
        if is_depth(record.schema.by_name[name]):
            yield name, _depth(record, name, spectrum)
        if name.startswith("noisy_normal"):
            yield from ((f"{name} {number}", direction(each)) for number, each in enumerate(record[name], 1))
        if name == "relit":
            yield from ((f"relit {number}", each) for number, each in enumerate(record[name], 1))
    if "subject" in record.columns:
        yield from _of_subject(record, spectrum)
    elif "scan_surface" in record or "world_from_scan" in record:
        yield from _subject(record, spectrum)


def is_depth(entry: Field) -> bool:
    """Whether a field is a depth of a scan or body, which is 0 where there is nothing."""
    return isinstance(entry.storage, Linear) and entry.shape == ("height", "width")


def _depth(record: Record, name: str, spectrum: Painter) -> Picture:
    """Depth from near (blue) to far (red)."""
    values = record[name].astype(np.float64)
    there = values != 0
    low, high = (np.percentile(values[there], (1, 99))) if there.any() else (0.0, 1.0)
    return spectrum(np.where(there, values, np.nan), float(low), float(high))


def _of_subject(record: Record, spectrum: Painter) -> Iterator[tuple[str, Picture]]:
    """What a view's subject has, in the view's picture."""
    try:
        subject = record.referred("subject")
    except (KeyError, FormatError):  # a data set that is still building, or was cut
        return
    if "calib" not in record:
        return
    size = record.schema.dimensions.get("height") or FRONT
    ground = (0.35 * record["image"]).astype(np.uint8) if "image" in record else np.zeros((size, size, 3), np.uint8)
    if {"points", "sdf"} <= set(subject):
        yield "sdf near the middle plane (blue inside)", _slab(subject, record["calib"], ground, spectrum)
    if "body_visible" in record and "body_vertices" in subject:
        vertices = subject["body_vertices"][0].astype(np.float64)
        seen = np.unpackbits(record["body_visible"][0], bitorder="little")[: len(vertices)].astype(bool)
        order = np.argsort(seen, kind="stable")
        colours = np.where(seen[:, None], SEEN, UNSEEN).astype(np.uint8)
        yield "body_visible (green seen)", _dots(ground, _pixels(record, vertices, size)[order], colours[order], 3)


def _subject(record: Record, spectrum: Painter) -> Iterator[tuple[str, Picture]]:
    """A subject from its front."""
    scale = 1.8 / 1.024 / float(record["height"]) if "height" in record else 1.0
    calib = np.diag([scale, -scale, scale, 1.0])
    ground = np.zeros((FRONT, FRONT, 3), np.uint8)
    if {"points", "sdf"} <= set(record):
        yield "sdf near the middle plane (blue inside)", _slab(record, calib, ground, spectrum)
    if {"points", "surface_rgb", "sdf"} <= set(record):
        points = record["points"].astype(np.float64)
        near = np.flatnonzero(np.abs(record["sdf"]) < SLAB)
        near = near[np.argsort(points[near, 2])]
        yield "surface_rgb", _dots(ground, _cube(points[near], calib, FRONT), record["surface_rgb"][near])
        colours = ((record["surface_normal"][near] + 1) * 127.5).astype(np.uint8)
        yield "surface_normal", _dots(ground, _cube(points[near], calib, FRONT), colours)


def _slab(subject: Record, calib: NDArray, ground: Picture, spectrum: Painter) -> Picture:
    """Points near the plane through the middle of the picture: blue inside, red outside, green on the surface."""
    points = subject["points"].astype(np.float64)
    depth = points @ (calib[2, :3] / np.linalg.norm(calib[2, :3]))
    near = np.flatnonzero(np.abs(depth) < SLAB)
    colours = spectrum(subject["sdf"][near].astype(np.float64), -REACH, REACH)
    return _dots(ground, _cube(points[near], calib, len(ground)), colours)


def _cube(points: NDArray[np.float64], calib: NDArray, size: int) -> NDArray[np.float64]:
    """Pixels (n, 2) of world points in the references' cube."""
    return (points @ calib[:2, :3].T + calib[:2, 3] + 1) / 2 * size


def _pixels(record: Record, points: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Pixels (n, 2) of world points in a view."""
    if record.options.get("camera") != "perspective":
        return _cube(points, record["calib"], size)
    local = (points - record["world_from_camera"][:3, 3]) @ record["world_from_camera"][:3, :3]
    return (local / local[:, 2:]) @ record["intrinsics"].T[:, :2]


def _dots(ground: Picture, pixels: NDArray[np.float64], colours: Picture, side: int = 1) -> Picture:
    """Dots over a picture, `side` pixels wide, the last one uppermost."""
    out = ground.copy()
    column, row = np.floor(pixels).astype(np.int64).T
    inside = (column >= 0) & (row >= 0) & (column <= out.shape[1] - side) & (row <= out.shape[0] - side)
    for right, below in np.ndindex(side, side):
        out[row[inside] + below, column[inside] + right] = colours[inside]
    return out
