"""The scenes table against the frames of each scene, from records alone."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from tessera.datasets import Dataset, Record, verify
from tessera.datasets.camera import transform, unproject
from tessera.datasets.flags import PixelFlag, has_flag
from tessera.datasets.octree import morton_decode, unpack, unpack_bits
from tessera.datasets.visibility import unpack_visibility
from tessera.datasets.voxels import VoxelState, VoxelStates, unpack_states

from .conftest import FULL

pytestmark = pytest.mark.parametrize("dataset", [FULL], indirect=True)

SCENES = ("ai_900_001", "ai_900_002", "ai_900_003", "ai_900_004")


@pytest.fixture(params=SCENES)
def scene(request: pytest.FixtureRequest, dataset: Dataset) -> Record:
    return dataset.table("scenes")[request.param]


@pytest.fixture
def frames(scene: Record, dataset: Dataset) -> list[Record]:
    table = dataset.table("frames")
    return [table[key] for key in scene.columns["frames"]]


@pytest.fixture
def voxels(scene: Record) -> VoxelStates:
    return unpack_states(scene["voxel_states"], scene["voxel_blocks"], float(scene["voxel_size"]))


def seen(record: Record, share: float = 1.0) -> np.ndarray:
    """(N, 3) world points of the measured pixels, or the places at a share of the way to them."""
    local = share * unproject(record["distance"], record["intrinsics"])
    return transform(local, record["world_from_camera"])[has_flag(record["flags"], PixelFlag.VALID)]


def test_every_reference_of_the_data_set_resolves(dataset: Dataset) -> None:
    assert all(problems == [] for _, problems in verify(dataset.root))
    frames, scenes = dataset.table("frames"), dataset.table("scenes")
    assert sorted(scenes.keys()) == list(SCENES)
    for record in frames:
        home = scenes[record.columns["scene"]]
        assert record.key in home.columns["frames"] and home.split == record.split and home.unit == record.unit
        for key in record.columns["neighbours"]:
            assert key != record.key and frames[key].unit == record.unit and frames[key].split == record.split
    assert sorted(frames.keys()) == sorted(key for scene in scenes for key in scene.columns["frames"])


def test_covisibility_is_symmetric_and_that_of_the_frames(scene: Record, frames: list[Record]) -> None:
    matrix, names = scene["covisibility"], scene.columns["frames"]
    np.testing.assert_array_equal(matrix, matrix.T)
    assert matrix.shape == (6, 6) and (np.diag(matrix) == 1).all() and matrix.min() >= 0 and matrix.max() <= 1
    for row, record in zip(matrix, frames, strict=True):
        place = [names.index(key) for key in record.columns["neighbours"]]
        np.testing.assert_allclose(row[place], record["covisibility"], atol=0.03)  # a sample's against all pixels'
        rest = np.delete(row, [*place, names.index(record.key)])
        assert (np.diff(record["covisibility"]) <= 0).all() and rest.max() <= row[place].min()


def test_covisibility_is_the_smaller_share_of_visible_pixels(frames: list[Record]) -> None:
    by_key = {record.key: record for record in frames}

    def share(record: Record, other: str) -> float:
        keys = record.columns["neighbours"]
        state = unpack_visibility(record["visibility"], len(keys))[keys.index(other)]
        return np.count_nonzero(state == 1) / np.count_nonzero(np.isfinite(record["distance"]))

    pairs = 0
    for record in frames:
        for key, stated in zip(record.columns["neighbours"], record["covisibility"], strict=True):
            if record.key in by_key[key].columns["neighbours"]:
                assert stated == pytest.approx(min(share(record, key), share(by_key[key], record.key)), abs=1e-6)
                pairs += 1
    assert pairs >= 12


def test_voxel_states_of_frames_are_those_of_the_scene(frames: list[Record], voxels: VoxelStates) -> None:
    for record in frames:
        cube = record["cube"]
        places = cube[:3] + record["points"].astype(np.float64) * (cube[3] / 2)
        np.testing.assert_array_equal(voxels.lookup(places), record["voxel_state"])
        assert (voxels.lookup(record["probe_position"]) == VoxelState.FREE).all()


def test_voxels_are_free_before_what_frames_measured_and_surface_there(
    frames: list[Record], voxels: VoxelStates
) -> None:
    for record in frames:
        assert (voxels.lookup(seen(record, 0.6)) == VoxelState.FREE).mean() > 0.9
        there = voxels.lookup(seen(record))
        assert (there >= VoxelState.SURFACE).mean() > 0.85 and (there == VoxelState.SURFACE).mean() > 0.7
    beyond = np.concatenate([seen(record, 1.3) for record in frames])
    assert (voxels.lookup(beyond) < VoxelState.SURFACE).mean() > 0.5


def test_leaves_are_observed_where_the_scene_s_voxels_are_known(frames: list[Record], voxels: VoxelStates) -> None:
    """Octree supervision from the scene's record: the leaves are voxels of its lattice."""
    for record in frames:
        depth, full = record.options["octree_depth"], record.options["octree_full_depth"]
        tree, cube = unpack(record["octree_split"], depth, full), record["cube"]
        centres = cube[:3] + cube[3] * ((morton_decode(tree.keys[depth]) + 0.5) / 2**depth - 0.5)
        occupied, observed = (unpack_bits(record[f"octree_{name}"], tree)[depth] for name in ("occupied", "observed"))
        state = voxels.lookup(centres)
        assert observed[occupied | (state == VoxelState.FREE)].all()
        assert not observed[(state < VoxelState.SURFACE) & ~occupied].any()
        behind = ~observed[(state == VoxelState.SURFACE) & ~occupied]  # to whose centre no frame saw
        assert 0 < behind.mean() < 1
        assert 0.1 < (state >= VoxelState.SURFACE).mean() < 0.95 and cube[3] / 2**depth == voxels.voxel


