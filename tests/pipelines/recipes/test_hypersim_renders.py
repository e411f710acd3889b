"""Losses on rendered pictures, from records alone: the renders agree with what the records say was seen.

The octree's leaves are 8 cm, opaque and of one colour. A ray that grazes a wall enters leaves long before it meets the
wall, and along edges it meets the wrong leaf, so colours are compared by their median.
"""

import numpy as np
import pytest
from tessera.datasets import Dataset, Record
from tessera.datasets.camera import pixel_rays, project, transform, unproject
from tessera.datasets.envmap import gather, texel_rays
from tessera.datasets.visibility import ViewState, unpack_visibility

from . import losses
from .conftest import FULL
from .leaf_renderer import Crossings, composite, cross, leaves_of
from .losses import torch

pytestmark = pytest.mark.parametrize("dataset", [FULL], indirect=True)

CHOSEN = ("ai_900_001-cam_00-0001", "ai_900_002-cam_01-0000", "ai_900_003-cam_01-0002", "ai_900_004-cam_00-0000")
STEP = 4  # every fourth pixel is rendered


@pytest.fixture(params=CHOSEN)
def record(request: pytest.FixtureRequest, dataset: Dataset) -> Record:
    return dataset.table("frames")[request.param]


@pytest.fixture
def neighbours(record: Record, dataset: Dataset) -> list[Record]:
    frames = dataset.table("frames")
    return [frames[key] for key in record.columns["neighbours"]]


