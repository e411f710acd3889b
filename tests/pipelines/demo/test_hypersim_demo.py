"""The demo raw data keep every invariant of the published data set (facts 1.2 to 1.5, I1 to I8)."""

import h5py
import numpy as np
import pytest
from PIL import Image

from .conftest import FINAL, Raw

GEOMETRY = ("depth_meters", "position", "normal_cam", "normal_world", "normal_bump_cam", "normal_bump_world",
            "render_entity_id", "semantic", "semantic_instance", "tex_coord")  # fmt: skip
FINAL_PREVIEWS = (*FINAL, "gamma", "tonemap", "lambertian", "non_lambertian", "diff")
NORMALS = ("normal_cam", "normal_world", "normal_bump_cam", "normal_bump_world")


def half_step(values: np.ndarray) -> np.ndarray:
    """Greatest rounding error of float16 values."""
    return np.spacing(np.abs(np.nan_to_num(values)).astype(np.float16)).astype(np.float64) / 2


@pytest.fixture(scope="module")
def views(raw: Raw) -> list:
    return list(raw.views())


def test_every_listed_file_is_there_and_nothing_else(raw: Raw) -> None:
    expected = {
        "metadata_camera_parameters.csv",
        "metadata_images_split_scene_v1.csv",
        "metadata_camera_trajectories.csv",
    }
    for scene in ("ai_900_001", "ai_900_002", "ai_900_003", "ai_900_004"):
        expected.add(f"exact_meshes/{scene}.npz")
        tables = ("cameras", "scene", "nodes", "node_strings")
        expected |= {f"{scene}/_detail/metadata_{name}.csv" for name in tables} | {
            f"{scene}/_detail/mesh/metadata_objects.csv"
        }
        box = "metadata_semantic_instance_bounding_box_object_aligned_2d_"
        meshes = [
            "mesh_objects_si",
            "mesh_objects_sii",
            "metadata_semantic_colors",
            "metadata_semantic_instance_colors",
        ]
        meshes += [f"{box}extents", f"{box}orientations", f"{box}positions"]
        expected |= {f"{scene}/_detail/mesh/{name}.hdf5" for name in meshes}
        for cam in ("cam_00", "cam_01"):
            expected.add(f"{scene}/_detail/{cam}/metadata_camera.csv")
            keys = ("frame_indices", "positions", "orientations", "look_at_positions")
            expected |= {f"{scene}/_detail/{cam}/camera_keyframe_{key}.hdf5" for key in keys}
            for frame in range(3):
                images, start = f"{scene}/images/scene_{cam}", f"frame.{frame:04d}"
                expected |= {f"{images}_final_hdf5/{start}.{name}.hdf5" for name in FINAL}
                expected |= {f"{images}_geometry_hdf5/{start}.{name}.hdf5" for name in GEOMETRY}
                expected |= {f"{images}_final_preview/{start}.{name}.jpg" for name in FINAL_PREVIEWS}
                expected |= {f"{images}_geometry_preview/{start}.{name}.png" for name in GEOMETRY if name != "position"}
                expected |= {f"{images}_geometry_preview/{start}.{name}.jpg" for name in ("color", "gamma")}
    assert {p.relative_to(raw.root).as_posix() for p in raw.root.rglob("*") if p.is_file()} == expected


def test_images_are_encoded_as_published(views: list) -> None:
    for view in views[::5]:
        for name in FINAL + GEOMETRY:
            with h5py.File(view.path(name)) as file:
                data = file["dataset"]
                flat = name in ("depth_meters", "render_entity_id", "semantic", "semantic_instance")
                assert (list(file), len(file.attrs), len(data.attrs)) == (["dataset"], 0, 0)
                assert data.dtype == (np.int16 if flat and name != "depth_meters" else np.float16), name
                assert data.shape == ((192, 256) if flat else (192, 256, 3))
                assert data.chunks == ((48, 64) if flat else (48, 64, 1))
                assert (data.compression, data.compression_opts, data.shuffle) == ("gzip", 9, False)


