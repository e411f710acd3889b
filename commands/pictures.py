"""Pictures of records: each image-like field as a panel, panels side by side."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..datasets.camera import project, transform
from ..datasets.flags import PixelFlag, has_flag
from ..datasets.octree import leaf_centres, unpack
from ..datasets.schema import Field
from ..datasets.table import Record
from .scan_pictures import is_depth, scan_panels
from .scene_pictures import MISSING, Picture, scene_panels

CAPTION = 22
# Anchors from dark blue over green and yellow to dark red; interpolated linearly.
SPECTRUM = np.array(
    [(48, 18, 59), (70, 107, 227), (40, 187, 236), (50, 242, 152), (164, 252, 60), (237, 208, 58), (251, 128, 34),
     (210, 49, 5), (122, 4, 3)], np.float32,
)  # fmt: skip


def spectrum(values: NDArray, low: float, high: float) -> Picture:
    """Colours (..., 3) uint8 of values between `low` and `high`; what is not finite has a colour of its own."""
    known = np.isfinite(values)
    place = np.clip((np.where(known, values, low) - low) / max(high - low, 1e-9), 0, 1) * (len(SPECTRUM) - 1)
    index = np.minimum(place.astype(int), len(SPECTRUM) - 2)
    colours = SPECTRUM[index] + (SPECTRUM[index + 1] - SPECTRUM[index]) * (place - index)[..., None]
    return np.where(known[..., None], colours, MISSING).astype(np.uint8)


def _scalar(values: NDArray) -> Picture:
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
    return spectrum(values.astype(np.float32), float(low), float(high))


def _light(values: NDArray) -> Picture:
    """Linear light at an exposure of its own, gamma 2.2."""
    rgb = np.maximum(values.astype(np.float32), 0)
    bright = float(np.percentile(rgb.mean(axis=-1), 90)) or 1.0
    return (255 * np.clip((0.6 * rgb / bright) ** (1 / 2.2), 0, 1)).astype(np.uint8)


def _direction(values: NDArray) -> Picture:
    """Unit vectors with x, y, z as red, green, blue, in a frame with y up and z towards the viewer."""
    shown = (values * (1, -1, -1) + 1) * 127.5
    return np.where((values == 0).all(axis=-1)[..., None], MISSING, shown).astype(np.uint8)


def _ids(values: NDArray) -> Picture:
    """A colour for each id, by a multiplicative hash."""
    mixed = (values.astype(np.int64) * 2654435761) & 0xFFFFFF
    colours = np.stack([mixed >> 16, (mixed >> 8) & 255, mixed & 255], axis=-1)
    return np.where((values < 0)[..., None], MISSING, colours // 2 + 100).astype(np.uint8)


def _share(values: NDArray) -> Picture:
    """Grey: black for none, white for all."""
    grey = values * np.uint8(255) if values.dtype == np.bool_ else values
    return np.repeat(grey[..., None], 3, -1)


def _parts(values: NDArray) -> Picture:
    """A colour for each part of a body; 0 is none."""
    return _ids(np.where(values == 0, -1, values.astype(np.int64)))


def _flags(values: NDArray) -> Picture:
    """Boundary: near side yellow, far side blue; ignored grey; flipped normals red; invalid dark."""
    shown = np.full((*values.shape, 3), 235, np.uint8)
    shown[~has_flag(values, PixelFlag.VALID)] = MISSING
    shown[has_flag(values, PixelFlag.BOUNDARY_IGNORE) & has_flag(values, PixelFlag.VALID)] = 150
    shown[has_flag(values, PixelFlag.NORMAL_FLIPPED)] = (220, 40, 40)
    edge, near = has_flag(values, PixelFlag.BOUNDARY), has_flag(values, PixelFlag.OCCLUDER)
    shown[edge & near] = (240, 180, 0)
    shown[edge & ~near] = (20, 80, 220)
    return shown


def octree_picture(record: Record) -> Picture | None:
    """The occupied leaves as squares of their mean colour (depth, where they have none), nearest last, as seen."""
    needed = {"octree_split", "cube", "intrinsics", "world_from_camera"}
    depth, full_depth = record.options.get("octree_depth"), record.options.get("octree_full_depth")
    if not needed <= set(record) or not isinstance(depth, int) or not isinstance(full_depth, int):
        return None
    cube, height, width = record["cube"], record.schema.dimensions["height"], record.schema.dimensions["width"]
    assert height and width
    structure = unpack(np.ascontiguousarray(record["octree_split"]), depth, full_depth)
    points = transform(leaf_centres(structure, cube), np.linalg.inv(record["world_from_camera"]))
    pixels, z = project(points, record["intrinsics"])
    focal = np.diag(record["intrinsics"])[:2]
    halves = focal * (cube[3] / 2**depth / 2 / np.maximum(z, 1e-3))[:, None]
    colours = _light(record["octree_color"][None])[0] if "octree_color" in record else _scalar(z)
    canvas = Image.new("RGB", (width, height), MISSING)
    draw = ImageDraw.Draw(canvas)
    seen = np.flatnonzero((z > 0.1) & (np.abs(pixels - (width / 2, height / 2)) < (width, height)).all(axis=1))
    for leaf in seen[np.argsort(-z[seen])]:
        corners = (*(pixels[leaf] - halves[leaf]), *(pixels[leaf] + halves[leaf]))
        draw.rectangle(corners, fill=tuple(int(c) for c in colours[leaf]))
    return np.asarray(canvas)


def painter(entry: Field) -> Callable[[NDArray], Picture] | None:
    """How to show an image-like field; None for other fields, and for one that takes several panels."""
    if entry.shape[:2] != ("height", "width") or entry.name == "visibility" or is_depth(entry):
        return None
    if len(entry.shape) == 3:
        if entry.dtype == "uint8":
            return lambda values: values
        return _direction if entry.unit == "unit vector" else _light
    known = {"flags": _flags, "alpha": _share, "mask": _share, "body_parts": _parts}
    if entry.name in known:
        return known[entry.name]
    return _scalar if np.dtype(entry.dtype).kind == "f" else _ids


def panels(record: Record) -> Iterator[tuple[str, Picture]]:
    """(name, picture) of each field that can be shown, of what joins it with its scene or subject, and of octrees."""
    for name in record:
        paint = painter(record.schema.by_name[name])
        if paint is not None:
            yield name, paint(record[name])
    yield from scene_panels(record)
    yield from scan_panels(record, spectrum, _direction)
    drawn = octree_picture(record)
    if drawn is not None:
        yield "octree leaves", drawn


def sheet(rows: list[tuple[str, list[tuple[str, Picture]]]], columns: int, width: int) -> Image.Image:
    """Rows of captioned panels, each row under its title, panels `width` pixels wide, `columns` beside each other."""
    font = ImageFont.load_default(14)
    lines: list[Image.Image] = []
    for title, pictures in rows:
        banner = Image.new("RGB", (columns * width, CAPTION), (30, 30, 30))
        ImageDraw.Draw(banner).text((6, 2), title, (255, 255, 255), font)
        lines.append(banner)
        for start in range(0, len(pictures), columns):
            lines.append(_line(pictures[start : start + columns], columns, width, font))
    canvas = Image.new("RGB", (columns * width, sum(line.height for line in lines)), (255, 255, 255))
    y = 0
    for line in lines:
        canvas.paste(line, (0, y))
        y += line.height
    return canvas


def _line(
    pictures: list[tuple[str, Picture]], columns: int, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> Image.Image:
    shown = [Image.fromarray(picture).convert("RGB") for _, picture in pictures]
    shown = [picture.resize((width, max(1, round(picture.height * width / picture.width)))) for picture in shown]
    line = Image.new("RGB", (columns * width, max(picture.height for picture in shown) + CAPTION), (255, 255, 255))
    for i, (picture, (name, _)) in enumerate(zip(shown, pictures, strict=True)):
        line.paste(picture, (i * width, CAPTION))
        ImageDraw.Draw(line).text((i * width + 6, 2), name, (0, 0, 0), font)
    return line
