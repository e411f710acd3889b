"""Named joint sets: which joint is which, where the root is, and who is whose left or right.

A joint count and a root index say nothing about the order (two published orders of 66 joints agree in both, and differ
in 40 places), so a set is its list of names, and carries a hash of it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError

SIDES = (("left_", "right_"), ("LEFT_", "RIGHT_"), ("l", "r"), ("L", "R"))  # tried in this order


@dataclass(frozen=True)
class JointSet:
    """One order of joints.

    Attributes:
        name: what schemas, options and `dataset.json` call it.
        joints: names of the joints, in order, each once.
        root: index of the root joint, None where the set has none.
    """

    name: str
    joints: tuple[str, ...]
    root: int | None = None

    def __post_init__(self) -> None:
        """Refuse names that occur twice, and a root that is no joint."""
        twice = sorted({joint for joint in self.joints if self.joints.count(joint) > 1})
        if twice or not self.joints:
            raise UsageError(f"joint set {self.name}: {', '.join(twice) or 'no joint'} is listed more than once")
        if self.root is not None and not 0 <= self.root < len(self.joints):
            raise UsageError(f"joint set {self.name}: root {self.root} is none of its {len(self.joints)} joints")

    def __len__(self) -> int:
        """Number of joints."""
        return len(self.joints)

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change with any name or its place (SHA-256 of the names, one a line)."""
        return hashlib.sha256("\n".join(self.joints).encode()).hexdigest()[:16]

    @cached_property
    def mirror(self) -> NDArray[np.int64]:
        """(joints,) int64, read-only: `array[mirror]` are the joints of a mirrored body, left and right exchanged.

        Pairs come from the names (`left_knee` and `right_knee`, `lknee` and `rknee`, `LKNEE` and `RKNEE`); a joint
        without a pair stays.

        Raises:
            UsageError: a `left_...` or `right_...` has no partner: it would stay on the wrong side.
        """
        place = {joint: index for index, joint in enumerate(self.joints)}
        order = np.array([place[self._partner(joint)] for joint in self.joints], np.int64)
        order.flags.writeable = False
        return order

    def _partner(self, joint: str) -> str:
        for left, right in SIDES:
            for own, other in ((left, right), (right, left)):
                if joint.startswith(own):
                    partner = other + joint[len(own) :]
                    if partner in self.joints:
                        return partner
                    if len(own) > 1:
                        raise UsageError(f"joint set {self.name}: {joint} has no {partner} to change places with")
        return joint


def _sided(*joints: str) -> tuple[str, ...]:
    return tuple(side + joint for joint in joints for side in ("left_", "right_"))


LEG, ARM = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")
FINGERS = ("thumb", "index", "middle", "ring", "pinky")

JOINT_SETS = {
    entry.name: entry
    for entry in (
        # SMPL's kinematic tree
        JointSet("smpl24", (
            "pelvis", *_sided("hip"), "spine1", *_sided("knee"), "spine2", *_sided("ankle"), "spine3", *_sided("foot"),
            "neck", *_sided("collar"), "head", *_sided("shoulder", "elbow", "wrist", "hand"),
        ), root=0),
        # MotionBERT's order: right leg first, left arm first (rows of SPIN's J_regressor_h36m.npy: left leg first)
        JointSet("h36m17", (
            "hip", *(f"right_{x}" for x in LEG), *(f"left_{x}" for x in LEG), "spine", "thorax", "neck", "head",
            *(f"left_{x}" for x in ARM), *(f"right_{x}" for x in ARM),
        ), root=0),
        JointSet("coco17", ("nose", *_sided("eye", "ear", *ARM, *LEG))),
        # OpenPose, HaMeR, FreiHAND, DexYCB; MANO and InterHand2.6M have other orders
        JointSet("hand21", ("wrist", *(f"{finger}{joint}" for finger in FINGERS for joint in range(4))), root=0),
    )
}  # fmt: skip


def joint_set(which: str | Sequence[str] | JointSet) -> JointSet:
    """The joint set of that name, or a list of joint names as a set.

    Args:
        which: a name of `JOINT_SETS`; or the joints' names in order; or a set, which is returned.

    Raises:
        UsageError: no set has that name, or the list names a joint twice.
    """
    if isinstance(which, JointSet):
        return which
    if not isinstance(which, str):
        return JointSet("listed", tuple(which))
    if which not in JOINT_SETS:
        known = ", ".join(JOINT_SETS)
        raise UsageError(f"no joint set {which!r} (known: {known}); give the joints' names in order instead")
    return JOINT_SETS[which]
