"""Flips: whose joints they are, by the data set's own word, and rotations that nobody knows how to mirror."""

from dataclasses import replace

import numpy as np
import pytest
from tessera.datasets import Catalog, Field, FormatError, Schema, Stream, UsageError
from tessera.datasets.joints import JointSet, joint_set
from tessera.datasets.transforms import load_transform
from tessera.datasets.transforms._mirror import mirror_kind

from ..stream_data import Rows, write_set

OURS = joint_set("h36m17")
SPIN = JointSet("h36m17", tuple(OURS.joints[i] for i in [0, 4, 5, 6, 1, 2, 3, *range(7, 17)][::-1]), root=16)
ROKOKO = JointSet("rokoko", ("Hips", "LeftUpLeg", "Spine", "RightUpLeg"), root=0)
ENTRIES = {entry.name: entry.to_json() for entry in (SPIN, ROKOKO)}
BODY = Field("body", "float32", ("h36m17", 3), "npz", "metre", "camera")


def mirrored(entries, fields, record, **options):
    """What a flip makes of a record of a data set with these joint sets."""
    flip = load_transform("random_flip", probability=1.0, **options)
    flip.joint_sets = entries
    flip.bind(fields)
    return flip(record, np.random.default_rng(0))


def numbered(joints):
    """Each joint's x is minus its number, which a mirror turns into where the joint came from."""
    return np.array([[-i, 0, 0] for i in range(joints)], np.float32)


def test_trap_a_data_set_s_own_order_is_taken_under_a_name_that_is_also_ours():
    record = {"body": numbered(17)}
    assert SPIN.mirror.tolist() != OURS.mirror.tolist()
    assert mirrored(ENTRIES, {"body": BODY}, record)["body"][:, 0].tolist() == SPIN.mirror.tolist()
    assert mirrored({}, {"body": BODY}, record)["body"][:, 0].tolist() == OURS.mirror.tolist()


@pytest.mark.parametrize("which", ["h36m17", SPIN])
def test_options_name_the_data_set_s_own_sets(which):
    fields = {"body": replace(BODY, shape=("joints", 3))}
    found = mirrored(ENTRIES, fields, {"body": numbered(17)}, joints={"joints": which})
    assert found["body"][:, 0].tolist() == SPIN.mirror.tolist()


def test_a_list_given_by_the_user_is_taken_as_it_is_and_another_set_by_the_same_name_refused():
    record = {"body": numbered(17)}
    listed = mirrored(ENTRIES, {"body": BODY}, record, joints={"h36m17": list(OURS.joints)})
    assert listed["body"][:, 0].tolist() == OURS.mirror.tolist()
    with pytest.raises(UsageError, match="h36m17: the data set has other joints, or another order, by this name"):
        mirrored(ENTRIES, {"body": BODY}, record, joints={"h36m17": OURS})


def test_sets_that_only_the_data_set_knows_are_found_by_name():
    for fields, options in (
        ({"body": replace(BODY, shape=("rokoko", 3))}, {}),
        ({"body": replace(BODY, shape=("joints", 3))}, {"joints": {"joints": "rokoko"}}),
    ):
        found = mirrored(ENTRIES, fields, {"body": numbered(4)}, **options)
        assert found["body"][:, 0].tolist() == [0, 3, 2, 1]
    with pytest.raises(UsageError, match=r"no joint set 'rokoko' \(known: smpl24"):
        mirrored({}, {"body": BODY}, {}, joints={"joints": "rokoko"})
    with pytest.raises(UsageError, match=r"cannot mirror body: .*the data set itself names: h36m17, rokoko"):
        mirrored(ENTRIES, {"body": replace(BODY, shape=("joints", 3))}, {})


def test_a_set_s_hyphen_is_a_dimension_s_underscore():
    fields = {"markers": replace(BODY, name="markers", shape=("vehs66_v2", 3))}
    found = mirrored({}, fields, {"markers": numbered(66)})["markers"]
    assert found[:, 0].tolist() == joint_set("vehs66-v2").mirror.tolist()


def test_damaged_sets_and_sides_without_partners_are_refused_when_the_stream_starts():
    changed = {"h36m17": SPIN.to_json() | {"names": list(OURS.joints)}}
    with pytest.raises(FormatError, match=r"joint set 'h36m17': .*changed after it was written"):
        mirrored(changed, {"body": BODY}, {})
    alone = {"toe": JointSet("toe", ("Hips", "LeftToe")).to_json()}
    with pytest.raises(UsageError, match="joint set toe: LeftToe has no RightToe"):
        mirrored(alone, {"body": replace(BODY, shape=("toe", 3))}, {})
    assert mirrored(alone, {"body": BODY}, {"body": numbered(17)})  # which nobody streams harms nobody


def test_trap_a_stream_s_flips_know_the_joint_sets_of_its_data_set(tmp_path):
    """`joint_sets` of dataset.json was read nowhere; two streams may share one list of transforms."""
    flips = [load_transform("random_flip", probability=1.0)]
    rows = {"frames": Rows(Schema((BODY,), {"h36m17": 17}), {"train": [[("a-0", {"body": numbered(17)}, {})]]})}
    streams = []
    for name, sets in (("theirs", ENTRIES), ("plain", {})):
        root = write_set(tmp_path / name, rows)
        replace(Catalog.read(root), joint_sets=sets).write(root, "run")
        streams.append(Stream(root, batch_size=1, transforms=flips))
    found = [next(iter(stream))["body"][0, :, 0].tolist() for stream in streams]
    assert found == [SPIN.mirror.tolist(), OURS.mirror.tolist()] and flips[0].joint_sets == {}


