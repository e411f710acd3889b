"""Body models that were fitted to scans: one dataclass for what each data set writes in its own way."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import FormatError

Model = Literal["smplx", "smpl"]
Gender = Literal["male", "female", "neutral"]
GENDERS = ("male", "female", "neutral")
MARK = "tessera_stand_in"  # key of a fit that was made with a free stand-in for the body model
BODY, SMPL_BODY, HAND, HAND_PCA = 63, 69, 45, 12
MOST_BETAS = 400
SMALLEST_SCALE, LARGEST_SCALE = 1e-6, 1e4  # raw units a metre
LARGEST = 1e6  # number of any parameter
Floats = NDArray[np.float64]
LATER = (
    "hands of 45 numbers are the later representation of THuman2.1 (ids from 0526), whose gender its authors do not "
    "state; give the gender (--later-gender of thuman2, --gender of scans), or leave these subjects out"
)


@dataclass(frozen=True, eq=False)
class BodyFit:
    """A posed body model in a scan's frame: `vertices of the model (with transl) * scale + translation`, in this order.

    Attributes:
        model: `smplx`, or `smpl` of 24 joints.
        gender: of the model file.
        betas: (B,) float64 shape.
        expression: (E,) float64; empty for SMPL.
        global_orient: (3,) axis-angle of the root, radians, as all poses.
        body_pose: (63,) of SMPL-X, (69,) of SMPL.
        left_hand_pose: (45,) axis-angles, (12,) weights of the model's first components, or empty for SMPL.
        right_hand_pose: likewise.
        jaw_pose: (3,), and likewise empty for SMPL.
        leye_pose: likewise.
        reye_pose: likewise.
        transl: (3,) metres, before the scale.
        scale: raw units of the scan a metre of the model.
        translation: (3,) raw units of the scan, after the scale.
        hands_pca: 12 where hands are weights of components, 0 where they are axis-angles.
        flat_hand_mean: whether hands are relative to a flat hand, not to the model's mean.
        stand_in: what the body model was made of, where it was a free stand-in; None for the real one.
    """

    model: Model
    gender: Gender
    betas: Floats
    global_orient: Floats
    body_pose: Floats
    expression: Floats = field(default_factory=lambda: np.zeros(0))
    left_hand_pose: Floats = field(default_factory=lambda: np.zeros(0))
    right_hand_pose: Floats = field(default_factory=lambda: np.zeros(0))
    jaw_pose: Floats = field(default_factory=lambda: np.zeros(0))
    leye_pose: Floats = field(default_factory=lambda: np.zeros(0))
    reye_pose: Floats = field(default_factory=lambda: np.zeros(0))
    transl: Floats = field(default_factory=lambda: np.zeros(3))
    scale: float = 1.0
    translation: Floats = field(default_factory=lambda: np.zeros(3))
    hands_pca: int = 0
    flat_hand_mean: bool = False
    stand_in: str | None = None

    def to_scan(self, points: Floats) -> Floats:
        """Points of the posed model (..., 3), metres, `transl` included, in the scan's raw units and frame."""
        return points * self.scale + self.translation


def thuman2_fit(values: Mapping[str, Any], source: str = "fit", later_gender: Gender | None = None) -> BodyFit:
    """The SMPL-X fit of THuman2.0, and of THuman2.1 up to id 0525: of the male model, hands by 12 components.

    Args:
        values: content of `smplx_param.pkl`.
        source: what it is called in messages.
        later_gender: of the later representation, whose hands are 45 axis-angles; its authors do not state it.

    Raises:
        FormatError: a parameter is missing, of another shape, not finite, or absurd; or it is the later representation,
            and no gender is given.
    """
    read = _Parameters(values, source)
    hands = [read.row(f"{side}_hand_pose", HAND_PCA, HAND) for side in ("left", "right")]
    pca = HAND_PCA if all(len(hand) == HAND_PCA for hand in hands) else 0
    if len(hands[0]) != len(hands[1]):
        raise FormatError(f"{source}: hands of {len(hands[0])} and {len(hands[1])} numbers; both have as many")
    if not pca and later_gender is None:
        raise FormatError(f"{source}: {LATER}")
    transl, scale, translation = _placed(read, bool(pca))
    return BodyFit(
        model="smplx",
        gender="male" if pca or later_gender is None else later_gender,
        betas=read.betas(),
        expression=read.expression(),
        global_orient=read.row("global_orient", 3),
        body_pose=read.row("body_pose", BODY),
        left_hand_pose=hands[0],
        right_hand_pose=hands[1],
        jaw_pose=read.row("jaw_pose", 3),
        leye_pose=read.row("leye_pose", 3),
        reye_pose=read.row("reye_pose", 3),
        transl=transl,
        scale=scale,
        translation=translation,
        hands_pca=pca,
        flat_hand_mean=False,
        stand_in=read.mark(),
    )


def _placed(read: "_Parameters", earlier: bool) -> tuple[Floats, float, Floats]:
    """Where the body is: transl, scale and translation; only such combinations as have one meaning.

    The earlier representation scales, then translates. The later one is in the scan's own units, or translates within
    the model.
    """
    inside = read.row("transl", 3) if "transl" in read.values else np.zeros(3)
    if earlier or {"scale", "translation"} <= set(read.values):
        if inside.any():
            raise FormatError(f"{read.source}: both transl and translation; which of them holds is not known")
        return np.zeros(3), read.scale("scale"), read.row("translation", 3)
    if "translation" in read.values or ("scale" in read.values and read.scale("scale") != 1):
        raise FormatError(f"{read.source}: of scale and translation only one; how the body is placed is not known")
    if "transl" not in read.values:
        raise FormatError(f"{read.source}: neither translation nor transl; this is no fit to a scan")
    return inside, 1.0, np.zeros(3)


