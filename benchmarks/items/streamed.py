"""The same item from shards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...datasets.pool_draws import icon_balance
from ...datasets.stream import Stream
from ...datasets.transforms import load_transform

FIELDS = (
    "image", "mask", "normal_f", "normal_b", "body_normal_f", "body_normal_b", "calib", "body_visible",
    "subject.points", "subject.sdf", "subject.body_face", "subject.body_bary", "subject.body_sdf",
    "subject.body_normals", "subject.body_vertices",
)  # fmt: skip
NOISY = ("noisy_normal_f", "noisy_normal_b")


def batches(out: Path, points: int, size: int, noisy: bool) -> Iterator[dict[str, Any]]:
    """Batches in this thread, epoch after epoch: pictures, points, occupancy, features of a random body.

    Args:
        out: the data set.
        points: of each item.
        size: items in a batch.
        noisy: whether the pictures of the body's normals are those of the same random body, not always of the fit; in
            the reference, they are of the fit.
    """
    stream = Stream(
        out, table="views", fields=[*FIELDS, *(NOISY if noisy else ())], threads=0,
        sample={"subject.points": icon_balance(points)}, batch_size=size, last="drop",
        transforms=[
            load_transform("pick_body", body="random"), load_transform("icon_features"),
            load_transform("occupancy", field="subject.sdf"),
        ],
    )  # fmt: skip
    epoch = 0
    while True:
        stream.set_epoch(epoch)
        yield from stream
        epoch += 1
