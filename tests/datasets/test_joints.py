"""Joint sets against published flip lists, COCO's own annotation file, and the known mix-ups."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import FormatError, UsageError
from tessera.datasets.joints import JOINT_SETS, JointSet, joint_set, own_joint_sets

SPIN_FLIP = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
MOTIONBERT_LEFT, MOTIONBERT_RIGHT = [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]
# the flip lists of RTM-66 (V2), LeyangWen's fork of MotionBERT, pairwise
VEHS_LEFT = [2, 3, 12, *range(18, 25), *range(29, 34), *range(39, 44), 49, 51, 54, 56, *range(62, 66)]
VEHS_RIGHT = [0, 1, 11, *range(13, 18), 25, 26, 27, 28, *range(34, 39), 44, 45, 46, 48, 52, 53, 55, *range(58, 62)]


def test_smpl_flips_as_spin_s_list_says():
    assert joint_set("smpl24").mirror.tolist() == SPIN_FLIP


def test_h36m_flips_as_motionbert_s_lists_say():
    expected = np.arange(17)
    expected[MOTIONBERT_LEFT], expected[MOTIONBERT_RIGHT] = MOTIONBERT_RIGHT, MOTIONBERT_LEFT
    assert joint_set("h36m17").mirror.tolist() == expected.tolist()
    names = joint_set("h36m17").joints
    assert [names[i].startswith("left_") for i in MOTIONBERT_LEFT] == [True] * 6
    assert [names[i].startswith("right_") for i in MOTIONBERT_RIGHT] == [True] * 6


def test_vehs_flips_as_its_fork_s_lists_say():
    expected = np.arange(66)
    expected[VEHS_LEFT], expected[VEHS_RIGHT] = VEHS_RIGHT, VEHS_LEFT
    assert joint_set("vehs66-v2").mirror.tolist() == expected.tolist()
    names = joint_set("vehs66-v2").joints
    assert [names[i] for i in (0, 10, 23, 40, 47, 57, 65)] == ["RPSIS", "MDFH", "LUS", "LLM", "HEAD", "PELVIS", "LFOOT"]


def test_coco_is_the_order_of_coco_s_own_file(shared):
    file = json.loads((shared / "bodies" / "coco" / "mmpose__test_coco.json").read_text())
    assert list(joint_set("coco17").joints) == file["categories"][0]["keypoints"]


@pytest.mark.parametrize(
    ("name", "count", "root"), [("smpl24", 24, 0), ("h36m17", 17, 0), ("coco17", 17, None), ("vehs66-v2", 66, 57)]
)
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


BONES = ("Hips", "Knee", "UpLeg", "ForeArm", "HandThumb1", "ToeBase", "Rib", "Lumbar", "Ring2", "Lip")
MIDDLE = ("lower_back", "root", "LowerBack", "RIBCAGE", "Spine1", "C7", "T10", "CLAV", "lumbar", "rotula", "upright",
          "Neck", "pelvis", "L5", "ring", "jL5S1", "relbow_mid", "world", "LLL", "")  # fmt: skip
STYLES = {  # (left, right) of a bone, as formats and tools write it
    "SMPL": lambda bone: (f"left_{bone.lower()}", f"right_{bone.lower()}"),
    "BVH": lambda bone: (f"Left{bone}", f"Right{bone}"),
    "ARKit": lambda bone: (f"left_{bone}_joint", f"right_{bone}_joint"),
    "Mixamo": lambda bone: (f"mixamorig:Left{bone}", f"mixamorig:Right{bone}"),
    "Unreal": lambda bone: (f"{bone.lower()}_l", f"{bone.lower()}_r"),
    "Blender": lambda bone: (f"{bone}.L", f"{bone}.R"),
    "Blender's copies": lambda bone: (f"{bone}.L.001", f"{bone}.R.001"),
    "Biped": lambda bone: (f"Bip01 L {bone}", f"Bip01 R {bone}"),
    "Maya": lambda bone: (f"L_{bone}", f"R_{bone}"),
    "hyphens": lambda bone: (f"l-{bone.lower()}", f"r-{bone.lower()}"),
    "Kinect": lambda bone: (f"{bone}Left", f"{bone}Right"),
    "OpenPose": lambda bone: (f"L{bone}", f"R{bone}"),
    "Daz": lambda bone: (f"l{bone}", f"r{bone}"),
    "CMU": lambda bone: (f"l{bone.lower()}", f"r{bone.lower()}"),
    "Vicon": lambda bone: (f"L{bone.upper()[:3]}", f"R{bone.upper()[:3]}"),
    "Vicon's subject": lambda bone: (f"Anna:L{bone.upper()}", f"Anna:R{bone.upper()}"),
    "suffixes": lambda bone: (f"{bone}L", f"{bone}R"),
    "shouted": lambda bone: (f"LEFT{bone.upper()}", f"RIGHT{bone.upper()}"),
    "whispered": lambda bone: (f"{bone.lower()}left", f"{bone.lower()}right"),
    "Xsens": lambda bone: (f"jLeft{bone}", f"jRight{bone}"),
    "sentences": lambda bone: (f"{bone} (left)", f"{bone} (Right)"),
}


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_trap_sides_are_found_in_the_spellings_of_bvh_mixamo_arkit_and_vicon(style, data):
    """Only `left_` and a glued `l` were known: other joints kept their labels while their coordinates were mirrored."""
    bones = data.draw(st.lists(st.sampled_from(BONES), min_size=1, unique=True))
    pairs = dict(STYLES[style](bone) for bone in bones)
    swap = pairs | {right: left for left, right in pairs.items()}
    middle = data.draw(st.lists(st.sampled_from(MIDDLE), unique=True))
    names = data.draw(st.permutations([*swap, *middle]))
    joints = joint_set(names)
    assert [names[i] for i in joints.mirror] == [swap.get(name, name) for name in names]


@pytest.mark.parametrize(
    ("file", "pattern", "alone"),
    [
        ("fairmotion__01_01.bvh", r"(?:ROOT|JOINT) (\S+)", "Hips LowerBack Spine Spine1 Neck Neck1 Head"),
        ("pymo__AV_8Walk_Meredith_HVHA_Rep1.bvh", r"(?:ROOT|JOINT) (\S+)", "Hips Spine Head"),
        ("fairmotion__01.asf", r" name (\S+)", "lowerback upperback thorax lowerneck upperneck head"),
    ],
)
def test_joints_of_real_skeletons_find_their_partners(shared, file, pattern, alone):
    """CMU's subject 01, which has `LHipJoint` beside `LeftUpLeg`, and a BVH of PyMO's."""
    names = re.findall(pattern, (shared / "bodies" / "bvh_asf" / file).read_text())
    mirror = joint_set(names).mirror
    assert [name for i, name in enumerate(names) if mirror[i] == i] == alone.split()
    assert (mirror[mirror] == np.arange(len(names))).all()


@settings(deadline=None)
@given(st.lists(st.text(alphabet="lrLRiefthg_-. :5é", max_size=9), min_size=1, unique=True))
def test_trap_any_list_has_a_mirror_that_undoes_itself_or_is_refused(names):
    try:
        mirror = joint_set(names).mirror
    except UsageError as error:
        assert any(name in str(error) for name in names)
        return
    assert (mirror[mirror] == np.arange(len(names))).all()
    words = [set(re.split(r"[^a-z]", name.lower())) & {"left", "right"} for name in names]
    assert all(names[other] != name for name, said, other in zip(names, words, mirror, strict=True) if said)


@pytest.mark.parametrize(
    "name", ["LeftKnee", "knee-Right", "upper LEFT lid", "rightFoot", "mixamorig:RightHand", "HandLEFT", "leftknee"]
)
def test_trap_a_word_of_side_without_a_partner_is_refused_by_name(name):
    with pytest.raises(UsageError, match=f"joint set listed: {name} has no .* to change places with"):
        _ = joint_set(["root", "lower_back", name]).mirror


def test_trap_letters_that_are_no_sides_stay():
    """Vicon's RBAK and CMU's lowerback have no partner; lumbar vertebrae and a hand's ring finger are no sides."""
    names = ["RBAK", "lowerback", "root", "L1", "L2", "L5", "larm", "ring", "lip", "upright", "bright", "thorax", "T_L"]
    assert joint_set(names).mirror.tolist() == list(range(len(names)))


