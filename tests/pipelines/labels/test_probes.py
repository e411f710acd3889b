"""Light probes against rays cut with boxes by hand; the voxels are stand-ins that know their states in closed form."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from tessera.datasets.camera import pixel_rays, project
from tessera.datasets.envmap import solid_angles, texel_directions, texel_of, texel_rays
from tessera.datasets.voxels import VoxelState
from tessera.pipelines.keyed import keyed_rng
from tessera.pipelines.labels.probes import ProbeLight, ProbeScene, from_others, place_probes
from tessera.pipelines.labels.scene_view import SceneView
from tessera.pipelines.labels.surfels import SurfelBuilder, Surfels, surfel_keys

LOW, HIGH = np.array([-3.04, -2.0, 0.0]), np.array([2.96, 2.0, 2.4])
WALLS = np.array([[0.1, 0, 0], [0.2, 0.2, 0], [0, 0.3, 0], [0, 0.5, 0.5], [0, 0, 0.7], [30, 30, 30]], np.float32)
PROBES = np.array([[0.3, 0.2, 1.1], [-2.4, 1.3, 0.5], [2.0, -1.2, 1.9]])
STEP = 0.08


def sheet(axis: int, at: float, low: np.ndarray, high: np.ndarray, facing: float, colour: np.ndarray) -> Surfels:
    """A rectangle across an axis, one surfel a cell."""
    across = [i for i in range(3) if i != axis]
    grids = [np.arange(low[i] + STEP / 2, high[i], STEP) for i in across]
    position = np.insert(np.stack(np.meshgrid(*grids), axis=-1).reshape(-1, 2), axis, at, axis=1)
    return surfels(position, facing * np.tile(np.eye(3)[axis], (len(position), 1)), colour)


def surfels(position: np.ndarray, normal: np.ndarray, colour: np.ndarray, weight: float = 2.0) -> Surfels:
    """One surfel a point: their cells must differ."""
    key = surfel_keys(position, normal, STEP)
    order = np.argsort(key)
    assert len(np.unique(key)) == len(key)
    return Surfels(
        key[order], position[order].astype(np.float32), normal[order].astype(np.float32),
        np.broadcast_to(colour, position.shape)[order].astype(np.float32), np.full(len(key), weight, np.float32), STEP,
    )  # fmt: skip


def joined(*parts: Surfels) -> Surfels:
    order = np.argsort(np.concatenate([part.key for part in parts]))
    names = ("key", "position", "normal", "colour", "weight")
    return Surfels(*(np.concatenate([getattr(p, name) for p in parts])[order] for name in names), STEP)


def room(inward: float = 1.0) -> Surfels:
    """The six walls, each with a colour of its own, in the order of `wall_of`."""
    walls = []
    for axis in range(3):
        walls.append(sheet(axis, LOW[axis], LOW, HIGH, inward, WALLS[2 * axis]))
        walls.append(sheet(axis, HIGH[axis], LOW, HIGH, -inward, WALLS[2 * axis + 1]))
    return joined(*walls)


def wall_of(position: np.ndarray, ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which wall rays from inside the box leave through, and how far away (slab method)."""
    with np.errstate(divide="ignore"):
        reach = np.where(ways > 0, (HIGH - position) / ways, np.where(ways < 0, (LOW - position) / ways, np.inf))
    axis = reach.argmin(axis=-1)
    return 2 * axis + (np.take_along_axis(ways, axis[..., None], -1)[..., 0] > 0), reach.min(axis=-1)


def lit(lights: Surfels, positions: np.ndarray, **options: int) -> ProbeLight:
    """Environment maps with all surfels known."""
    everything = np.ones(len(lights.position), bool)
    return ProbeScene(lights).light(positions, lights.colour, everything, **options)


def whole_texels(mark: np.ndarray) -> np.ndarray:
    """(512,) value that all 16 x 16 exact directions of a texel share, or -1: `mark` (R,) is of `dense()`."""
    texel = dense().texel
    low, high = np.full(512, 1 << 30), np.full(512, -1)
    np.minimum.at(low, texel, mark)
    np.maximum.at(high, texel, mark)
    return np.where(low == high, low, -1)


