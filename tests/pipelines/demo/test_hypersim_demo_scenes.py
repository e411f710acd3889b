"""What the demo rooms contain: exact meshes, boxes, camera rows, sensible and overlapping views."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import trimesh
from tessera.pipelines.demo.hypersim.assembly import assemble
from tessera.pipelines.demo.hypersim.cameras import projection
from tessera.pipelines.demo.hypersim.scenes import SCENES
from tessera.pipelines.demo.hypersim.stage import Tracer
from tessera.pipelines.demo.hypersim.walk import walk

from .conftest import Raw

UNITS = {"ai_900_001": 0.01, "ai_900_002": 0.0254, "ai_900_003": 0.001, "ai_900_004": 1.0}
SPLITS = {"ai_900_001": "train", "ai_900_002": "train", "ai_900_003": "val", "ai_900_004": "test"}
TWINS = {"ai_900_001": "ai_001_001", "ai_900_002": "ai_037_002", "ai_900_003": "ai_019_007", "ai_900_004": "ai_026_006"}


@pytest.fixture(scope="module")
def views(raw: Raw) -> list:
    return list(raw.views())


def first_hits(origin: np.ndarray, rays: np.ndarray, mesh: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Distance and face of the first hit of each ray, by Moeller and Trumbore's test against every triangle."""
    a, b, c = (mesh["vertices"][mesh["faces"][:, k]] for k in range(3))
    e1, e2, s = b - a, c - a, origin - a
    q = np.cross(s, e1)
    reach = np.einsum("ij,ij->i", e2, q)
    distance, face = np.full(len(rays), np.inf), np.full(len(rays), -1)
    for k, ray in enumerate(rays):
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.cross(ray, e2)
            inverse = 1.0 / np.einsum("ij,ij->i", e1, p)
            u, v, t = np.einsum("ij,ij->i", s, p) * inverse, q @ ray * inverse, reach * inverse
            t = np.where((u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (t > 1e-6), t, np.inf)
        face[k] = int(np.argmin(t))
        distance[k] = t[face[k]]
    return distance, face


def test_depth_and_ids_are_those_of_the_exact_mesh(raw: Raw, views: list) -> None:
    rng = np.random.default_rng(7)
    for scene in UNITS:
        view = next(v for v in views if v.scene == scene and v.frame == 1)
        mesh = dict(np.load(raw.root / "exact_meshes" / f"{scene}.npz"))
        pixels = rng.integers((0, 0), view["render_entity_id"].shape, (40, 2))
        rays = (view.rays() @ view.turn.T)[pixels[:, 0], pixels[:, 1]]
        distance, face = first_hits(view.unit * view.position, rays, mesh)
        depth = view["depth_meters"][pixels[:, 0], pixels[:, 1]]
        hit = np.isfinite(distance)
        assert (np.isnan(depth) == ~hit).all() and hit.sum() > 20
        assert np.abs(depth - distance)[hit].max() <= 0.004
        ids, semantic = (view[k][pixels[:, 0], pixels[:, 1]][hit] for k in ("render_entity_id", "semantic"))
        assert (ids == mesh["face_entity"][face[hit]]).mean() > 0.95, "edges between touching parts may go either way"
        assert (semantic == mesh["face_semantic"][face[hit]]).mean() > 0.95


def test_exact_mesh_types_and_floor(raw: Raw) -> None:
    for scene in UNITS:
        mesh = dict(np.load(raw.root / "exact_meshes" / f"{scene}.npz"))
        types = {"vertices": "float64", "faces": "int32", "face_entity": "int16", "face_semantic": "int16",
                 "face_albedo": "float32"}  # fmt: skip
        assert {name: str(values.dtype) for name, values in mesh.items()} == types
        corners = mesh["vertices"][mesh["faces"]]
        assert (
            np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) > 0
        ).all()
        assert (corners[mesh["face_semantic"] == 2][..., 2] == 0.0).all()
        assert (
            np.ptp(mesh["vertices"][:, :2], axis=0).min() > 4.0 and np.ptp(mesh["vertices"][:, :2], axis=0).max() < 8.0
        )
        assert mesh["face_albedo"].min() >= 0.0 and mesh["face_albedo"].max() <= 1.0


def test_boxes_hold_the_points_of_their_instances(raw: Raw, views: list) -> None:
    box = "mesh/metadata_semantic_instance_bounding_box_object_aligned_2d_{}.hdf5"
    for view in views[::4]:
        extents, turns, centres = (
            raw.detail(view.scene, box.format(k)) for k in ("extents", "orientations", "positions")
        )
        assert np.isinf(extents[0]).all() and np.isfinite(extents[1:]).all()
        ids = view["semantic_instance"]
        for k in np.unique(ids[ids > 0]):
            local = (view["position"][ids == k] - centres[k]) @ turns[k]
            assert (np.abs(local) <= extents[k] / 2 + 0.006 / view.unit).all()


def test_camera_table_is_consistent_and_float32_rounded(raw: Raw) -> None:
    rows = raw.rows("metadata_camera_parameters.csv")
    assert {r["scene_name"]: r["settings_units_info_meters_scale"] for r in rows} == {
        scene: str(float(np.float32(unit))) for scene, unit in UNITS.items()
    }
    for row in rows:
        cam, proj = (raw.matrix(row["scene_name"], n, k) for n, k in (("M_cam_from_uv", 3), ("M_proj", 4)))
        point = np.array([0.3, -0.2, -2.0])
        clip = proj @ [*point, 1.0]
        uv = np.linalg.solve(cam, point)
        assert np.allclose(clip[:2] / clip[3], uv[:2] / uv[2], atol=1e-12)
        near = proj @ [*(cam @ [0.1, 0.2, 1.0]), 1.0]
        assert near[2] / near[3] == pytest.approx(-1.0) and row["camera_physical_fov"] == ""


