"""THuman2.0 and 2.1: where scans and SMPL-X fits lie, and ICON's split of them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from ....datasets.errors import RawDataError
from ...raw import Raw
from ...recipe import Plan, Unit
from .fit import Gender
from .splits import hashed_split, listed_splits, read_list
from .unit import ScanUnit, first_file, folders, is_file, planned, rejected

NAME = "thuman2"
ID = re.compile(r"\d{4}", re.ASCII)
BASES = (".", "thuman2")
SCAN_FOLDERS = ("scans", "model", ".")  # of ICON, of THuman2.1's release, of THuman2.0's
FIT_FOLDERS = ("fits", "smplx")
TRAIN, TEST, FIRST_RELEASE = 500, 5, 526  # ICON: the first 500 train, the next 5 test, the last 21 val
EXPECTED = (
    "a THuman2 folder holds scans/0000/0000.obj and fits/0000/smplx_param.pkl, or smplx/0000.pkl; any other folder of "
    "meshes is for the recipe scans"
)


def plan_thuman2(raw: Raw, need_fit: bool = True, gender: Gender | None = None) -> Plan:
    """One unit a scan, in order of ids; no mesh and no fit is opened.

    A scan without a fit and a fit without a scan are rejects. Where there is an `all.txt`, what it does not list is
    left out, and ICON's split counts its ids. Splits are those of `train.txt`, `val.txt` and `test.txt`, or ICON's, or
    a keyed hash where there are fewer ids than ICON's split needs; the notes say which.

    Args:
        raw: RAW.
        need_fit: whether a scan without a fit is a reject.
        gender: of THuman2.1's later fits, which do not say it.

    Raises:
        RawDataError: RAW holds no such folder, or a list is damaged.
    """
    base, folder = _find(raw)
    scans = [name for name in folders(raw / folder) if ID.fullmatch(name)]
    fits = _fits(raw, base, folder, scans)
    if need_fit and not fits:
        raise RawDataError(f"{raw}: scans but no SMPL-X fits; {EXPECTED}")
    there = {*scans, *fits}
    listed = {name for name in read_list(raw, f"{base}/all.txt") or () if ID.fullmatch(name)}
    notes: Counter[str] = Counter()
    if listed:
        notes["scans that all.txt does not list are left out"] += len(there - listed)
        notes["scans of all.txt are not in RAW"] += len(listed - there)
    splits, how = _splits(raw, base, sorted(listed or scans))
    units = []
    for name in sorted(there & listed if listed else there):
        if name in scans and name not in splits:
            notes["scans that no list of a split names are left out"] += 1
        else:
            split, fit = splits.get(name, "train"), fits.get(name)
            make = partial(_unit, raw, folder, name, split, fit, need_fit, gender)
            units.append(planned(name, split, (raw / folder / name).path, make))
    counts = Counter(unit.split for unit in units if unit.payload)
    told = ", ".join(f"{counts[split]} {split}" for split in ("train", "val", "test"))
    return Plan(tuple(units), (f"splits by {how}: {told}", *(f"{n} {what}" for what, n in notes.items() if n)))


def _find(raw: Raw) -> tuple[str, str]:
    """The data set's folder, and that of its scans, relative to RAW."""
    if not raw.is_dir():
        raise RawDataError(f"{raw}: no such folder; give the folder with the scans as --raw (RAW=)")
    for base in BASES:
        for scans in SCAN_FOLDERS:
            folder = raw / base / scans
            if any(ID.fullmatch(name) and is_file(folder / name / f"{name}.obj") for name in folder.names()):
                return base, (folder.path or ".")
    raise RawDataError(f"{raw}: no THuman2 scan in it; {EXPECTED}")


def _fits(raw: Raw, base: str, folder: str, scans: Sequence[str]) -> dict[str, str]:
    """Path of the fit of each id that has one."""
    found: dict[str, str] = {}
    for place in FIT_FOLDERS:
        for name in (raw / base / place).names():
            key = name.removesuffix(".pkl")
            if not ID.fullmatch(key) or key in found:
                continue
            path = (raw / base / place / name).path
            at = path if name.endswith(".pkl") else f"{path}/smplx_param.pkl"
            if is_file(raw / at):
                found[key] = at
    for name in scans:
        if name not in found and (beside := first_file(raw, f"{folder}/{name}/smplx_param.pkl")):
            found[name] = (raw / beside).path
    return found


def _unit(raw: Raw, folder: str, name: str, split: str, fit: str | None, need_fit: bool, gender: Gender | None) -> Unit:
    scan = (raw / folder / name / f"{name}.obj").path
    if not (raw / scan).is_file():
        error = "a folder without its scan" if fit is None else f"a fit without a scan: {scan} is missing"
        return rejected(name, split, fit or scan, error)
    if fit is None and need_fit:
        return rejected(name, split, scan, "a scan without a fit: fits/ID/smplx_param.pkl or smplx/ID.pkl is missing")
    return ScanUnit(NAME, scan, fit=fit, fit_kind="thuman2" if fit else None, gender=gender).unit(name, split)


def _splits(raw: Raw, base: str, names: Sequence[str]) -> tuple[Mapping[str, str], str]:
    """Split of each scan, and what it comes from."""
    listed = listed_splits(raw, (base, "."))
    if listed is not None:
        return listed, "the lists in RAW"
    if len(names) <= TRAIN + TEST:
        hashed = {name: hashed_split(NAME, name) for name in names}
        return hashed, f"a hash of each id, for ICON's split needs more than {TRAIN + TEST} scans"
    first, rest = names[:FIRST_RELEASE], names[FIRST_RELEASE:]
    splits = {name: "train" if i < TRAIN else "test" if i < TRAIN + TEST else "val" for i, name in enumerate(first)}
    return splits | {name: hashed_split(NAME, name) for name in rest}, "ICON's rule" + (
        f", and a hash of each id after the first {FIRST_RELEASE}" if rest else ""
    )
