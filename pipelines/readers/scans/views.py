"""Which views a scan is looked at in, and what else the options say of all scans."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ....datasets.errors import UsageError
from ...bodies.model import model_path, present_models
from ...bodies.model_files import Kind
from ...raw import Raw
from ...recipe import LabelOptions, Plan, Unit, listed_names
from .unit import ScanUnit

SELECTING = frozenset({"views", "pitch"})
BODY_MODELS = "body_models"
MOST_VIEWS, SMALLEST, LARGEST = 360, 32, 4096
MOST_VARIANTS, MOST_LIGHTS = 15, 64
TALL = 0.5, 2.5  # metres


@dataclass(frozen=True)
class ScanOptions(LabelOptions):
    """Options of every recipe of scanned people.

    Attributes:
        views: cameras round the person, evenly spaced.
        size: pixels of a side of the pictures.
        camera: orthographic as PIFu and ICON render, or perspective as PaMIR does.
        pitch: degrees that the cameras are raised by; several, separated by commas, give as many rings of views.
        body_models: folder of the user's SMPL-X (and SMPL) models; `body_models` in RAW by default.
        untextured: reject scans whose texture is missing though their materials name it, or keep them in grey.
        fits: use the body models that were fitted to the scans, or ignore them.
        normalise: metres by the scale of the fit (or the units that the data set states), or by `--height`.
        height: metres from head to foot, with `--normalise height`: the same for all.
        variants: bodies with noise beside each fit.
        noise_pose: largest noise of a pose angle, in units of pi radians.
        noise_shape: largest noise of a shape weight.
        lights: further lights that pictures are rendered under, with `--with relit`.
    """

    views: int = 36
    size: int = 512
    camera: Literal["orthographic", "perspective"] = "orthographic"
    pitch: str = "0"
    body_models: Path | None = None
    untextured: Literal["reject", "grey"] = "reject"
    fits: Literal["use", "ignore"] = "use"
    normalise: Literal["fit", "height"] = "fit"
    height: float = 1.7
    variants: int = 3
    noise_pose: float = 0.05
    noise_shape: float = 0.5
    lights: int = 3

    def __post_init__(self) -> None:
        """Say where the body models are from wherever a worker runs."""
        if self.body_models is not None:
            object.__setattr__(self, "body_models", Path(os.path.abspath(self.body_models)))

    def pitches(self) -> tuple[float, ...]:
        """The rings of cameras, degrees.

        Raises:
            UsageError: they are no numbers, or out of range.
        """
        try:
            found = tuple(float(text) for text in self.pitch.split(","))
        except ValueError:
            found = ()
        if not found or not all(-89 <= degrees <= 89 for degrees in found) or len({*found}) < len(found):
            raise UsageError(f"--pitch {self.pitch!r}: different degrees from -89 to 89, separated by commas")
        return found


def check_options(options: ScanOptions) -> None:
    """Refuse values that make no sense.

    Raises:
        UsageError: with the option's name.
    """
    options.pitches()
    ranges: dict[str, tuple[float, float]] = {
        "views": (1, MOST_VIEWS), "size": (SMALLEST, LARGEST), "variants": (0, MOST_VARIANTS), "height": TALL,
        "noise_pose": (0, 1), "noise_shape": (0, 10), "lights": (1, MOST_LIGHTS),
    }  # fmt: skip
    for name, (low, high) in ranges.items():
        if not low <= getattr(options, name) <= high:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(options, name)}: from {low} to {high}")
    usual = ScanOptions()
    if options.lights != usual.lights and "relit" not in listed_names(options.with_):
        raise UsageError(f"--lights {options.lights}: only with --with relit")
    if options.height != usual.height and options.normalise != "height":
        raise UsageError(f"--height {options.height}: only with --normalise height")


def with_views(plan: Plan, raw: Raw, options: ScanOptions, kind: Kind) -> Plan:
    """The plan with the views of each scan, and with what its body models are.

    Args:
        plan: of a planner.
        raw: RAW.
        options: the recipe's.
        kind: of all body models, `smplx` or `smpl`; fits of the other kind are rejected when they are read.

    Raises:
        UsageError: an option is out of range, or a body model is needed that is not there.
    """
    check_options(options)
    rings = options.pitches()
    places = {
        view_key(yaw, ring if len(rings) > 1 else None): {"yaw": yaw, "pitch": pitch}
        for ring, pitch in enumerate(rings)
        for yaw in (360 * number / options.views for number in range(options.views))
    }
    scans = {unit.name: ScanUnit.of(unit) for unit in plan.units if unit.payload}
    if options.fits == "ignore":
        scans = {name: replace(scan, fit=None, fit_kind=None) for name, scan in scans.items()}
    if scans and options.normalise == "fit" and not any(x.fit or x.units_per_metre for x in scans.values()):
        raise UsageError(
            f"{raw}: no scan has a fit, so how large a unit is is not known: give all people one height by --normalise "
            "height (--height 1.7), or, with recipe scans, say it by --units-per-metre"
        )
    models = _models(raw, options, kind, [scan for scan in scans.values() if scan.fit])
    return replace(plan, units=tuple(_unit(unit, scans.get(unit.name), places, models) for unit in plan.units))


def view_key(yaw: float, ring: int | None = None) -> str:
    """End of a record's key: whole degrees of the yaw, and the ring of cameras where there are several."""
    return f"{round(yaw):03d}" + ("" if ring is None else f"-{ring}")


def models_folder(raw: Raw, options: ScanOptions) -> Path:
    """Where the body models are.

    Raises:
        UsageError: nothing says it, for RAW is no local folder.
    """
    if options.body_models is not None:
        return options.body_models
    if raw.local is None:
        raise UsageError(f"--raw {raw}: give the local folder of the body models as --body-models")
    return raw.local / BODY_MODELS


def _unit(unit: Unit, scan: ScanUnit | None, places: Mapping[str, Any], models: Mapping[str, str]) -> Unit:
    if scan is None:  # left out when planning
        return unit
    payload = {"scan": scan.payload(), "models": dict(models) if scan.fit else {}}
    records = {f"{unit.name}-{key}": place for key, place in places.items()}
    return replace(unit, records=records, payload=payload, summaries={unit.name: {}})


def _models(raw: Raw, options: ScanOptions, kind: Kind, fitted: Sequence[ScanUnit]) -> dict[str, str]:
    """Hashes of the body models, by gender: labels are made of those of the fits, and of the first that is there."""
    if not fitted:
        return {}
    folder = models_folder(raw, options)
    needed = {"male" for scan in fitted if scan.fit_kind == "thuman2"}
    needed |= {scan.gender for scan in fitted if scan.gender}
    try:
        for gender in sorted(needed):
            model_path(folder, gender, kind)
    except UsageError as error:
        raise UsageError(f"{error}; or leave the fits out: --fits ignore --normalise height") from error
    there = present_models(folder, kind)
    if all(scan.fit_kind == "thuman2" or scan.gender for scan in fitted):  # no other model can come in
        needed |= {next(iter(there))}  # whose canonical colours all share
        there = {gender: path for gender, path in there.items() if gender in needed}
    return {gender: _sha256(path, path.stat().st_size, path.stat().st_mtime_ns) for gender, path in there.items()}


@lru_cache(maxsize=16)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
