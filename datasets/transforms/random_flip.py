"""The mirror image of a record: left is right, and everything else follows.

The whole scene is mirrored, not the picture alone: every frame (camera, world, cube, ndc, ...) has its x axis turned
round, F = diag(-1, 1, 1), so that a point X in any frame becomes F X, and a pixel x of a picture W wide becomes W - x
(corner origin):

- pictures: columns reversed; those of vectors also have x negated (0.5 (n + 1) in uint8: 255 - code, 0 0 0 stays);
- `intrinsics`: focal length stays, principal point W - cx, skew negated;
- `..._from_...` and `calib`: F T F, still a proper rotation (mirroring the camera alone would make its determinant -1);
- points, normals, joints: x negated, in the world, too; pixel coordinates: W - x; the centre of a `cube`: x negated;
- axis-angle rotations (unit radian): y and z negated, SMPL's rule; shapes (betas) stay;
- distances and signed distances stay;
- joint dimensions: left and right exchanged by name.

Whatever is laid out along a frame's axes (octrees, voxels, environment maps), numbered by a template (`cmap`), or of
unknown make is refused when the stream binds, not passed on unmirrored. A mesh's faces turn inside out in a mirror.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..errors import SchemaError, UsageError
from ..joints import JOINT_SETS, JointSet, joint_set
from ..schema import Field
from ._fields import Fields, Record, is_picture, prefix_of
from ._mirror import CHANGES, mirror_kind


class RandomFlip:
    """Mirrors pictures, cameras, points, vectors, joints and poses left to right, all or nothing.

    Args:
        probability: how often.
        joints: joint set (a name, or the joints' names) of each dimension that counts joints: `{"joints": "h36m17"}`; a
            dimension that is called as a known set needs no entry.
        keep: fields delivered as they are although this transform does not know how to mirror them.

    Raises:
        ValueError: a probability outside 0 to 1.
        UsageError: no such joint set.
    """

    name = "random_flip"
    reads: tuple[str, ...] = ()
    writes: tuple[Field, ...] = ()
    random = True

    def __init__(
        self,
        probability: float = 0.5,
        joints: Mapping[str, str | Sequence[str]] | None = None,
        keep: Sequence[str] = (),
    ) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"probability {probability} is not between 0 and 1")
        self.probability, self.keep = probability, frozenset(keep)
        self.joints: dict[str, JointSet] = JOINT_SETS | {name: joint_set(x) for name, x in (joints or {}).items()}
        self._kinds: dict[str, str] = {}
        self._joint_axes: dict[str, list[tuple[int, JointSet]]] = {}
        self._pictures: dict[str, int] = {}

    def bind(self, fields: Fields) -> None:
        """Decide how each field is mirrored.

        Raises:
            UsageError: the fields for which there is no rule, and what to do.
        """
        known = {name: field for name, field in fields.items() if name not in self.keep and field.dtype != "json"}
        self._kinds = {name: mirror_kind(name, field) for name, field in known.items()}
        refused = [name for name, kind in self._kinds.items() if kind == "refused"]
        unnamed = [
            name for name, field in known.items() for side in field.shape
            if isinstance(side, str) and side.endswith("joints") and side not in self.joints
        ]  # fmt: skip
        if refused or unnamed:
            raise UsageError(
                f"transform {self.name} cannot mirror {', '.join(refused + unnamed)}: leave them out of the stream's "
                "fields, or name them in keep= to get them as they are"
                + ("; or say whose joints they are: joints={'joints': 'h36m17'}" if unnamed else "")
            )
        self._pictures = {name: len(field.shape) for name, field in fields.items() if is_picture(field)}
        self._joint_axes = {
            name: [(place - len(field.shape), self.joints[str(side)]) for place, side in enumerate(field.shape)
                   if side in self.joints]
            for name, field in known.items()
        }  # fmt: skip

    def __call__(self, record: Record, rng: Generator) -> dict[str, NDArray[Any]]:
        """The record, or its mirror image.

        Args:
            record: arrays of the fields given to `bind`; leading axes (several cameras, frames of a window) are free.
            rng: decides whether this record is mirrored.

        Returns:
            a new mapping.

        Raises:
            SchemaError: there are cameras or pixel coordinates, but no picture that gives the width; or another
                number of joints than the set has.
            UsageError: `bind` was not called.
        """
        if not self._kinds:
            raise UsageError(f"transform {self.name}: call bind(fields) first (a Stream does)")
        if rng.random() >= self.probability:
            return dict(record)
        here = [name for name in self._kinds if name in record]
        return {**record, **{name: self._mirrored(name, record) for name in here}}

    def _mirrored(self, name: str, record: Record) -> NDArray[Any]:
        array, kind = record[name], self._kinds[name]
        if kind != "same":
            array = CHANGES[kind](array, self._width(name, record) if kind in ("intrinsics", "pixels") else 0)
        for axis, joints in self._joint_axes[name]:
            if array.shape[axis] != len(joints):
                raise SchemaError(
                    f"transform {self.name}: `{name}` has {array.shape[axis]} joints, {joints.name} has {len(joints)}"
                )
            array = np.take(array, joints.mirror, axis=axis)
        return array

    def _width(self, name: str, record: Record) -> int:
        for picture, sides in self._pictures.items():
            if prefix_of(picture) == prefix_of(name) and picture in record:
                return record[picture].shape[record[picture].ndim - sides + 1]
        raise SchemaError(
            f"transform {self.name}: no picture says how wide `{name}`'s is; ask for one of its pictures too"
        )


TRANSFORM = RandomFlip
