import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.datasets.errors import FormatError
from tessera.datasets.octree import (
    leaf_centres,
    morton_decode,
    morton_encode,
    pack_split,
    pool_alpha_colour,
    unpack,
    unpack_bits,
)


def slow_key(x, y, z):
    """Morton key from strings of binary digits."""
    return int("".join(a + b + c for a, b, c in zip(f"{x:010b}", f"{y:010b}", f"{z:010b}", strict=True)), 2)


def tree_of(voxels, depth, full_depth):
    """Nodes and bits of every depth by sets of tuples, in key order."""
    levels = []
    nodes = [(x, y, z) for x in range(2**full_depth) for y in range(2**full_depth) for z in range(2**full_depth)]
    for d in range(full_depth, depth + 1):
        occupied = {tuple(c >> (depth - d) for c in voxel) for voxel in voxels}
        nodes.sort(key=lambda node: slow_key(*node))
        levels.append((nodes, [node in occupied for node in nodes]))
        nodes = [
            (2 * x + i, 2 * y + j, 2 * z + k)
            for (x, y, z) in nodes
            if (x, y, z) in occupied
            for i in (0, 1)
            for j in (0, 1)
            for k in (0, 1)
        ]
    return levels


def voxel_sets(depth):
    coordinate = st.integers(0, 2**depth - 1)
    return st.sets(st.tuples(coordinate, coordinate, coordinate), max_size=30)


def packed(voxels, depth, full_depth):
    return pack_split([np.array(bits, bool) for _, bits in tree_of(voxels, depth, full_depth)])


def test_bit_order_is_x_then_y_then_z_as_in_ocnn():
    np.testing.assert_array_equal(morton_encode(np.eye(3, dtype=np.int64), 1), [4, 2, 1])
    np.testing.assert_array_equal(morton_encode(np.array([[2, 0, 0], [0, 512, 0]]), 10), [1 << 5, 1 << 28])


@given(st.lists(st.tuples(*[st.integers(0, 1023)] * 3), min_size=1), st.sampled_from([np.uint16, np.int64]))
def test_morton_against_binary_digits_and_back(points, dtype):
    xyz = np.array(points, dtype)
    keys = morton_encode(xyz, 10)
    assert keys.dtype == np.uint32
    np.testing.assert_array_equal(keys, [slow_key(*point) for point in points])
    np.testing.assert_array_equal(morton_decode(keys), xyz)


@pytest.mark.parametrize(("xyz", "depth"), [([[0, 0, 128]], 7), ([[0, -1, 0]], 7), ([[0, 0, 0]], 11), ([[0] * 3], -1)])
def test_morton_out_of_range_is_refused(xyz, depth):
    with pytest.raises(ValueError):
        morton_encode(np.array(xyz), depth)


@pytest.mark.parametrize(("depth", "full_depth"), [(4, 2), (3, 0), (3, 3), (1, 1)])
def test_unpack_rebuilds_the_tree_of_sets(depth, full_depth):
    @given(voxel_sets(depth))
    def check(voxels):
        tree = unpack(packed(voxels, depth, full_depth), depth, full_depth)
        levels = tree_of(voxels, depth, full_depth)
        for d, (nodes, bits) in zip(range(full_depth, depth + 1), levels, strict=True):
            assert tree.keys[d].dtype == np.uint32 and tree.split[d].dtype == np.bool_
            np.testing.assert_array_equal(tree.keys[d], [slow_key(*node) for node in nodes])
            np.testing.assert_array_equal(tree.split[d], bits)
        np.testing.assert_array_equal(tree.leaf_keys, sorted(slow_key(*voxel) for voxel in voxels))

    check()


def test_stored_bits_are_little_endian_in_node_order():
    bits = packed({(0, 0, 0), (0, 0, 1), (1, 1, 1)}, 1, 1)
    np.testing.assert_array_equal(bits, [0b10000011])


@pytest.mark.parametrize("damage", ["truncated", "trailing", "upper bit", "padding", "empty"])
def test_bytes_that_do_not_fit_the_depths_are_refused(damage):
    bits = packed({(0, 0, 0), (7, 3, 5), (6, 6, 6)}, 3, 0)
    broken = {
        "truncated": bits[:-1],
        "trailing": np.append(bits, np.uint8(0)),
        "upper bit": np.concatenate([bits[:1], bits[1:2] ^ 64, bits[2:]]),
        "padding": np.concatenate([bits[:1] | 128, bits[1:]]),
        "empty": bits[:0],
    }[damage]
    unpack(bits, 3, 0)
    with pytest.raises(FormatError, match="octree bits"):
        unpack(broken, 3, 0)


