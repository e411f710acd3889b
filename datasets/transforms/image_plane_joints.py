"""MotionBERT's image-plane joints: pixels across and down, and depth in the same pixels, relative to the root.

A square of 2 m is put at the root's depth, facing the camera, its middle on the root; its corners are projected, and
ratio = (x2 - x1 + 1) / 2 is the number of pixels a metre. Then x, y are the projected pixels, z = ratio * (Z - Z of the
root), and 1000 / ratio are the millimetres a pixel that evaluation multiplies with (`2.5d_factor`). Normalised, as
`DataReaderH36M.read_3d` in lib/data/datareader_h36m.py does: x, y / width * 2 - (1, height / width), and z / width * 2.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import project
from ..errors import SchemaError, UsageError
from ..joints import JOINT_SETS, joint_set, own_joint_sets
from ..schema import Field
from ._fields import Fields, Record, require


class ImagePlaneJoints:
    """Adds `joints_image` and `joints_image_factor` to a record with joints in the camera frame and `intrinsics`.

    Args:
        joints: the joint set (a name, the data set's own before ours, or the joints' names); its root is the joint
            that depths are relative to.
        field: the joints, camera frame, metres.
        size: width and height in pixels of the picture, to get coordinates normalised; None for pixels.
        root: index of the root joint, where the set has none.

    Raises:
        UsageError: an unknown joint set, or one without a root.
        ValueError: a size that no picture has.
    """

    name = "image_plane_joints"
    reads: tuple[str, ...] = ("joints", "intrinsics")
    writes: tuple[Field, ...] = (
        Field("joints_image", "float32", ("joints", 3), "npz", "pixel", "camera",
              "x, y in the picture, corner origin, and depth relative to the root in pixels of the root's depth"),
        Field("joints_image_factor", "float32", (), "npz", "millimetre per pixel", "camera", "one value a frame"),
    )  # fmt: skip

    def __init__(
        self,
        joints: str | Sequence[str] = "h36m17",
        field: str = "joints",
        size: tuple[int, int] | None = None,
        root: int | None = None,
    ) -> None:
        if size is not None and min(size) < 1:
            raise ValueError(f"size {size}: width and height in pixels")
        self.joint_sets: Mapping[str, Any] = {}
        self._joints, self._root, self.size = joints, root, size
        self.reads = (field, "intrinsics")
        if not isinstance(joints, str) or joints in JOINT_SETS:  # other names may be the data set's: `bind` sees
            self._choose()

    def bind(self, fields: Fields) -> None:
        """Look the joint set up among the data set's own, then among ours.

        Raises:
            UsageError: there is none, or it has no root.
        """
        self._choose()

    def _choose(self) -> None:
        chosen = joint_set(self._joints, own_joint_sets(self.joint_sets))
        self.count, self.root = len(chosen), chosen.root if self._root is None else self._root
        if self.root is None or not 0 <= self.root < self.count:
            raise UsageError(f"transform {self.name}: joint set {chosen.name} needs a root= of its {self.count} joints")

    def __call__(self, record: Record) -> dict[str, NDArray[Any]]:
        """The record's arrays with the two added.

        Args:
            record: with joints (..., joints, 3), metres, in front of the camera; `intrinsics` (3, 3), corner origin.

        Returns:
            a new mapping; `joints_image` (..., joints, 3) and `joints_image_factor` (...,), float32.

        Raises:
            SchemaError: a field is missing or there already, or there is another number of joints.
        """
        require(self.name, record, self.reads, self.writes)
        joints, intrinsics = (record[name].astype(np.float64) for name in self.reads)
        if joints.shape[-2:] != (self.count, 3):
            raise SchemaError(f"transform {self.name}: `{self.reads[0]}` is {joints.shape}, not (..., {self.count}, 3)")
        root = joints[..., self.root, :]
        left, right = (project(root + np.array([side, side, 0.0]), intrinsics)[0] for side in (-1, 1))
        ratio = (right[..., 0] - left[..., 0] + 1) / 2
        depth = ratio[..., None] * (joints[..., 2] - root[..., None, 2])
        image = np.concatenate([project(joints, intrinsics)[0], depth[..., None]], axis=-1)
        if self.size:
            width, height = self.size
            image = image / width * 2 - np.array([1, height / width, 0])
        return {
            **record,
            "joints_image": image.astype(np.float32),
            "joints_image_factor": np.asarray(1000 / ratio, np.float32),
        }


TRANSFORM = ImagePlaneJoints
