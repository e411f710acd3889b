"""Pictures of THuman2.0's scans against their textures, and light that is traced anew: more rays, another program."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.special import sph_harm_y
from tessera.datasets import Dataset, Record
from tessera.pipelines.labels.orientation import orientation_map
from tessera.pipelines.labels.scan_camera import scan_camera
from tessera.pipelines.labels.scan_light import random_light
from tessera.pipelines.labels.subject import Subject, SubjectView
from tessera.pipelines.labels.texture import Paint

from . import scan_oracle as oracle
from .scan_oracle import Triangles

VIEWS = [f"{name}-{yaw:03d}" for name in ("0000", "0001") for yaw in (0, 90, 180, 270)]
GOLDEN = np.pi * (3 - np.sqrt(5))
PIXELS, DIRECTIONS = 100, 600


@pytest.fixture(scope="module", params=VIEWS)
def view(request: pytest.FixtureRequest, thuman2: Dataset) -> Record:
    return thuman2.table("views")[request.param]


@cache
def scan_of(raw: Path, name: str) -> Triangles:
    return Triangles(oracle.world_scan(raw, name), oracle.raw_scan(raw, name).faces)


def of(record: Record) -> str:
    return record.columns["subject"]


def grid(size: int, side: int) -> np.ndarray:
    """(size, size, side^2, 2) places of samples in pixels."""
    inside = (np.arange(side) + 0.5) / side
    x = np.arange(size)[:, None] + inside
    place = np.stack(np.broadcast_arrays(x[None, :, None, :], x[:, None, :, None]), -1)
    return place.reshape(size, size, side * side, 2)


def covered(record: Record, scan: Triangles, side: int) -> np.ndarray:
    """(size, size) share of each pixel that rays through its samples meet."""
    size = record["mask"].shape[0]
    origins, away, _ = oracle.pixel_rays(record, grid(size, side).reshape(-1, 2))
    return scan.cast(origins, away)[0].reshape(size, size, -1).mean(-1)


def test_alpha_is_the_share_that_is_covered(view: Record, thuman2_demo: Path) -> None:
    """Exactly of four samples a pixel, and of 64 as far as four can tell."""
    scan, alpha = scan_of(thuman2_demo, of(view)), view["alpha"].astype(int)
    assert (np.abs(alpha - np.rint(255 * covered(view, scan, 2))) > 1).sum() <= 2
    fine = covered(view, scan, 8)
    edge = (fine > 0) & (fine < 1)
    assert np.abs(alpha / 255 - fine)[edge].mean() < 0.15 and abs((alpha / 255 - fine).sum()) < 0.01 * fine.sum()
    assert (alpha[fine == 0] == 0).all() and (alpha[fine == 1] == 255).all()


@pytest.mark.parametrize("key", ["0000-000-0", "0000-120-1"])
def test_perspective_pictures_are_of_the_same_texture(
    key: str, thuman2_perspective: Dataset, thuman2_demo: Path
) -> None:
    """From a raised camera as well: alpha by four samples a pixel, hue and brightness by the texture."""
    view, scan = thuman2_perspective.table("views")[key], scan_of(thuman2_demo, "0000")
    share = covered(view, scan, 2)
    assert (np.abs(view["alpha"] - np.rint(255 * share)) > 1).sum() <= 2
    assert (view["image"][share == 0] == 0).all()
    inner = np.argwhere(covered(view, scan, 4) == 1)
    rows, columns = inner.T
    _, face, bary, _ = scan.cast(*oracle.pixel_rays(view, grid(96, 4)[rows, columns].reshape(-1, 2))[:2])
    raw = oracle.raw_scan(thuman2_demo, "0000")
    albedo = oracle.looked_up(raw, face, bary).reshape(len(inner), 16, 3).mean(1)
    shade = view["image"][rows, columns] / np.maximum(albedo, 1)
    smooth = np.ptp(oracle.looked_up(raw, face, bary).reshape(len(inner), 16, 3), axis=1).max(1) < 30
    bright = smooth & (albedo.min(1) > 40)
    assert bright.sum() > 100 and (shade[bright] < 1.1).all() and np.median(shade[bright]) > 0.5
    assert np.corrcoef(view["image"][rows, columns].ravel(), albedo.ravel())[0, 1] > 0.9


def test_nothing_is_black_and_edges_are_mixed_with_it(view: Record) -> None:
    image, alpha = view["image"], view["alpha"]
    for picture in (image, *view["relit"]):
        assert (picture[alpha == 0] == 0).all() and (picture <= alpha[..., None]).all()
        assert picture[alpha == 255].max(-1).min() > 0


def basis(directions: np.ndarray) -> np.ndarray:
    """(n, 9) real spherical harmonics by scipy, without the sign of Condon and Shortley."""
    theta, phi = np.arccos(directions[:, 2]), np.arctan2(directions[:, 1], directions[:, 0])
    out = []
    for band in range(3):
        for order in range(-band, band + 1):
            value = sph_harm_y(band, abs(order), theta, phi) * (-1.0) ** order
            out.append(value.real if order == 0 else np.sqrt(2) * (value.imag if order < 0 else value.real))
    return np.stack(out, 1)


def sent(scan: Triangles, places: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(n, 9) cosine-weighted light that reaches places and is not in their own shadow, white all around being 1."""
    z = 1 - 2 * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
    angle = GOLDEN * np.arange(DIRECTIONS)
    flat = np.sqrt(1 - z * z)
    directions = np.stack([flat * np.cos(angle), flat * np.sin(angle), z], 1)
    cosine = np.maximum(normals @ directions.T, 0)
    which, way = np.nonzero(cosine > 0)
    free = np.ones(len(which))
    met = scan.cast(places[which] + 5e-4 * normals[which], directions[way])[0]
    free[met] = 0
    cosine[which, way] *= free
    return cosine @ basis(directions) * (4 * np.pi / DIRECTIONS) / np.pi


