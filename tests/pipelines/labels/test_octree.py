import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import RawDataError
from tessera.datasets.octree import leaf_centres, morton_decode, unpack
from tessera.pipelines.labels.octree import build_octree, frame_cube

CUBE = np.array([1.0, -2.0, 3.0, 8.0])
DEPTH, FULL = 5, 2


def random_points(seed, count):
    """Clustered and uniform points, some outside the cube."""
    rng = np.random.default_rng(seed)
    walls = rng.uniform(-4.4, 4.4, (count, 3))
    walls[::2, 2] = rng.choice([-1.3, 0.2, 3.9])
    return CUBE[:3] + walls


def voxel_of(point):
    """Voxel by the formula of O-CNN in Python floats; None outside the open cube."""
    unit = [2 * (p - c) / CUBE[3] for p, c in zip(point, CUBE[:3], strict=True)]
    if any(not abs(u) < 1 for u in unit):
        return None
    return tuple(int((u + 1) / 2 * 2**DEPTH) for u in unit)


def groups(points):
    members = {}
    for i, point in enumerate(points.tolist()):
        members.setdefault(voxel_of(point), []).append(i)
    return members


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 300))
def test_occupancy_against_sets(seed, count):
    points = random_points(seed, count)
    members = groups(points)
    built = build_octree(points, None, None, CUBE, DEPTH, FULL)
    assert built.dropped == len(members.pop(None, []))
    tree = unpack(built.split, DEPTH, FULL)
    assert {tuple(v) for v in morton_decode(tree.leaf_keys).tolist()} == set(members)
    for d in range(FULL, DEPTH + 1):
        occupied = {tuple(c >> (DEPTH - d) for c in voxel) for voxel in members}
        nodes = [tuple(node) for node in morton_decode(tree.keys[d]).tolist()]
        assert [node in occupied for node in nodes] == tree.split[d].tolist()
        if d > FULL:
            assert tree.keys[d].size == 8 * tree.split[d - 1].sum()
    assert built.leaf_alpha.tolist() == [1.0] * len(members)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 300))
def test_leaf_features_against_add_at(seed, count):
    rng = np.random.default_rng(seed)
    points = random_points(seed, count)
    colour = np.exp(rng.normal(size=(count, 3))).astype(np.float32)
    normal = rng.normal(size=(count, 3))
    normal = (normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32)
    built = build_octree(points, colour, normal, CUBE, DEPTH, FULL)
    leaves = [tuple(v) for v in morton_decode(unpack(built.split, DEPTH, FULL).leaf_keys).tolist()]
    voxels = [voxel_of(point) for point in points.tolist()]
    kept = [i for i, voxel in enumerate(voxels) if voxel]
    row = [leaves.index(voxels[i]) for i in kept]
    sums = np.zeros((2, len(leaves), 3))
    np.add.at(sums[0], row, colour[kept])
    np.add.at(sums[1], row, normal[kept])
    np.testing.assert_allclose(built.leaf_colour, sums[0] / np.bincount(row, minlength=len(leaves))[:, None], rtol=1e-6)
    np.testing.assert_allclose(
        built.leaf_normal, sums[1] / np.linalg.norm(sums[1], axis=1, keepdims=True), rtol=1e-4, atol=1e-5
    )


@given(st.integers(0, 2**32))
def test_order_of_the_points_does_not_matter(seed):
    points = random_points(seed, 200)
    colour = np.random.default_rng(seed).random((200, 3), np.float32)
    order = np.random.default_rng(seed + 1).permutation(200)
    one = build_octree(points, colour, colour, CUBE, DEPTH, FULL)
    two = build_octree(points[order], colour[order], colour[order], CUBE, DEPTH, FULL)
    np.testing.assert_array_equal(one.split, two.split)
    np.testing.assert_allclose(one.leaf_colour, two.leaf_colour, rtol=1e-6)
    np.testing.assert_allclose(one.leaf_normal, two.leaf_normal, atol=1e-6)


