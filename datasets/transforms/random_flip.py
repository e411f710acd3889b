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
- joint dimensions: left and right exchanged by name; under a name that the data set's own joint sets define, the data
  set's order is taken, which is the truth about its data, not ours.

Whatever is laid out along a frame's axes (octrees, voxels, environment maps), numbered by a template (`cmap`,
`body_face`), or of unknown make (other rotations: quaternions, 6-D, flat poses, degrees) is refused when the stream
binds, not passed on unmirrored. A mesh's faces turn inside out in a mirror.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..errors import SchemaError, UsageError
from ..joints import JOINT_SETS, JointSet, joint_set, own_joint_sets
from ..schema import Field
from ._fields import Fields, Record, is_picture, prefix_of
from ._mirror import CHANGES, mirror_kind


class RandomFlip:
    """Mirrors pictures, cameras, points, vectors, joints and poses left to right, all or nothing.

    Args:
        probability: how often.
        joints: joint set (a name, or the joints' names) of each dimension that counts joints: `{"joints": "h36m17"}`; a
            dimension that is called as a known set needs no entry (`vehs66_v2` is `vehs66-v2`). Names are looked up in
            the data set's own sets first; a list of names is taken as it is.
        keep: fields delivered as they are although this transform does not know how to mirror them.

    Attributes:
        joint_sets: `joint_sets` of the data set's `dataset.json`; a Stream sets it before it calls `bind`.

    Raises:
        ValueError: a probability outside 0 to 1.
        UsageError: a list of joints that names one twice.
    """

    name = "random_flip"
    needs_axes = True  # of pictures, where they were stored
    reads: tuple[str, ...] = ()
    writes: tuple[Field, ...] = ()
    random = True

    def __init__(
        self,
        probability: float = 0.5,
        joints: Mapping[str, str | Sequence[str] | JointSet] | None = None,
        keep: Sequence[str] = (),
    ) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"probability {probability} is not between 0 and 1")
        self.probability, self.keep = probability, frozenset(keep)
        self.joints = dict(joints or {})
        for which in self.joints.values():
            if not isinstance(which, str):  # a name may be one of the data set's: `bind` sees
                joint_set(which)
        self.joint_sets: Mapping[str, Any] = {}
        self._kinds: dict[str, str] = {}
        self._joint_axes: dict[str, list[tuple[int, JointSet, NDArray[np.int64]]]] = {}
        self._pictures: dict[str, int] = {}

    def bind(self, fields: Fields) -> None:
        """Decide how each field is mirrored.

        Raises:
            UsageError: the fields for which there is no rule, and what to do; no such joint set; or one whose names do
                not say who is whose partner.
            FormatError: the data set's own joint sets are damaged.
        """
        known = {name: field for name, field in fields.items() if name not in self.keep and field.dtype != "json"}
        sets = self._sets()
        kinds = {name: mirror_kind(name, field, sets) for name, field in known.items()}
        self._refuse(
            [name for name, kind in kinds.items() if kind == "refused"],
            [name for name, field in known.items() for side in field.shape
             if isinstance(side, str) and side.endswith("joints") and side not in sets],
        )  # fmt: skip
        self._pictures = {name: len(field.shape) for name, field in fields.items() if is_picture(field)}
        self._joint_axes = {
            name: [(place - len(field.shape), sets[str(side)], sets[str(side)].mirror)
                   for place, side in enumerate(field.shape) if side in sets]
            for name, field in known.items()
        }  # fmt: skip
        self._kinds = kinds

    def _sets(self) -> dict[str, JointSet]:
        """The joint set of each dimension that may count joints: as the user says, the data set, or we, in this order.

        Names of dimensions hold no hyphens.
        """
        own = own_joint_sets(self.joint_sets)
        named = {name.replace("-", "_"): entry for name, entry in (JOINT_SETS | own).items()}
        return named | {dimension: joint_set(which, own) for dimension, which in self.joints.items()}

    def _refuse(self, refused: list[str], unnamed: list[str]) -> None:
        """Raise where there are fields without a rule, or joints of which nobody said whose they are."""
        if not refused and not unnamed:
            return
        names = ", ".join(dict.fromkeys(refused + unnamed))
        own = f" (the data set itself names: {', '.join(self.joint_sets)})" if self.joint_sets else ""
        early = any(name.rpartition(".")[2] == "body_face" for name in refused)
        raise UsageError(
            f"transform {self.name} cannot mirror {names}: leave them out of the stream's fields, or name them in "
            "keep= to get them as they are"
            + ("; or put icon_features, which is done with body_face then, before" if early else "")
            + (f"; or say whose joints they are: joints={{'joints': 'h36m17'}}{own}" if unnamed else "")
        )

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
        for axis, joints, mirror in self._joint_axes[name]:
            if array.shape[axis] != len(joints):
                raise SchemaError(
                    f"transform {self.name}: `{name}` has {array.shape[axis]} joints, {joints.name} has {len(joints)}"
                )
            array = np.take(array, mirror, axis=axis)
        return array

    def _width(self, name: str, record: Record) -> int:
        for picture, sides in self._pictures.items():
            if prefix_of(picture) == prefix_of(name) and picture in record:
                return record[picture].shape[record[picture].ndim - sides + 1]
        raise SchemaError(
            f"transform {self.name}: no picture says how wide `{name}`'s is; ask for one of its pictures too"
        )


TRANSFORM = RandomFlip