def dense() -> object:
    return texel_rays(16, 32, 16)


@pytest.mark.parametrize("position", PROBES)
def test_every_texel_has_the_colour_of_the_wall_that_its_rays_hit(position: np.ndarray) -> None:
    made = lit(room(), position[None])
    assert made.mask.all() and made.mask.dtype == np.uint8 and made.radiance.dtype == np.float16
    wall = whole_texels(wall_of(position, dense().direction)[0])
    assert (wall >= 0).mean() > 0.6 and set(wall) == {-1, 0, 1, 2, 3, 4, 5}
    expected = WALLS.astype(np.float16)[wall]
    np.testing.assert_array_equal(made.radiance[0].reshape(-1, 3)[wall >= 0], expected[wall >= 0])


def test_edge_texels_are_plain_means_of_both_walls() -> None:
    """No logarithm, no maximum: a dark and a bright wall meet in proportion of their solid angles."""
    made = lit(room(), PROBES[:1], fine=16)
    rays = dense()
    colour = WALLS[wall_of(PROBES[0], rays.direction)[0]].astype(float)
    exact = np.stack([np.bincount(rays.texel, rays.solid_angle * colour[:, k]) for k in range(3)], axis=-1)
    exact /= solid_angles(16, 32).reshape(-1, 1)
    np.testing.assert_allclose(made.radiance[0].reshape(-1, 3), exact, rtol=1e-3)


def test_distances_are_those_of_exact_rays() -> None:
    ways = texel_directions(32, 64).reshape(-1, 3)
    surfel, distance = ProbeScene(room()).hits(PROBES, ways)
    exact = np.stack([wall_of(p, ways)[1] for p in PROBES])
    assert (surfel >= 0).all()
    np.testing.assert_allclose(distance, exact, rtol=1e-5)


@pytest.mark.parametrize("away", [0.1, 0.6])
def test_a_plate_hides_the_wall_behind_it_without_a_hole(away: float) -> None:
    """However near the plate is: surfels beside the probe span many texels each."""
    position = np.array([0.0, 0.0, 1.2])
    half = np.array([0.0, 0.4, 0.4])
    plate = sheet(0, away, position - half, position + half, -1.0, np.array([5.0, 0, 5.0]))
    made = lit(joined(room(), plate), position[None])
    ways = dense().direction
    with np.errstate(divide="ignore", invalid="ignore"):
        across = np.abs(ways[:, 1:] / ways[:, :1]) * away
    size = across.max(axis=1)
    mark = np.where((ways[:, 0] > 0) & (size < 0.4), 6, wall_of(position, ways)[0])
    mark[(ways[:, 0] > 0) & (np.abs(size - 0.4) < 0.025)] = 7  # its rim, as sharp as the surfels are
    kind = whole_texels(mark)
    known = (kind >= 0) & (kind < 7)
    expected = np.concatenate([WALLS, [[5, 0, 5]]]).astype(np.float16)[kind]
    assert (kind == 6).sum() >= 16
    np.testing.assert_array_equal(made.radiance[0].reshape(-1, 3)[known], expected[known])