def test_camera_rows_equal_published_ones(raw: Raw, shared: Path) -> None:
    folder = shared / "hypersim" / "apple_ml-hypersim" / "contrib" / "mikeroberts3000"
    real = Raw(folder)
    with (
        (folder / "metadata_camera_parameters.csv").open() as file,
        (raw.root / "metadata_camera_parameters.csv").open() as ours,
    ):
        assert file.readline() == ours.readline(), "same header"
    for scene, twin in TWINS.items():
        for name, size in (("M_cam_from_uv", 3), ("M_proj", 4)):
            assert np.abs(raw.matrix(scene, name, size) - real.matrix(twin, name, size)).max() < 1e-12, (scene, name)


def test_projection_formula_reproduces_all_published_rows(shared: Path) -> None:
    real = Raw(shared / "hypersim" / "apple_ml-hypersim" / "contrib" / "mikeroberts3000")
    for row in real.rows("metadata_camera_parameters.csv"):
        cam, proj = (np.array([[float(row[f"{n}_{i}{j}"]) for j in range(k)] for i in range(k)])
                     for n, k in (("M_cam_from_uv", 3), ("M_proj", 4)))  # fmt: skip
        assert np.abs(projection(cam) - proj).max() < 1e-12


def test_split_table_lists_each_frame_once(raw: Raw) -> None:
    rows = raw.rows("metadata_images_split_scene_v1.csv")
    keys = [(r["scene_name"], r["camera_name"], int(r["frame_id"])) for r in rows]
    assert keys == [(s, c, f) for s in UNITS for c in ("cam_00", "cam_01") for f in range(3)]
    assert all(r["included_in_public_release"] == "True" and r["exclude_reason"] == "" for r in rows)
    assert {r["scene_name"]: r["split_partition_name"] for r in rows} == SPLITS
    animations = [r["Animation"] for r in raw.rows("metadata_camera_trajectories.csv")]
    assert animations == [f"{s}_{c}" for s in UNITS for c in ("cam_00", "cam_01")]


def test_views_are_worth_looking_at(views: list) -> None:
    for view in views:
        depth = view["depth_meters"]
        assert np.nanmin(depth) > 0.25 and np.nanmedian(depth) > 1.5
        assert len(np.unique(view["semantic"])) >= 6
    for scene in UNITS:
        mine = [view for view in views if view.scene == scene]
        assert any((view["semantic"] == 9).mean() > 0.005 for view in mine), "a window frame is in sight"
        assert any((view["render_entity_id"] == -1).mean() > 0.02 for view in mine), "so is the sky"


def test_consecutive_views_and_cameras_share_surface(views: list) -> None:
    """Points of one frame, projected into another by distance maps alone (facts 3.3, tolerance 2 %)."""

    def seen(one: object, other: object) -> float:
        points = one.points()[::6, ::6].reshape(-1, 3)
        points = points[np.isfinite(points).all(axis=1)]
        local = (points - other.unit * other.position) @ other.turn
        h = np.linalg.solve(other.cam_from_uv, local.T).T
        depth = other["depth_meters"]
        col = np.floor((h[:, 0] / h[:, 2] + 1) / 2 * depth.shape[1]).astype(int)
        row = np.floor((1 - h[:, 1] / h[:, 2]) / 2 * depth.shape[0]).astype(int)
        inside = (h[:, 2] > 0) & (col >= 0) & (col < depth.shape[1]) & (row >= 0) & (row < depth.shape[0])
        there = depth[row.clip(0, depth.shape[0] - 1), col.clip(0, depth.shape[1] - 1)]
        far = np.linalg.norm(local, axis=1)
        return float((inside & (np.abs(far - there) < 0.02 * far)).mean())

    for one, other in itertools.pairwise(views):
        if (one.scene, one.camera) == (other.scene, other.camera):
            assert seen(one, other) > 0.25, (one.scene, one.camera, one.frame)
    for scene in UNITS:
        first, second = ([v for v in views if v.scene == scene and v.camera == c] for c in ("cam_00", "cam_01"))
        assert max(seen(a, b) for a in first for b in second) > 0.1, scene


@pytest.mark.parametrize("index", range(4))
def test_walks_stay_in_free_space_for_other_seeds(index: int) -> None:
    """Twelve poses, as at full scale; and a longer walk starts like a shorter one."""
    scene = SCENES[index]
    room = scene.build(np.random.default_rng([3, index]))
    mesh = assemble(room.items)
    tracer = Tracer(mesh)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    for camera in (0, 1):
        path = walk(tracer, mesh, room, scene.camera.matrix(), camera, 12, [3, index, camera])
        assert (np.abs(np.diff(path.positions, axis=0)) <= [1.0, 1.0, 0.5]).all()
        assert (np.abs(path.positions[:, 2] - path.positions[0, 2]) <= 0.25).all()
        corners = solid.triangles.reshape(-1, 3)
        assert np.linalg.norm(corners[None] - path.positions[:, None], axis=-1).min() > 0.3
        assert len(np.unique(path.positions, axis=0)) >= 11, "it moves on"
        short = walk(tracer, mesh, room, scene.camera.matrix(), camera, 4, [3, index, camera])
        assert np.array_equal(short.orientations, path.orientations[:4])
