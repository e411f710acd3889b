"""Losses on nodes, leaves, query points and image-space heads, from records alone; each is right, not merely there."""

import math

import numpy as np
import pytest
from scipy.spatial import cKDTree
from tessera.datasets import Dataset, Record
from tessera.datasets.camera import project, transform, unproject
from tessera.datasets.flags import PixelFlag, has_flag
from tessera.datasets.octree import morton_encode, pool_alpha_colour, unpack_bits
from tessera.datasets.transforms import load_transform

from . import losses
from .conftest import FULL
from .leaf_renderer import structure_of
from .losses import tensors, torch

pytestmark = pytest.mark.parametrize("dataset", [FULL], indirect=True)

CHOSEN = ("ai_900_001-cam_00-0001", "ai_900_002-cam_01-0000", "ai_900_003-cam_01-0002", "ai_900_004-cam_00-0000")


@pytest.fixture(params=CHOSEN)
def record(request: pytest.FixtureRequest, dataset: Dataset) -> Record:
    return dataset.table("frames")[request.param]


@pytest.fixture
def scene(record: Record, dataset: Dataset) -> list[Record]:
    """All frames of the record's scene."""
    frames = dataset.table("frames")
    return [frames[key] for key in dataset.table("scenes")[record.columns["scene"]].columns["frames"]]


def seen_points(record: Record) -> np.ndarray:
    """(N, 3) world points of the measured pixels."""
    points = transform(unproject(record["distance"], record["intrinsics"]), record["world_from_camera"])
    return points[has_flag(record["flags"], PixelFlag.VALID)]


def in_cube(points: np.ndarray, cube: np.ndarray) -> np.ndarray:
    return (np.abs(points - cube[:3]) < cube[3] / 2).all(axis=-1)


def keys_of(points: np.ndarray, cube: np.ndarray, depth: int) -> np.ndarray:
    return morton_encode(((points - cube[:3] + cube[3] / 2) / cube[3] * 2**depth).astype(int), depth)


def split_targets(record: Record):
    tree = structure_of(record)
    return tree, unpack_bits(record["octree_occupied"], tree), unpack_bits(record["octree_observed"], tree)


def sure(bits: dict, strength: float = 30.0) -> dict:
    """Logits of somebody who is sure of these bits."""
    return {d: torch.stack([-strength * (2.0 * x - 1), strength * (2.0 * x - 1)], 1).float() for d, x in bits.items()}


def test_split_loss_is_zero_for_the_truth_and_log_two_a_depth_for_a_shrug(record: Record) -> None:
    tree, occupied, observed = (tensors(x) if isinstance(x, dict) else x for x in split_targets(record))
    assert list(occupied) == [4, 5, 6, 7] and all(occupied[d].shape == tree.keys[d].shape for d in occupied)
    assert losses.split_loss(sure(occupied), occupied, observed) < 1e-6
    shrug = {d: torch.zeros(len(x), 2) for d, x in occupied.items()}
    assert losses.split_loss(shrug, occupied, observed) == pytest.approx(4 * math.log(2))
    for d in occupied:  # one depth all wrong: only that depth's mean, not that of all nodes, is added
        wrong = sure(occupied, 2.0) | {d: sure({d: ~occupied[d]}, 2.0)[d]}
        each = math.log(1 + math.exp(-4))
        assert losses.split_loss(wrong, occupied, observed) == pytest.approx(4 * each + 4, rel=1e-4)


def test_unseen_nodes_reward_nobody(record: Record) -> None:
    """Calling them empty, as the frame's own bits do, changes neither the loss nor a gradient."""
    _, occupied, observed = split_targets(record)
    assert all((~observed[d]).mean() > 0.02 for d in observed)
    occupied, observed = tensors(occupied), tensors(observed)
    guess = {d: torch.randn(len(x), 2, generator=torch.Generator().manual_seed(d)) for d, x in occupied.items()}
    found = []
    for push in (-5.0, 5.0):
        moved = {d: x + push * torch.tensor([-1.0, 1.0]) * ~observed[d][:, None] for d, x in guess.items()}
        moved = {d: x.requires_grad_() for d, x in moved.items()}
        found.append(losses.split_loss(moved, occupied, observed))
        found[-1].backward()
        assert all((x.grad[~observed[d]] == 0).all() and (x.grad[observed[d]] != 0).all() for d, x in moved.items())
    assert found[0].item() == found[1].item()


