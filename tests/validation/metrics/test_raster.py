"""Pictures of meshes against shapes that are known, and against Open3D's rays."""

import time

import numpy as np
import pytest
from scipy.spatial import Delaunay
from tessera.pipelines.native import import_open3d
from tessera.validation.metrics.normal_map import normal_map, published_pictures, vertex_normals
from tessera.validation.metrics.raster import look

from .shapes import grid, sphere

FLIP = np.array([1.0, -1.0, 1.0])  # from a world with y up to the cube


def centres(size):
    line = (2 * np.arange(size) + 1) / size - 1
    y, x = np.meshgrid(line, line, indexing="ij")
    return x, y


def open3d_faces(vertices, faces, size, back):
    """What Open3D's rays along z meet first: (S, S) faces, -1 for none, and z."""
    o3d = import_open3d()
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(o3d.core.Tensor(vertices.astype(np.float32)), o3d.core.Tensor(faces.astype(np.uint32)))
    x, y = centres(size)
    start, along = (-5.0, 1.0) if back else (5.0, -1.0)
    rays = np.stack([x, y, np.full_like(x, start), 0 * x, 0 * x, np.full_like(x, along)], -1).astype(np.float32)
    found = scene.cast_rays(o3d.core.Tensor(rays), nthreads=1)
    away, face = found["t_hit"].numpy(), found["primitive_ids"].numpy().astype(np.int64)
    return np.where(np.isfinite(away), face, -1), start + along * away


def soup(seed, count=400):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-1.1, 1.1, (count, 1, 3))
    vertices = (centre + rng.normal(size=(count, 3, 3)) * rng.choice([0.02, 0.3], (count, 1, 1))).reshape(-1, 3)
    return vertices, np.arange(3 * count).reshape(-1, 3)


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_random_triangles_are_seen_as_by_rays(seed, back):
    vertices, faces = soup(seed)
    found = look(vertices, faces, 128, back)
    known, depth = open3d_faces(vertices, faces, 128, back)
    assert (found.mask != (known >= 0)).mean() < 2e-4  # rays are float32
    both = found.mask & (known >= 0)
    assert (found.face != known)[both].mean() < 1e-3
    off = np.abs(found.depth - depth)[both & (found.face == known)]
    assert np.quantile(off, 0.999) < 1e-4


@pytest.mark.parametrize("back", [False, True])
def test_a_sphere_is_a_disc_with_its_depth(back):
    found = look(*sphere(0.8, subdivisions=6), 256, back)
    x, y = centres(256)
    square = 0.64 - x**2 - y**2
    assert found.mask[square > 2e-3].all() and not found.mask[square < 0].any()
    known = np.sqrt(square.clip(0)) * (-1 if back else 1)
    inner = square > 0.02
    assert np.abs(found.depth - known)[inner].max() < 1e-3
    assert np.isnan(found.depth[~found.mask]).all() and not found.bary[~found.mask].any()


def test_places_in_faces_lie_at_the_pixels_centres():
    vertices, faces = soup(5)
    found = look(vertices, faces, 96)
    places = np.einsum("nk,nki->ni", found.bary[found.mask], vertices[faces[found.face[found.mask]]])
    x, y = centres(96)
    known = np.stack([x[found.mask], y[found.mask], found.depth[found.mask]], 1)
    np.testing.assert_allclose(places, known, atol=2e-5)
    assert found.bary[found.mask].min() >= 0
    assert found.face.dtype == np.int32 and found.bary.dtype == found.depth.dtype == np.float32


@pytest.mark.parametrize("seed", range(4))
def test_edges_through_pixel_centres_leave_no_crack(seed):
    """Corners on centres, edges through them, and corners anywhere."""
    size, rng = 64, np.random.default_rng(seed)
    line = (2 * rng.integers(0, size, (300, 2)) + 1) / size - 1
    some = np.concatenate([line, rng.uniform(-1, 1, (300, 2)), [[-1, -1], [1, -1], [-1, 1], [1, 1]]])
    places = np.unique(some, axis=0)
    faces = Delaunay(places, qhull_options="QJ Pp" if seed % 2 else "Qbb Qc Qz").simplices
    vertices = np.column_stack([places, rng.uniform(-0.5, 0.5, len(places))])
    assert look(vertices, faces, size).mask.all()
    turned = rng.permuted(faces, axis=1)  # whichever way faces run
    assert look(vertices, turned, size).mask.all()


def test_seams_whose_vertices_are_doubled_leave_no_crack():
    vertices, faces = grid(21)
    assert look(vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3), 63).mask.all()


def test_rows_run_down_and_columns_right():
    vertices = np.array([[0.5, -1, 0], [1, -1, 0], [1, -0.5, 0.0]])  # right, at the top
    found = look(vertices, [[0, 1, 2]], 8)
    assert found.mask[0, 7] and found.mask[:2, 6:].sum() == found.mask.sum() > 1


