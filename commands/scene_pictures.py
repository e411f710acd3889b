"""Pictures of labels that join the frames of a scene: visibility, light probes, query points."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..datasets.camera import project, transform
from ..datasets.table import Record
from ..datasets.visibility import ViewState, unpack_visibility
from ..datasets.voxels import VoxelState

Picture = NDArray[np.uint8]
MISSING = (70, 20, 60)
VISIBILITY = {
    ViewState.UNKNOWN: (25, 25, 30), ViewState.VISIBLE: (40, 200, 60), ViewState.OCCLUDED: (225, 45, 35),
    ViewState.INCONSISTENT: (235, 30, 235),
}  # fmt: skip
VOXELS = {
    VoxelState.UNOBSERVED: (120, 120, 120), VoxelState.OCCLUDED: (225, 45, 35), VoxelState.SURFACE: (245, 215, 60),
    VoxelState.FREE: (60, 130, 245),
}  # fmt: skip
OUTSIDE, INSIDE, INVALID = (60, 130, 245), (225, 45, 35), (120, 120, 120)
PROBE_COLUMNS, PROBE_SCALE = 2, 6
HIDDEN = 0.06  # metres
SMALLEST_TOLD = 90  # pixels
CAMERA = {"intrinsics", "world_from_camera"}


def scene_panels(record: Record) -> Iterator[tuple[str, Picture]]:
    """(name of the field, picture) of each of these labels that the record has."""
    if "visibility" in record:
        for picture in visibility_pictures(record):
            yield "visibility", picture
    if {"probe_radiance", "probe_mask"} <= set(record):
        yield "probe_radiance", probe_picture(record)
    if {"probe_position"} | CAMERA <= set(record):
        yield "probe_position", position_picture(record)
    if {"points", "cube"} | CAMERA <= set(record):
        if {"sdf", "sdf_valid"} <= set(record):
            sign = np.where(record["sdf"] < 0, 1, 0)
            colours = np.array([OUTSIDE, INSIDE, INVALID], np.uint8)
            drawn = points_picture(record, colours[np.where(record["sdf_valid"] > 0, sign, 2)])
            yield "sdf", _told(drawn, "blue outside, red inside, grey not valid")
        if "voxel_state" in record:
            drawn = points_picture(record, _table(VOXELS)[record["voxel_state"]])
            yield "voxel_state", _told(drawn, "blue free, yellow surface, red occluded, grey unobserved")


def visibility_pictures(record: Record) -> Iterator[Picture]:
    """One picture a neighbour, with its key: visible green, occluded red, inconsistent magenta, unknown dark."""
    neighbours = record.columns.get("neighbours") or []
    ground = _ground(record).astype(np.float32)
    for key, states in zip(neighbours, unpack_visibility(record["visibility"], len(neighbours)), strict=True):
        mixed = 0.5 * ground + 0.5 * _table(VISIBILITY)[states]
        canvas = Image.fromarray(mixed.astype(np.uint8))
        _write(canvas, (4, 2), key)
        yield _told(np.asarray(canvas), "green visible, red occluded, magenta inconsistent, dark unknown")


def probe_picture(record: Record) -> Picture:
    """The environment maps at one exposure (the picture's, where there is one), two beside each other; unseen dark."""
    radiance, mask = np.maximum(record["probe_radiance"].astype(np.float32), 0), record["probe_mask"] > 0
    luminance = radiance.mean(axis=-1)[mask]
    bright = float(np.percentile(luminance, 90)) if luminance.size else 1.0
    scale = float(record["tone_scale"]) if "tone_scale" in record else 0.6 / (bright or 1.0)
    shown = (255 * np.clip((scale * radiance) ** (1 / 2.2), 0, 1)).astype(np.uint8)
    shown[~mask] = MISSING
    shown = np.pad(shown, ((0, -len(shown) % PROBE_COLUMNS), (0, 0), (0, 0), (0, 0)))
    _, height, width, _ = shown.shape
    shown = shown.repeat(PROBE_SCALE, axis=1).repeat(PROBE_SCALE, axis=2)
    shown = np.pad(shown, ((0, 0), (0, 2), (0, 2), (0, 0)), constant_values=255)
    rows = shown.reshape(-1, PROBE_COLUMNS, *shown.shape[1:]).transpose(0, 2, 1, 3, 4)
    canvas = Image.fromarray(rows.reshape(-1, PROBE_COLUMNS * (PROBE_SCALE * width + 2), 3))
    for number in range(len(mask)):
        row, column = divmod(number, PROBE_COLUMNS)
        _write(canvas, (column * (PROBE_SCALE * width + 2) + 2, row * (PROBE_SCALE * height + 2)), str(number))
    return np.asarray(canvas)


def position_picture(record: Record) -> Picture:
    """Where the probes stand: numbered rings over the image, smaller further away."""
    canvas = Image.fromarray((0.7 * _ground(record)).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    pixels, depth = _projected(record, record["probe_position"].astype(np.float64))
    for number, ((x, y), z) in enumerate(zip(pixels, depth, strict=True)):
        if z > 0 and 0 <= x < canvas.width and 0 <= y < canvas.height:
            radius = max(3.0, 0.05 * record["intrinsics"][0, 0] / float(z))
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(255, 220, 0), width=2)
            _write(canvas, (int(x + radius) + 1, int(y) - 7), str(number))
    return np.asarray(canvas)


def points_picture(record: Record, colours: Picture) -> Picture:
    """Query points as dots of colours (N, 3) over the dimmed image, nearest last.

    Left out are those further than HIDDEN behind what the frame measured at their pixel.
    """
    shown = (0.35 * _ground(record)).astype(np.uint8)
    height, width = shown.shape[:2]
    cube = record["cube"]
    points = cube[:3] + record["points"].astype(np.float64) * (cube[3] / 2)
    pixels, depth = _projected(record, points)
    # A dot is two pixels wide, so the last row and column hold no dot's corner.
    inside = (depth > 0.05) & (pixels >= 0).all(axis=1) & (pixels < (width - 1, height - 1)).all(axis=1)
    if "distance" in record:
        column, row = pixels[inside].astype(np.int64).T
        behind = np.linalg.norm(points[inside] - record["world_from_camera"][:3, 3], axis=1)
        behind -= record["distance"][row, column]
        inside[inside] = behind < HIDDEN  # false where nothing was measured, too
    order = np.flatnonzero(inside)[np.argsort(-depth[inside], kind="stable")]
    x, y = pixels[order].astype(np.int64).T
    for right, below in np.ndindex(2, 2):
        shown[y + below, x + right] = colours[order]
    return shown


def _ground(record: Record) -> Picture:
    """The image, or black where the record has none."""
    if "image" in record:
        return record["image"]
    return np.zeros((record.schema.dimensions["height"] or 1, record.schema.dimensions["width"] or 1, 3), np.uint8)


def _projected(record: Record, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels (N, 2) and depths (N,) of world points (N, 3)."""
    return project(transform(points, np.linalg.inv(record["world_from_camera"])), record["intrinsics"])


def _table(colours: dict[ViewState, tuple[int, int, int]] | dict[VoxelState, tuple[int, int, int]]) -> Picture:
    """Colours (states, 3) by the number of the state."""
    return np.array([colour for _, colour in sorted(colours.items())], np.uint8)


def _told(picture: Picture, legend: str) -> Picture:
    """A picture with its colours' meaning at its foot, where there is room."""
    if len(picture) < SMALLEST_TOLD:
        return picture
    canvas = Image.fromarray(picture)
    _write(canvas, (4, canvas.height - 18), legend)
    return np.asarray(canvas)


def _write(canvas: Image.Image, at: tuple[int, int], text: str) -> None:
    """White text with a dark rim, legible on any ground."""
    font = ImageFont.load_default(13)
    ImageDraw.Draw(canvas).text(at, text, (255, 255, 255), font, stroke_width=1, stroke_fill=(0, 0, 0))