def test_the_bits_of_all_frames_go_with_those_of_this_one(record: Record) -> None:
    tree, occupied, observed = split_targets(record)
    more = 0
    for d in range(tree.full_depth, tree.depth + 1):
        assert (occupied[d] >= tree.split[d]).all() and (observed[d] >= occupied[d]).all()
        more += np.count_nonzero(occupied[d] & ~tree.split[d])
        if d < tree.depth:
            eight = {name: bits[d + 1].reshape(-1, 8) for name, bits in (("occ", occupied), ("obs", observed))}
            parents = tree.split[d]
            assert eight["occ"].any(axis=1).all() and observed[d][parents].all()
    assert more > 100
    missed = losses.split_loss(sure(tensors(tree.split)), tensors(occupied), tensors(observed))
    assert missed > 0.1  # the frame's own bits alone are no perfect answer


def test_occupied_nodes_are_where_the_scene_s_frames_measured(record: Record, scene: list[Record]) -> None:
    tree, occupied, observed = split_targets(record)
    cube = record["cube"]
    points = np.concatenate([seen_points(other) for other in scene])
    points = points[in_cube(points, cube)]
    for d in range(tree.full_depth, tree.depth + 1):
        hit = np.isin(tree.keys[d], keys_of(points, cube, d))
        assert occupied[d][hit].mean() > 0.985  # means of points may lie in the next voxel
        assert hit[occupied[d]].mean() > 0.99
        assert hit[observed[d] & ~occupied[d]].mean() < 0.03


def features(record: Record):
    """Colour and opacity (N_d, 4) of the octree's nodes by depth."""
    tree = structure_of(record)
    pooled = pool_alpha_colour(tree, record["octree_alpha"].astype(np.float32), record["octree_color"])
    return tree, {d: np.column_stack([pooled.colour[d], pooled.alpha[d]]) for d in pooled.alpha}


def test_layer_loss_measures_every_depth(record: Record) -> None:
    tree, made = features(record)
    split, wanted = tensors(tree.split), tensors(made)
    assert losses.layer_loss(wanted, wanted, split) == 0
    for d in wanted:  # log(1 + x) off by 0.1 in four channels of one depth; nonsense in empty nodes
        wrong = torch.where(split[d][:, None], torch.expm1(torch.log1p(wanted[d]) + 0.1), 7.0)
        assert losses.layer_loss(wanted | {d: wrong}, wanted, split) == pytest.approx(4 * 0.1**2, rel=1e-3)


def test_layer_targets_conserve_the_light_of_the_leaves(record: Record) -> None:
    tree, made = features(record)
    leaves = record["octree_color"].astype(float)
    for d, nodes in made.items():
        light = (nodes[:, :3].astype(float) * nodes[:, 3:]).sum(axis=0) * 8 ** (tree.depth - d)
        np.testing.assert_allclose(light, leaves.sum(axis=0), rtol=1e-4)
        assert ((nodes[:, 3] > 0) == tree.split[d]).all() and nodes[:, 3].max() <= 1


def test_direct_loss_of_leaves_whose_truth_is_the_mean_of_the_picture(record: Record) -> None:
    """Reading A. The leaves' colours, made again from hdr, distance, camera and cube."""
    tree, made = features(record)
    valid = has_flag(record["flags"], PixelFlag.VALID)
    points, colour = seen_points(record), record["hdr"][valid].astype(np.float32)
    inside = in_cube(points, record["cube"])
    keys, leaf = np.unique(keys_of(points[inside], record["cube"], tree.depth), return_inverse=True)
    np.testing.assert_array_equal(keys, tree.leaf_keys)
    means = np.stack([np.bincount(leaf, channel) for channel in colour[inside].T], 1) / np.bincount(leaf)[:, None]
    wanted = torch.from_numpy(made[tree.depth][tree.split[tree.depth]])
    again = torch.from_numpy(np.column_stack([means, np.ones(len(means))]).astype(np.float32))
    assert losses.leaf_loss(wanted, wanted) == 0
    assert losses.leaf_loss(again, wanted) < 2e-3
    assert losses.leaf_loss(torch.expm1(torch.log1p(wanted) + 0.1), wanted) == pytest.approx(0.4, rel=1e-3)
    assert losses.leaf_loss(again.roll(1, dims=0), wanted) > 0.05