def test_the_nearest_has_the_largest_z_and_the_back_the_smallest():
    low, high = grid(1, height=-0.5), grid(1, height=0.5)
    vertices, faces = np.concatenate([low[0], high[0]]), np.concatenate([low[1], high[1] + 4])
    assert (look(vertices, faces, 4).depth == 0.5).all() and (look(vertices, faces, 4, back=True).depth == -0.5).all()
    assert look(vertices, faces, 4).face.min() == 2 and look(vertices, faces, 4, back=True).face.max() == 1


def test_what_is_outside_the_picture_costs_and_shows_nothing():
    vertices, faces = sphere()
    for shift in ([3, 0, 0], [0, -1e12, 0], [-2.01, 0, 0]):
        assert not look(vertices + shift, faces, 16).mask.any()
    assert look(vertices * 1e6, faces, 16).mask.all()
    assert not look(vertices, np.empty((0, 3), int), 16).mask.any()


def test_faces_seen_from_their_edge_are_not_seen():
    assert not look([[0, -1, 0], [0, 1, 0], [0, 0, 1.0]], [[0, 1, 2]], 9).mask.any()


def test_bad_meshes_are_refused():
    vertices, faces = sphere(subdivisions=1)
    with pytest.raises(ValueError, match="finite"):
        look(vertices * np.nan, faces, 8)
    with pytest.raises(ValueError, match="name vertices"):
        look(vertices[:5], faces, 8)
    with pytest.raises(ValueError, match=r"\(V, 3\)"):
        look(vertices[:, :2], faces, 8)
    with pytest.raises(ValueError, match="at least 1"):
        look(vertices, faces, 0)


def test_300_000_faces_take_less_than_half_a_second():
    vertices, faces = sphere(0.9, subdivisions=7)  # 327,680
    look(vertices, faces[:10], 8)
    took = []
    for _ in range(3):
        start = time.process_time()  # other processes share the cores
        raster = look(vertices, faces, 512)
        took.append(time.process_time() - start)
        normal_map(raster, vertices, faces)
    assert min(took) < 0.5


@pytest.mark.parametrize("back", [False, True])
def test_normals_of_a_sphere_are_its_radii_in_the_cubes_axes(back):
    vertices, faces = sphere(0.8, subdivisions=5)
    vertices = vertices * FLIP  # as calib does: faces then run the other way
    raster = look(vertices, faces, 128, back)
    found = normal_map(raster, vertices, faces)
    x, y = centres(128)
    known = np.stack([x, y, np.nan_to_num(raster.depth)], -1) / 0.8
    assert np.abs(found - known)[raster.mask].max() < 5e-3
    assert not found[~raster.mask].any()
    np.testing.assert_allclose(np.linalg.norm(found[raster.mask], axis=1), 1, atol=1e-6)
    assert (found[raster.mask][:, 2] * (-1 if back else 1) > -0.05).all()


def test_a_mesh_made_in_the_cube_has_the_same_normals():
    vertices, faces = sphere(0.8)
    world = normal_map(look(vertices * FLIP, faces, 64), vertices * FLIP, faces)
    cube = normal_map(look(vertices, faces, 64), vertices, faces, mirrored=False)
    np.testing.assert_allclose(cube, world[::-1] * FLIP, atol=1e-5)


def test_vertex_normals_are_weighted_by_area():
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    found = vertex_normals(vertices, [[0, 1, 2], [0, 2, 3]])
    np.testing.assert_allclose(found[0], np.array([1, 0, 3]) / np.sqrt(10))
    np.testing.assert_allclose(found[1], [0, 0, 1])


def test_normals_that_cancel_out_and_vertices_without_faces_are_zero():
    found = vertex_normals(np.eye(4, 3), [[0, 1, 2], [0, 2, 1]])
    assert not found.any()


def test_published_pictures_turn_the_mesh_and_leave_the_background():
    """A card that looks towards the camera: seen from the front and the back, not from its edge."""
    vertices, faces = grid(1, 0.5)
    vertices = vertices * [1, 0.5, 1] + [0, 0, 0.25]
    pictures = published_pictures(vertices, faces, 32, mirrored=False, background=0.25)
    assert pictures.shape == (4, 32, 32, 3) and pictures.dtype == np.float32
    seen = (pictures != 0.25).any(-1)
    assert seen.sum((1, 2)).tolist() == [16 * 8, 0, 16 * 8, 0]
    np.testing.assert_allclose(pictures[0][seen[0]], [[0.5, 0.5, 1]] * 128, atol=1e-6)
    np.testing.assert_allclose(pictures[2][seen[2]], [[0.5, 0.5, 0]] * 128, atol=1e-6)


def test_published_pictures_of_a_sphere_are_alike_from_all_sides_with_y_up():
    pictures = published_pictures(*sphere(0.7, subdivisions=5), 64, mirrored=False)
    for view in pictures[1:]:
        assert np.abs(view - pictures[0]).mean() < 2e-3
    top, bottom = pictures[0][15, 32], pictures[0][48, 32]
    assert top[1] > 0.8 > 0.2 > bottom[1] > 0
