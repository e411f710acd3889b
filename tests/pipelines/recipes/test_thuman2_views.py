"""Views of THuman2.0 against their raw files: cameras, masks, depths, normals, bodies, as independent rays see them.

Bounds: stored depths have steps of 61 micrometres, so that places are off by half of that along the ray; stored normals
have 14 bits, at most 0.015 degrees.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, distance_transform_edt
from tessera.datasets import Dataset, Record

from . import scan_oracle as oracle
from .scan_oracle import Triangles

VIEWS = [f"{name}-{yaw:03d}" for name in ("0000", "0001") for yaw in (0, 90, 180, 270)]
PERSPECTIVE = [f"0000-{yaw:03d}-{ring}" for yaw in (0, 120, 240) for ring in (0, 1)]
DEPTH, NORMAL = 3.2e-5, 0.03  # metres, degrees
Seen = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module", params=VIEWS)
def view(request: pytest.FixtureRequest, thuman2: Dataset) -> Record:
    return thuman2.table("views")[request.param]


@pytest.fixture(scope="module", params=VIEWS + PERSPECTIVE)
def any_view(request: pytest.FixtureRequest, thuman2: Dataset, thuman2_perspective: Dataset) -> Record:
    made = thuman2_perspective if request.param in PERSPECTIVE else thuman2
    return made.table("views")[request.param]


@cache
def scan_of(raw: Path, name: str) -> Triangles:
    return Triangles(oracle.world_scan(raw, name), oracle.raw_scan(raw, name).faces)


@cache
def bodies_of(raw: Path, made: Dataset, name: str) -> list[Triangles]:
    faces = oracle.body_model(raw / "body_models", False).faces
    return [Triangles(vertices, faces) for vertices in oracle.bodies(raw, made.table("subjects")[name])]


def of(record: Record) -> str:
    return record.columns["subject"]


def seen(mesh: Triangles, record: Record, side: str = "f", camera: str = "world_from_camera") -> Seen:
    """(size, size) mask; of its pixels, places and normals in the world: what is met first, or last."""
    origins, away, _ = oracle.pixel_rays(record, name=camera)
    if side == "b":
        origins, away = origins + 2 * np.linalg.norm(record[camera][:3, 3]) * away, -away
    met, face, bary, _ = mesh.cast(origins, away)
    face, bary = face[met], bary[met]
    return met.reshape(record["mask"].shape), mesh.places(face, bary), mesh.normals_at(face, bary)


def compare(
    record: Record, mesh: Triangles, normal: np.ndarray, depth: np.ndarray | None, side: str = "f",
    camera: str = "world_from_camera",
) -> None:  # fmt: skip
    """Stored pictures of a mesh with what independent rays meet."""
    pose = record[camera]
    mask, places, normals = seen(mesh, record, side, camera)
    stored = (normal != 0).any(-1)
    assert (stored != mask).sum() <= 2  # a ray along an edge
    both = stored & mask
    kept = both[mask]
    off = oracle.degrees_between(normal[both], normals[kept] @ pose[:3, :3])
    assert np.quantile(off, 0.99) < NORMAL and np.median(off) < 0.01
    np.testing.assert_allclose(np.linalg.norm(normal[both].astype(np.float64), axis=-1), 1, atol=1e-6)
    assert normal[both][:, 2].mean() < -0.5 if side != "b" else normal[both][:, 2].mean() > 0.5
    if depth is not None:
        assert np.ptp(depth[~stored]) == 0 and abs(depth[~stored][0]) < DEPTH
        away = np.abs(depth[both] - places[kept] @ pose[:3, 2])
        assert np.quantile(away, 0.99) < 4e-5
        assert mesh.closest(oracle.unprojected(record, depth, stored, camera))[0].max() < DEPTH


@pytest.mark.parametrize("key", VIEWS)
def test_calib_is_icon_s_intrinsic_times_extrinsic(key: str, thuman2: Dataset, thuman2_demo: Path) -> None:
    """From the raw scan times 100, with the fit's pelvis and the scan's middle height as origin."""
    record = thuman2.table("views")[key]
    wanted = oracle.icon_calib(thuman2_demo, of(record), record.columns["yaw"], 128)
    ours = record["calib"] @ record.referred("subject")["world_from_scan"] @ np.diag([0.01, 0.01, 0.01, 1])
    np.testing.assert_allclose(ours, wanted, atol=1e-9)
    vertices = 100 * oracle.raw_scan(thuman2_demo, of(record)).vertices
    cube = vertices @ wanted[:3, :3].T + wanted[:3, 3]
    assert np.abs(cube[:, 1]).max() == pytest.approx(90 / 102.4)


def test_the_scan_is_projected_onto_the_mask(view: Record, thuman2_demo: Path) -> None:
    wanted = oracle.icon_calib(thuman2_demo, of(view), view.columns["yaw"], 128)
    vertices = 100 * oracle.raw_scan(thuman2_demo, of(view)).vertices
    cube = vertices @ wanted[:3, :3].T + wanted[:3, 3]
    pixels = np.floor((cube[:, :2] + 1) / 2 * 128).astype(int)
    mask = view["mask"]
    inside = binary_dilation(mask, np.ones((3, 3)))[pixels[:, 1], pixels[:, 0]]
    assert inside.mean() > 0.999 and binary_dilation(mask, np.ones((5, 5)))[pixels[:, 1], pixels[:, 0]].all()
    assert (view["alpha"][pixels[:, 1], pixels[:, 0]][~inside] == 0).all()  # a finger's tip, between all rays
    hit = np.zeros_like(mask)
    hit[pixels[:, 1], pixels[:, 0]] = True
    assert distance_transform_edt(~hit)[mask].max() <= 1.5  # every pixel has a vertex beside it
    assert mask.mean() == pytest.approx(view.columns["mask_share"])


def test_the_mask_is_what_rays_meet(any_view: Record, thuman2_demo: Path) -> None:
    mask, _, _ = seen(scan_of(thuman2_demo, of(any_view)), any_view)
    assert (mask != any_view["mask"]).sum() <= 1


def test_intrinsics_and_pose_project_as_calib_does(any_view: Record) -> None:
    """Of a perspective view on the plane through the origin."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.8, 0.8, (100, 3))
    pose, calib, size = any_view["world_from_camera"], any_view["calib"], any_view["mask"].shape[0]
    perspective = any_view.options["camera"] == "perspective"
    if perspective:
        points -= (points @ pose[:3, 2])[:, None] * pose[:3, 2]
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    plane = np.concatenate([local[:, :2] / local[:, 2:] if perspective else local[:, :2], np.ones((100, 1))], 1)
    pixels = (plane @ any_view["intrinsics"].T)[:, :2]
    cube = points @ calib[:3, :3].T + calib[:3, 3]
    np.testing.assert_allclose((cube[:, :2] + 1) / 2 * size, pixels, atol=1e-6)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    height = float(any_view.referred("subject")["height"])
    nearer = cube[:, 2] * height * 102.4 / 180  # z of the cube points to the camera
    np.testing.assert_allclose(nearer, np.linalg.norm(pose[:3, 3]) - local[:, 2], atol=1e-9)


