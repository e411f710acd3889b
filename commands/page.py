"""A self-contained page with a record's points, to be turned with the mouse."""

from pathlib import Path

import numpy as np

from ..datasets.camera import transform, unproject
from ..datasets.errors import UsageError
from ..datasets.table import Record

MOST_POINTS = 60_000


def write_page(record: Record, path: Path) -> None:
    """Write the page: points of `distance` in the world, coloured by `image` where there is one.

    Raises:
        UsageError: the record has no distance and camera.
    """
    import plotly.graph_objects as go

    if not {"distance", "intrinsics", "world_from_camera"} <= set(record):
        raise UsageError(f"{record.key}: a page needs distance, intrinsics and world_from_camera")
    distance = record["distance"]
    points = transform(unproject(distance, record["intrinsics"]), record["world_from_camera"])
    valid = np.flatnonzero(np.isfinite(distance))
    valid = valid[:: max(1, len(valid) // MOST_POINTS)]
    x, y, z = points.reshape(-1, 3)[valid].round(3).T
    colour: str | list[str] = "gray"
    if "image" in record:
        colour = [f"rgb({r},{g},{b})" for r, g, b in record["image"].reshape(-1, 3)[valid]]
    figure = go.Figure(go.Scatter3d(x=x, y=y, z=z, mode="markers", marker={"size": 1.5, "color": colour}))
    figure.update_layout(title=record.key, scene={"aspectmode": "data"}, margin={"l": 0, "r": 0, "b": 0, "t": 40})
    figure.write_html(path, include_plotlyjs=True)
