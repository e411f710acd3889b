"""Named joint sets: which joint is which, where the root is, and who is whose left or right.

A joint count and a root index say nothing about the order (two published orders of 66 joints agree in both, and differ
in 40 places), so a set is its list of names, and carries a hash of it.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError, UsageError

OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}
WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")  # of `LeftUpLeg`, `LKnee`, `upper_arm.L`
INITIAL = re.compile(r"(?<![A-Za-z0-9])[lr](?=[A-Za-z0-9])", re.IGNORECASE)  # of `lknee`, `LKNE`, `Subject:LASI`
MOST_MARKS = 5  # ways to read a name double with each, and names come from strangers
Span = tuple[int, int]


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
        twice = sorted(joint for joint, times in Counter(self.joints).items() if times > 1)
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

        Pairs come from the names, in any of the spellings that formats and tools use: `left_knee`, `LeftKnee`,
        `leftUpLeg`, `HandLeft`, `leftknee` (SMPL, BVH, Mixamo, ARKit, Kinect); `L_knee`, `l-knee`, `Knee.L`, `LKnee`,
        `Bip01 L Thigh` (Blender, OpenPose, 3ds Max); `lknee`, `LKNE`, `Subject:LASI` (CMU's ASF, Vicon). A joint
        without a pair stays: `lower_back` is no left joint, for the list has no `rower_back`.

        Raises:
            UsageError: a joint says `left` or `right` and has no partner, so that it would stay on the wrong side; or
                two joints have the same partner.
        """
        order = self._partners()
        for joint, other in enumerate(order):
            if order[other] != joint:
                own, theirs, third = (self.joints[i] for i in (joint, other, order[other]))
                raise UsageError(
                    f"joint set {self.name}: {own} would change places with {theirs}, and {theirs} with {third}; give "
                    "the joints names that say clearly which are a pair"
                )
        mirror = np.array(order, np.int64)
        mirror.flags.writeable = False
        return mirror

    def _partners(self) -> list[int]:
        """The joint that each joint's name asks for; itself where there is none."""
        place = {joint: index for index, joint in enumerate(self.joints)}
        folds = Counter(joint.casefold() for joint in self.joints)
        # `Left_knee` finds `right_knee`, unless another joint is spelled alike
        alike = {joint.casefold(): index for joint, index in place.items() if folds[joint.casefold()] == 1}
        order = []
        for index, joint in enumerate(self.joints):
            names = _other_sides(joint)
            found = [place.get(name, alike.get(name.casefold(), -1)) for name in names]
            partner = next((other for other in found if other >= 0), index)
            if partner == index and _marks(joint)[0]:
                raise UsageError(f"joint set {self.name}: {joint} has no {names[-1]} to change places with")
            order.append(partner)
        return order

    def to_json(self) -> dict[str, Any]:
        """Entry of `joint_sets` in `dataset.json`, under the set's name."""
        return {"names": list(self.joints), "root": self.root, "hash": self.hash}


def _marks(name: str) -> tuple[list[Span], list[Span]]:
    """Where a name surely says left or right (the word, or how a word begins), and where it may.

    It may with the letter l or r as a word; with a word that ends so (`kneeleft`, but also `upright`); and with the
    initial of a word (`lknee`, but also `lower`): the more certain come first.
    """
    sure, letters, tails = list[Span](), list[Span](), list[Span]()
    for word in WORD.finditer(name):
        start, text = word.start(), word[0].lower()
        if side := re.match("left|right", text):
            sure.append((start, start + side.end()))
        elif text in OTHER:
            letters.append(word.span())
        elif side := re.search("(left|right)$", text):
            tails.append((start + side.start(), word.end()))
    if sure:  # then initials are those of other words, such as `left_ring`
        return sure, letters[:MOST_MARKS]
    initials = [initial.span() for initial in INITIAL.finditer(name) if initial.span() not in letters]
    return [], (letters + tails + initials)[:MOST_MARKS]


def _other_sides(name: str) -> list[str]:
    """What a joint's partner may be called, best first; empty for a name that says no side.

    Where a name has several marks, all of them change (the left foot's left marker mirrors the right foot's right one)
    unless the list knows no such joint: the last letter of `R_toe_L` may stand for lateral.
    """
    sure, maybe = _marks(name)
    chosen = (extra for count in range(len(maybe), -1, -1) for extra in combinations(maybe, count))
    return [_swapped(name, [*sure, *extra]) for extra in chosen if sure or extra]


def _swapped(name: str, spans: Sequence[Span]) -> str:
    for start, end in sorted(spans, reverse=True):  # from behind: what lies before keeps its place
        side = name[start:end]
        other = OTHER[side.lower()]
        cased = other.upper() if side.isupper() else other.title() if side[0].isupper() else other
        name = name[:start] + cased + name[end:]
    return name


def _sided(*joints: str) -> tuple[str, ...]:
    return tuple(side + joint for joint in joints for side in ("left_", "right_"))


