"""Invariants I1 to I9 of Hypersim's facts through the whole pipeline, at two sizes, on every kind of camera."""

from pathlib import Path

import numpy as np
import pytest
from tessera.datasets import Dataset, Record
from tessera.datasets.camera import project, transform, unproject
from tessera.datasets.flags import PixelFlag, has_flag
from tessera.pipelines.labels.resample import nearest

from .conftest import one_surface, raw_array

SCENES = ("ai_900_001", "ai_900_002", "ai_900_003", "ai_900_004")  # standard, tilt-shift, skewed, strong tilt
UNITS = dict(zip(SCENES, (0.01, 0.0254, 0.001, 1.0), strict=True))


@pytest.fixture(params=SCENES)
def records(request: pytest.FixtureRequest, dataset: Dataset) -> list[Record]:
    found = [record for record in dataset.table("frames") if record.unit == request.param]
    assert len(found) == 6
    return found


def world_points(record: Record) -> np.ndarray:
    return transform(unproject(record["distance"], record["intrinsics"]), record["world_from_camera"])


def test_i1_hdr_is_albedo_times_illumination_plus_residual(records: list[Record]) -> None:
    for record in records:
        composed = record["albedo"].astype(float) * record["illumination"] + record["residual"]
        np.testing.assert_allclose(record["hdr"].astype(float), composed, rtol=5e-3, atol=1e-4)


def test_i2_points_lie_where_the_raw_positions_are(records: list[Record], demo: Path) -> None:
    for record in records:
        size = record["distance"].shape
        raw = raw_array(demo, record, "position").astype(np.float64) * UNITS[record.unit]
        position = nearest(raw, size)
        valid = np.isfinite(record["distance"]) & np.isfinite(position).all(axis=-1)
        gap = np.linalg.norm(world_points(record)[valid] - position[valid], axis=-1)
        coarse = 192 / size[0]  # raw pixels a pixel: the raw sample may be half of that away, along the surface
        pixel = coarse * record["distance"][valid].astype(float) / record["intrinsics"][0, 0] / coarse
        step = np.abs(position[valid]).max() * 2**-10 + record["distance"][valid].astype(float) * 2**-10
        limit = step + (0 if coarse == 1 else 4 * pixel)
        assert (gap < limit).mean() > (0.9999 if coarse == 1 else 0.97)


def test_i3_normals_are_the_raw_world_normals_in_the_stored_camera(records: list[Record], demo: Path) -> None:
    for record in records:
        raw = nearest(raw_array(demo, record, "normal_world").astype(np.float32), record["normal"].shape[:2])
        ours = record["normal"] @ record["world_from_camera"][:3, :3].T.astype(np.float32)
        valid = has_flag(record["flags"], PixelFlag.NORMAL_VALID)
        assert valid.mean() > 0.5
        cosine = (ours * raw).sum(axis=-1)[valid] / np.linalg.norm(raw, axis=-1)[valid]
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.1


def test_i4_normals_are_unit_or_zero(records: list[Record]) -> None:
    for record in records:
        length = np.linalg.norm(record["normal"], axis=-1)
        valid = has_flag(record["flags"], PixelFlag.NORMAL_VALID)
        np.testing.assert_allclose(length[valid], 1, atol=1e-5)
        assert (length[~valid] == 0).all()


def test_i5_invalid_exactly_where_there_is_no_entity(records: list[Record], demo: Path) -> None:
    for record in records:
        ids = nearest(raw_array(demo, record, "render_entity_id"), record["distance"].shape)
        assert (ids != 0).all()
        np.testing.assert_array_equal(np.isnan(record["distance"]), ids == -1)
        np.testing.assert_array_equal(has_flag(record["flags"], PixelFlag.VALID), ids != -1)


def test_i6_semantic_classes(records: list[Record], demo: Path) -> None:
    for record in records:
        classes = set(np.unique(record["semantic"]).tolist())
        assert classes <= {-1, *range(1, 41)} and len(classes) > 3
        np.testing.assert_array_equal(
            record["semantic"], nearest(raw_array(demo, record, "semantic"), record["semantic"].shape)
        )
        instances = nearest(raw_array(demo, record, "semantic_instance"), record["instance"].shape)
        np.testing.assert_array_equal(record["instance"], instances)


def test_i7_raw_positions_project_to_their_pixels(records: list[Record], demo: Path) -> None:
    """Through the stored camera alone: exact K' and R', resized with the picture."""
    for record in records:
        position = raw_array(demo, record, "position").astype(np.float64) * UNITS[record.unit]
        camera_points = transform(position, np.linalg.inv(record["world_from_camera"]))
        pixels, depth = project(camera_points, record["intrinsics"])
        height, width = record["distance"].shape
        rows, columns = np.mgrid[: position.shape[0], : position.shape[1]]
        wanted = np.stack([(columns + 0.5) * width / position.shape[1], (rows + 0.5) * height / position.shape[0]], -1)
        valid = np.isfinite(position).all(axis=-1)
        assert (depth[valid] > 0).all()
        error = np.abs(pixels - wanted)[valid].max(axis=-1)
        near = np.linalg.norm(camera_points, axis=-1)[valid] > 0.8  # fp16 steps of positions are large close by
        assert error[near].max() < 0.5


def test_i8_pose_is_a_rotation(records: list[Record]) -> None:
    for record in records:
        rotation = record["world_from_camera"][:3, :3]
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-6)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert rotation[2, 1] < 0  # image down is world down: cameras are upright


def test_i9_the_floor_stays_at_zero(records: list[Record], demo: Path) -> None:
    seen = 0
    for record in records:
        floor = (record["semantic"] == 2) & one_surface(demo, record)
        # A distance rounded to float16 is off by up to 2^-11 of itself; the raw one was rounded, too.
        limit = record["distance"][floor].astype(float) * 2**-10 + 1e-4
        assert (np.abs(world_points(record)[floor][:, 2]) < limit).all(), record.key
        seen += floor.sum()
    assert seen > 500
