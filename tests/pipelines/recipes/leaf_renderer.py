"""A volume renderer of octree leaves, as a user of the records would write it: numpy finds leaves, torch composites."""

from dataclasses import dataclass

import numpy as np
import pytest
from tessera.datasets import Record
from tessera.datasets.octree import OctreeStructure, leaf_centres, unpack

torch = pytest.importorskip("torch")


def structure_of(record: Record) -> OctreeStructure:
    options = record.options
    return unpack(record["octree_split"], options["octree_depth"], options["octree_full_depth"])


@dataclass(frozen=True)
class Leaves:
    """Occupied voxels of one lattice: `rows` (x, y, z) int32 is the leaf of a voxel or -1, from voxel `low` (3,) on."""

    voxel: float
    low: np.ndarray
    rows: np.ndarray
    colour: "torch.Tensor"

    @property
    def alpha(self) -> "torch.Tensor":
        return torch.ones(len(self.colour))


def leaves_of(*records: Record) -> Leaves:
    """The union of octrees, which share a lattice; colours of a leaf that several frames see are averaged."""
    side = records[0]["cube"][3] / 2 ** records[0].options["octree_depth"]
    cells, colours = [], []
    for record in records:
        cells.append(np.floor(leaf_centres(structure_of(record), record["cube"]) / side).astype(int))
        colours.append(record["octree_color"].astype(np.float32))
    cell, leaf = np.unique(np.concatenate(cells), axis=0, return_inverse=True)
    colour = np.zeros((len(cell), 3), np.float32)
    np.add.at(colour, leaf, np.concatenate(colours))
    low = cell.min(axis=0)
    rows = np.full(cell.max(axis=0) - low + 1, -1, np.int32)
    rows[tuple((cell - low).T)] = np.arange(len(cell))
    return Leaves(side, low, rows, torch.from_numpy(colour / np.bincount(leaf)[:, None]))


@dataclass(frozen=True)
class Crossings:
    """Leaves that each of R rays crosses, in order: `leaf` (R, K) int64, -1 behind the last; `enter`, `leave` (R, K)
    metres along the ray."""

    leaf: "torch.Tensor"
    enter: "torch.Tensor"
    leave: "torch.Tensor"

    @property
    def hit(self) -> "torch.Tensor":
        return self.leaf[:, 0] >= 0


def cross(leaves: Leaves, origin: np.ndarray, direction: np.ndarray) -> Crossings:
    """All leaves along rays from `origin` (3,) or (R, 3), metres, in unit `direction` (R, 3): sorts the lattice planes
    that each ray crosses, and asks for the voxel in the middle of each interval."""
    start = np.broadcast_to(origin, direction.shape) / leaves.voxel - leaves.low
    size = np.array(leaves.rows.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        planes = [(np.arange(n + 1) - start[:, axis, None]) / direction[:, axis, None] for axis, n in enumerate(size)]
    near = np.max([np.fmin(p[:, 0], p[:, -1]) for p in planes], axis=0).clip(0)
    far = np.min([np.fmax(p[:, 0], p[:, -1]) for p in planes], axis=0)
    near, far = np.where(near < far, (near, far), 0)  # rays that miss cross nothing
    bounds = np.concatenate(planes, axis=1)
    bounds = np.sort(np.clip(np.nan_to_num(bounds), near[:, None], far[:, None]), axis=1)
    enter, leave = bounds[:, :-1], bounds[:, 1:]
    cell = np.floor(start[:, None] + ((enter + leave) / 2)[..., None] * direction[:, None]).astype(int)
    inside = ((cell >= 0) & (cell < size)).all(axis=-1) & (leave > enter)
    leaf = np.where(inside, leaves.rows[tuple(np.moveaxis(cell.clip(0, size - 1), -1, 0))], -1)
    most = max(int((leaf >= 0).sum(axis=1).max()), 1)
    order = np.argsort(leaf < 0, axis=1, kind="stable")[:, :most]
    found = (np.take_along_axis(values, order, axis=1) for values in (leaf, enter, leave))
    leaf, enter, leave = found
    as_metres = (torch.from_numpy((x * leaves.voxel).astype(np.float32)) for x in (enter, leave))
    return Crossings(torch.from_numpy(leaf.astype(np.int64)), *as_metres)


def composite(crossings: Crossings, alpha: "torch.Tensor", colour: "torch.Tensor") -> tuple["torch.Tensor", ...]:
    """Colour (R, 3), expected distance (R,), opacity (R,): C = sum T_i alpha_i c_i, T_i = prod_{j<i} (1 - alpha_j)."""
    known = crossings.leaf >= 0
    leaf = crossings.leaf.clamp(min=0)
    opacity = torch.where(known, alpha[leaf], 0.0)
    through = torch.cumprod(torch.cat([torch.ones(len(leaf), 1), 1 - opacity[:, :-1]], dim=1), dim=1)
    weight = through * opacity
    middle = torch.where(known, (crossings.enter + crossings.leave) / 2, 0.0)
    return (weight[..., None] * colour[leaf]).sum(dim=1), (weight * middle).sum(dim=1), weight.sum(dim=1)
