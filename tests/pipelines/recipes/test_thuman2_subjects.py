"""Subjects of THuman2.0 against their raw files: frames, pools, bodies, samples, as other tools have them."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tessera.datasets import Dataset, Record

from . import scan_oracle as oracle
from .scan_oracle import Triangles

HALF_STEP = 2 / 65535  # metres that a stored place is off, along each axis
SOME = 4000  # points of a pool that are looked at


@pytest.fixture(scope="module")
def some(subject: Record) -> np.ndarray:
    """Numbers of points of all strata, as many of each."""
    rng = np.random.default_rng(0)
    ends = subject["points_strata"]
    return np.concatenate([rng.integers(a, b, SOME // 12) for a, b in pairwise(ends)])


def rounding(distance: np.ndarray) -> np.ndarray:
    """What float16 may be off, and Open3D's float32."""
    return np.spacing(np.abs(distance).astype(np.float16)).astype(np.float64) / 2 + 2e-6


def stratum(record: Record, kind: str) -> slice:
    names = next(f for f in record.schema.fields if f.name == "points_strata").options["strata"]
    ends = record["points_strata"]
    return slice(ends[names.index(f"{kind}_inside")], ends[names.index(f"{kind}_outside") + 1])


def test_world_is_the_scan_in_metres_about_its_middle(subject: Record, scan: Triangles, thuman2_demo: Path) -> None:
    raw = oracle.raw_scan(thuman2_demo, subject.key)
    matrix = subject["world_from_scan"]
    np.testing.assert_allclose(raw.vertices @ matrix[:3, :3].T + matrix[:3, 3], scan.vertices, atol=1e-9)
    assert matrix[3].tolist() == [0, 0, 0, 1]
    assert np.ptp(scan.vertices[:, 1]) == pytest.approx(float(subject["height"]), abs=1e-12)
    assert float(subject["scan_scale"]) == pytest.approx(1.8 / raw.height, rel=1e-12)
    assert scan.vertices[:, 1].max() == pytest.approx(float(subject["height"]) / 2, abs=1e-9)
    np.testing.assert_allclose(subject["joints"][0, 0, [0, 2]], 0, atol=1e-6)  # the pelvis
    assert 1.1 < float(subject["height"]) < 2.2 and subject.columns["faces"] == len(raw.faces)


def test_the_pool_has_400_000_points_in_named_strata(subject: Record) -> None:
    points, ends = subject["points"], subject["points_strata"]
    assert len(points) >= 400_000 and ends[0] == 0 and ends[-1] == len(points) and (np.diff(ends) > 0).all()
    half = float(subject["height"]) * 102.4 / 180
    inside, outside = points[ends[-3] : ends[-2]], points[ends[-2] :]
    assert np.abs(outside).max() <= half + HALF_STEP
    np.testing.assert_allclose(np.abs(outside).mean(0), half / 2, rtol=0.02)  # a person takes a hundredth of the cube
    assert len(inside) >= 10_000 and len(np.unique(inside, axis=0)) > 0.999 * len(inside)


def test_distances_are_those_to_the_scan(subject: Record, scan: Triangles, some: np.ndarray) -> None:
    points, sdf = subject["points"][some].astype(np.float64), subject["sdf"][some].astype(np.float64)
    distance = scan.closest(points)[0]
    assert (np.abs(np.abs(sdf) - distance) <= rounding(distance)).all()


def test_signs_are_those_of_ray_parity_and_of_the_winding_number(
    subject: Record, scan: Triangles, some: np.ndarray
) -> None:
    points, sdf = subject["points"][some].astype(np.float64), subject["sdf"][some].astype(np.float64)
    sure = np.abs(sdf) > 1e-5
    np.testing.assert_array_equal((sdf < 0)[sure], scan.parity(points)[sure])
    few = np.flatnonzero(sure)[::50]
    np.testing.assert_array_equal(sdf[few] < 0, np.abs(scan.winding(points[few])) > 0.5)


def test_occupancy_agrees_with_the_strata(subject: Record) -> None:
    ends, inside = subject["points_strata"], subject["sdf"] < 0
    for number, (a, b) in enumerate(pairwise(ends)):
        assert inside[a:b].all() if number % 2 == 0 else not inside[a:b].any()


@pytest.mark.parametrize(("kind", "sigma"), [("near_1cm", 0.01), ("near_5cm", 0.05), ("face", 0.01), ("hands", 0.005),
                                             ("feet", 0.01)])  # fmt: skip
def test_points_lie_as_near_to_the_scan_as_their_stratum_says(subject: Record, kind: str, sigma: float) -> None:
    """A centimetre is one of the world's; a curved surface's distances are a little smaller than the draws."""
    spread = np.sqrt((subject["sdf"][stratum(subject, kind)].astype(np.float64) ** 2).mean())
    assert 0.6 * sigma < spread < 1.05 * sigma


