"""From a trained field to the surface of a person."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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
def vertex_sigma(
    engine: ImplicitEngine, batch: dict[str, Any], body: BodyQuery | None, mesh: Mesh, chunk: int = 50_000
) -> NDArray[np.float32] | None:
    """How unsure a network is of its field at the vertices of a surface.

    Args:
        engine: not in training.
        batch: of one record.
        body: what points are asked about; None where the network sees no body.
        mesh: the record's, in the view's cube.
        chunk: points at once.

    Returns:
        (V,) sigma, of a field between 0 and 1; None where the network does not tell, and for heads over blocks of a
        grid, which see no single points.
    """
    if not engine.config.uncertainty or engine.config.grid:
        return None
    encoded, calib = engine.network.encode(batch), batch["calib"]
    found = []
    for part in torch.from_numpy(mesh.vertices).float().to(calib.device).split(chunk):
        world = inputs.world_points(part[None], calib)
        about = body(world[0]) if body else {}
        found.append(engine.sigma(encoded, {**batch, **about}, world).float().cpu().numpy())
    return np.concatenate(found)


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
