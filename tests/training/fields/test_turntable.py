import numpy as np
import pytest
import trimesh
from PIL import Image
from tessera.training.fields.colours import sigma_colours
from tessera.training.fields.mesh import Mesh
from tessera.training.fields.turntable import contact_strip, turntable, write_gif, write_png


def as_mesh(solid):
    return Mesh(np.asarray(solid.vertices), np.asarray(solid.faces, np.int32))


def box(extents, centre):
    return trimesh.creation.box(extents, trimesh.transformations.translation_matrix(centre))


def test_a_sphere_shows_the_normals_of_a_sphere_with_y_up_on_white():
    (picture,) = turntable(as_mesh(trimesh.creation.icosphere(5, 0.8)), 64, 1)
    place = (2 * np.arange(64) + 1) / 64 - 1
    x, y = np.meshgrid(place, place)
    radius = np.hypot(x, y)
    normal = np.stack([x, -y, np.sqrt(np.clip(0.64 - radius**2, 0, None))], -1) / 0.8
    inner = radius < 0.75
    np.testing.assert_allclose(picture[inner], (127.5 * (normal + 1))[inner], atol=4)
    assert (picture[radius > 0.82] == 255).all()
    assert picture.dtype == np.uint8


def test_the_mesh_turns_about_y_a_full_circle_and_what_faced_the_camera_goes_right():
    nose = as_mesh(box((0.2, 0.2, 0.2), (0, -0.5, 0.6)))  # in front of the axis, in the upper half
    pictures = turntable(nose, 32, 4)
    centres = [np.argwhere((picture != 255).any(-1)).mean(0) for picture in pictures]
    np.testing.assert_allclose(centres, [[7.5, 15.5], [7.5, 25.1], [7.5, 15.5], [7.5, 5.9]], atol=0.6)


def test_a_face_towards_the_camera_is_the_colour_of_z_in_every_view():
    pictures = turntable(as_mesh(box((0.6, 0.6, 0.6), (0, 0, 0))), 33, 4)
    assert pictures.shape == (4, 33, 33, 3)
    middle = pictures[:, 16, 16].astype(int)
    assert (middle[:, 2] > 240).all() and (abs(middle[:, :2] - 127.5) < 40).all()


def test_a_mirrored_mesh_shows_the_same_pictures_when_it_is_said_to_be():
    mesh = as_mesh(trimesh.creation.icosphere(3, 0.8))
    inwards = Mesh(mesh.vertices, mesh.faces[:, ::-1])
    np.testing.assert_array_equal(turntable(mesh, 32, 2), turntable(inwards, 32, 2, mirrored=True))
    assert (turntable(inwards, 32, 2) != turntable(mesh, 32, 2)).any()


def test_given_colours_are_shown_in_a_light_at_the_camera():
    """Of a sphere: where it faces the camera the colours themselves, darker towards its outline."""
    mesh = as_mesh(trimesh.creation.icosphere(5, 0.8))
    red, blue = (200, 40, 0), (0, 40, 200)
    colours = np.where(mesh.vertices[:, :1] < 0, red, blue).astype(np.uint8)
    front, back = turntable(mesh, 65, 2, colours=colours)
    np.testing.assert_allclose(front[32, 24], np.array(red) * 0.97, atol=6)
    np.testing.assert_allclose(front[32, 40], np.array(blue) * 0.97, atol=6)
    np.testing.assert_array_equal((back[32, 24] > 100), (front[32, 40] > 100))  # turned by half
    assert 0.35 < front[32, 8, 0] / 200 < 0.75 and (front[0, 0] == 255).all()


def test_sigmas_are_coloured_from_dark_blue_to_yellow_in_equal_steps_of_their_logarithm():
    low, middle, high = sigma_colours([0.001, np.sqrt(0.05 * 0.5), 3.0]).tolist()
    assert low == [68, 1, 84] and middle == [33, 145, 140] and high == [253, 231, 37]
    green = sigma_colours(np.geomspace(0.05, 0.5, 200))[:, 1]
    assert green.dtype == np.uint8 and (np.diff(green.astype(int)) >= 0).all()


def test_no_view_is_refused():
    with pytest.raises(ValueError, match="0 views"):
        turntable(as_mesh(trimesh.creation.icosphere(1)), 32, 0)


def test_a_strip_holds_the_pictures_from_left_to_right_and_png_keeps_them(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    strip = contact_strip(pictures)
    write_png(tmp_path / "a.png", strip)
    with Image.open(tmp_path / "a.png") as read:
        np.testing.assert_array_equal(np.asarray(read).reshape(8, 3, 8, 3), pictures.transpose(1, 0, 2, 3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_gif_holds_every_picture_in_order_and_turns_for_ever(tmp_path):
    pictures = np.repeat(np.array([10, 100, 180, 250], np.uint8), 8 * 8 * 3).reshape(4, 8, 8, 3)
    write_gif(tmp_path / "a.gif", pictures, seconds=0.2)
    with Image.open(tmp_path / "a.gif") as read:
        assert (read.n_frames, read.info["loop"], read.info["duration"]) == (4, 0, 200)
        for number, picture in enumerate(pictures):
            read.seek(number)
            np.testing.assert_allclose(np.asarray(read.convert("RGB")), picture, atol=3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]