def pamir_fit(values: Mapping[str, Any], source: str = "fit", gender: Gender = "neutral") -> BodyFit:
    """The SMPL fit of PaMIR: `body_pose` of 72 numbers begins with the root, which `global_orient` only repeats.

    Args:
        values: content of `smpl_param.pkl`.
        source: what it is called in messages.
        gender: of the model.

    Raises:
        FormatError: a parameter is missing, of another shape, not finite, or absurd.
    """
    read = _Parameters(values, source)
    pose = read.row("body_pose", 3 + SMPL_BODY)
    return BodyFit(
        model="smpl", gender=gender, betas=read.betas(), global_orient=pose[:3], body_pose=pose[3:],
        scale=read.scale("body_scale"), translation=read.row("global_body_translation", 3), stand_in=read.mark(),
    )  # fmt: skip


def cape_fit(values: Mapping[str, Any], gender: Gender, source: str = "fit") -> BodyFit:
    """The SMPL fit of CAPE: `pose` of 72 numbers begins with the root; shape zero, metres, no scale.

    Args:
        values: content of `<s>.npz`.
        gender: of the subject (see `CAPE_GENDERS` of cape.py).
        source: what it is called in messages.

    Raises:
        FormatError: a parameter is missing, of another shape, not finite, or absurd.
    """
    read = _Parameters(values, source)
    pose = read.row("pose", 3 + SMPL_BODY)
    betas = read.betas() if "betas" in values else np.zeros(10)
    return BodyFit(
        model="smpl", gender=gender, betas=betas, global_orient=pose[:3], body_pose=pose[3:],
        transl=read.row("transl", 3), stand_in=read.mark(),
    )  # fmt: skip


def any_fit(values: Mapping[str, Any], gender: Gender | None, source: str = "fit") -> BodyFit:
    """A fit of any of the representations above, told by its keys.

    Args:
        values: content of the file.
        gender: of the model; where it is None, THuman2.0's is male, and that of others is not known.
        source: what it is called in messages.

    Raises:
        FormatError: it is none of them, or does not say its gender and none is given.
    """
    if {"body_pose", "left_hand_pose", "right_hand_pose"} <= set(values):
        fit = thuman2_fit(values, source, gender)
        return fit if gender is None else replace(fit, gender=gender)
    if not {"body_pose", "global_body_translation"} <= set(values) and not {"pose", "transl"} <= set(values):
        found = ", ".join(sorted(map(str, values)))[:200]
        raise FormatError(f"{source}: no fit that is known (keys: {found}); known are THuman2.0's, PaMIR's, CAPE's")
    if gender is None:
        raise FormatError(f"{source}: does not say its gender; give it")
    return pamir_fit(values, source, gender) if "body_pose" in values else cape_fit(values, gender, source)


class _Parameters:
    """Arrays of a fit by name, each checked when it is asked for."""

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        self.values, self.source = values, source

    def row(self, name: str, *sizes: int) -> Floats:
        """(n,) float64 of an array of n numbers, with or without an axis of one before; n is one of `sizes`."""
        if name not in self.values:
            raise FormatError(f"{self.source}: no {name}; this is another kind of fit, or a damaged one")
        value = self.values[name]
        flat = isinstance(value, list) and all(isinstance(number, int | float) for number in value)
        array = np.asarray(value) if flat or isinstance(value, np.ndarray | np.generic | float | int) else np.array("")
        if array.dtype.kind not in "iuf":
            raise FormatError(f"{self.source}: {name} holds no numbers")
        size = array.shape[-1] if array.ndim else 1
        if array.size != size or (sizes and size not in sizes):
            wanted = " or ".join(f"(1, {n})" for n in sizes) or "(1, n)"
            raise FormatError(f"{self.source}: {name} has the shape {array.shape}, expected {wanted}")
        numbers = array.reshape(-1).astype(np.float64)
        if not np.isfinite(numbers).all():
            raise FormatError(f"{self.source}: {name} is not finite")
        if (absurd := numbers[np.abs(numbers) > LARGEST]).size:
            raise FormatError(f"{self.source}: {name} holds {absurd[0]:g}; numbers of a fit are at most {LARGEST:g}")
        return numbers

    def scale(self, name: str) -> float:
        """Raw units a metre."""
        scale = float(self.row(name, 1)[0])
        if not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
            allowed = f"between {SMALLEST_SCALE:g} and {LARGEST_SCALE:g}"
            raise FormatError(f"{self.source}: {name} is {scale}; a scale lies {allowed}")
        return scale

    def betas(self) -> Floats:
        """The shape."""
        return self._some("betas")

    def expression(self) -> Floats:
        """The expression."""
        return self._some("expression")

    def _some(self, name: str) -> Floats:
        array = self.row(name)
        if not 0 < len(array) <= MOST_BETAS:
            raise FormatError(f"{self.source}: {name} has {len(array)} numbers; models have up to {MOST_BETAS}")
        return array

    def mark(self) -> str | None:
        """What the body model was made of, where a stand-in was fitted."""
        value = self.values.get(MARK)
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        if value is not None and not isinstance(value, str):
            raise FormatError(f"{self.source}: {MARK} is no text")
        return None if value is None else str(value)