def test_cameras_are_where_yaw_and_pitch_say(any_view: Record) -> None:
    """At yaw 90 the person, who looks along world +z, looks to the right; a raised camera looks down."""
    pose, calib = any_view["world_from_camera"], any_view["calib"]
    yaw, pitch = np.radians(any_view.columns["yaw"]), np.radians(any_view.columns["pitch"])
    np.testing.assert_allclose(pose[:3, 2], -pose[:3, 3] / np.linalg.norm(pose[:3, 3]), atol=1e-12)
    assert pose[1, 3] / np.linalg.norm(pose[:3, 3]) == pytest.approx(np.sin(pitch), abs=1e-12)
    ahead = calib[:3, :3] @ [0, 0, 1]
    ahead /= np.linalg.norm(ahead)
    wanted = [np.sin(yaw), np.sin(pitch) * np.cos(yaw), np.cos(pitch) * np.cos(yaw)]
    np.testing.assert_allclose(ahead, wanted, atol=1e-12)


@pytest.mark.parametrize(("yaw", "axis", "sign"), [("000", 2, -1), ("090", 0, 1), ("180", 2, 1), ("270", 0, -1)])
def test_the_person_looks_where_yaw_says(thuman2: Dataset, yaw: str, axis: int, sign: int) -> None:
    """In the camera's axes, by the eyes and the joint of the head; people of the demo turn by up to 40 degrees."""
    for name in ("0000", "0001"):
        record = thuman2.table("views")[f"{name}-{yaw}"]
        place = dict(zip(oracle.JOINTS, record.referred("subject")["joints"][0], strict=True))
        ahead = (place["left_eye"] + place["right_eye"]) / 2 - place["head"]
        local = ahead @ record["world_from_camera"][:3, :3]
        assert sign * local[axis] > 0.03


