"""Parts of bodies by the joints that move them, the face, the regions of scans, canonical colours."""

import numpy as np
import pytest
from smplx.joint_names import JOINT_NAMES
from tessera.pipelines.labels.body_parts import (
    FACE_REACH,
    PARTS,
    canonical_colours,
    face_regions,
    face_vertices,
    vertex_parts,
)
from tessera.pipelines.labels.scan_pool import REGIONS

NAMES = [name.removesuffix("_smplhf") for name in JOINT_NAMES[:55]]  # of SMPL-X, as the smplx package lists them
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
HEAD = PARTS.index("head")


def wanted_part(joint: str) -> str:
    side, _, rest = joint.partition("_")
    if joint == "jaw" or rest == "eye":
        return "head"
    return f"{side}_hand" if rest.rstrip("123") in FINGERS else joint


def named(parts: np.ndarray) -> list[str]:
    return [PARTS[part] for part in parts]


def test_fingers_are_hands_jaw_and_eyes_are_the_head_and_all_others_themselves() -> None:
    found = vertex_parts(np.eye(55))
    assert found.dtype == np.uint8 and named(found) == [wanted_part(joint) for joint in NAMES]


def test_smpl_s_parts_are_its_joints() -> None:
    np.testing.assert_array_equal(vertex_parts(np.eye(24)), np.arange(24))


def test_a_hand_is_what_all_its_fingers_move_together() -> None:
    """Each finger moves it less than the wrist does, and all of them more."""
    weights = np.zeros((2, 55))
    weights[0, [NAMES.index("left_wrist"), *(NAMES.index(f"left_{finger}1") for finger in FINGERS[:3])]] = (
        0.4, 0.2, 0.2, 0.2,
    )  # fmt: skip
    weights[1, [NAMES.index("right_wrist"), NAMES.index("right_index1")]] = 0.6, 0.4
    assert named(vertex_parts(weights)) == ["left_hand", "right_wrist"]


@pytest.mark.parametrize("joints", [24, 55])
def test_the_strongest_joint_wins(joints: int) -> None:
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(22, 0.3), 200)
    padded = np.concatenate([weights, np.zeros((200, joints - 22))], 1)
    np.testing.assert_array_equal(vertex_parts(padded), weights.argmax(1))


def test_the_face_is_of_the_head_and_near_a_landmark() -> None:
    marks = np.array([[0, 1.6, 0.1], [0.05, 1.65, 0.1]])
    reach = 0.99 * FACE_REACH
    template = np.array([[0, 1.6, 0.1], [0.05, 1.65, 0.1 + reach], [0.05, 1.65, 0.1 + 1.02 * FACE_REACH],
                         [0, 1.6, -0.1], [0, 1.6, 0.1]])  # fmt: skip
    parts = np.array([HEAD, HEAD, HEAD, HEAD, PARTS.index("neck")], np.uint8)
    assert face_vertices(template, parts, marks).tolist() == [True, True, False, False, False]


def test_without_landmarks_the_front_half_of_the_head_is_the_face() -> None:
    template = np.array([[0, 1.6, 0.1], [0, 1.6, -0.1], [0, 1.0, 0.4]])
    parts = np.array([HEAD, HEAD, PARTS.index("spine3")], np.uint8)
    assert face_vertices(template, parts, np.zeros((0, 3))).tolist() == [True, False, False]
    assert not face_vertices(template, np.zeros(3, np.uint8), np.zeros((0, 3))).any()


def test_regions_are_those_that_points_are_drawn_for() -> None:
    parts = np.arange(24, dtype=np.uint8)
    found = dict(zip(PARTS, (REGIONS[region] for region in face_regions(parts, np.zeros(24, bool))), strict=True))
    hands = {f"{side}_{name}" for side in ("left", "right") for name in ("wrist", "hand")}
    feet = {f"{side}_{name}" for side in ("left", "right") for name in ("ankle", "foot")}
    assert {name for name, region in found.items() if region == "hands"} == hands
    assert {name for name, region in found.items() if region == "feet"} == feet
    assert {found[name] for name in found if name not in hands | feet} == {"body"}


def test_the_face_is_a_region_of_its_own_within_the_head() -> None:
    parts = np.array([HEAD, HEAD, 0], np.uint8)
    found = face_regions(parts, np.array([True, False, False]))
    assert [REGIONS[region] for region in found] == ["face", "body", "body"] and found.dtype == np.uint8


def test_canonical_colours_go_from_0_to_1_along_each_axis() -> None:
    template = np.random.default_rng(0).normal(size=(50, 3)) * [1, 2, 0.3] + [5, -1, 0]
    found = canonical_colours(template)
    assert (found.min(0) == 0).all() and (found.max(0) == 1).all()
    for axis in range(3):
        wanted = np.interp(template[:, axis], [template[:, axis].min(), template[:, axis].max()], [0, 1])
        np.testing.assert_allclose(found[:, axis], wanted, atol=1e-12)