def test_several_marks_change_together_unless_the_list_knows_no_such_joint():
    plates = joint_set(["LAP_L", "LAP_R", "RAP_L", "RAP_R"])  # a plate's left corner mirrors the other plate's right
    assert plates.mirror.tolist() == [3, 2, 1, 0]
    lateral = joint_set(["left_toe_l", "left_toe_m", "right_toe_m", "right_toe_l"])
    assert lateral.mirror.tolist() == [3, 2, 1, 0]
    assert joint_set(["FL", "FR", "RL", "RR", "leg_lf", "leg_rf"]).mirror.tolist() == [0, 1, 2, 3, 5, 4]


def test_a_partner_wanted_by_two_joints_is_refused():
    with pytest.raises(UsageError, match="right_knee_l would change places with left_knee_l, and left_knee_l with rig"):
        _ = joint_set(["left_knee_l", "right_knee_l", "right_knee_r"]).mirror


def test_a_stranger_s_long_name_takes_no_time():
    names = ["l_" * 5000 + "x", "r_" * 5000 + "x", "A" * 100_000]
    assert joint_set(names).mirror.tolist() == [0, 1, 2]  # more marks than anybody writes: no pair


def test_a_side_without_a_partner_is_refused():
    with pytest.raises(UsageError, match="left_toe has no right_toe"):
        _ = joint_set(["pelvis", "left_toe"]).mirror