def test_scan_s_depths_and_normals_are_those_of_rays(any_view: Record, thuman2_demo: Path) -> None:
    scan = scan_of(thuman2_demo, of(any_view))
    for side in "fb":
        compare(any_view, scan, any_view[f"normal_{side}"], any_view[f"depth_{side}"], side)


def test_front_and_back_share_the_pixels(any_view: Record) -> None:
    mask = any_view["mask"]
    front, back = any_view["depth_f"], any_view["depth_b"]
    for name in ("normal_f", "normal_b"):
        np.testing.assert_array_equal((any_view[name] != 0).any(-1), mask)
    assert (back[mask] >= front[mask]).all()
    assert (back - front)[mask].max() > 0.1 and (np.abs(front[mask]) < 1).all()


@pytest.mark.parametrize("name", ["depth_f", "depth_b", "body_depth_f", "body_depth_b", "body_depth_l", "body_depth_r"])
def test_depth_is_0_where_there_is_nothing(thuman2: Dataset, name: str) -> None:
    """As its schema says: bodies have no mask of their own, so that `depth != 0` has to tell."""
    record = thuman2.table("views")["0000-000"]
    there = (record[name.replace("depth", "normal")] != 0).any(-1)
    assert (record[name][~there] == 0).all()


def test_bodies_depths_and_normals_are_those_of_rays(
    any_view: Record, thuman2: Dataset, thuman2_perspective: Dataset, thuman2_demo: Path
) -> None:
    made = thuman2_perspective if any_view.key in PERSPECTIVE else thuman2
    bodies = bodies_of(thuman2_demo, made, of(any_view))
    for side in "fb":
        compare(any_view, bodies[0], any_view[f"body_normal_{side}"], any_view[f"body_depth_{side}"], side)
        noisy = any_view[f"noisy_normal_{side}"]
        assert len(noisy) == 2
        for number, picture in enumerate(noisy, 1):
            compare(any_view, bodies[number], picture, None, side)
        assert ((noisy[0] != 0).any(-1) != (noisy[1] != 0).any(-1)).any()


def test_body_and_scan_agree(view: Record) -> None:
    """The fit lies within the clothes: where both are, their depths differ by some centimetres."""
    both = view["mask"] & (view["body_normal_f"] != 0).any(-1)
    assert both.sum() > 0.7 * view["mask"].sum()
    outside = ((view["body_normal_f"] != 0).any(-1) & ~binary_dilation(view["mask"])).sum()
    assert outside < 0.01 * both.sum()
    for side, sign in (("f", 1), ("b", -1)):
        gap = sign * (view[f"body_depth_{side}"] - view[f"depth_{side}"])[both]
        assert 0.01 < np.median(gap) < 0.05 and (gap > -0.005).mean() > 0.97