def thin(picture: np.ndarray) -> np.ndarray:
    """Every STEP-th pixel of (h, w, ...), a row each."""
    some = picture[STEP // 2 :: STEP, STEP // 2 :: STEP]
    return some.reshape(-1, *some.shape[2:]).astype(np.float32)


def world_rays(record: Record) -> np.ndarray:
    """(R, 3) unit directions of the thinned pixels."""
    rays = pixel_rays(record["intrinsics"], *record["distance"].shape)
    return (thin(rays) @ record["world_from_camera"][:3, :3].T).astype(np.float64)


def centre(record: Record) -> np.ndarray:
    return record["world_from_camera"][:3, 3]


def in_cube(record: Record, distance: np.ndarray, cube: np.ndarray) -> np.ndarray:
    """Whether each thinned pixel's point lies in a cube; not where nothing was measured."""
    points = centre(record) + world_rays(record) * distance[:, None]
    return (np.abs(points - cube[:3]) < cube[3] / 2).all(axis=1)


def meets(crossings: Crossings, distance: np.ndarray, slack: np.ndarray | float) -> np.ndarray:
    """Whether one of the crossed leaves holds the point at this distance."""
    leaf, enter, leave = (x.numpy() for x in (crossings.leaf, crossings.enter, crossings.leave))
    at, slack = distance[:, None], np.reshape(slack, (-1, 1))
    return ((leaf >= 0) & (enter - slack <= at) & (at <= leave + slack)).any(axis=1)


def off(colour: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Relative error of colours (..., 3)."""
    return np.abs(colour - wanted).sum(axis=-1) / (wanted.sum(axis=-1) + 1e-6)


def test_self_view_render_is_the_picture(record: Record) -> None:
    """Octree, cube, camera, distance and hdr agree."""
    leaves, rays = leaves_of(record), world_rays(record)
    distance, hdr = thin(record["distance"]), thin(record["hdr"])
    mask = in_cube(record, distance, record["cube"])
    crossings = cross(leaves, centre(record), rays)
    colour, rendered, _ = composite(crossings, leaves.alpha, leaves.colour)
    assert mask.mean() > 0.75 and crossings.hit.numpy()[mask].all()
    assert meets(crossings, distance, 1e-3)[mask].all()
    early = (distance - crossings.enter[:, 0].numpy())[mask]
    assert early.min() > -1e-3  # nothing is drawn behind the measured surface
    normal = thin(record["normal"]) @ record["world_from_camera"][:3, :3].T
    across = np.abs((normal * rays).sum(axis=1))[mask]
    diagonal = leaves.voxel * 3**0.5
    assert (early * across < diagonal)[across > 0].mean() > 0.8
    assert (np.abs(rendered.numpy() - distance)[mask] < diagonal).mean() > 0.55
    assert np.median(off(colour.numpy(), hdr)[mask]) < 0.16


def test_self_view_loss_knows_a_wrong_pose(record: Record) -> None:
    leaves, rays, hdr = leaves_of(record), world_rays(record), torch.from_numpy(thin(record["hdr"]))
    distance = thin(record["distance"])
    mask = in_cube(record, distance, record["cube"])
    found, held = [], []
    for shift in ([0, 0, 0], [0.2, 0, 0], [0, 0, 0.2]):
        crossings = cross(leaves, centre(record) + shift, rays)
        colour, _, _ = composite(crossings, leaves.alpha, leaves.colour)
        found.append(losses.photometric_loss(colour, hdr, torch.from_numpy(mask)).item())
        held.append(meets(crossings, distance, 1e-3)[mask].mean())
    assert min(found[1:]) > 1.15 * found[0] and held[0] == 1 and max(held[1:]) < 0.75


def test_self_view_loss_teaches_the_leaves_that_are_seen(record: Record) -> None:
    """Descent from grey fog finds colours and opacity; leaves on no ray get no gradient."""
    leaves, rays = leaves_of(record), world_rays(record)
    hdr, mask = torch.from_numpy(thin(record["hdr"])), in_cube(record, thin(record["distance"]), record["cube"])
    crossings = cross(leaves, centre(record), rays)
    colour = torch.full_like(leaves.colour, 0.3, requires_grad=True)
    fog = torch.zeros(len(colour), requires_grad=True)
    steps, history = torch.optim.Adam([colour, fog], 0.1), []
    for _ in range(15):
        seen, _, _ = composite(crossings, fog.sigmoid(), colour.clamp(min=0))
        loss = losses.photometric_loss(seen, hdr, torch.from_numpy(mask))
        steps.zero_grad()
        loss.backward()
        steps.step()
        history.append(loss.item())
    crossed = torch.zeros(len(colour), dtype=torch.bool)
    crossed[crossings.leaf[torch.from_numpy(mask)].clamp(min=0)] = True
    assert history[-1] < 0.6 * history[0]
    assert (fog.grad[~crossed] == 0).all() and (fog.grad[crossed] != 0).float().mean() > 0.5


def test_pixels_that_a_neighbour_sees_look_alike_in_it(record: Record, neighbours: list[Record]) -> None:
    states = unpack_visibility(record["visibility"], len(neighbours))
    points = transform(unproject(record["distance"], record["intrinsics"]), record["world_from_camera"])
    assert len(neighbours) == 4
    for other, state in zip(neighbours, states, strict=True):
        local = transform(points, np.linalg.inv(other["world_from_camera"]))
        pixel, depth = project(local, other["intrinsics"])
        height, width = other["distance"].shape
        shown = (depth > 0) & (pixel >= 0).all(axis=-1) & (pixel < (width, height)).all(axis=-1)
        column, row = np.where(shown[..., None], pixel, 0).astype(int).transpose(2, 0, 1)
        rho = np.linalg.norm(local, axis=-1)
        behind = (rho - other["distance"][row, column]) / rho
        visible, occluded, through = (state == x for x in (1, 2, 3))
        assert shown[state != ViewState.UNKNOWN].all() and visible.mean() > 0.08
        assert np.abs(behind[visible]).max() < 0.0215  # 2 % and half a step of float16
        assert behind[occluded].min() > 0.0195 and behind[through].max() < -0.0195
        unlike = off(other["hdr"][row, column].astype(np.float32), record["hdr"].astype(np.float32))
        assert np.median(unlike[visible]) < 0.08 < 0.4 < np.median(unlike[occluded])


def test_novel_view_render_is_this_picture_where_the_neighbour_saw_it(record: Record, neighbours: list[Record]) -> None:
    """The neighbour is the input, this frame the view to render: `visibility` is the mask, pixel for pixel."""
    distance, hdr = thin(record["distance"]), thin(record["hdr"])
    states = thin(np.moveaxis(unpack_visibility(record["visibility"], len(neighbours)), 0, -1)).T
    for other, state in zip(neighbours, states, strict=True):
        leaves = leaves_of(other)
        crossings = cross(leaves, centre(record), world_rays(record))
        colour, _, _ = composite(crossings, leaves.alpha, leaves.colour)
        inside = in_cube(record, distance, other["cube"])
        visible, hidden = inside & (state == ViewState.VISIBLE), inside & (state != ViewState.VISIBLE)
        near, unlike = meets(crossings, distance, 0.02 * distance + leaves.voxel), off(colour.numpy(), hdr)
        assert crossings.hit.numpy()[visible].mean() > 0.97 and near[visible].mean() > 0.97
        assert near[hidden].mean() < 0.9
        assert np.median(unlike[visible]) < 0.36 and np.median(unlike[hidden]) > 2 * np.median(unlike[visible])
        given = torch.from_numpy(hdr)
        seen, unseen = (losses.photometric_loss(colour, given, torch.from_numpy(x)) for x in (visible, hidden))
        assert unseen > 1.5 * seen


def test_envmap_render_of_the_other_frames_is_the_probe(record: Record, dataset: Dataset) -> None:
    frames, whole = dataset.table("frames"), dataset.table("scenes")[record.columns["scene"]]
    others = [frames[key] for key in whole.columns["frames"] if key != record.key]
    position, mask = record["probe_position"].astype(np.float64)[::2], record["probe_mask"][::2] > 0
    wanted = record["probe_radiance"][::2].astype(np.float64)
    rays = texel_rays(16, 32, 2)
    leaves = leaves_of(*others)
    starts, ways = np.repeat(position, len(rays.direction), axis=0), np.tile(rays.direction, (len(position), 1))
    crossings = cross(leaves, starts, ways)
    colour, _, _ = composite(crossings, leaves.alpha, leaves.colour)
    hit = crossings.hit.numpy().reshape(len(position), -1)
    made, share = gather(colour.numpy().reshape(*hit.shape, 3), hit, rays, 16 * 32)
    made, drawn = made.reshape(wanted.shape), share.reshape(mask.shape) > 0.5
    both = drawn & mask
    assert drawn[mask].mean() > 0.97
    assert np.median(off(made, wanted)[both]) < 0.11
    error = [
        losses.photometric_loss(torch.from_numpy(x[both]), torch.from_numpy(wanted[both]), np.s_[:]).item()
        for x in (made, np.roll(made, 8, axis=2), made[:, :, ::-1], made[:, ::-1])
    ]
    assert min(error[1:]) > 2 * error[0]  # turned by a quarter, mirrored, upside down
