"""Joint sets against published flip lists, COCO's own annotation file, and the known mix-ups."""

import json

import numpy as np
import pytest
from tessera.datasets.errors import UsageError
from tessera.datasets.joints import JOINT_SETS, JointSet, joint_set

SPIN_FLIP = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
MOTIONBERT_LEFT, MOTIONBERT_RIGHT = [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]


def test_smpl_flips_as_spin_s_list_says():
    assert joint_set("smpl24").mirror.tolist() == SPIN_FLIP


def test_h36m_flips_as_motionbert_s_lists_say():
    expected = np.arange(17)
    expected[MOTIONBERT_LEFT], expected[MOTIONBERT_RIGHT] = MOTIONBERT_RIGHT, MOTIONBERT_LEFT
    assert joint_set("h36m17").mirror.tolist() == expected.tolist()
    names = joint_set("h36m17").joints
    assert [names[i].startswith("left_") for i in MOTIONBERT_LEFT] == [True] * 6
    assert [names[i].startswith("right_") for i in MOTIONBERT_RIGHT] == [True] * 6


def test_coco_is_the_order_of_coco_s_own_file(shared):
    file = json.loads((shared / "bodies" / "coco" / "mmpose__test_coco.json").read_text())
    assert list(joint_set("coco17").joints) == file["categories"][0]["keypoints"]


@pytest.mark.parametrize(("name", "count", "root"), [("smpl24", 24, 0), ("h36m17", 17, 0), ("coco17", 17, None)])
def test_counts_roots_and_that_mirroring_twice_is_nothing(name, count, root):
    joints = joint_set(name)
    assert (len(joints), joints.root) == (count, root)
    assert (joints.mirror[joints.mirror] == np.arange(count)).all() and not joints.mirror.flags.writeable


def test_trap_a_hand_has_no_left_and_right_of_its_own():
    """A mirrored hand is the other hand, in the same order: the permutation is the identity (`ring1` is no left)."""
    hand = joint_set("hand21")
    assert len(hand) == 21 and hand.root == 0 and hand.mirror.tolist() == list(range(21))


def test_trap_same_count_and_root_in_another_order():
    """SPIN's regressor has the left leg first, MotionBERT the right one: 17 joints and root 0 both times."""
    ours = joint_set("h36m17")
    legs_swapped = [ours.joints[i] for i in [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]]
    theirs = JointSet("spin_rows", tuple(legs_swapped), root=0)
    assert len(theirs) == len(ours) and theirs.root == ours.root and theirs.hash != ours.hash
    assert len({entry.hash for entry in JOINT_SETS.values()}) == len(JOINT_SETS)
    assert JointSet("other_name", ours.joints).hash == ours.hash and len(ours.hash) == 16


@pytest.mark.parametrize("names", [("HEAD", "LKNEE", "RKNEE"), ("head", "lknee", "rknee"), ("h", "left_k", "right_k")])
def test_pairs_follow_from_common_ways_to_write_sides(names):
    assert joint_set(names).mirror.tolist() == [0, 2, 1]


def test_a_side_without_a_partner_is_refused():
    with pytest.raises(UsageError, match="left_toe has no right_toe"):
        _ = joint_set(["pelvis", "left_toe"]).mirror


def test_unknown_sets_doubled_names_and_roots_that_are_no_joint_are_refused():
    with pytest.raises(UsageError, match=r"no joint set 'h36m' .known: smpl24, h36m17"):
        joint_set("h36m")
    with pytest.raises(UsageError, match="nose"):
        joint_set(["nose", "nose"])
    with pytest.raises(UsageError, match="root 2"):
        JointSet("two", ("a", "b"), root=2)