def test_parts_are_those_of_the_nearest_vertex_of_the_face(view: Record, thuman2: Dataset, thuman2_demo: Path) -> None:
    body = bodies_of(thuman2_demo, thuman2, of(view))[0]
    origins, away, _ = oracle.pixel_rays(view)
    met, face, bary, _ = body.cast(origins, away)
    corners = body.faces[face[met]]
    nearest = corners[np.arange(len(corners)), bary[met].argmax(1)]
    wanted = 1 + oracle.parts_of(thuman2_demo)[nearest]
    found = view["body_parts"].reshape(-1)
    assert (found[met] == wanted).mean() > 0.998 and (found[~met] == 0).all() and found.max() <= 24
    assert len(np.unique(found)) > 10


def test_visible_vertices_are_those_that_rays_reach(view: Record, thuman2: Dataset, thuman2_demo: Path) -> None:
    """From just above each vertex towards the camera; the references' raster lost the feet (ICON #247)."""
    towards = -view["world_from_camera"][:3, 2]
    found = np.unpackbits(view["body_visible"], axis=1, count=10475, bitorder="little").astype(bool)
    for number, body in enumerate(bodies_of(thuman2_demo, thuman2, of(view))):
        facing = body.normals @ towards > 0
        free = ~body.cast(body.vertices + 1e-4 * body.normals, towards)[0]
        assert (found[number] == (facing & free)).mean() > 0.9995
        low = body.vertices[:, 1] < np.quantile(body.vertices[:, 1], 0.1)
        assert found[number][low].mean() > 0.1
    assert found[0].mean() == pytest.approx(view.columns["body_visible_share"], abs=1e-9)


def test_sides_are_the_body_from_left_and_right(view: Record, thuman2: Dataset, thuman2_demo: Path) -> None:
    """In cameras that went round by 90 degrees: at yaw 0 to the person's left, the right of the picture."""
    (body, *variants), pose = bodies_of(thuman2_demo, thuman2, of(view)), view["world_from_camera"]
    for side, sign in (("l", 1), ("r", -1)):
        turned, noisy = view[f"side_{side}"], view[f"noisy_normal_{side}"]
        compare(view, body, view[f"body_normal_{side}"], view[f"body_depth_{side}"], side, f"side_{side}")
        assert len(noisy) == len(variants) > 1
        for variant, normal in zip(variants, noisy, strict=True):
            compare(view, variant, normal, None, side, f"side_{side}")
        local = turned[:3, 3] @ pose[:3, :3]
        np.testing.assert_allclose(local, [sign * np.linalg.norm(pose[:3, 3]), 0, 0], atol=1e-9)
        np.testing.assert_allclose(turned[:3, 1], pose[:3, 1], atol=1e-12)
        np.testing.assert_allclose(turned[:3, 2], -turned[:3, 3] / np.linalg.norm(turned[:3, 3]), atol=1e-12)


@pytest.mark.parametrize("name", ["0000", "0001"])
def test_the_left_side_of_the_front_view_is_nearer_to_the_left_hip(name: str, thuman2: Dataset) -> None:
    record = thuman2.table("views")[f"{name}-000"]
    place = dict(zip(oracle.JOINTS, record.referred("subject")["joints"][0], strict=True))
    away = place["left_hip"] - place["right_hip"]
    assert away @ record["side_l"][:3, 2] < -0.05 < 0.05 < away @ record["side_r"][:3, 2]


def test_perspective_cameras_are_pamir_s(thuman2_perspective: Dataset) -> None:
    """5000 pixels of focal length at 512, as far away as shows the scan at the size of the orthographic view."""
    for record in thuman2_perspective.table("views"):
        focal = 5000 / 512 * 96
        np.testing.assert_allclose(record["intrinsics"], [[focal, 0, 48], [0, focal, 48], [0, 0, 1]], atol=1e-9)
        height = float(record.referred("subject")["height"])
        distance = np.linalg.norm(record["world_from_camera"][:3, 3])
        assert focal * height / distance == pytest.approx(96 * 180 / 204.8, rel=1e-9)