ROTATIONS = (
    Field("quat", "float32", ("smpl24", 4), "npz"),
    Field("q", "float32", ("frames", "joints", 4), "npz"),
    Field("local", "float64", ("smpl24", 6), "npz"),
    Field("keypoints", "float32", ("joints", 2), "npz"),
    Field("offsets", "float32", ("joints", 3), "npz", "millimetre"),
    Field("joint_angles", "float32", ("angles",), "npz", "degree"),
    Field("angular_speed", "float32", (3,), "npz", "degrees per second", "camera"),
    Field("root_quaternion", "float32", (4,), "npz", "unit quaternion"),
    Field("quats", "float16", ("frames", 8), "npz", frame="world"),
    Field("rot6d", "float32", (6,), "npz"),
    Field("root_rotation", "float32", (6,), "npz"),
    Field("camera_rot", "float32", (3,), "npz", frame="world"),
    Field("rotation_axis", "float32", (3,), "npz", "unit vector", "world"),
    Field("pose", "float32", (72,), "npz"),
    Field("body_pose", "float32", ("frames", 63), "npz"),
    Field("body_pose", "float32", (21, 3), "npz", frame="camera"),
    Field("fullpose", "float32", ("parts",), "npz"),
    Field("pose6d", "float32", (144,), "npz"),
    Field("poses", "float32", ("frames", 7), "npz"),
    Field("global_orient", "float32", (1, 6), "npz"),
    Field("euler_angles", "float32", (3,), "npz", "deg"),
    Field("rotation_map", "float32", ("height", "width", 4), "npy"),
)


@pytest.mark.parametrize("entry", ROTATIONS, ids=lambda entry: f"{entry.name}-{len(entry.shape)}")
def test_trap_rotations_without_a_rule_are_refused(entry):
    """Quaternions and flat poses passed unmirrored beside joints that changed sides, for they have no frame."""
    fields = {"subject." + entry.name: entry}
    sides = {"joints": "smpl24"}
    with pytest.raises(UsageError, match=f"cannot mirror subject.{entry.name}: leave them out .* keep="):
        mirrored({}, fields, {}, joints=sides)
    flip = load_transform("random_flip", joints=sides, keep=list(fields))
    flip.bind(fields)


def test_trap_several_numbers_a_joint_are_refused_in_dimensions_of_any_name_that_a_set_has():
    for shape in (("rokoko", 4), ("markers", 5), ("frames", "rokoko", 2)):
        with pytest.raises(UsageError, match="cannot mirror state"):
            mirrored(ENTRIES, {"state": Field("state", "float32", shape, "npz")}, {}, joints={"markers": ["a", "b"]})


UNCHANGED = (
    Field("betas", "float32", (10,), "npz"),
    Field("expression", "float32", (10,), "npz"),
    Field("sdf", "float16", ("points",), "npy", "metre"),
    Field("distances", "float32", ("points", 4), "npy", "metre"),
    Field("joint_confidence", "float32", ("joints",), "npz"),
    Field("confidence", "float32", ("frames", "joints", 1), "npz"),
    Field("pose_confidence", "float32", ("frames", "joints"), "npz"),
    Field("rotation_error", "float32", (), "npz"),
    Field("pose_valid", "float32", ("frames",), "npz"),
    Field("pose_index", "int64", (), "npz"),
    Field("rotation_ids", "int32", ("frames", 2), "npz"),
    Field("depth", "float32", ("joints",), "npz", "metre"),
    Field("skin_weights", "float32", ("vertices", "smpl24"), "npy"),
    Field("weights", "float32", ("joints", 4), "npz"),
    Field("rotor_speed", "float32", (2,), "npz"),
    Field("rotated_share", "float32", (2,), "npz"),
    Field("color", "float32", ("points", 3), "npy", "radiance, linear"),
    Field("exposure", "float32", (), "npz"),
    Field("temperature", "float32", (4,), "npz", "degree Celsius"),
)


@pytest.mark.parametrize("entry", UNCHANGED, ids=lambda entry: entry.name)
def test_what_a_mirror_leaves_unchanged_is_not_refused(entry):
    assert mirror_kind(entry.name, entry, {"smpl24": 0}) == "same"


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (Field("body_pose", "float32", ("smpl24", 3), "npz", "radian"), "axis_angle"),
        (Field("pose", "float64", (3,), "npz", "radians"), "axis_angle"),
        (Field("pose_world_from_camera", "float64", (4, 4), "npz", "metre", "world"), "matrix"),
        (Field("pose_2d", "float32", ("joints", 2), "npz", "pixel", "camera"), "pixels"),
        (Field("pose_3d", "float32", ("joints", 3), "npz", "metre", "camera"), "vector"),
        (Field("rotated_normal", "float32", ("points", 3), "npz", "unit vector", "camera"), "vector"),
        (Field("pose_heatmaps", "float32", ("height", "width", "joints"), "npy"), "picture"),
        (Field("pose_image", "uint8", ("height", "width", 3), "jpg"), "picture"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_names_of_rotations_with_a_rule_keep_it(entry, kind):
    assert mirror_kind(entry.name, entry) == kind
