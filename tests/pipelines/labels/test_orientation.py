"""Orientations of pictures whose structures run in known directions."""

import warnings

import numpy as np
import pytest
from tessera.pipelines.labels.orientation import ANGLES, orientation_map

SIDE = 96
STEP = np.pi / ANGLES
ALL = np.ones((SIDE, SIDE), bool)


def stripes(angle: float, wave: float = 4.0, side: int = SIDE) -> np.ndarray:
    """Lines along (cos angle, sin angle), x to the right and y down."""
    y, x = np.mgrid[:side, :side]
    grey = 128 + 100 * np.cos(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / wave)
    return np.repeat(np.rint(grey)[..., None], 3, -1).astype(np.uint8)


def off(found: np.ndarray, angle: float) -> np.ndarray:
    """Differences of directions, of which opposites are one."""
    return np.abs((found.astype(np.float64) - angle + np.pi / 2) % np.pi - np.pi / 2)


@pytest.mark.parametrize("degrees", [0, 11, 30, 45, 72, 90, 101, 135, 160, 178])
@pytest.mark.parametrize("wave", [3.5, 4.0, 6.0])
def test_stripes_run_in_their_direction(degrees: float, wave: float) -> None:
    found, sure = orientation_map(stripes(np.radians(degrees), wave), ALL)
    inner = (slice(12, -12), slice(12, -12))
    clear = sure[inner] > 0.3  # also where the wave is at its mean, where filters that are even do not answer
    assert clear.mean() > 0.98
    error = off(found[inner][clear], np.radians(degrees))
    assert np.quantile(error, 0.997) < STEP and np.median(error) < STEP / 2 + 2e-3  # float16 near pi
    assert found.dtype == sure.dtype == np.float16 and found.min() >= 0 and found.max() < np.pi
    assert np.median(sure[inner][clear]) > 0.7 and sure.min() >= 0 and sure.max() <= 1


def test_degrees_go_from_the_right_to_the_bottom() -> None:
    """A line from the upper left to the lower right is at 45 degrees, its mirror image at 135."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[np.arange(SIDE), np.arange(SIDE)] = 255
    found, _ = orientation_map(picture, ALL)
    inner = np.arange(15, SIDE - 15)
    assert off(found[inner, inner], np.pi / 4).max() < STEP
    found, _ = orientation_map(picture[:, ::-1], ALL)
    assert off(found[inner, SIDE - 1 - inner], 3 * np.pi / 4).max() < STEP


def test_turning_the_picture_turns_the_directions() -> None:
    picture = stripes(0.4) // 2 + np.random.default_rng(0).integers(0, 40, (SIDE, SIDE, 1)).astype(np.uint8)
    found, sure = orientation_map(picture, ALL)
    turned, again = orientation_map(np.rot90(picture, -1), ALL)  # clockwise: x becomes y
    np.testing.assert_allclose(np.rot90(again, 1), sure, atol=4e-3)
    clear = sure > 0.3
    assert (off(np.rot90(turned, 1)[clear] - np.pi / 2, 0) - off(found[clear], 0) < STEP + 4e-3).mean() > 0.99


def test_where_no_direction_stands_out_it_is_not_sure() -> None:
    flat, sure = orientation_map(np.full((SIDE, SIDE, 3), 77, np.uint8), ALL)
    assert sure.max() < 1e-2 and np.isfinite(flat).all()
    dot = np.zeros((SIDE, SIDE, 3), np.uint8)
    dot[48, 48] = 255
    assert orientation_map(dot, ALL)[1][48, 48] < 0.05
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    assert np.median(orientation_map(noise, ALL)[1]) < 0.5 * np.median(orientation_map(stripes(0.3), ALL)[1])


def test_outside_the_mask_there_is_no_direction() -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[20:70, 30:80] = True
    found, sure = orientation_map(stripes(1.0), mask)
    np.testing.assert_array_equal(np.isnan(found), ~mask)
    inner = (slice(32, 58), slice(42, 68))
    assert (sure[~mask] == 0).all() and off(found[inner][sure[inner] > 0.5], 1.0).max() < STEP


def test_what_is_outside_the_mask_does_not_matter() -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[20:70, 30:80] = True
    one, other = stripes(1.0), stripes(1.0)
    other[~mask] = np.random.default_rng(0).integers(0, 256, (int((~mask).sum()), 3))
    for first, second in zip(orientation_map(one, mask), orientation_map(other, mask), strict=True):
        np.testing.assert_array_equal(first, second)


def test_an_empty_mask_gives_nothing_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, sure = orientation_map(stripes(1.0), ~ALL)
    assert np.isnan(found).all() and (sure == 0).all()


def test_a_filter_reaches_a_few_pixels_and_not_over_the_edge() -> None:
    """What changes at the left does not change what lies more than nine pixels to its right, nor the right edge."""
    one = np.random.default_rng(1).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    other = one.copy()
    other[:, :20] = 255 - other[:, :20]
    mask = np.ones((40, 60), bool)
    for first, second in zip(orientation_map(one, mask), orientation_map(other, mask), strict=True):
        np.testing.assert_allclose(first[:, 30:].astype(float), second[:, 30:].astype(float), atol=2e-3)
        assert np.abs(first[:, :20].astype(float) - second[:, :20].astype(float)).max() > 0.01


@pytest.mark.parametrize("shape", [(1, 1), (5, 31), (33, 64)])
def test_pictures_of_any_size(shape: tuple[int, int]) -> None:
    found, sure = orientation_map(np.full((*shape, 3), 9, np.uint8), np.ones(shape, bool))
    assert found.shape == sure.shape == shape and np.isfinite(found).all()