def test_surface_points_are_what_the_frames_saw(scene: Record, frames: list[Record]) -> None:
    spacing, points = scene.columns["surface_spacing"], scene["surface_points"].astype(np.float64)
    assert 0.01 < spacing < 0.2
    clouds = [seen(record) for record in frames]
    off, _ = cKDTree(np.concatenate(clouds), balanced_tree=False, compact_nodes=False).query(points[::5])
    assert np.median(off) < 0.2 * spacing and off.max() < spacing  # a mean lies within the cell of its points
    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)
    for cloud in clouds:
        gap, _ = tree.query(cloud[::9])
        assert gap.max() < spacing * 3**0.5 / 2 + 0.01


def nearest_surfels(scene: Record, record: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of the record's pixels have a normal, the nearest surfel of each ninth, and their world normals."""
    valid = has_flag(record["flags"], PixelFlag.VALID | PixelFlag.NORMAL_VALID)
    points = transform(unproject(record["distance"], record["intrinsics"]), record["world_from_camera"])[valid][::9]
    _, near = cKDTree(scene["surface_points"].astype(np.float64), balanced_tree=False).query(points)
    return valid, near, record["normal"][valid][::9] @ record["world_from_camera"][:3, :3].T


def test_surface_normals_and_colours_are_those_of_the_pixels(scene: Record, frames: list[Record]) -> None:
    lengths = np.linalg.norm(scene["surface_normals"], axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    for record in frames[::3]:
        valid, near, normals = nearest_surfels(scene, record)
        assert np.quantile((normals * scene["surface_normals"][near]).sum(axis=1), 0.15) > 0.95
        colour, ours = (x.astype(np.float32) for x in (scene["surface_color"][near], record["hdr"][valid][::9]))
        assert np.median(np.abs(colour - ours).sum(axis=1) / (ours.sum(axis=1) + 1e-6)) < 0.1