def test_unknown_sets_doubled_names_and_roots_that_are_no_joint_are_refused():
    with pytest.raises(UsageError, match=r"no joint set 'h36m' .known: smpl24, smplx55, h36m17"):
        joint_set("h36m")
    with pytest.raises(UsageError, match="nose"):
        joint_set(["nose", "nose"])
    with pytest.raises(UsageError, match="root 2"):
        JointSet("two", ("a", "b"), root=2)


def test_a_data_set_s_own_sets_come_back_and_win():
    ours, legs_first = joint_set("h36m17"), tuple(sorted(joint_set("h36m17").joints))
    theirs = JointSet("h36m17", legs_first, root=2)
    entries = json.loads(json.dumps({"h36m17": theirs.to_json(), "two": {"names": ["l_a", "r_a"]}}))
    own = own_joint_sets(entries)
    assert own == {"h36m17": theirs, "two": JointSet("two", ("l_a", "r_a"))} and own_joint_sets({}) == {}
    assert joint_set("h36m17", own) == theirs and joint_set("smpl24", own) == JOINT_SETS["smpl24"]
    assert joint_set(list(ours.joints), own).joints == ours.joints and joint_set(theirs, own) is theirs
    with pytest.raises(UsageError, match="h36m17: the data set has other joints, or another order, by this name"):
        joint_set(ours, own)
    with pytest.raises(UsageError, match=r"no joint set 'three' \(known: smpl24, .*, two\)"):
        joint_set("three", own)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (["a"], "'x' has no list of names"),
        ({"names": "ab"}, "'x' has no list of names"),
        ({"names": ["a", 1]}, "'x' has no list of names"),
        ({"names": ["a", "a"]}, "'x'.*a is listed more than once"),
        ({"names": []}, "no joint"),
        ({"names": ["a"], "root": 1}, "root 1 is none"),
        ({"names": ["a"], "root": True}, "root True is no index"),
        ({"names": ["\ud800"]}, "'x'.*surrogates"),
        ({"names": ["a", "b"], "hash": JointSet("x", ("b", "a")).hash}, "changed after it was written"),
        ({"names": ["a"], "hash": None}, "changed after it was written"),
    ],
)
def test_damaged_sets_of_a_data_set_are_refused(entry, message):
    with pytest.raises(FormatError, match=f"dataset.json: joint set .*{message}"):
        own_joint_sets({"x": entry})