def test_keyframes_are_plain_float64_and_count_the_listed_frames(raw: Raw) -> None:
    for name, tail in (
        ("positions", (3,)),
        ("orientations", (3, 3)),
        ("look_at_positions", (3,)),
        ("frame_indices", ()),
    ):
        with h5py.File(raw.root / "ai_900_002" / "_detail" / "cam_01" / f"camera_keyframe_{name}.hdf5") as file:
            data = file["dataset"]
            assert data.shape == (3, *tail) and data.chunks is None and data.compression is None
            assert data.dtype == (np.int64 if name == "frame_indices" else np.float64)


def test_i1_colour_is_reflectance_times_illumination_plus_residual(views: list) -> None:
    for view in views:
        whole = view["diffuse_reflectance"] * view["diffuse_illumination"] + view["residual"]
        assert np.isfinite(whole).all()
        assert (np.abs(view["color"] - whole) <= half_step(whole) * 1.01 + 1e-7).all()
        assert view["diffuse_reflectance"].min() >= 0 and view["diffuse_reflectance"].max() <= 1
        assert view["diffuse_illumination"].min() >= 0


def test_i2_depth_is_distance_and_not_planar_depth(views: list) -> None:
    for view in views:
        hit = view["render_entity_id"] > 0
        position, depth = view["position"][hit], view["depth_meters"][hit]
        distance = view.unit * np.linalg.norm(position - view.position, axis=-1)
        slack = view.unit * np.linalg.norm(half_step(position), axis=-1) + half_step(depth) + 1e-5
        assert (np.abs(distance - depth) <= slack).all()
        planar = depth * -view.rays()[hit][:, 2]
        assert (np.abs(distance - planar) > slack).mean() > 0.5


def test_i3_camera_normals_are_turned_world_normals(views: list) -> None:
    for view in views:
        for cam, world in (("normal_cam", "normal_world"), ("normal_bump_cam", "normal_bump_world")):
            assert np.nanmax(np.abs(view[world] @ view.turn - view[cam])) < 2e-3


def test_i4_normals_are_unit_and_face_the_camera(views: list) -> None:
    for view in views:
        hit = view["render_entity_id"] > 0
        for name in NORMALS:
            assert np.abs(np.linalg.norm(view[name][hit], axis=-1) - 1).max() < 2e-3
        facing = (view["normal_cam"] * view.rays()).sum(axis=-1)[hit]
        assert facing.max() < 2e-3
        bend = (view["normal_cam"] * view["normal_bump_cam"]).sum(axis=-1)[hit]
        assert np.median(bend) > 0.99 and (bend < 0.99999).mean() > 0.3


def test_i5_background_is_nan_and_id_minus_one(views: list) -> None:
    for view in views:
        ids = view["render_entity_id"]
        assert ((ids == -1) | (ids >= 1)).all()
        for name in (*NORMALS, "position"):
            assert (np.isnan(view[name]).all(axis=-1) == (ids == -1)).all()
            assert np.isfinite(view[name][ids > 0]).all()
        assert (np.isnan(view["depth_meters"]) == (ids == -1)).all()
        assert (view["semantic"][ids == -1] == -1).all() and (view["semantic_instance"][ids == -1] == -1).all()
    assert sum((view["render_entity_id"] == -1).sum() for view in views) > 1000


def test_i5_background_keeps_the_sky(views: list) -> None:
    for view in views:
        sky = view["render_entity_id"] == -1
        if sky.sum() > 100:
            assert (view["color"][sky].max(axis=-1) > 0.01).all()
    assert max(view["color"].max() for view in views) > 4.0, "high dynamic range is wanted"