def test_leaf_centres_lie_within_half_a_voxel_of_their_points():
    points = random_points(3, 500)
    tree = unpack(build_octree(points, None, None, CUBE, DEPTH, FULL).split, DEPTH, FULL)
    gaps = np.abs(points[:, None] - leaf_centres(tree, CUBE)).max(axis=-1).min(axis=0)
    assert gaps.max() <= CUBE[3] / 2**DEPTH / 2 + 1e-12


def test_points_on_the_faces_outside_or_not_finite_are_dropped_and_counted():
    half = CUBE[3] / 2
    offsets = np.array(
        [
            [half, 0, 0],
            [-half, 0, 0],
            [0, 0, half + 1],
            [np.nan, 0, 0],
            [0, np.inf, 0],
            [np.nextafter(half, 0) - 1e-9, 0, 0],
            [0, -half + 1e-9, 0],
        ]
    )
    built = build_octree(CUBE[:3] + offsets, np.ones((7, 3), np.float32), None, CUBE)
    assert built.dropped == 5
    assert len(built.leaf_alpha) == 2


def test_leaf_normals_that_cancel_or_are_unknown_are_zero():
    points = CUBE[:3] + np.array([[1, 1, 1], [1, 1, 1], [-1, -1, -1], [2, 2, 2], [2, 2, 2]])
    normal = np.array([[0, 0, 1], [0, 0, -1], [0, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)
    built = build_octree(points, None, normal, CUBE)
    np.testing.assert_array_equal(built.leaf_normal, [[0, 0, 0], [0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(built.leaf_colour, np.zeros((3, 3)))


def test_a_cube_without_points():
    built = build_octree(np.full((4, 3), 99.0), np.ones((4, 3), np.float32), None, CUBE)
    assert built.dropped == 4 and built.leaf_colour.shape == (0, 3)
    tree = unpack(built.split, 7, 4)
    assert not tree.split[4].any() and tree.keys[7].size == 0


@pytest.mark.parametrize("arguments", [(3, 4), (11, 4), (3, -1)])
def test_impossible_depths_are_refused(arguments):
    with pytest.raises(ValueError, match="impossible"):
        build_octree(np.zeros((1, 3)), None, None, CUBE, *arguments)


@pytest.mark.parametrize("side", [0.0, -1.0, np.nan])
def test_impossible_sides_are_refused(side):
    with pytest.raises(ValueError, match="impossible"):
        build_octree(np.zeros((1, 3)), None, None, np.array([0, 0, 0, side]))


def test_frame_cube_follows_the_room_not_the_view_through_the_window():
    rng = np.random.default_rng(0)
    room = rng.uniform((-2, -3, 0), (2, 3, 2.5), (10_000, 3))
    window = rng.uniform((50, 0, 0), (80, 1, 9), (150, 3))
    unknown = np.full((200, 3), np.nan)
    cube = frame_cube(np.concatenate([room, window, unknown]), 6.4, 6)
    np.testing.assert_allclose(cube, [0, 0, 1.25, 6.4], atol=0.1)
    assert cube.dtype == np.float64
    np.testing.assert_array_equal(cube, np.round(cube, 3))


def test_frame_without_points_is_refused():
    with pytest.raises(RawDataError, match="exclude the frame"):
        frame_cube(np.full((4, 3), np.nan), 6.4, 6)


@pytest.mark.parametrize(
    ("side", "share", "occupied", "nodes"),
    [
        (6.4, 0.516, (557, 2018, 7527, 27464), (4096, 4456, 16144, 60216)),
        (10.24, 1.0, (327, 1180, 4384, 16531), (4096, 2616, 9440, 35072)),
        (12.8, 1.0, (247, 809, 2933, 10821), (4096, 1976, 6472, 23464)),
    ],
)
def test_real_frame_has_the_published_counts(real_frame, side, share, occupied, nodes):
    """The published table's cube is centred on the bounding box of the points."""
    points = real_frame.points
    cube = np.append((points.min(axis=0) + points.max(axis=0)) / 2, side)
    built = build_octree(points, None, None, cube)
    tree = unpack(built.split, 7, 4)
    assert tuple(int(tree.split[d].sum()) for d in range(4, 8)) == occupied
    assert tuple(tree.keys[d].size for d in range(4, 8)) == nodes
    assert 1 - built.dropped / len(points) == pytest.approx(share, abs=5e-4)