LEG, ARM = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
# version 2 of the keypoints of LeyangWen/vicon-read; version 1 has 66 joints and root 57, too, and another order
VEHS66 = """
RPSIS RASIS LPSIS LASIS C7_d SS T8 XP C7 HDTP MDFH REAR LEAR RAP RAP_f RLE RAP_b RME LAP LAP_f LLE LAP_b LME
LUS LRS RUS RRS RMCP5 RMCP2 LMCP5 LMCP2 LGT LMFC LLFC RGT RMFC RLFC RMM RLM LMM LLM LMTP1 LMTP5 LHEEL
RMTP1 RMTP5 RHEEL HEAD RSHOULDER LSHOULDER THORAX LELBOW RELBOW RWRIST LWRIST RHAND LHAND PELVIS
RHIP RKNEE RANKLE RFOOT LHIP LKNEE LANKLE LFOOT
"""

JOINT_SETS = {
    entry.name: entry
    for entry in (
        # SMPL's kinematic tree
        JointSet("smpl24", (
            "pelvis", *_sided("hip"), "spine1", *_sided("knee"), "spine2", *_sided("ankle"), "spine3", *_sided("foot"),
            "neck", *_sided("collar"), "head", *_sided("shoulder", "elbow", "wrist", "hand"),
        ), root=0),
        JointSet("smplx55", (
            "pelvis", *_sided("hip"), "spine1", *_sided("knee"), "spine2", *_sided("ankle"), "spine3", *_sided("foot"),
            "neck", *_sided("collar"), "head", *_sided("shoulder", "elbow", "wrist"), "jaw", *_sided("eye"),
            *(f"{side}_{finger}{joint}" for side in ("left", "right")
              for finger in ("index", "middle", "pinky", "ring", "thumb") for joint in (1, 2, 3)),
        ), root=0),
        # MotionBERT's order: right leg first, left arm first (rows of SPIN's J_regressor_h36m.npy: left leg first)
        JointSet("h36m17", (
            "hip", *(f"right_{x}" for x in LEG), *(f"left_{x}" for x in LEG), "spine", "thorax", "neck", "head",
            *(f"left_{x}" for x in ARM), *(f"right_{x}" for x in ARM),
        ), root=0),
        JointSet("coco17", ("nose", *_sided("eye", "ear", *ARM, *LEG))),
        # OpenPose, HaMeR, FreiHAND, DexYCB; MANO and InterHand2.6M have other orders
        JointSet("hand21", ("wrist", *(f"{finger}{joint}" for finger in FINGERS for joint in range(4))), root=0),
        JointSet("vehs66-v2", tuple(VEHS66.split()), root=57),
    )
}  # fmt: skip


def joint_set(which: str | Sequence[str] | JointSet, own: Mapping[str, JointSet] | None = None) -> JointSet:
    """The joint set of that name, or a list of joint names as a set.

    Args:
        which: a name of `own` or `JOINT_SETS`; or the joints' names in order; or a set, which is returned.
        own: sets that the data set itself defines: it is the truth about its data, so that under a name that both know,
            its list is taken, not ours.

    Raises:
        UsageError: no set has that name, or the list names a joint twice; or the data set has other joints under the
            name of the set given.
    """
    own = own or {}
    if isinstance(which, JointSet):
        if own.get(which.name, which).hash != which.hash:
            raise UsageError(f"joint set {which.name}: the data set has other joints, or another order, by this name")
        return which
    if not isinstance(which, str):
        return JointSet("listed", tuple(which))
    sets = JOINT_SETS | dict(own)
    if which not in sets:
        raise UsageError(f"no joint set {which!r} (known: {', '.join(sets)}); give the joints' names in order instead")
    return sets[which]


def own_joint_sets(entries: Mapping[str, Any]) -> dict[str, JointSet]:
    """The joint sets that a data set defines, by name.

    Args:
        entries: `joint_sets` of its `dataset.json`: name to `JointSet.to_json()`; the hash may be left out.

    Raises:
        FormatError: an entry is no list of names, or its names do not have the hash beside them.
    """
    sets = {}
    for name, entry in entries.items():
        names, root = (entry.get("names"), entry.get("root")) if isinstance(entry, dict) else (None, None)
        if not isinstance(names, list) or not all(isinstance(joint, str) for joint in names):
            raise FormatError(f"dataset.json: joint set {name!r} has no list of names")
        if root is not None and type(root) is not int:
            raise FormatError(f"dataset.json: joint set {name!r}: root {root!r} is no index")
        try:
            sets[name] = JointSet(name, tuple(names), root)
            found = sets[name].hash
        except (UsageError, UnicodeError) as error:
            raise FormatError(f"dataset.json: joint set {name!r}: {error}") from error
        if entry.get("hash", found) != found:
            raise FormatError(
                f"dataset.json: joint set {name!r}: its names have the hash {found}, not {entry['hash']}: they were "
                "changed after it was written"
            )
    return sets