def test_i6_ids_agree_with_the_tables(raw: Raw, views: list) -> None:
    for view in views:
        nodes = raw.rows(f"{view.scene}/_detail/metadata_nodes.csv")
        assert [int(row["node_id"]) for row in nodes] == list(range(1, len(nodes) + 1))
        names = [row["object_name"] for row in raw.rows(f"{view.scene}/_detail/mesh/metadata_objects.csv")]
        for row in nodes:
            known = int(row["object_id"]) != -1
            assert row["object_name"] == (names[int(row["object_id"])] if known else "_NULL_OBJECT")
        ids = view["render_entity_id"]
        objects = np.array([int(row["object_id"]) for row in nodes])[ids[ids > 0] - 1]
        for name, file in (("semantic", "mesh_objects_si"), ("semantic_instance", "mesh_objects_sii")):
            assert (view[name][ids > 0] == raw.detail(view.scene, f"mesh/{file}.hdf5")[objects, 0]).all()
        assert np.isin(view["semantic"], [-1, *range(1, 41)]).all()
        assert ((view["semantic_instance"] == -1) | (view["semantic_instance"] >= 1)).all()


def test_i7_positions_project_to_their_pixels_by_m_proj(raw: Raw, views: list) -> None:
    """Through M_proj, while the pixels were cast through M_cam_from_uv: the tilt-shift trap (#24, #79)."""
    for view in views:
        hit = view["render_entity_id"] > 0
        position = view["position"]
        local = (position - view.position) @ view.turn
        clip = local @ raw.matrix(view.scene, "M_proj", 4)[[0, 1, 3], :3].T
        height, width = hit.shape
        x, y = (clip[..., 0] / clip[..., 2] + 1) * width / 2, (1 - clip[..., 1] / clip[..., 2]) * height / 2
        i, j = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        assert (clip[..., 2][hit] > 0).all()
        rounding = np.linalg.norm(half_step(position), axis=-1) / np.linalg.norm(position - view.position, axis=-1)
        slack = 0.02 + 2.5 * width * rounding
        assert (np.hypot(x - i, y - j)[hit] <= slack[hit]).all()
        assert np.median(np.hypot(x - i, y - j)[hit]) < 0.5


def test_i8_orientations_are_rotations_without_roll(views: list) -> None:
    for view in views:
        assert np.allclose(view.turn.T @ view.turn, np.eye(3), atol=1e-12) and np.linalg.det(view.turn) > 0
        assert abs(view.turn[2, 0]) < 1e-12, "the camera's x axis is level"


def test_floor_lies_at_zero_with_the_true_camera_only(views: list) -> None:
    """A tilted camera read as a plain pinhole bends the floor: the demo has to be able to show that."""
    for view in views:
        floor = view["semantic"] == 2
        assert floor.sum() > 500
        rays = view.rays() @ view.turn.T
        slack = half_step(view["depth_meters"])[floor] * np.abs(rays[floor][:, 2]) + 1e-5
        assert (np.abs(view.points()[floor][:, 2]) <= slack).all()
    tilted = next(view for view in views if view.scene == "ai_900_004")
    naive = type(tilted)(**{**vars(tilted), "cam_from_uv": np.diag([0.57735027, 0.4330127, -1.0])})
    assert np.abs(naive.points()[tilted["semantic"] == 2][:, 2]).max() > 0.1


def test_previews_show_the_frame(views: list) -> None:
    for view in views[::7]:
        folder = view.root / view.scene / "images"
        tone = Image.open(folder / f"scene_{view.camera}_final_preview" / f"frame.{view.frame:04d}.tonemap.jpg")
        grey = (np.asarray(tone).astype(float) / 255) ** 2.2 @ [0.3, 0.59, 0.11]
        bright = np.percentile(grey[view["render_entity_id"] > 0], 90) ** (1 / 2.2)
        assert bright == pytest.approx(0.8, abs=0.03)
        picture = Image.open(
            folder / f"scene_{view.camera}_geometry_preview" / f"frame.{view.frame:04d}.normal_cam.png"
        )
        pixels = np.asarray(picture)
        assert picture.mode == "RGBA" and ((pixels[..., 3] == 255) == (view["render_entity_id"] > 0)).all()
        hit = pixels[..., 3] == 255
        assert np.abs(pixels[hit][:, :3] / 127.5 - 1 - view["normal_cam"][hit]).max() < 0.01
