"""A self-contained page with a record's points, to be turned with the mouse."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.camera import transform, unproject
from ..datasets.errors import UsageError
from ..datasets.table import Record

MOST_POINTS = 60_000
NEAR = 0.01  # metres: points of a subject's pool that are so near its surface are shown
Cloud = tuple[NDArray[np.floating], NDArray[np.uint8] | None]


def write_page(record: Record, path: Path, title: str = "") -> None:
    """Write the page.

    Points of `distance` or of the depths in the world, coloured by `image` where there is one; of a scanned subject,
    the points near its surface in the surface's colours.

    Args:
        record: what is shown.
        path: of the page.
        title: above it; the record's key where it is empty.

    Raises:
        UsageError: the record has none of these, or no camera.
    """
    import plotly.graph_objects as go

    points, colours = _cloud(record)
    some = slice(None, None, max(1, len(points) // MOST_POINTS))
    x, y, z = points[some].round(4).T
    colour: str | list[str] = "gray"
    if colours is not None:
        colour = [f"rgb({r},{g},{b})" for r, g, b in colours[some]]
    figure = go.Figure(go.Scatter3d(x=x, y=y, z=z, mode="markers", marker={"size": 1.5, "color": colour}))
    scene: dict[str, Any] = {"aspectmode": "data"}
    if "calib" in record or "world_from_scan" in record:
        scene["camera"] = {"up": {"x": 0, "y": 1, "z": 0}, "eye": {"x": 0, "y": 0.3, "z": 2}}  # people stand along y
    figure.update_layout(title=title or record.key, scene=scene, margin={"l": 0, "r": 0, "b": 0, "t": 40})
    figure.write_html(path, include_plotlyjs=True)


def _cloud(record: Record) -> Cloud:
    """Points (n, 3) of the world, and colours (n, 3) where they are known."""
    there = set(record)
    if {"distance", "intrinsics", "world_from_camera"} <= there:
        distance = record["distance"]
        points = transform(unproject(distance, record["intrinsics"]), record["world_from_camera"])
        valid = np.isfinite(distance)
        return points[valid], record["image"][valid] if "image" in record else None
    if {"depth_f", "depth_b", "intrinsics", "world_from_camera"} <= there:
        return _front_and_back(record)
    if {"points", "sdf", "surface_rgb"} <= there:
        near = np.abs(record["sdf"]) < NEAR
        return record["points"][near], record["surface_rgb"][near]
    raise UsageError(
        f"{record.key}: a page needs a camera and distance or depths, or a subject's points "
        f"(fields: {', '.join(record)})"
    )


def _front_and_back(record: Record) -> Cloud:
    """What a view sees of a scan, and its back in grey."""
    pose, clouds, colours = record["world_from_camera"], [], []
    for side in "fb":
        depth = record[f"depth_{side}"].astype(np.float64)
        row, column = np.nonzero(depth)
        place = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], 1) @ np.linalg.inv(record["intrinsics"]).T
        z = depth[row, column] + np.linalg.norm(pose[:3, 3])
        if record.options.get("camera") == "perspective":
            place *= z[:, None]
        place[:, 2] = z
        clouds.append(transform(place, pose))
        seen = record["image"][row, column] if side == "f" and "image" in record else np.full((len(row), 3), 128)
        colours.append(seen.astype(np.uint8))
    return np.concatenate(clouds), np.concatenate(colours)
