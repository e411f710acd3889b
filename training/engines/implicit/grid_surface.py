"""The surface that a head over a grid sees: block by block on the lattice that it was trained on."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torch

from ...fields.grid import FieldGrid
from ...fields.marching import extract_mesh
from ...fields.mesh import Mesh, largest_component
from .body import BodyQuery
from .engine import LEVEL, ImplicitEngine

SIDE = 128  # cells of the stored grid
HALO = 5  # points at a block's sides that see past it: three convolutions of the head reach so far


@torch.no_grad()
def grid_surface(engine: ImplicitEngine, batch: dict[str, Any], body: BodyQuery | None) -> tuple[Mesh, FieldGrid]:
    """The surface in one record.

    Args:
        engine: with a head over blocks of a grid, not in training.
        batch: of one record, with `subject.cube_half_side`.
        body: what points are asked about; None where the network sees no body.

    Returns:
        The mesh in the view's cube, its largest part; and the field in world metres.

    Raises:
        FieldError: the field has no surface.
    """
    half, block = float(batch["subject.cube_half_side"].reshape(-1)[0]), engine.config.grid
    axis = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1) * half
    values = np.zeros((SIDE, SIDE, SIDE), np.float32)
    encoded, device = engine.network.encode(batch), batch["calib"].device
    for read, write, inner in blocks(block):
        points = np.stack(np.meshgrid(*(axis[cut] for cut in read), indexing="ij"), -1).reshape(-1, 3)
        world = torch.from_numpy(points.astype(np.float32)).to(device)
        about = body(world) if body else {}
        found = engine.field(encoded, {**batch, **about}, world[None]).float().cpu().numpy()
        values[write] = found.reshape(block, block, block)[inner]
    low, high = (float(axis[0]),) * 3, (float(axis[-1]),) * 3
    grid = FieldGrid(values, SIDE**3, low, high)
    made = largest_component(extract_mesh(grid, LEVEL))
    calib = batch["calib"][0].double().cpu().numpy()
    faces = made.faces if np.linalg.det(calib[:3, :3]) > 0 else np.ascontiguousarray(made.faces[:, ::-1])
    return Mesh(made.vertices @ calib[:3, :3].T + calib[:3, 3], faces), grid


Cut = tuple[slice, slice, slice]


def blocks(side: int, cells: int = SIDE, halo: int = HALO) -> Iterator[tuple[Cut, Cut, Cut]]:
    """Blocks that cover a lattice: what is read, what of the lattice is written, and where in the block that lies.

    Args:
        side: points of a block's side; all blocks are whole.
        cells: of the lattice.
        halo: points at the sides of a block that are not written, but at the lattice's own border.
    """
    halo = min(halo, (side - 1) // 2)
    spans = []
    done = 0
    while done < cells:
        start = min(max(0, done - halo), cells - side)
        end = cells if start + side == cells else start + side - halo
        spans.append((slice(start, start + side), slice(done, end), slice(done - start, end - start)))
        done = end
    for x, y, z in product(spans, spans, spans):
        read, write, inner = zip(x, y, z, strict=True)
        yield read, write, inner