def test_pixels_are_the_texture_in_the_light_that_is_recorded(view: Record, thuman2_demo: Path) -> None:
    """Under the picture's own light and all others: texture x light^(1/2.2), shadows of the person included.

    Light is traced at vertices with 144 rays there, at each sample with 600 here: it differs by some hundredths.
    """
    scan, raw = scan_of(thuman2_demo, of(view)), oracle.raw_scan(thuman2_demo, of(view))
    inner = np.argwhere(covered(view, scan, 4) == 1)
    rows, columns = inner[np.random.default_rng(0).choice(len(inner), PIXELS, replace=False)].T
    _, face, bary, _ = scan.cast(*oracle.pixel_rays(view, grid(128, 2)[rows, columns].reshape(-1, 2))[:2])
    albedo = oracle.looked_up(raw, face, bary)
    got = sent(scan, scan.places(face, bary), scan.normals_at(face, bary))
    pictures = [view["image"], *view["relit"]]
    lights = [view["light"], *view["relit_light"]]
    assert len(pictures) == 4
    for picture, light in zip(pictures, lights, strict=True):
        shaded = albedo * np.clip(got @ light.astype(np.float64), 0, 1) ** (1 / 2.2)
        off = np.abs(picture[rows, columns] - shaded.reshape(PIXELS, 4, 3).mean(1))
        assert np.median(off) < 1.5 and np.quantile(off, 0.95) < 5 and off.max() < 25


def test_the_seed_gives_the_light_again_and_no_two_are_alike(thuman2: Dataset) -> None:
    lights = []
    for record in thuman2.table("views"):
        again = random_light(np.random.default_rng(record.columns["light_seed"]))
        np.testing.assert_array_equal(record["light"], again.astype(np.float32))
        lights += [record["light"], *record["relit_light"]]
    assert len(np.unique(np.stack(lights).reshape(len(lights), -1), axis=0)) == len(lights) == 32


def test_other_lights_change_the_picture(view: Record) -> None:
    full = view["alpha"] == 255
    away = [np.abs(picture[full].astype(int) - view["image"][full]).mean() for picture in view["relit"]]
    assert len(away) == 3 and min(away) > 1 and max(away) > 4


def test_a_scan_of_one_colour_in_white_light_has_that_colour(thuman2_demo: Path) -> None:
    """Darker where the person is in the way of the light, by the same factor in all channels; never brighter."""
    vertices = oracle.world_scan(thuman2_demo, "0000")
    faces, height = oracle.raw_scan(thuman2_demo, "0000").faces.astype(np.int32), float(np.ptp(vertices[:, 1]))
    colour = (200, 150, 60)
    paint = Paint(faces, colours=np.tile(np.array(colour, np.uint8), (len(vertices), 1)))
    subject = Subject("one", 0, vertices, faces, paint, height, 1.0, np.eye(4))
    found = SubjectView("one-030", subject, scan_camera(30, height, 64)).samples
    white = np.zeros((9, 3))
    white[0] = np.sqrt(4 * np.pi)
    picture, alpha = found.under(white).astype(float), found.alpha
    full = alpha == 255
    assert (picture <= np.array(colour) * alpha[..., None] / 255 + 1).all() and (picture[alpha == 0] == 0).all()
    shade = picture[full] / colour
    assert np.ptp(shade, axis=1).max() < 1.5 / 60
    assert np.median(shade) > 0.9 and shade.min() < 0.75
    np.testing.assert_allclose(found.under(white * 0.5**2.2)[full], picture[full] * 0.5, atol=1.1)


def test_orientations_are_those_of_the_record_s_own_picture(view: Record) -> None:
    """As decoded; what the filters answer is compared with known stripes in labels/test_orientation.py."""
    for found, name in zip(orientation_map(view["image"], view["mask"]), ("", "_confidence"), strict=True):
        np.testing.assert_array_equal(found, view[f"orientation{name}"])


def test_orientations_are_within_the_mask(view: Record) -> None:
    angle, sure, mask = view["orientation"], view["orientation_confidence"], view["mask"]
    np.testing.assert_array_equal(np.isnan(angle), ~mask)
    assert (angle[mask] >= 0).all() and (angle[mask] < np.pi).all()
    assert (sure[~mask] == 0).all() and (sure >= 0).all() and (sure <= 1).all() and sure[mask].std() > 0.05
