"""Errors of normal maps that are known without them."""

import numpy as np
import pytest
import torch
from tessera.validation.metrics.normal_error import angle_error, icon_normal_error
from tessera.validation.metrics.normal_map import published_pictures

from .shapes import sphere


def normals(*shape, seed=0):
    made = torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made / made.norm(dim=-1, keepdim=True)


def turned(given, degrees, seed=1):
    """Each normal by that angle, about any axis at right angles to it."""
    side = torch.linalg.cross(given, normals(*given.shape[:-1], seed=seed))
    side = side / side.norm(dim=-1, keepdim=True)
    angle = torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float64))[..., None]
    return given * angle.cos() + side * angle.sin()


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 10.0, 20.0, 29.0, 90.0, 179.0])
def test_turned_normals_are_off_by_their_turn(degrees):
    truth = normals(2, 16, 16)
    found = angle_error(turned(truth, degrees), truth)
    for value in (found.mean, found.median):
        np.testing.assert_allclose(value, [degrees] * 2, atol=1e-6)
    assert found.below_11.tolist() == [degrees < 11.25] * 2
    assert found.below_22.tolist() == [degrees < 22.5] * 2 and found.below_30.tolist() == [degrees < 30] * 2


@pytest.mark.parametrize("size", [(5, 5), (4, 6)])
def test_pictures_stand_by_themselves_and_only_the_mask_counts(size):
    truth, degrees = normals(3, 2, *size), torch.rand(3, 2, *size, dtype=torch.float64) * 60
    mask = torch.rand(3, 2, *size) > 0.4
    found = angle_error(turned(truth, degrees), truth, mask)
    for i in range(3):
        for j in range(2):
            some = degrees[i, j][mask[i, j]].numpy()
            known = [some.mean(), np.median(some), *((some < limit).mean() for limit in (11.25, 22.5, 30))]
            np.testing.assert_allclose([each[i, j] for each in found], known, atol=1e-6)


def test_lengths_of_normals_do_not_matter_and_float32_is_enough():
    truth = normals(8, 8).float()
    found = angle_error(turned(normals(8, 8), 7.0).float() * 5, truth * 0.3)
    assert found.mean.dtype == torch.float64 and found.mean.shape == ()
    np.testing.assert_allclose(found.mean, 7, atol=1e-4)


def test_without_a_mask_pixels_that_have_a_normal_count():
    truth = normals(4, 4)
    truth[:2] = 0
    found = angle_error(turned(normals(4, 4), 12.0), truth)
    assert found.mean.item() == pytest.approx(12) and found.below_11 == 0 and found.below_22 == 1


def test_an_empty_mask_gives_nan_not_zero():
    truth = normals(2, 4, 4)
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[1] = True
    found = angle_error(turned(truth, 5.0), truth, mask)
    assert all(each[0].isnan() and each[1].isfinite() for each in found)
    assert all(each.isnan().all() for each in angle_error(truth[:, :0], truth[:, :0]))


def test_a_prediction_that_says_nothing_is_ninety_degrees_off():
    assert angle_error(torch.zeros(4, 4, 3), normals(4, 4)).mean == 90


def test_normals_that_are_not_finite_are_refused_where_they_count():
    truth, damaged = normals(4, 4), normals(4, 4)
    damaged[0, 0] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        angle_error(damaged, truth)
    mask = torch.ones(4, 4, dtype=torch.bool)
    mask[0, 0] = False
    assert angle_error(damaged, truth, mask).mean.isfinite()


def test_shapes_that_differ_and_masks_beyond_the_truth_are_refused():
    truth = normals(4, 4)
    with pytest.raises(ValueError, match="both must be"):
        angle_error(truth[:3], truth)
    with pytest.raises(ValueError, match="mask is"):
        angle_error(truth, truth, torch.ones(4, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="no true normal"):
        angle_error(truth, truth * 0, torch.ones(4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="views"):
        icon_normal_error(truth, truth)


def test_published_error_sums_views_and_channels_and_means_pixels():
    one, other = torch.rand(2, 4, 8, 8, 3), torch.rand(2, 4, 8, 8, 3)
    a, b = one.numpy().astype(np.float64), other.numpy().astype(np.float64)
    known = [sum(((a[k, v] - b[k, v]) ** 2).sum(2).mean() for v in range(4)) for k in range(2)]
    np.testing.assert_allclose(icon_normal_error(one, other), known, rtol=1e-12)
    # As later repositories put it: four views side by side, channels summed, times 4.
    wide = [((np.concatenate(a[k], 1) - np.concatenate(b[k], 1)) ** 2).sum(2).mean() * 4 for k in range(2)]
    np.testing.assert_allclose(icon_normal_error(one, other), wide, rtol=1e-12)


def test_published_error_of_normals_turned_by_an_angle_is_known():
    """Colours are half of normals: |a - b|^2 / 4 = sin^2(angle / 2), from each of four views."""
    truth = normals(4, 16, 16)
    error = icon_normal_error((turned(truth, 30.0) + 1) / 2, (truth + 1) / 2)
    assert error.item() == pytest.approx(4 * np.sin(np.deg2rad(15)) ** 2)


def test_published_error_counts_a_silhouette_that_is_too_large():
    small, large = (published_pictures(*sphere(r, subdivisions=4), 128, mirrored=False) for r in (0.5, 0.6))
    error = icon_normal_error(torch.from_numpy(small), torch.from_numpy(large)).item()
    ring = np.pi * (0.36 - 0.25) / 4  # of the picture; near its border |(n + 1) / 2|^2 is about 1 and more
    assert error > 4 * ring * 0.75
    assert icon_normal_error(torch.from_numpy(small), torch.from_numpy(small)) == 0
