"""Pools of points: places, strata and distances, on shapes whose distances are known."""

import numpy as np
import pytest
from tessera.datasets.errors import FormatError
from tessera.datasets.surface.surface import Surface
from tessera.pipelines.labels.body_points import body_points, body_surface
from tessera.pipelines.labels.scan_pool import HALF, KINDS, STORAGE, STRATA, scan_pool, surface_samples

from ...datasets.surface.shapes import box, box_distance, sphere, torus

COUNTS = {"near_1cm": 6000, "near_5cm": 6000, "face": 2000, "hands": 1000, "feet": 1000, "uniform": 4000}
SIDES = (0.5, 1.0, 1.5)


@pytest.fixture(scope="module")
def pool():
    return scan_pool(Surface(*box(SIDES)), 1.0, np.random.default_rng(0), None, COUNTS)


def test_a_point_is_inside_where_its_stored_distance_says_so(pool):
    known = box_distance(pool.points.astype(np.float64), SIDES)
    assert np.abs(pool.sdf - known).max() < 1e-3 and pool.sdf.dtype == np.float16
    sure = np.abs(known) > 1e-6
    np.testing.assert_array_equal((pool.sdf < 0)[sure], (known < 0)[sure])


def test_strata_hold_what_they_say(pool):
    assert len(pool.strata) == len(STRATA) + 1 and pool.strata[0] == 0 and pool.strata[-1] == sum(COUNTS.values())
    known = box_distance(pool.points.astype(np.float64), SIDES)
    for number, name in enumerate(STRATA):
        part = slice(pool.strata[number], pool.strata[number + 1])
        assert ((pool.sdf[part] < 0) == name.endswith("_inside")).all()
    for number, (kind, (_, sigma)) in enumerate(KINDS.items()):
        part = slice(pool.strata[2 * number], pool.strata[2 * number + 2])
        wanted = COUNTS[kind] + (4000 if kind == "near_1cm" else 0)  # nothing tells where face, hands and feet are
        assert part.stop - part.start == (0 if kind in ("face", "hands", "feet") else wanted)
        if sigma is not None and part.stop > part.start:  # along a face's normal, a normal distribution of sigma
            assert 0.9 * sigma < np.sqrt((known[part] ** 2).mean()) < 1.1 * sigma


def test_a_third_and_more_of_the_uniform_points_are_inside_where_they_are_uniform(pool):
    """A cube has but some hundredth of its points in a person: a stream would draw the same ones again and again."""
    inside, outside = pool.points[pool.strata[-3] : pool.strata[-2]], pool.points[pool.strata[-2] :]
    share = np.prod(SIDES) / 8
    assert len(inside) == pytest.approx(4000 / 3 + share * 4000 * 2 / 3, rel=0.1)
    np.testing.assert_allclose(np.abs(inside).mean(0), np.array(SIDES) / 4, rtol=0.05)
    np.testing.assert_allclose(inside.std(0), np.array(SIDES) / np.sqrt(12), rtol=0.05)
    np.testing.assert_allclose(np.abs(outside).mean(0), (0.5 - share * np.array(SIDES) / 4) / (1 - share), rtol=0.03)
    assert np.abs(outside).max() <= 1.0


def test_what_has_next_to_no_inside_has_a_pool_of_the_same_size():
    vertices, faces = box((0.8, 1.2, 1e-4))
    leaning = vertices @ np.array([[0.6, 0, -0.8], [0, 1, 0], [0.8, 0, 0.6]])
    thin = scan_pool(Surface(leaning, faces), 1.0, np.random.default_rng(0), None, COUNTS)
    assert len(thin.points) == sum(COUNTS.values()) and thin.strata[-2] - thin.strata[-3] < 100


def test_points_are_on_the_grid_that_they_are_stored_on(pool):
    np.testing.assert_array_equal(STORAGE.unpack(STORAGE.pack(pool.points), np.dtype("f4")), pool.points)


def test_the_order_within_a_stratum_is_random(pool):
    """The first and the second half of a stratum are alike."""
    for number in (1, 3, 11):
        part = pool.points[pool.strata[number] : pool.strata[number + 1]]
        half = len(part) // 2
        for axis in range(3):
            a, b = np.sort(part[:half, axis]), np.sort(part[half : 2 * half, axis])
            assert np.abs(a - b).max() < 0.25 and abs(a.mean() - b.mean()) < 0.05


def test_regions_draw_from_their_faces():
    mesh = box(SIDES)
    regions = np.where(mesh[0][mesh[1]].mean(1)[:, 1] > 0.45, 1, 0).astype(np.uint8)
    found = scan_pool(Surface(*mesh), 1.0, np.random.default_rng(0), regions, COUNTS)
    number = 2 * list(KINDS).index("face")
    face = found.points[found.strata[number] : found.strata[number + 2]]
    assert face[:, 1].min() > 0.44 and len(face) == COUNTS["face"]
    assert found.strata[number + 2] == found.strata[number + 6]  # no face is of a hand or foot
    assert found.strata[2] == COUNTS["near_1cm"] + COUNTS["hands"] + COUNTS["feet"]


def test_samples_are_drawn_by_area():
    surface = Surface(*box((1.0, 2.0, 4.0)))
    places, faces, bary = surface_samples(surface, 60_000, np.random.default_rng(0))
    corners = surface.tree.vertices[surface.tree.faces[faces]]
    np.testing.assert_allclose(np.einsum("nk,nki->ni", bary, corners), places, atol=1e-15)
    assert np.abs(box_distance(places, (1.0, 2.0, 4.0))).max() < 1e-12
    sides = np.array([2 * 8, 2 * 4, 2 * 2]) / 28
    share = [np.isclose(np.abs(places[:, axis]), half).mean() for axis, half in enumerate((0.5, 1.0, 2.0))]
    np.testing.assert_allclose(share, sides, atol=0.01)
    on_top = places[np.isclose(places[:, 2], 2.0)]
    np.testing.assert_allclose(on_top[:, :2].std(0), np.array([1.0, 2.0]) / np.sqrt(12), rtol=0.03)


def test_the_same_generator_gives_the_same_pool(pool):
    again = scan_pool(Surface(*box(SIDES)), 1.0, np.random.default_rng(0), None, COUNTS)
    for name in ("points", "sdf", "face", "bary", "strata"):
        np.testing.assert_array_equal(getattr(again, name), getattr(pool, name))


@pytest.mark.parametrize(("scale", "half"), [(HALF * 2, 1.0), (1.0, HALF * 1.01)])
def test_a_scan_of_another_scale_is_refused(scale, half):
    mesh = sphere()
    with pytest.raises(FormatError, match="is its scale right"):
        scan_pool(Surface(mesh[0] * scale, mesh[1]), half, np.random.default_rng(0), None, COUNTS)


def test_bodies_are_asked_one_by_one(pool):
    one, other = torus(), (torus()[0] * 1.1 + [0.05, 0, 0], torus()[1])
    found = body_points([body_surface(*one), body_surface(*other)], pool.points)
    for number, mesh in enumerate((one, other)):
        alone = Surface(*mesh).signed_distance(pool.points.astype(np.float64))
        np.testing.assert_array_equal(found.face[:, number], alone.face)
        np.testing.assert_array_equal(found.sdf[:, number], alone.distance.astype(np.float16))
        np.testing.assert_array_equal(found.bary[:, number], alone.bary.astype(np.float32))


def test_a_body_of_too_many_faces_is_refused():
    faces = np.zeros((1 << 16 | 1, 3), np.int32)
    with pytest.raises(FormatError, match="65537 faces"):
        body_surface(np.zeros((3, 3)), faces)