@pytest.mark.parametrize(("depth", "full_depth"), [(3, 4), (11, 4), (3, -1)])
def test_impossible_depths_are_refused(depth, full_depth):
    with pytest.raises(FormatError, match="impossible"):
        unpack(np.zeros(512, np.uint8), depth, full_depth)


@pytest.mark.parametrize("bits", [np.zeros(512, np.int64), np.zeros((1, 512), np.uint8)])
def test_other_arrays_are_refused(bits):
    with pytest.raises(FormatError, match="uint8"):
        unpack(bits, 4, 4)


def test_a_few_bytes_cannot_claim_a_gigabyte():
    tracemalloc.start()
    with pytest.raises(FormatError):
        unpack(np.full(1000, 255, np.uint8), 10, 10)
    with pytest.raises(FormatError):
        unpack(np.full(1000, 255, np.uint8), 10, 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@given(voxel_sets(4), st.integers(0, 2**32))
def test_other_bits_of_the_nodes_come_back_by_depth(voxels, seed):
    structure = unpack(packed(voxels, 4, 1), 4, 1)
    rng = np.random.default_rng(seed)
    bits = {d: rng.random(keys.size) < 0.5 for d, keys in structure.keys.items()}
    found = unpack_bits(pack_split(list(bits.values())), structure)
    assert list(found) == [1, 2, 3, 4]
    for d in bits:
        np.testing.assert_array_equal(found[d], bits[d])


def test_other_bits_of_another_octree_are_refused():
    structure = unpack(packed({(0, 0, 0)}, 4, 1), 4, 1)
    for wrong in (packed({(0, 0, 0)}, 4, 2), np.zeros(4, np.int8), np.zeros((4, 1), np.uint8)):
        with pytest.raises(FormatError, match="bits of this octree are 4 uint8 bytes"):
            unpack_bits(wrong, structure)
    small = unpack(np.zeros(1, np.uint8), 0, 0)
    with pytest.raises(FormatError, match="padding"):
        unpack_bits(np.array([2], np.uint8), small)


def test_leaf_centres_are_voxel_centres_in_the_world():
    tree = unpack(packed({(0, 0, 0), (7, 2, 4)}, 3, 1), 3, 1)
    cube = np.array([10.0, 20, 30, 8])
    np.testing.assert_allclose(leaf_centres(tree, cube), [[6.5, 16.5, 26.5], [13.5, 18.5, 30.5]])


def pooled_by_hand(leaves, depth, d):
    """alpha and colour of the nodes at depth d from {voxel: (alpha, colour)}, one parent level at a time."""
    if d == depth:
        return leaves
    parents = {}
    for voxel, feature in pooled_by_hand(leaves, depth, d + 1).items():
        parents.setdefault(tuple(c >> 1 for c in voxel), []).append(feature)
    result = {}
    for node, features in parents.items():
        total = sum(alpha for alpha, _ in features)
        colour = sum(alpha * colour for alpha, colour in features) / total if total else np.zeros(3)
        result[node] = (total / 8, colour)
    return result


@given(voxel_sets(4), st.integers(0, 2**32))
def test_pooling_against_dictionaries(voxels, seed):
    depth, full_depth = 4, 2
    rng = np.random.default_rng(seed)
    tree = unpack(packed(voxels, depth, full_depth), depth, full_depth)
    alpha = (rng.random(len(voxels)) * (rng.random(len(voxels)) < 0.8)).astype(np.float32)
    colour = (rng.random((len(voxels), 3)) * 9).astype(np.float32)
    pooled = pool_alpha_colour(tree, alpha, colour)
    order = sorted(voxels, key=lambda voxel: slow_key(*voxel))
    leaves = {voxel: (float(a), c.astype(np.float64)) for voxel, a, c in zip(order, alpha, colour, strict=True)}
    for d in range(full_depth, depth + 1):
        expected = pooled_by_hand(leaves, depth, d)
        nodes = [tuple(int(c) for c in node) for node in morton_decode(tree.keys[d])]
        empty = (0.0, np.zeros(3))
        np.testing.assert_allclose(pooled.alpha[d], [expected.get(node, empty)[0] for node in nodes], atol=1e-6)
        colours = np.array([expected.get(node, empty)[1] for node in nodes]).reshape(-1, 3)
        np.testing.assert_allclose(pooled.colour[d], colours, atol=1e-4)
        assert pooled.alpha[d].sum() * 8 ** (depth - d) == pytest.approx(alpha.sum(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("alphas", "colours"), [(3, 3), (2, 3), (3, 2)])
def test_leaves_of_another_count_are_refused(alphas, colours):
    tree = unpack(packed({(0, 0, 0), (1, 1, 1)}, 2, 1), 2, 1)
    with pytest.raises(FormatError, match="2 occupied leaves"):
        pool_alpha_colour(tree, np.ones(alphas, np.float32), np.ones((colours, 3), np.float32))
