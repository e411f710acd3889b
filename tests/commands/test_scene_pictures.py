"""Pictures of scene labels, pixel by pixel, from a record made by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from tessera.commands.scene_pictures import (
    INSIDE,
    INVALID,
    MISSING,
    OUTSIDE,
    PROBE_SCALE,
    VISIBILITY,
    VOXELS,
    points_picture,
    probe_picture,
    scene_panels,
)
from tessera.datasets.visibility import ViewState, pack_visibility
from tessera.datasets.voxels import VoxelState

HEIGHT, WIDTH = 48, 64


class Sample(dict):
    """A record: fields, and the references of the index."""

    def __init__(self, neighbours: list[str] | None = None, **fields: Any) -> None:
        super().__init__(fields)
        self.columns = {"neighbours": neighbours}
        self.schema = SimpleNamespace(dimensions={"height": HEIGHT, "width": WIDTH})


def camera() -> dict[str, np.ndarray]:
    """At the origin, looks along the world's z; the cube is 8 m wide, so its (x, y, 1) lies at depth 4."""
    intrinsics = np.array([[40.0, 0, 32], [0, 40, 24], [0, 0, 1]])
    return {"intrinsics": intrinsics, "world_from_camera": np.eye(4), "cube": np.array([0.0, 0, 0, 8])}


def test_a_record_without_such_labels_has_no_panel() -> None:
    assert list(scene_panels(Sample(image=np.zeros((HEIGHT, WIDTH, 3), np.uint8), **camera()))) == []


def test_visibility_has_a_panel_for_each_neighbour() -> None:
    states = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    states[0, :, ::2] = ViewState.VISIBLE
    states[1, 30:] = ViewState.OCCLUDED
    states[1, 40:] = ViewState.INCONSISTENT
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    record = Sample(["a", "b"], image=image, visibility=pack_visibility(states))
    (first, one), (second, two) = scene_panels(record)
    assert (first, second) == ("visibility", "visibility") and one.shape == two.shape == image.shape
    blended = {state: (np.array(colour) + 100) // 2 for state, colour in VISIBILITY.items()}
    np.testing.assert_array_equal(one[45, 10], blended[ViewState.VISIBLE])
    np.testing.assert_array_equal(one[45, 11], blended[ViewState.UNKNOWN])
    np.testing.assert_array_equal(two[35, 10], blended[ViewState.OCCLUDED])
    np.testing.assert_array_equal(two[45, 10], blended[ViewState.INCONSISTENT])


def test_visibility_without_neighbours_or_image_does_not_fail() -> None:
    nothing = np.zeros((HEIGHT, WIDTH), np.uint8)
    assert list(scene_panels(Sample([], visibility=nothing))) == []
    ((name, picture),) = scene_panels(Sample(["a"], visibility=nothing))
    assert name == "visibility" and picture.shape == (HEIGHT, WIDTH, 3)


def test_probes_stand_two_beside_each_other_and_unseen_texels_are_dark() -> None:
    radiance = np.zeros((8, 16, 32, 3), np.float16)
    mask = np.zeros((8, 16, 32), np.uint8)
    radiance[3, 8, 20], mask[3, 8, 20] = 0.5**2.2, 1
    shown = probe_picture(Sample(probe_radiance=radiance, probe_mask=mask, tone_scale=np.float32(1)))
    tall, wide = 16 * PROBE_SCALE + 2, 32 * PROBE_SCALE + 2
    assert shown.shape == (4 * tall, 2 * wide, 3)
    row, column = tall + 8 * PROBE_SCALE, wide + 20 * PROBE_SCALE
    assert (np.abs(shown[row : row + PROBE_SCALE, column : column + PROBE_SCALE].astype(int) - 127) <= 1).all()
    np.testing.assert_array_equal(shown[row + PROBE_SCALE, column], MISSING)
    dark = probe_picture(Sample(probe_radiance=radiance, probe_mask=0 * mask))  # nothing seen, no exposure
    np.testing.assert_array_equal(dark[tall + 60, 60], MISSING)


def test_query_points_are_drawn_where_they_are_seen_nearest_last() -> None:
    """(0.25, 0, 0.5): 1 m to the right at 2 m, 20 pixels right of the middle; one lies behind it, one at its back."""
    points = np.array([[0.25, 0, 0.5], [0.5, 0, 1.0], [-0.25, 0, 0.5], [0, -0.25, 0.5], [0, 0, -0.5]], np.float32)
    sdf, valid = np.array([0.1, -0.1, -0.1, 0.1, 0.1], np.float16), np.array([1, 1, 1, 0, 1], np.uint8)
    state = np.array([VoxelState.FREE, VoxelState.SURFACE, VoxelState.OCCLUDED, VoxelState.UNOBSERVED, 0], np.uint8)
    record = Sample(points=points, sdf=sdf, sdf_valid=valid, voxel_state=state, **camera())
    shown = dict(scene_panels(record))
    assert set(shown) == {"sdf", "voxel_state"}
    for (x, y), colour, voxel in (((52, 24), OUTSIDE, VoxelState.FREE), ((12, 24), INSIDE, VoxelState.OCCLUDED),
                                  ((32, 4), INVALID, VoxelState.UNOBSERVED)):  # fmt: skip
        np.testing.assert_array_equal(shown["sdf"][y, x], colour)
        np.testing.assert_array_equal(shown["sdf"][y + 1, x + 1], colour)
        np.testing.assert_array_equal(shown["voxel_state"][y, x], VOXELS[voxel])
    assert (shown["sdf"] > 0).any(axis=-1).sum() == 12  # three dots of four pixels


def test_points_behind_what_the_frame_saw_are_left_out() -> None:
    points = np.array([[0.25, 0, 0.5], [-0.25, 0, 0.5]], np.float32)  # both 2.24 m away
    distance = np.full((HEIGHT, WIDTH), 2.21, np.float16)
    distance[:, : WIDTH // 2] = 2.1
    shown = points_picture(Sample(points=points, distance=distance, **camera()), np.full((2, 3), 255, np.uint8))
    assert (shown[24, 52] == 255).all() and (shown[24, 12] == 0).all()


def test_points_outside_the_picture_are_left_out() -> None:
    points = np.array([[0.4, 0, 0.5], [0.39, 0, 0.5], [-0.399, -0.299, 0.5]], np.float32)  # x 64, 63.2, 0.08
    shown = points_picture(Sample(points=points, **camera()), np.full((3, 3), 255, np.uint8))
    assert shown[:, 60:].max() == 0 and (shown[:2, :2] == 255).all()


def test_probe_positions_are_ringed_on_the_image() -> None:
    position = np.array([[0.0, 0, 2], [0, 0, -2]], np.float32)
    ((name, shown),) = scene_panels(Sample(probe_position=position, **camera()))
    assert name == "probe_position"
    ringed = np.argwhere((shown == (255, 220, 0)).all(axis=-1))
    assert len(ringed) and np.abs(ringed - (24, 32)).max() <= 4
