"""SSIM and an LPIPS-shaped distance on crops: this frame's image against a neighbour's, warped where it is visible."""

from dataclasses import dataclass

import numpy as np
import pytest
from tessera.datasets import Dataset, Record
from tessera.datasets.camera import project, transform, unproject
from tessera.datasets.visibility import ViewState, unpack_visibility

from . import losses
from .conftest import FULL
from .losses import torch

pytestmark = pytest.mark.parametrize("dataset", [FULL], indirect=True)

SIDE = 96
CHOSEN = ("ai_900_001-cam_00-0001", "ai_900_002-cam_01-0000", "ai_900_003-cam_01-0002", "ai_900_004-cam_00-0000")


@dataclass(frozen=True)
class Crop:
    """Pictures (3, SIDE, SIDE) in [0, 1]: what is wanted; the neighbour's, warped; the neighbour's, as it lies there.

    Where the neighbour does not see this frame's surface, the last two hold the first: no loss there.
    """

    wanted: "torch.Tensor"
    warped: "torch.Tensor"
    unwarped: "torch.Tensor"
    visible: float


@pytest.fixture(params=CHOSEN)
def record(request: pytest.FixtureRequest, dataset: Dataset) -> Record:
    return dataset.table("frames")[request.param]


@pytest.fixture
def crops(record: Record, dataset: Dataset) -> list[Crop]:
    """A crop for each neighbour, with the other's light exposed as this frame's image is."""
    frames = dataset.table("frames")
    others = [frames[key] for key in record.columns["neighbours"]]
    states = unpack_visibility(record["visibility"], len(others))
    return [
        crop(record, other, state == ViewState.VISIBLE, float(record["tone_scale"]))
        for other, state in zip(others, states, strict=True)
    ]


def toned(hdr: np.ndarray, scale: float) -> "torch.Tensor":
    """(3, h, w) in [0, 1], as `image` is made."""
    light = (scale * hdr.astype(np.float32)).clip(0) ** (1 / 2.2)
    return torch.from_numpy(light.clip(0, 1).transpose(2, 0, 1).copy())


def warp(record: Record, other: Record, picture: "torch.Tensor") -> "torch.Tensor":
    """The other's picture (3, h, w) at what this record's pixels see; differentiable, bilinear."""
    points = transform(unproject(record["distance"], record["intrinsics"]), record["world_from_camera"])
    pixel, _ = project(transform(points, np.linalg.inv(other["world_from_camera"])), other["intrinsics"])
    height, width = other["distance"].shape
    # Corner-origin pixels are what grid_sample calls align_corners=False.
    grid = torch.from_numpy(np.nan_to_num(pixel / (width, height) * 2 - 1, nan=-9, posinf=-9, neginf=-9)).float()
    sampled = torch.nn.functional.grid_sample(picture[None], grid[None], align_corners=False, padding_mode="border")
    return sampled[0]


def crop(record: Record, other: Record, visible: np.ndarray, scale: float) -> Crop:
    """The crop with the most visible pixels, in steps of 16."""
    height, width = visible.shape
    corners = [(y, x) for y in range(0, height - SIDE + 1, 16) for x in range(0, width - SIDE + 1, 16)]
    y, x = max(corners, key=lambda at: visible[at[0] : at[0] + SIDE, at[1] : at[1] + SIDE].sum())
    cut = np.s_[..., y : y + SIDE, x : x + SIDE]
    image = torch.from_numpy((record["image"] / np.float32(255)).transpose(2, 0, 1).copy())
    theirs, mask = toned(other["hdr"], scale), torch.from_numpy(visible)
    warped, unwarped = (torch.where(mask, picture, image)[cut] for picture in (warp(record, other, theirs), theirs))
    return Crop(image[cut], warped, unwarped, float(visible[cut].mean()))


def slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of one window (11, 11), by its definition."""
    at = np.arange(11) - 5
    weight = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    weight /= weight.sum()
    mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
    var_a, var_b = (weight * (a - mean_a) ** 2).sum(), (weight * (b - mean_b) ** 2).sum()
    both = (weight * (a - mean_a) * (b - mean_b)).sum()
    alike = (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
    return alike / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))


def test_ssim_is_its_definition(record: Record, crops: list[Crop]) -> None:
    a, b = crops[0].wanted, crops[0].unwarped
    found = losses.ssim(a, b)
    assert found.shape == (SIDE - 10, SIDE - 10)
    for y, x in ((0, 0), (40, 7), (85, 85)):
        windows = ((p[channel, y : y + 11, x : x + 11].double().numpy() for p in (a, b)) for channel in range(3))
        assert found[y, x] == pytest.approx(np.mean([slow_ssim(*pair) for pair in windows]), abs=1e-9)
    assert losses.ssim(a, a).min() == pytest.approx(1)


def test_a_warped_neighbour_is_alike_in_structure(crops: list[Crop]) -> None:
    for each in crops:
        warped, unwarped = (losses.ssim(each.wanted, x).mean() for x in (each.warped, each.unwarped))
        assert each.visible > 0.3
        assert warped > 0.75 and 1 - warped < 0.6 * (1 - unwarped)


def test_a_warped_neighbour_is_near_in_features(crops: list[Crop]) -> None:
    distance = losses.Perceptual()

    def apart(a: "torch.Tensor", b: "torch.Tensor") -> "torch.Tensor":
        return distance(2 * a[None] - 1, 2 * b[None] - 1)

    for each in crops:
        assert apart(each.wanted, each.wanted) == 0
        assert apart(each.wanted, each.warped) == pytest.approx(apart(each.warped, each.wanted).item())
        assert 0 < apart(each.wanted, each.warped) < 0.7 * apart(each.wanted, each.unwarped)
    guess = crops[0].warped.clone().requires_grad_()
    apart(guess, crops[0].wanted).backward()
    assert torch.isfinite(guess.grad).all() and (guess.grad != 0).float().mean() > 0.5


def test_the_other_camera_s_own_image_has_another_exposure(dataset: Dataset) -> None:
    """`image` is exposed for its trajectory: compare two cameras in hdr, toned by one scale."""
    frames = dataset.table("frames")
    record = frames["ai_900_003-cam_01-0002"]
    keys = record.columns["neighbours"]
    at = next(number for number, key in enumerate(keys) if "cam_00" in key)
    other = frames[keys[at]]
    assert record["tone_scale"] > 2 * other["tone_scale"]
    visible = unpack_visibility(record["visibility"], len(keys))[at] == ViewState.VISIBLE
    for frame in (record, other):
        made = toned(frame["hdr"], float(frame["tone_scale"])).numpy().transpose(1, 2, 0)
        assert np.abs(made - frame["image"] / 255).mean() < 0.01
    ours, theirs = (crop(record, other, visible, float(x["tone_scale"])) for x in (record, other))
    assert (ours.warped - ours.wanted).abs().mean() < 0.4 * (theirs.warped - theirs.wanted).abs().mean()