def test_direct_loss_of_depth_normal_and_albedo(record: Record) -> None:
    """Reading B: heads of the input picture, on pixels with something to compare with."""
    depth = torch.from_numpy(load_transform("planar_depth", most=20)(record)["depth"])
    z = unproject(record["distance"], record["intrinsics"])[..., 2]
    np.testing.assert_allclose(depth.numpy(), z, rtol=1e-5)
    assert losses.depth_loss(depth, depth) == 0
    guess = torch.nan_to_num(depth * 1.1, nan=3.0).requires_grad_()
    loss = losses.depth_loss(guess, depth)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1.1), rel=1e-4)
    assert torch.isfinite(guess.grad).all() and (guess.grad[torch.isnan(depth)] == 0).all()
    normal = torch.from_numpy(record["normal"])
    valid = torch.from_numpy(has_flag(record["flags"], PixelFlag.NORMAL_VALID))
    assert losses.normal_loss(normal, normal, valid) == pytest.approx(0, abs=1e-6)
    assert losses.normal_loss(-normal, normal, valid) == pytest.approx(2, abs=1e-6)
    assert losses.normal_loss(torch.zeros_like(normal), normal, valid) == pytest.approx(1)
    albedo, seen = torch.from_numpy(record["albedo"].astype(np.float32)), torch.isfinite(depth)
    assert losses.masked_mean((albedo + 0.25 - albedo).abs(), seen) == pytest.approx(0.25, rel=1e-4)


def world_queries(record: Record) -> np.ndarray:
    return record["cube"][:3] + record["points"].astype(np.float64) * (record["cube"][3] / 2)


def test_point_losses_follow_the_valid_points_alone(record: Record) -> None:
    sdf, valid = torch.from_numpy(record["sdf"].astype(np.float32)), torch.from_numpy(record["sdf_valid"] > 0)
    assert len(sdf) >= 32_768 and 0.4 < valid.float().mean() < 0.9
    assert (np.abs(record["points"]) < 1).all()
    truth, unknown = 30 * (1 - 2 * (sdf >= 0).float()), ~valid
    assert losses.occupancy_loss(truth, sdf, valid) < 1e-6
    assert losses.occupancy_loss(torch.zeros_like(sdf), sdf, valid) == pytest.approx(math.log(2))
    assert losses.occupancy_loss(torch.where(unknown, -truth, truth), sdf, valid) < 1e-6
    assert losses.distance_loss(torch.where(unknown, 9.0, sdf), sdf, valid, 0.1) == 0
    assert losses.distance_loss(sdf + 9, sdf, valid, 0.1) > 0.05


def test_points_come_in_their_strata(record: Record) -> None:
    ends, sdf, valid = record["points_strata"], record["sdf"].astype(float), record["sdf_valid"] > 0
    assert ends[0] == 0 and ends[-1] == len(sdf)
    parts = [slice(*ends[part : part + 2]) for part in range(9)]
    for stratum in range(3):
        inside, outside, unknown = parts[3 * stratum : 3 * stratum + 3]
        assert valid[inside].all() and valid[outside].all() and not valid[unknown].any()
        assert (sdf[inside] < 0).all() and (sdf[outside] >= 0).all()
    near, wide = (np.abs(sdf[ends[at] : ends[at + 2]]) for at in (0, 3))
    assert np.median(near) < 0.01 < np.median(wide) < 0.06


def test_distances_are_those_to_the_pixels_of_all_frames(record: Record, scene: list[Record]) -> None:
    points, sdf, valid = world_queries(record), record["sdf"].astype(float), record["sdf_valid"] > 0
    some = np.flatnonzero(valid)[::8]
    seen = cKDTree(np.concatenate([seen_points(other) for other in scene]), balanced_tree=False, compact_nodes=False)
    nearest, _ = seen.query(points[some])
    gap = np.abs(sdf[some]) - nearest
    assert gap.max() < 0.006  # no surface point lies nearer than the distance says
    assert np.median(-gap) < 0.003 and np.quantile(-gap, 0.99) < 0.012  # pixels are some millimetres apart


def test_what_a_frame_looks_through_is_outside(record: Record, scene: list[Record]) -> None:
    points, sdf, valid = world_queries(record), record["sdf"].astype(float), record["sdf_valid"] > 0
    through = np.zeros(len(points), bool)
    for other in scene:
        local = transform(points, np.linalg.inv(other["world_from_camera"]))
        pixel, depth = project(local, other["intrinsics"])
        height, width = other["distance"].shape
        shown = (depth > 0) & (pixel >= 0).all(axis=1) & (pixel < (width, height)).all(axis=1)
        column, row = pixel[shown].astype(int).T
        through[shown] |= np.linalg.norm(local[shown], axis=1) < 0.98 * other["distance"][row, column] - 0.01
    assert (sdf[valid & through] >= 0).mean() > 0.985 and (valid & through).sum() > 2000
    assert through[valid & (sdf < 0)].mean() < 0.01
    assert through[valid & (sdf > 0.2)].mean() > 0.9
