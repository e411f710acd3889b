"""Colours of places on meshes whose colours are known: textures, vertices, and what has neither."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from tessera.pipelines.labels.texture import COARSEST, GREY, Paint, bilinear, coarseness

PICTURE = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)
SQUARE = np.array([[0, 1, 2], [0, 2, 3]], np.int32)  # of the corners below
CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 99, 199]], np.uint8)


def centres(height: int, width: int) -> np.ndarray:
    """(height, width, 2) texture coordinates of pixel centres: u to the right, v up."""
    row, column = np.mgrid[:height, :width]
    return np.stack([(column + 0.5) / width, 1 - (row + 0.5) / height], -1)


def places(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces and barycentric coordinates of random places on the square."""
    rng = np.random.default_rng(1)
    return rng.integers(0, 2, count).astype(np.int32), rng.dirichlet([1, 1, 1], count)


def square(texture: np.ndarray, **changed: object) -> Paint:
    return Paint(**({"faces": SQUARE, "uv": CORNERS, "face_uv": SQUARE, "texture": texture} | changed))


def on_square(face: np.ndarray, bary: np.ndarray) -> np.ndarray:
    return np.einsum("nk,nki->ni", bary, CORNERS[SQUARE[face]])


def test_at_a_pixel_s_centre_is_that_pixel() -> None:
    found = bilinear(PICTURE, centres(12, 20).reshape(-1, 2))
    np.testing.assert_allclose(found.reshape(PICTURE.shape), PICTURE, atol=1e-9)


def test_the_top_row_of_the_picture_is_at_v_1() -> None:
    found = bilinear(PICTURE, np.array([[0.5 / 20, 1.0], [0.5 / 20, 0.0]]))
    np.testing.assert_allclose(found, PICTURE[[0, -1], 0])


def test_between_pixels_it_is_what_scipy_interpolates() -> None:
    uv = np.random.default_rng(2).uniform(0, 1, (500, 2))
    at = np.stack([(1 - uv[:, 1]) * 12 - 0.5, uv[:, 0] * 20 - 0.5])
    wanted = [map_coordinates(PICTURE[..., c].astype(float), at, order=1, mode="nearest") for c in range(3)]
    np.testing.assert_allclose(bilinear(PICTURE, uv), np.stack(wanted, -1), atol=1e-9)


@pytest.mark.parametrize("shift", [(1, 0), (0, -1), (-3, 2), (7, 7)])
def test_outside_0_to_1_the_texture_repeats(shift: tuple[int, int]) -> None:
    uv = np.random.default_rng(2).uniform(0.01, 0.99, (200, 2))
    np.testing.assert_allclose(bilinear(PICTURE, uv + shift), bilinear(PICTURE, uv), atol=1e-6)


def test_a_texture_of_one_pixel_is_one_colour() -> None:
    np.testing.assert_array_equal(
        bilinear(PICTURE[:1, :1], np.random.default_rng(2).uniform(-2, 2, (50, 2))), np.tile(PICTURE[0, 0], (50, 1))
    )


def test_places_on_faces_are_looked_up_between_their_corners_coordinates() -> None:
    face, bary = places(300)
    np.testing.assert_allclose(square(PICTURE).at(face, bary), bilinear(PICTURE, on_square(face, bary)), atol=1e-5)


def test_vertex_colours_mix_by_barycentric_coordinates() -> None:
    face, bary = places(300)
    wanted = sum(bary[:, k, None] * COLOURS[SQUARE[face, k]].astype(float) for k in range(3))
    np.testing.assert_allclose(Paint(SQUARE, colours=COLOURS).at(face, bary), wanted, atol=1e-9)
    np.testing.assert_allclose(Paint(SQUARE, CORNERS, SQUARE, None, COLOURS).at(face, bary), wanted, atol=1e-9)


