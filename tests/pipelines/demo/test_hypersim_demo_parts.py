"""The generator's parts against analytic answers: surfaces, light, textures, file encoding."""

import zlib
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tessera.pipelines.demo.hypersim import encode, lights, materials, surfaces
from tessera.pipelines.demo.hypersim.assembly import TABLE, WALL, Item, Mesh, Part, assemble
from tessera.pipelines.demo.hypersim.bake import BRIGHTEST, bounced, direct
from tessera.pipelines.demo.hypersim.charts import Texels, texels, unfold
from tessera.pipelines.demo.hypersim.scenes import SCENES
from tessera.pipelines.demo.hypersim.stage import Tracer

GREY = materials.Material("grey", (0.5, 0.5, 0.5))
sides = st.floats(0.05, 2.0)


def mesh_of(patches: list[surfaces.Patch]) -> Mesh:
    return assemble([Item("thing", WALL, [Part("all", GREY, patches)])])


def solid_of(patches: list[surfaces.Patch]) -> trimesh.Trimesh:
    mesh = mesh_of(patches)
    return trimesh.Trimesh(np.round(mesh.vertices, 9), mesh.faces, process=True)


@given(sides, sides, sides, st.floats(0.0, 0.4))
@settings(max_examples=25, deadline=None)
def test_rounded_block_is_closed_and_has_the_analytic_volume(x: float, y: float, z: float, share: float) -> None:
    """A box shrunk by r and swelled by a ball of radius r (Steiner's formula)."""
    radius = share * min(x, y, z)
    solid = solid_of(surfaces.block((0.1, -0.2, 0.3), (0.1 + x, -0.2 + y, 0.3 + z), radius, 8))
    a, b, c = (side - 2 * radius for side in (x, y, z))
    volume = (
        a * b * c + 2 * radius * (a * b + b * c + c * a) + np.pi * radius**2 * (a + b + c) + 4 / 3 * np.pi * radius**3
    )
    assert solid.is_watertight and solid.volume == pytest.approx(volume, rel=0.02)


def test_round_solids_are_closed_and_face_outwards() -> None:
    ball = solid_of([surfaces.sphere(0.5, (1.0, 2.0, 3.0), 64)])
    assert ball.is_watertight and ball.volume == pytest.approx(np.pi / 6, rel=0.01)
    cone = solid_of(surfaces.cylinder(0.3, 0.1, 0.0, 0.6, (0.2, 0.0, 0.1), 64))
    assert cone.is_watertight and cone.volume == pytest.approx(np.pi * 0.6 / 3 * (0.09 + 0.03 + 0.01), rel=0.01)


def test_items_turn_and_move_rigidly() -> None:
    item = Item("thing", TABLE, [Part("all", GREY, surfaces.block((0, 0, 0), (1, 2, 3)))])
    mesh = assemble([item.placed(1.0, 0.0, 0.5, np.pi / 2).placed(0.0, 5.0, 0.0, np.pi / 2)])
    assert np.allclose(mesh.vertices.min(axis=0), [-1.0, 4.0, 0.5]) and np.allclose(
        mesh.vertices.max(axis=0), [0.0, 6.0, 3.5]
    )


def test_texels_lie_on_the_mesh() -> None:
    """Every light sample is a point of the surface whose chart it stands in, and charts do not overlap."""
    mesh = mesh_of([*surfaces.block((0, 0, 0), (1, 0.4, 0.7), 0.1, 3), surfaces.sphere(0.3, (2, 0, 0))])
    atlas = unfold(mesh, 0.03)
    spots = texels(mesh, atlas)
    assert len(np.unique(spots.index)) == len(spots.index)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    _, distance, _ = trimesh.proximity.closest_point_naive(solid, spots.positions[::37])
    assert distance.max() < 1e-3
    on_ball = spots.patch == 6
    assert np.allclose((spots.positions[on_ball] - [2, 0, 0]) / 0.3, spots.normals[on_ball], atol=0.02)


def receivers(points: np.ndarray) -> Texels:
    points = np.asarray(points, np.float32)
    up = np.broadcast_to(np.float32([0, 0, 1]), points.shape)
    return Texels(np.arange(len(points)), np.zeros(len(points), int), np.zeros((len(points), 2)), points, up)


def test_bulb_falls_off_with_the_square_and_the_cosine_and_casts_a_shadow() -> None:
    floor = surfaces.rectangle((-5, -5, 0), (10, 0, 0), (0, 10, 0))
    board = surfaces.block((-2.0, -0.5, 0.5), (-1.0, 0.5, 0.52))
    tracer = Tracer(mesh_of([floor, *board]))
    bulb = lights.Bulb((0.0, 0.0, 1.0), 0.01, (3.0, 2.0, 1.0), 64)
    x = np.array([0.0, 0.5, 1.0, 2.0, -3.0])
    light = direct(tracer, [bulb], receivers(np.stack([x, 0 * x, 0 * x], axis=1)), 1.0, [0])
    expected = 1.0 / (1.0 + x**2) ** 1.5
    expected[-1] = 0.0
    assert np.allclose(light, expected[:, None] * [3.0, 2.0, 1.0], rtol=0.03, atol=1e-6)