def test_a_slanted_sphere_has_no_holes() -> None:
    """Normals in all directions; one surfel a cell, as fusion makes them."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(400_000, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    _, first = np.unique(np.floor(2 * normal / STEP).astype(int), axis=0, return_inverse=True)
    mean = np.stack([np.bincount(first, normal[:, k]) for k in range(3)], axis=-1) / np.bincount(first)[:, None]
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    made = lit(surfels(2 * mean, -mean, np.array([0.5, 1, 2])), np.array([[0, 0, 0], [0.5, -1, 1.2]]), fine=4)
    assert made.mask.all()
    assert (made.radiance == np.array([0.5, 1, 2], np.float16)).all()
    _, distance = ProbeScene(surfels(2 * mean, -mean, np.ones(3))).hits(np.zeros((1, 3)), dense().direction)
    assert np.isfinite(distance).mean() > 0.999


def test_backs_of_surfels_do_not_shine_and_nothing_shines_through_them() -> None:
    """A wardrobe that only its front was seen of hides the wall from behind; what its back looks like is unknown."""
    position = np.array([0.0, 0.0, 1.2])
    half = np.array([0.0, 0.64, 0.64])
    plate = sheet(0, 0.4, position - half, position + half, 1.0, np.array([5.0, 0, 5.0]))
    made = lit(joined(room(), plate), position[None])
    row, column = texel_of(np.array([1.0, 0.1, 0.1]), 16, 32)
    assert not made.mask[0, row, column] and not made.radiance[0, row, column].any()
    assert made.mask.mean() > 0.8 and (made.radiance[..., 0] != 5).all()
    assert not lit(room(inward=-1.0), position[None]).mask.any()


def test_half_a_texel_has_to_be_known() -> None:
    """The floor ends where the probe stands: texels below, cut in two unequal parts by the edge of what was seen."""
    rays = texel_rays(16, 32, 8)
    floor = sheet(2, 0.0, np.array([-8.0, -8, 0]), np.array([8.0, 8, 0]), 1.0, np.ones(3))
    scene = ProbeScene(floor)
    known = floor.position[:, 0] < 0.4
    made = scene.light(np.array([[0, 0, 1.0]]), floor.colour, known)
    surfel, _ = scene.hits(np.array([[0, 0, 1.0]]), rays.direction)
    hit = (surfel[0] >= 0) & known[surfel[0]]
    share = np.bincount(rays.texel[hit], rays.solid_angle[hit], 512) / solid_angles(16, 32).ravel()
    np.testing.assert_array_equal(made.mask.ravel() == 1, share >= 0.5)
    assert ((share > 0) & (share < 0.5)).any() and ((share > 0.5) & (share < 1)).any()
    assert (made.radiance[made.mask == 1] == 1).all() and not made.radiance[made.mask == 0].any()


def test_a_small_lamp_keeps_its_energy() -> None:
    """24 cm square of 1000 over a black room at 1.2 m: E = L times its projected solid angle, 0.0387."""
    lamp = sheet(2, 2.39, np.array([-0.12, -0.12, 0]), np.array([0.12, 0.12, 0]), -1.0, np.full(3, 1000.0))
    black = room()
    made = lit(joined(surfels(black.position, black.normal, np.zeros(3)), lamp), np.array([[0.02, 0.01, 1.19]]))
    light = (made.radiance[0, ..., 0].astype(float) * texel_directions(16, 32)[..., 2] * solid_angles(16, 32)).sum()
    x, y = np.meshgrid(*(np.linspace(-0.12, 0.12, 201)[:-1] + 0.0006,) * 2)
    squared = (x - 0.02) ** 2 + (y - 0.01) ** 2 + 1.2**2
    exact = 1000 * (1.2**2 / squared**2).mean() * 0.24**2
    assert exact == pytest.approx(38.7, rel=0.02)
    # Squares of 1.3 spacings, so that little slips between them, make the lamp 0.3 spacings longer and wider.
    assert light == pytest.approx(exact * (0.264 / 0.24) ** 2, rel=0.04)


def test_radiance_beyond_half_precision_stays_finite() -> None:
    made = lit(surfels(room().position, room().normal, np.full(3, 1e6)), PROBES)
    assert (made.radiance == np.float16(65504)).all()


def test_a_frames_own_light_is_not_in_its_probes() -> None:
    """One frame alone: nothing is left of it. Two frames: what is left is the other."""
    lights = room()
    colour, known = from_others(lights, lights.position, lights.normal, lights.weight, lights.colour)
    assert not known.any() and not colour.any()
    assert not ProbeScene(lights).light(PROBES, colour, known).mask.any()


def frame_points(seed: int, count: int = 40_000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random points on the floor and one wall with normals, weights and colours."""
    rng = np.random.default_rng(seed)
    points, floor = rng.uniform(LOW, HIGH, (count, 3)), rng.random(count) < 0.5
    points[floor, 2], points[~floor, 0] = 0.01, HIGH[0] - 0.01
    normals = np.where(floor[:, None], [0.0, 0, 1], [-1.0, 0, 0])
    colours = rng.exponential(1.0, (count, 3)).astype(np.float32)
    return points, normals.astype(np.float32), rng.uniform(0.1, 3, count).astype(np.float32), colours