@pytest.mark.parametrize("colours", [None, COLOURS])
def test_a_face_without_coordinates_has_the_colours_of_its_vertices_or_grey(colours: np.ndarray | None) -> None:
    face_uv = SQUARE.copy()
    face_uv[1] = -1
    face, bary = places(300)
    found = square(PICTURE, face_uv=face_uv, colours=colours).at(face, bary)
    with_uv = face == 0
    np.testing.assert_allclose(found[with_uv], bilinear(PICTURE, on_square(face, bary)[with_uv]), atol=1e-5)
    plain = np.full((300, 3), 128.0) if colours is None else Paint(SQUARE, colours=colours).at(face, bary)
    np.testing.assert_allclose(found[~with_uv], plain[~with_uv])
    assert GREY == 128


def test_what_has_neither_is_grey() -> None:
    face, bary = places(10)
    assert (Paint(SQUARE).at(face, bary) == 128).all()
    assert (Paint(SQUARE, CORNERS, SQUARE).at(face, bary) == 128).all()


def test_no_place_at_all_gives_no_colour() -> None:
    assert square(PICTURE).at(np.zeros(0, np.int32), np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_coarser_level_is_the_mean_of_its_pixels(level: int) -> None:
    """To within the rounding of each halving, half a grey level."""
    fine = np.random.default_rng(2).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    side = 1 << level
    wanted = fine.reshape(32 // side, side, 48 // side, side, 3).mean((1, 3)).reshape(-1, 3)
    uv = centres(32 // side, 48 // side).reshape(-1, 2)
    face = np.where(uv[:, 0] > uv[:, 1], 0, 1).astype(np.int32)
    matrix = np.concatenate([CORNERS[SQUARE], np.ones((2, 3, 1))], 2).transpose(0, 2, 1)
    bary = np.linalg.solve(matrix[face], np.concatenate([uv, np.ones((len(uv), 1))], 1)[..., None])[..., 0]
    assert np.abs(square(fine).at(face, bary, level) - wanted).max() <= 0.5 * level + 1e-3


def test_no_level_is_coarser_than_one_pixel() -> None:
    face, bary = places(20)
    found = square(PICTURE[:4, :4]).at(face, bary, COARSEST)
    assert np.abs(found - PICTURE[:4, :4].mean((0, 1))).max() <= 1.0 + 1e-9


@pytest.mark.parametrize("size", [1.0, 0.5, 3.0])
def test_a_metre_of_a_stretched_square_has_as_many_pixels_as_its_sides_say(size: float) -> None:
    """In the mean of both directions: 256 x 64 pixels on size x size metres, of which a mirrored half counts alike."""
    vertices = np.concatenate([CORNERS, np.zeros((4, 1))], 1).astype(np.float64) * size
    texture = np.zeros((64, 256, 3), np.uint8)
    assert square(texture).texels_per_metre(vertices) == pytest.approx(128 / size)
    assert square(texture, faces=SQUARE[:, ::-1]).texels_per_metre(vertices) == pytest.approx(128 / size)
    assert square(texture, face_uv=np.array([[0, 1, 2], [-1] * 3], np.int32)).texels_per_metre(vertices) == (
        pytest.approx(128 / size)
    )


def test_what_has_no_texture_has_no_pixels() -> None:
    vertices = np.concatenate([CORNERS, np.zeros((4, 1))], 1).astype(np.float64)
    assert Paint(SQUARE, colours=COLOURS).texels_per_metre(vertices) == 0
    assert square(PICTURE, face_uv=np.full_like(SQUARE, -1)).texels_per_metre(vertices) == 0
    assert square(PICTURE).texels_per_metre(np.zeros((4, 3))) == 0


@pytest.mark.parametrize(("texels", "level"), [(0, 0), (0.5, 0), (1, 0), (1.97, 0), (2.02, 1), (4.3, 2), (8.5, 3),
                                               (17, 4), (256, COARSEST)])  # fmt: skip
def test_the_level_follows_how_many_pixels_lie_between_samples(texels: float, level: int) -> None:
    """Of samples 4.3 pixels apart, every fourth would be seen: two halvings leave less than two between them."""
    assert coarseness(texels) == level
