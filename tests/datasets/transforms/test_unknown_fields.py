"""Fields of which nobody knows how a crop or a mirror changes them: refused by name, never passed on in silence."""

import numpy as np
import pytest
from tessera.datasets import Field, Schema, SchemaError, Stream, UsageError
from tessera.datasets.transforms import load_transform

IMAGE = Field("image", "uint8", ("height", "width", 3), "jpg")
UNKNOWN = {
    "video": Field("video", "uint8", ("frames", "height", "width", 3), "npy"),
    "depths": Field("depths", "float32", (4, "height", "width"), "npy", "metre", "camera"),
    "flow": Field("flow", "float32", ("height", "width", 2), "npy", "pixel"),
    "box": Field("box", "float32", (4,), "npz", "pixel"),
    "focal": Field("focal", "float32", (2,), "npz", "pixel"),
    "speed": Field("speed", "float32", ("joints", 2), "npz", "pixel per second"),
    "index": Field("index", "int64", ("points", 2), "npy", "pixel"),
}
MIRRORED = {
    "pose": Field("pose", "float32", (72,), "npz", "radian"),
    "angle": Field("angle", "float32", (), "npz", "radian", "world"),
    "spin": Field("spin", "float32", ("joints", 3), "npz", "radian per second", "camera"),
    "projection": Field("projection", "float64", (3, 4), "npz"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_crop_refuses(name):
    with pytest.raises(UsageError, match=name):
        load_transform("random_crop", size=4).bind({"image": IMAGE, name: UNKNOWN[name]})


@pytest.mark.parametrize("name", [*UNKNOWN, *MIRRORED])
def test_a_flip_refuses(name):
    with pytest.raises(UsageError, match=name):
        load_transform("random_flip").bind({"image": IMAGE, name: (UNKNOWN | MIRRORED)[name]})


def test_a_crop_moves_keypoints_with_their_confidence_and_leaves_normals_in_ndc():
    crop = load_transform("random_crop", size=4, centre=True)
    joints = Field("joints", "float32", ("joints", 3), "npz", "pixel")
    normals = Field("normals", "float32", ("points", 3), "npz", "unit vector", "ndc")
    crop.bind({"image": IMAGE, "joints": joints, "normals": normals})
    record = {"image": np.zeros((8, 8, 3), "u1"), "joints": np.float32([[4, 5, 0.9]]), "normals": np.eye(3, dtype="f4")}
    cut = crop(record)
    assert cut["joints"].tolist() == [[2, 3, np.float32(0.9)]] and cut["normals"] is record["normals"]


def test_a_crop_knows_the_pictures_that_transforms_before_it_make(tmp_path):
    """Otherwise `depth` would come in the old size beside a cropped image."""
    from ..stream_data import Rows, write_set

    schema = Schema(
        (
            Field("distance", "float32", ("height", "width"), "npy", "metre", "camera"),
            Field("intrinsics", "float64", (3, 3), "npz", "pixel", "camera"),
        ),
        {"height": 8, "width": 12},
    )
    values = {"distance": np.ones((8, 12), "f4"), "intrinsics": np.array([[9.0, 0, 6], [0, 9, 4], [0, 0, 1]])}
    root = write_set(tmp_path, {"frames": Rows(schema, {"train": [[("p-0", values, {})]]})})
    both = [load_transform("planar_depth"), load_transform("random_crop", size=4)]
    batch = next(iter(Stream(root, batch_size=1, transforms=both)))
    assert batch["depth"].shape == batch["distance"].shape == (1, 4, 4)
    after = next(iter(Stream(root, batch_size=1, transforms=both[::-1])))
    assert np.allclose(after["depth"], batch["depth"])
    with pytest.raises(SchemaError, match="planar_depth"):
        next(iter(Stream(root, fields=["distance"], batch_size=1, transforms=both)))
