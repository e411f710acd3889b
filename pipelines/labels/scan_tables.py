"""The two tables of scanned people: what their records are called by, and how large they are."""

from collections.abc import Callable
from typing import Any

from ...datasets.body_params import SIZES
from ...datasets.schema import Column, Reference
from ..recipe import TableSpec
from .body_volume import SIDE
from .scan_subject import SUBJECT_LABELS
from .scan_views import VIEW_LABELS

VERTICES, JOINTS = {"smplx": 10475, "smpl": 6890}, {"smplx": 55, "smpl": 24}
VIEW_COLUMNS = (
    Column("yaw", "float64", "degrees that the person is turned by, seen from the camera"),
    Column("pitch", "float64", "degrees that the camera is raised by"),
    Column("body_model", "string", "smplx, smpl, or what a stand-in is made of; empty: no fit"),
)
VIEW_REFERENCES = (Reference("subject", "subjects", meaning="who is seen"),)
SUBJECT_COLUMNS = (
    Column("body_model", "string", "smplx, smpl, or what a stand-in is made of; empty: no fit"),
)  # fmt: skip


def scan_tables(kind: Callable[[Any], str]) -> dict[str, TableSpec]:
    """Tables of a recipe.

    Args:
        kind: of the body model under the recipe's options, `smplx` or `smpl`.
    """

    def sizes(options: Any) -> dict[str, int | None]:
        return dimensions(options, kind(options))

    return {
        "views": TableSpec(VIEW_LABELS, sizes, VIEW_COLUMNS, VIEW_REFERENCES),
        "subjects": TableSpec(SUBJECT_LABELS, sizes, SUBJECT_COLUMNS),
    }


def dimensions(options: Any, kind: str) -> dict[str, int | None]:
    """Sizes of the records.

    Args:
        options: `ScanOptions`.
        kind: of the body model, `smplx` or `smpl`.
    """
    return {
        "height": options.size, "width": options.size, "bodies": 1 + options.variants, "variants": options.variants,
        "lights": options.lights, "points": None, "surface": None, "grid": SIDE,
        "vertices": VERTICES[kind], "vertex_bytes": -(-VERTICES[kind] // 8), "joints": JOINTS[kind],
        "params": SIZES[kind],
    }  # fmt: skip


def record_bytes(options: Any) -> int:
    """Expected bytes of a view and of its share of the subject, for the number of groups."""
    return 1_300_000 * options.size**2 // 512**2 + 20_000_000 // options.views
