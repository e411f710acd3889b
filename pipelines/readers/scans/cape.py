"""CAPE as ICON publishes it: scans to test on, SMPL fits, and the gender of each subject."""

import re
from functools import partial

from ....datasets.errors import RawDataError
from ...raw import Raw
from ...recipe import Plan, Unit
from .fit import Gender
from .unit import ScanUnit, planned, rejected, unit_name

NAME = "cape"
SUBJECT = re.compile(r"(\d{5})-.+", re.ASCII)
MALE = "00032 00096 00122 00127 00145 00215 02474 03284 03375 03394"
FEMALE = "00134 00159 03223 03331 03383"
CAPE_GENDERS: dict[str, Gender] = dict.fromkeys(MALE.split(), "male") | dict.fromkeys(FEMALE.split(), "female")  # type: ignore[assignment]
EXPECTED = "a CAPE folder holds cape/scans/NAME.obj and cape/smpl/NAME.npz"


def plan_cape(raw: Raw) -> Plan:
    """One unit a scan, all to test on; no mesh and no fit is opened.

    A scan without a fit, a fit without a scan, and a subject whose gender is not known are rejects.

    Raises:
        RawDataError: RAW holds no such folder.
    """
    for base in (".", "cape"):
        scans, fits = (_stems(raw / base / folder, ending) for folder, ending in (("scans", ".obj"), ("smpl", ".npz")))
        if scans:
            units = [
                planned(unit_name(x), "test", x, partial(_unit, raw / base, x, x in scans, x in fits))
                for x in sorted(scans | fits)
            ]
            return Plan(tuple(units), (f"{len(units)} scans to test on; they have no texture",))
    raise RawDataError(f"{raw}: no CAPE scan in it; {EXPECTED}")


def _stems(folder: Raw, ending: str) -> set[str]:
    return {name.removesuffix(ending) for name in folder.names() if name.endswith(ending)}


def _unit(base: Raw, name: str, has_scan: bool, has_fit: bool) -> Unit:
    scan, fit, unit = base / "scans" / f"{name}.obj", base / "smpl" / f"{name}.npz", unit_name(name)
    if not has_scan or not scan.is_file():
        return rejected(unit, "test", fit.path, f"a fit without a scan: {scan.path} is missing")
    if not has_fit or not fit.is_file():
        return rejected(unit, "test", scan.path, f"a scan without a fit: {fit.path} is missing")
    match = SUBJECT.fullmatch(name)
    gender = CAPE_GENDERS.get(match[1]) if match else None
    if gender is None:
        error = "a subject whose gender is not known: names begin with one of 15 ids"
        return rejected(unit, "test", scan.path, error)
    return ScanUnit(NAME, scan.path, None, fit.path, "cape", gender, 1.0).unit(unit, "test")
