"""From a trained field to the surface of a person."""

from typing import Any

import torch
from torch import Tensor

from ...fields.grid import FieldGrid
from ...fields.marching import extract_mesh
from ...fields.mesh import Mesh, largest_component
from ...fields.octree import evaluate_octree
from . import inputs
from .body import BodyQuery
from .engine import LEVEL, ImplicitEngine
from .grid_surface import grid_surface

COARSE = 32


@torch.no_grad()
def person_surface(
    engine: ImplicitEngine, batch: dict[str, Any], body: BodyQuery | None, resolution: int, chunk: int = 50_000
) -> tuple[Mesh, FieldGrid]:
    """The surface that a network sees in one record.

    Args:
        engine: not in training.
        batch: of one record.
        body: what points are asked about; None where the network sees no body.
        resolution: cells of a side: 32 times a power of two.
        chunk: points at once.

    Returns:
        The mesh in the view's cube (x right, y down, z towards the camera, -1 to 1), its largest part; and the field.

    Raises:
        FieldError: the field has no surface.
    """
    if engine.config.grid:
        return grid_surface(engine, batch, body)
    encoded = engine.network.encode(batch)
    calib = batch["calib"]

    def field(cube: Tensor) -> Tensor:
        world = inputs.world_points(cube[None], calib)
        about = body(world[0]) if body else {}
        return engine.field(encoded, {**batch, **about}, world)

    grid = evaluate_octree(field, resolution, LEVEL, coarse=min(COARSE, resolution), chunk=chunk, device=calib.device)
    return largest_component(extract_mesh(grid, LEVEL)), grid
