"""MotionBERT's image-plane joints against OpenCV's projection and its reader's formulas."""

import cv2
import numpy as np
import pytest
from tessera.datasets.errors import SchemaError, UsageError
from tessera.datasets.transforms import load_transform

from .scene import copies, same

INTRINSICS = np.array([[1145.0, 0, 512.5], [0, 1143.8, 515.4], [0, 0, 1]])


def body(frames=5, joints=17, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(frames, joints, 3)) * 0.3 + [0.2, -0.1, 4.5]).astype(np.float32)


def transformed(**options):
    record = {"joints": body(), "intrinsics": INTRINSICS}
    before = copies(record)
    added = load_transform("image_plane_joints", **options)(record)
    assert same(record, before) and added["joints"] is record["joints"]
    return record["joints"].astype(np.float64), added["joints_image"], added["joints_image_factor"]


def test_pixels_are_opencv_s():
    joints, image, factor = transformed()
    assert image.dtype == factor.dtype == np.float32 and image.shape == (5, 17, 3) and factor.shape == (5,)
    pixels, _ = cv2.projectPoints(joints.reshape(-1, 3), np.zeros(3), np.zeros(3), INTRINSICS, None)
    np.testing.assert_allclose(image[..., :2], pixels.reshape(5, 17, 2), atol=1e-3)


def test_depth_times_the_factor_is_millimetres_behind_the_root():
    joints, image, factor = transformed()
    metres = joints[..., 2] - joints[:, :1, 2]
    np.testing.assert_allclose(image[..., 2] * factor[:, None], metres * 1000, atol=0.01)
    assert (image[:, 0, 2] == 0).all()


def test_trap_the_ratio_counts_both_end_pixels():
    """(x2 - x1 + 1) / 2 of a 2 m square: half a pixel a metre more than focal length / depth."""
    joints, _, factor = transformed()
    np.testing.assert_allclose(1000 / factor, 1145 / joints[:, 0, 2] + 0.5, rtol=1e-6)


def test_normalised_as_the_reader_does():
    _, image, _ = transformed()
    _, normalised, _ = transformed(size=(1000, 1002))
    wanted = image.copy()
    wanted[..., :2] = image[..., :2] / 1000 * 2 - [1, 1002 / 1000]
    wanted[..., 2:] = image[..., 2:] / 1000 * 2
    np.testing.assert_allclose(normalised, wanted, atol=1e-6)


def test_trap_the_root_is_named_by_the_joint_set():
    """Two published orders of 66 joints differ, and one loader centred on joint 0 what its loss centred on joint 57."""
    _, image, _ = transformed(root=8)
    assert (image[:, 8, 2] == 0).all() and (image[:, 0, 2] != 0).all()
    with pytest.raises(UsageError, match="coco17 needs a root= of its 17 joints"):
        load_transform("image_plane_joints", joints="coco17")
    assert load_transform("image_plane_joints", joints="coco17", root=0).root == 0


def test_one_frame_and_another_field():
    joints = body()[0]
    transform = load_transform("image_plane_joints", field="keypoints")
    one = transform({"keypoints": joints, "intrinsics": INTRINSICS})
    assert one["joints_image"].shape == (17, 3) and one["joints_image_factor"].shape == ()


def test_another_number_of_joints_is_refused():
    with pytest.raises(SchemaError, match=r"`joints` is \(5, 66, 3\), not \(..., 17, 3\)"):
        load_transform("image_plane_joints")({"joints": body(joints=66), "intrinsics": INTRINSICS})
    with pytest.raises(SchemaError, match="lacks intrinsics"):
        load_transform("image_plane_joints")({"joints": body()})
    for options in ({"joints": ("a", "b")}, {"size": (0, 5)}, {"root": 17}):
        with pytest.raises(UsageError):
            load_transform("image_plane_joints", **options)
    with pytest.raises(UsageError, match="no joint set 'h36m'"):
        load_transform("image_plane_joints", joints="h36m").bind({})


def test_the_data_set_s_own_joint_set_goes_before_ours():
    own = {"h36m17": {"names": [f"joint{i}" for i in range(17)], "root": 5}}
    transform = load_transform("image_plane_joints")
    assert transform.root == 0
    transform.joint_sets = own
    transform.bind({})
    assert transform.root == 5
    joints = body()[0]
    depth = transform({"joints": joints, "intrinsics": INTRINSICS})["joints_image"][:, 2]
    assert depth[5] == 0 and (np.sign(depth) == np.sign(np.round(joints[:, 2] - joints[5, 2], 12))).all()
