import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.datasets.camera import pixel_rays
from tessera.pipelines.labels.normals import clean_normals

OPENGL = np.array([1.0, -1.0, -1.0])  # OpenCV camera axes <-> OpenGL camera axes
WIDE = pixel_rays(np.array([[30.0, 0, 32], [0, 30, 24], [0, 0, 1]]), 48, 64)  # 94 degrees across


def box_room(rays):
    """Inward normals of an axis-aligned box 4 x 3 x 10 m around the camera, by which face each ray meets first."""
    reach = np.array([2.0, 1.5, 5.0]) / np.abs(rays)
    face = np.argmin(reach, axis=-1)
    normal = np.zeros_like(rays)
    np.put_along_axis(normal, face[..., None], -np.sign(np.take_along_axis(rays, face[..., None], -1)), -1)
    return normal


def rotation(seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


def test_geowizard_47_correct_normals_are_not_flipped_after_an_axis_change():
    room = box_room(WIDE)
    opencv = clean_normals(room, WIDE)
    opengl = clean_normals(room * OPENGL, WIDE * OPENGL)
    assert not opencv.flipped.any() and not opengl.flipped.any()
    np.testing.assert_array_equal(opencv.normal, room)
    np.testing.assert_array_equal(opengl.normal * OPENGL, opencv.normal)


@given(st.integers(0, 2**32))
def test_result_does_not_depend_on_the_common_frame(seed):
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(*WIDE.shape[:2], 3))
    clear = np.abs((normal * WIDE).sum(-1)) > 1e-3
    turn = rotation(seed)
    here, there = clean_normals(normal, WIDE), clean_normals(normal @ turn, WIDE @ turn)
    np.testing.assert_array_equal(here.flipped[clear], there.flipped[clear])
    np.testing.assert_allclose((here.normal @ turn)[clear], there.normal[clear], atol=1e-5)


def test_off_axis_wall_is_not_flipped_by_the_sign_of_n_z():
    """A wall at the left border, turned slightly away from the image plane, faces the camera with n_z > 0."""
    ray = WIDE[24, 0]
    normal = np.array([0.95, 0.0, 0.3])
    assert normal @ ray < 0
    picture = np.broadcast_to(normal, WIDE.shape).astype(np.float16)
    cleaned = clean_normals(picture, WIDE)
    assert not cleaned.flipped[24, 0]
    assert cleaned.normal[24, 0, 2] > 0
    assert cleaned.flipped[24, 63], "the same direction seen from the right border is its back"


def test_back_facing_normals_are_turned_and_flagged():
    room = box_room(WIDE)
    back = np.random.default_rng(1).random(room.shape[:2]) < 0.3
    cleaned = clean_normals(np.where(back[..., None], 0.0 - room, room), WIDE)
    np.testing.assert_array_equal(cleaned.flipped, back)
    np.testing.assert_array_equal(cleaned.normal, room)
    assert not np.signbit(cleaned.normal[room == 0]).any()


@pytest.mark.parametrize(
    "bad", [(0, 0, 0), (np.nan, 0, -1), (0, np.inf, -1), (0.0, 0.3, -0.39), (0, 0, 0.4), (0, 0, np.inf)]
)
def test_issues_26_and_104_zero_nan_and_short_normals_are_invalid_and_exactly_zero(bad):
    raw = np.full((3, 3, 3), (0, 0, -1), np.float16)
    raw[1, 1] = bad
    cleaned = clean_normals(raw, np.broadcast_to((0.0, 0.0, 1.0), (3, 3, 3)))
    assert not cleaned.valid[1, 1] and not cleaned.flipped[1, 1]
    assert (cleaned.normal[1, 1] == 0).all()
    assert cleaned.valid.sum() == 8


@pytest.mark.parametrize("length", [0.5, 0.9, 1.0, 3.0, 60000.0])
def test_issues_26_and_104_other_lengths_are_renormalised(length):
    raw = (box_room(WIDE) * length).astype(np.float16)
    cleaned = clean_normals(raw, WIDE)
    assert cleaned.valid.all() and cleaned.normal.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(cleaned.normal, axis=-1), 1, atol=1e-6)


def test_input_is_not_changed():
    raw = -box_room(WIDE).astype(np.float32)
    before = raw.copy()
    clean_normals(raw, WIDE)
    np.testing.assert_array_equal(raw, before)


def test_real_normals_face_the_camera_where_the_sign_of_n_z_says_otherwise(real_normals):
    normal, rays = real_normals
    assert (normal[..., 2] < 0).mean() > 0.05, "the simple rule (OpenGL: n_z > 0) would turn 5 % of a correct frame"
    cleaned = clean_normals(normal, rays)
    assert cleaned.flipped.mean() < 0.001 and cleaned.valid.all()