def test_subtracting_a_frame_gives_the_fusion_without_it() -> None:
    """Against a second fusion that never saw the frame."""
    mine, theirs = frame_points(1), frame_points(2)
    both, alone = SurfelBuilder(STEP), SurfelBuilder(STEP)
    for builder, frames in ((both, (mine, theirs)), (alone, (theirs,))):
        for frame in frames:
            builder.add(*frame)
    lights, expected = both.finish(), alone.finish()
    colour, known = from_others(lights, *mine)
    row = expected.rows(lights.key)
    share = np.where(row >= 0, expected.weight[row], 0) / lights.weight
    np.testing.assert_array_equal(known, share > 0.01)
    assert (share == 0).any() and (share == 1).any()
    np.testing.assert_allclose(colour[known], expected.colour[row[known]], rtol=1e-3, atol=1e-3)


def test_what_only_this_frame_saw_hides_but_does_not_shine() -> None:
    """Dropped from the scene, it would let the far wall shine through."""
    position = np.array([0.0, 0.0, 1.2])
    half = np.array([0.0, 0.64, 0.64])
    plate = sheet(0, 0.4, position - half, position + half, -1.0, np.array([5.0, 0, 5.0]))
    lights = joined(room(), plate)
    colour, known = from_others(lights, plate.position, plate.normal, plate.weight, plate.colour)
    made = ProbeScene(lights).light(position[None], colour, known)
    row, column = texel_of(np.array([1.0, 0.1, 0.1]), 16, 32)
    assert not made.mask[0, row, column] and made.mask.mean() > 0.8


def test_no_surfels_at_all_give_empty_maps() -> None:
    nothing = surfels(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(3))
    made = lit(nothing, PROBES)
    assert made.radiance.shape == (3, 16, 32, 3) and not made.mask.any() and not made.radiance.any()
    assert np.isinf(ProbeScene(nothing).clearance(PROBES)).all()


def test_the_same_surfels_give_the_same_bytes() -> None:
    first, second = lit(room(), PROBES), lit(room(), PROBES)
    assert first.radiance.tobytes() == second.radiance.tobytes() and first.mask.tobytes() == second.mask.tobytes()
    alone = lit(room(), PROBES[1:2])
    assert alone.radiance.tobytes() == first.radiance[1].tobytes()


@dataclass
class Voxels:
    """Voxels that are free where a function of their points says so."""

    free: Callable[[np.ndarray], np.ndarray]
    unknown: Callable[[np.ndarray], np.ndarray]

    def lookup(self, points: np.ndarray) -> np.ndarray:
        return np.where(self.free(points), VoxelState.FREE, VoxelState.OCCLUDED).astype(np.uint8)

    def unknown_distance(self, points: np.ndarray) -> np.ndarray:
        return self.unknown(points)


def view_of(centre: np.ndarray, height: int = 48, width: int = 64) -> SceneView:
    """A level camera in the room that looks along +x."""
    intrinsics = np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]), centre
    rays = pixel_rays(intrinsics, height, width) @ pose[:3, :3].T
    return SceneView("frame", intrinsics, pose, wall_of(centre, rays)[1].astype(np.float16))


def inside(points: np.ndarray) -> np.ndarray:
    return ((points > LOW) & (points < HIGH)).all(axis=-1)


def to_walls(points: np.ndarray) -> np.ndarray:
    return np.minimum(points - LOW, HIGH - points).min(axis=-1)


ROOMY = Voxels(inside, lambda points: to_walls(points) + 0.04)
CUBE = np.array([0.0, 0, 1.2, 10.24])


def placed(grid: Voxels, view: SceneView, cube: np.ndarray = CUBE, **options: int) -> np.ndarray | None:
    return place_probes(view, grid, STEP, ProbeScene(room()), cube, keyed_rng(0, view.key, "probes"), **options)