def test_window_brings_the_light_of_its_solid_angle() -> None:
    """A small window seen from straight below its axis: radiance x area x both cosines / (pi r^2)."""
    even = lights.Sky(*[(2.0, 2.0, 2.0)] * 5)
    window = lights.Window((0.0, 3.0, 1.5), (0.1, 0, 0), (0, 0, 0.2), (0.0, -1.0, 0.0), even, 64)
    tracer = Tracer(mesh_of([surfaces.rectangle((-5, -5, 0), (10, 0, 0), (0, 10, 0))]))
    light = direct(tracer, [window], receivers(np.array([[0.0, 0.0, 0.0]])), 1.0, [0])
    square = 9.0 + 2.25
    assert light[0, 0] == pytest.approx(
        2.0 * 0.08 * (1.5 / square**0.5) * (3.0 / square**0.5) / (np.pi * square), rel=0.02
    )


def test_bounced_light_in_a_closed_grey_box_is_the_geometric_series() -> None:
    """Furnace: light 1 on walls of albedo a gives a + a^2 + a^3 after three bounces, everywhere."""
    inside = [surfaces.Patch(p.points, -p.normals, p.rows, p.cols) for p in surfaces.block((0, 0, 0), (2, 3, 2.5))]
    mesh = mesh_of(inside)
    atlas = unfold(mesh, 0.25)
    spots = texels(mesh, atlas)
    soft = bounced(Tracer(mesh), mesh, atlas, spots, np.ones((len(spots.index), 3), np.float32), 32, [0])
    assert np.allclose(soft, 0.875, atol=0.02) and BRIGHTEST > 1.0


@given(st.integers(-(2**31), 2**31), st.integers(-(2**31), 2**31))
def test_pseudo_random_numbers_stay_in_range(first: int, second: int) -> None:
    value = materials.pseudo_random(np.array([first]), np.array([second]))[0]
    assert 0.0 <= value < 1.0


def test_textures_fade_to_their_mean_and_stay_physical() -> None:
    """Seen from afar a fine weave is even: no aliasing; no albedo leaves [0, 0.95]."""
    used = {p.material for scene in SCENES for i in scene.build(np.random.default_rng(0)).items for p in i.parts}
    st_grid = np.random.default_rng(1).uniform(-4, 4, (4000, 2)).astype(np.float32)
    for material in used:
        for width in (1e-3, 0.05):
            albedo = materials.reflectance(material, st_grid, np.full(4000, width, np.float32))
            assert albedo.dtype == np.float32 and albedo.min() >= 0.0 and albedo.max() <= 0.95, material.name
    cloth = next(m for m in used if m.name == "teal_linen")
    near, far = (materials.reflectance(cloth, st_grid, np.full(4000, w, np.float32)).std(axis=0) for w in (1e-3, 0.05))
    assert near.min() > 0.005 and far.max() < 1e-4


def test_seed_changes_a_room_and_its_repetition_does_not() -> None:
    one, same, other = (assemble(SCENES[0].build(np.random.default_rng([k, 0])).items).vertices for k in (0, 0, 1))
    assert np.array_equal(one, same) and not np.array_equal(one[: len(other)], other[: len(one)])


@pytest.mark.parametrize("shape", [(768, 1024, 3), (768, 1024)])
def test_full_size_chunks_are_those_that_h5py_chooses(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    encode.write_image(tmp_path / "ours.hdf5", values)
    with h5py.File(tmp_path / "ours.hdf5") as ours, h5py.File(tmp_path / "theirs.hdf5", "w") as theirs:
        model = theirs.create_dataset("dataset", data=values, compression="gzip", compression_opts=9)
        assert ours["dataset"].chunks == model.chunks == (96, 128, 1)[: len(shape)]
        assert np.array_equal(ours["dataset"][:], values)
        _, first = ours["dataset"].id.read_direct_chunk((96, 128, 0)[: len(shape)])
        block = values[96:192, 128:256] if len(shape) == 2 else values[96:192, 128:256, 0]
        assert zlib.decompress(first) == np.ascontiguousarray(block).tobytes()


def test_png_decodes_to_the_picture(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (37, 53, 4), np.uint8)
    encode.write_picture(tmp_path / "a.png", picture)
    assert np.array_equal(np.asarray(Image.open(BytesIO((tmp_path / "a.png").read_bytes()))), picture)
    with pytest.raises(ValueError, match="written as"):
        encode.write_picture(tmp_path / "a.jpg", picture)