def test_regions_are_where_their_joints_are(subject: Record, bodies: list[Triangles], thuman2_demo: Path) -> None:
    place = dict(zip(oracle.JOINTS, subject["joints"][0].astype(np.float64), strict=True))
    points = subject["points"].astype(np.float64)

    def near(kind: str, joints: list[str]) -> np.ndarray:
        away = points[stratum(subject, kind)][:, None] - np.array([place[joint] for joint in joints])
        return np.linalg.norm(away, axis=2).min(1)

    fingers = [joint for joint in oracle.JOINTS if joint[-1] in "123" and not joint.startswith("spine")]
    assert np.quantile(near("hands", ["left_wrist", "right_wrist", *fingers]), 0.99) < 0.10
    assert np.quantile(near("feet", ["left_ankle", "right_ankle", "left_foot", "right_foot"]), 0.99) < 0.18
    for kind, joints in (("hands", ["left_wrist", "right_wrist"]), ("feet", ["left_ankle", "right_ankle"])):
        away = [np.linalg.norm(points[stratum(subject, kind)] - place[joint], axis=1) for joint in joints]
        assert 0.3 < (away[0] < away[1]).mean() < 0.7  # of both sides
    eyes = (place["left_eye"] + place["right_eye"]) / 2
    face = points[stratum(subject, "face")]
    assert np.quantile(np.linalg.norm(face - eyes, axis=1), 0.99) < 0.15
    front = eyes - place["head"]  # eyes lie before and above the head's joint
    front[1] = 0
    left = place["left_eye"] - place["right_eye"]
    front = np.cross(left, [0, 1, 0]) if np.linalg.norm(front) < 0.02 else front
    assert (((face - place["head"]) @ (front / np.linalg.norm(front))) > 0).mean() > 0.95


def test_normals_and_colours_are_those_of_the_closest_place(
    subject: Record, scan: Triangles, some: np.ndarray, thuman2_demo: Path
) -> None:
    """Where the closest place is one: deep inside, the other tool may choose another of several as close."""
    near = some[np.abs(subject["sdf"][some]) < 0.02]
    points = subject["points"][near].astype(np.float64)
    _, face, bary = scan.closest(points)
    off = oracle.degrees_between(subject["surface_normal"][near], scan.normals_at(face, bary))
    assert np.quantile(off, 0.99) < 0.03 and np.median(off) < 0.01
    wanted = oracle.looked_up(oracle.raw_scan(thuman2_demo, subject.key), face, bary)
    away = np.abs(subject["surface_rgb"][near] - wanted).max(1)
    assert np.quantile(away, 0.99) < 1.5 and np.median(away) <= 0.51


def test_bodies_are_posed_by_what_is_stored_of_them(subject: Record, thuman2_demo: Path) -> None:
    scale, move = float(subject["body_scale"]), subject["body_translation"]
    for number, row in enumerate(subject["body_params"]):
        vertices, joints = oracle.posed(thuman2_demo, row)
        np.testing.assert_allclose(subject["body_vertices"][number], vertices * scale + move, atol=1.2e-7)
        np.testing.assert_allclose(subject["joints"][number], joints * scale + move, atol=1.2e-7)


def test_the_first_body_is_the_raw_fit(subject: Record, thuman2_demo: Path) -> None:
    """As published: 12 numbers a hand about the mean hand, scale, then translation, then to metres."""
    fit, middle = oracle.raw_scan(thuman2_demo, subject.key).fit, oracle.vmed(thuman2_demo, subject.key)
    vertices, joints = oracle.fitted(thuman2_demo, subject.key)
    np.testing.assert_allclose(subject["body_vertices"][0], (vertices - middle) / float(fit["scale"]), atol=1.2e-7)
    np.testing.assert_allclose(subject["joints"][0], (joints - middle) / float(fit["scale"]), atol=1.2e-7)
    rows = dict(zip(oracle.ROW, np.split(subject["body_params"][0], np.cumsum(list(oracle.ROW.values()))[:-1]),
                    strict=True))  # fmt: skip
    for name in ("betas", "expression", "global_orient", "body_pose", "jaw_pose"):
        np.testing.assert_array_equal(rows[name], fit[name][0])


def test_the_references_scale_makes_the_scan_180_tall(subject: Record, thuman2_demo: Path) -> None:
    """ICON: vertices times 100, from the middle, times scan_scale."""
    raw, middle = oracle.raw_scan(thuman2_demo, subject.key), oracle.vmed(thuman2_demo, subject.key)
    unit = 100 * 1.8 / raw.height
    assert np.ptp(raw.vertices[:, 1]) * unit == pytest.approx(180)
    wanted = (100 * oracle.fitted(thuman2_demo, subject.key)[0] - 100 * middle) * float(subject["scan_scale"])
    model = oracle.posed(thuman2_demo, subject["body_params"][0])[0]
    found = model * float(subject["body_scale_180"]) + subject["body_translation_180"]
    np.testing.assert_allclose(found, wanted, atol=1e-9)  # of 180
    ratio = 180 / float(subject["height"])
    assert float(subject["body_scale_180"]) == pytest.approx(float(subject["body_scale"]) * ratio, rel=1e-9)
    np.testing.assert_allclose(subject["body_translation_180"], subject["body_translation"] * ratio, atol=1e-7)


