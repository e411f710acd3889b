"""Equirectangular maps: the convention, and means over texels, against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation
from tessera.datasets.envmap import camera_map, gather, solid_angles, texel_directions, texel_of, texel_rays

SIZES = [(16, 32), (5, 7), (1, 1)]


def test_up_is_row_0_and_left_is_left() -> None:
    """Seen from inside, not mirrored: looking along +x with +z up, +y is to the left."""
    ways = {(0, 0, 1): (0, None), (0, 0, -1): (15, None), (1, -1e-9, 0): (8, 16), (1, 1e-9, 0): (8, 15),
            (1e-9, 1, 0): (8, 8), (-1e-9, -1, 0): (8, 24), (-1, 1e-9, 0): (8, 0), (-1, -1e-9, 0): (8, 31)}  # fmt: skip
    for way, (row, column) in ways.items():
        found = texel_of(np.array(way, float), 16, 32)
        assert found[0] == row and column in (None, found[1]), way


@pytest.mark.parametrize("size", SIZES)
def test_directions_fall_into_their_own_texels(size: tuple[int, int]) -> None:
    ways = texel_directions(*size)
    np.testing.assert_allclose(np.linalg.norm(ways, axis=-1), 1)
    rows, columns = np.indices(size)
    np.testing.assert_array_equal(texel_of(3 * ways, *size), np.stack([rows, columns], axis=-1))


@given(hnp.arrays(np.float64, 3, elements=st.floats(-10, 10)).filter(lambda v: np.linalg.norm(v) > 1e-3))
def test_any_direction_is_near_its_texels_centre(way: np.ndarray) -> None:
    row, column = texel_of(way, 16, 32)
    centre = texel_directions(16, 32)[row, column]
    angle = np.arccos(np.clip(centre @ way / np.linalg.norm(way), -1, 1))
    assert angle <= np.hypot(np.pi / 32, np.pi / 32) + 1e-9


@pytest.mark.parametrize("size", SIZES)
def test_solid_angles_are_those_of_bands(size: tuple[int, int]) -> None:
    """A cap of polar angle t covers 2 pi (1 - cos t)."""
    angles = solid_angles(*size)
    assert angles.sum() == pytest.approx(4 * np.pi)
    first = 2 * np.pi * (1 - np.cos(np.pi / size[0]))
    assert angles[0].sum() == pytest.approx(first) and np.ptp(angles[0]) == 0


@pytest.mark.parametrize("fine", [1, 3, 8])
@pytest.mark.parametrize("size", SIZES)
def test_rays_sample_every_texel_by_its_solid_angle(size: tuple[int, int], fine: int) -> None:
    rays = texel_rays(*size, fine)
    where = texel_of(rays.direction, *size)
    np.testing.assert_array_equal(where[:, 0] * size[1] + where[:, 1], rays.texel)
    whole = np.bincount(rays.texel, rays.solid_angle, size[0] * size[1])
    np.testing.assert_allclose(whole.reshape(size), solid_angles(*size))
    assert rays.solid_angle.max() < 1.001 * np.pi / (size[0] * fine) * 2 * np.pi / (size[1] * fine)
    assert fine < 8 or len(rays.texel) < 0.8 * size[0] * size[1] * fine**2  # fewer towards the poles


def test_means_are_plain_and_weighted_by_solid_angle() -> None:
    """One hot direction in a dark texel keeps its energy, and rays without a hit count for nothing."""
    rays = texel_rays(4, 8, 4)
    hot = np.flatnonzero(rays.texel == 9)[0]
    values = np.full((len(rays.texel), 3), 0.1)
    values[hot] = 5000
    everywhere = np.ones(len(values), bool)
    mean, share = gather(values, everywhere, rays, 32)
    part = rays.solid_angle[hot] / solid_angles(4, 8).ravel()[9]
    np.testing.assert_allclose(mean[9], 0.1 * (1 - part) + 5000 * part)
    np.testing.assert_allclose(np.delete(mean, 9, axis=0), 0.1)
    np.testing.assert_allclose(share, 1)
    values[~(hit := rays.texel % 2 == 0)] = np.nan
    mean, share = gather(values, hit, rays, 32)
    np.testing.assert_array_equal(share > 0, np.arange(32) % 2 == 0)
    assert not mean[1::2].any() and np.isfinite(mean).all()


def test_means_are_the_integral_over_the_sphere() -> None:
    """The irradiance of a sky of radiance max(z, 0) is 2 pi / 3."""
    rays = texel_rays(16, 32, 8)
    values = np.repeat(np.maximum(rays.direction[:, 2:], 0), 3, axis=1)
    mean, _ = gather(values, np.ones(len(values), bool), rays, 512)
    cosine = np.maximum(texel_directions(16, 32)[..., 2].ravel(), 0)
    assert (mean[:, 0] * cosine * solid_angles(16, 32).ravel()).sum() == pytest.approx(2 * np.pi / 3, rel=5e-3)


def test_a_map_in_camera_axes_looks_along_the_optical_axis() -> None:
    """A level camera that looks along +y: up stays up, and the world's -x is on its left."""
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # x right, -z down, y forward
    ways = texel_directions(16, 32)
    turned, mask = camera_map(ways[None], np.ones((1, 16, 32), np.uint8), world_from_camera)
    assert mask.all()
    for way, (row, column) in {(0, 1, 0): (7, 15), (-1, 0, 0): (7, 7), (1, 0, 0): (7, 23)}.items():
        np.testing.assert_allclose(turned[0, row : row + 2, column : column + 2].mean(axis=(0, 1)), way, atol=0.05)
    assert turned[0, 0, :, 2].min() > 0.97 and turned[0, -1, :, 2].max() < -0.97


def test_a_turned_map_shows_the_turned_directions() -> None:
    """A map whose colours are its directions: turned, each texel holds the world direction it looks along."""
    rotation = Rotation.from_euler("xyz", [0.4, -1.1, 2.0]).as_matrix()
    pose = np.block([[rotation, np.ones((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]])
    turned, mask = camera_map(texel_directions(32, 64), np.ones((32, 64), np.uint8), pose)
    x, y, z = np.moveaxis(texel_directions(32, 64), -1, 0)  # of the map: x ahead, y left, z up
    camera = np.stack([-y, -z, x], axis=-1)  # OpenCV: x right, y down, z ahead
    cosine = (turned * (camera @ rotation.T)).sum(axis=-1)
    assert mask.all() and cosine.min() > np.cos(np.radians(6))


def test_unknown_texels_stay_unknown_and_dark_when_turned() -> None:
    mask = np.zeros((16, 32), np.uint8)
    mask[:8] = 1  # the upper half
    level = np.eye(4)
    level[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    turned, known = camera_map(np.where(mask[..., None], [2.0, 2, 2], np.nan), mask, level)
    np.testing.assert_array_equal(known, mask)
    np.testing.assert_array_equal(turned, np.where(mask[..., None], np.float32([2, 2, 2]), 0))