def test_probes_stand_in_free_voxels_that_the_camera_sees() -> None:
    view = view_of(np.array([-2.5, 0.3, 1.3]))
    found = placed(ROOMY, view)
    assert found is not None and found.shape == (8, 3) and found.dtype == np.float32
    cells = found / STEP - 0.5
    np.testing.assert_allclose(cells, np.rint(cells), atol=1e-4)  # centres of the scene's voxels
    local = (found - view.centre) @ view.world_from_camera[:3, :3]
    place, depth = project(local, view.intrinsics)
    assert (depth > 0).all() and (place >= 0).all() and (place < (64, 48)).all()
    assert (np.linalg.norm(found - view.centre, axis=1) < wall_of(view.centre, found - view.centre)[1] * 6).all()
    assert to_walls(found.astype(float)).min() > 0.49
    apart = np.linalg.norm(found[:, None] - found, axis=-1)[~np.eye(8, dtype=bool)]
    assert apart.min() > 0.4


def test_probes_stay_in_the_cube_and_in_front_of_what_was_seen() -> None:
    view = view_of(np.array([-2.5, 0.3, 1.3]))
    small = np.array([-1.0, 0.0, 1.2, 1.6])
    found = placed(ROOMY, view, small)
    assert found is not None and (np.abs(found - small[:3]) < 0.8).all()
    near = SceneView("near", view.intrinsics, view.world_from_camera, np.minimum(view.distance, np.float16(1.5)))
    found = placed(ROOMY, near)
    assert found is not None and np.linalg.norm(found - view.centre, axis=1).max() < 1.5 - np.sqrt(3) / 2 * STEP + 1e-3


def test_pixels_that_measured_nothing_hold_no_probe() -> None:
    view = view_of(np.array([-2.5, 0.3, 1.3]))
    half = view.distance.copy()
    half[:, :32] = np.nan
    found = placed(ROOMY, SceneView("half", view.intrinsics, view.world_from_camera, half))
    assert found is not None and (found[:, 1] < view.centre[1]).all()  # right in the picture is -y
    half[:] = np.nan
    assert placed(ROOMY, SceneView("none", view.intrinsics, view.world_from_camera, half)) is None


def test_clearance_falls_back_where_room_is_short() -> None:
    """Everything within 30 cm of the middle plane is known: at most that clearance can be kept, and 0.15 is."""
    tight = Voxels(lambda p: inside(p) & (np.abs(p[:, 1]) < 0.3), lambda p: 0.3 - np.abs(p[:, 1]))
    found = placed(tight, view_of(np.array([-2.5, 0.0, 1.3])))
    assert found is not None and np.abs(found[:, 1]).max() <= 0.05 + STEP
    tighter = Voxels(inside, lambda p: np.full(len(p), 0.1))
    assert placed(tighter, view_of(np.array([-2.5, 0.0, 1.3]))) is None


def test_a_surface_is_kept_clear_of_even_where_all_voxels_are_known() -> None:
    """A table's thin leg, seen from all sides, has no unknown voxel near it."""
    known = Voxels(inside, lambda points: np.full(len(points), np.inf))
    found = placed(known, view_of(np.array([-2.5, 0.3, 1.3])))
    assert found is not None and to_walls(found.astype(float)).min() > 0.49


def test_too_few_free_voxels_give_no_probes() -> None:
    few = Voxels(lambda p: np.zeros(len(p), bool), lambda p: np.full(len(p), 1.0))
    assert placed(few, view_of(np.array([-2.5, 0.3, 1.3]))) is None


def test_placing_is_keyed() -> None:
    view = view_of(np.array([-2.5, 0.3, 1.3]))
    other = SceneView("other", view.intrinsics, view.world_from_camera, view.distance)
    first, second, third = placed(ROOMY, view), placed(ROOMY, view), placed(ROOMY, other)
    assert first is not None and second is not None and third is not None
    assert first.tobytes() == second.tobytes() != third.tobytes()