def test_noise_is_of_icon_s_joints_and_shape_within_its_bounds(subject: Record) -> None:
    rows = subject["body_params"]
    noise = dict(zip(oracle.ROW, np.split(rows[1:] - rows[0], np.cumsum(list(oracle.ROW.values()))[:-1], 1),
                     strict=True))  # fmt: skip
    pose = noise.pop("body_pose").reshape(2, 21, 3)
    noisy = [number - 1 for number in (4, 5, 7, 8, 13, 14, 16, 17, 18, 19, 20, 21)]
    assert np.abs(pose[:, noisy]).max() <= 0.05 * np.pi and (pose[:, noisy] != 0).all()
    assert (np.delete(pose, noisy, 1) == 0).all()
    assert 0.3 < np.abs(pose[:, noisy]).mean() / (0.05 * np.pi) < 0.7  # uniform: half of the bound
    betas = noise.pop("betas")
    assert np.abs(betas).max() <= 0.5 and (betas != 0).all() and 0.1 < np.abs(betas).mean() < 0.4
    assert all((value == 0).all() for value in noise.values())
    assert (pose[0, noisy] != pose[1, noisy]).all() and (betas[0] != betas[1]).all()


def test_the_body_is_near_its_scan_and_variants_are_further_away(
    subject: Record, scan: Triangles, bodies: list[Triangles]
) -> None:
    means = [scan.closest(body.vertices)[0].mean() for body in bodies]
    assert means[0] == pytest.approx(subject.columns["fit_distance"], abs=1e-5) and means[0] < 0.03
    assert all(means[0] < mean < 0.1 for mean in means[1:])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_points_know_each_body(subject: Record, bodies: list[Triangles], some: np.ndarray, number: int) -> None:
    """Distances to float16; places to a step of 8 bits, in faces whose longest edges are some centimetres."""
    body, points = bodies[number], subject["points"][some].astype(np.float64)
    face, bary, sdf = (subject[f"body_{name}"][some, number] for name in ("face", "bary", "sdf"))
    distance, _, _ = body.closest(points)
    assert (np.abs(np.abs(sdf.astype(np.float64)) - distance) <= rounding(distance)).all()
    place = body.places(face.astype(int), bary.astype(np.float64))
    corners = body.vertices[body.faces[face.astype(int)]]
    longest = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2).max(1)
    known = np.linalg.norm(points - place, axis=1)
    assert (known > distance - 2e-6).all() and (known - distance <= longest * 2 / 255 + 2e-6).all()
    few = np.flatnonzero(np.abs(sdf) > 1e-4)[::40]
    winding = body.winding(points[few])
    clear = np.abs(winding - 0.5) > 1e-3
    assert clear.mean() > 0.98
    np.testing.assert_array_equal((sdf[few] < 0)[clear], (winding > 0.5)[clear])


def test_normals_of_bodies_are_trimesh_s(subject: Record, bodies: list[Triangles]) -> None:
    for number, body in enumerate(bodies):
        off = oracle.degrees_between(subject["body_normals"][number], body.normals)
        assert off.max() < 0.05


def test_samples_of_the_surface_lie_on_it_with_its_normals(subject: Record, scan: Triangles) -> None:
    places, normals = subject["scan_surface"], subject["scan_surface_normal"]
    assert places.shape == normals.shape == (100_000, 3)
    distance, face, bary = scan.closest(places[::10].astype(np.float64))
    assert distance.max() < np.sqrt(3) * HALF_STEP + 1e-6
    off = oracle.degrees_between(normals[::10], scan.normals_at(face, bary))
    assert np.quantile(off, 0.99) < 0.5 and np.median(off) < 0.05
    corners = scan.vertices[scan.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    low = corners.mean(1)[:, 1] < -0.2  # by area: as many samples as that has
    assert (places[:, 1] < -0.2).mean() == pytest.approx(area[low].sum() / area.sum(), abs=0.01)


def test_nothing_is_shared_by_two_subjects(thuman2: Dataset) -> None:
    one, other = (thuman2.table("subjects")[name] for name in ("0000", "0001"))
    assert (one["points"] != other["points"]).mean() > 0.99
    noise = [record["body_params"][1:] - record["body_params"][0] for record in (one, other)]
    moved = noise[0] != 0
    assert (noise[0] != noise[1])[moved].all()


def test_the_same_subject_again_is_the_same(thuman2: Dataset, thuman2_perspective: Dataset) -> None:
    """Whatever the cameras are."""
    one, other = (made.table("subjects")["0000"] for made in (thuman2, thuman2_perspective))
    assert set(one) - set(other) == {"grid", "grid_body_face", "grid_body_bary", "grid_body_sdf",
                                     "body_volume"}  # fmt: skip
    for name in other:
        np.testing.assert_array_equal(one[name], other[name])
