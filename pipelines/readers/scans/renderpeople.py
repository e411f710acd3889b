"""RenderPeople as PIFu and as PaMIR lay it out."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial

from ....datasets.errors import RawDataError
from ...raw import Raw
from ...recipe import Plan, Unit
from .fit import Gender
from .splits import hashed_split, listed_splits, read_list
from .unit import ScanUnit, first_file, folders, planned, rejected, unit_name

NAME = "renderpeople"
SUFFIX = "_OBJ"
MESHES, FIT = "mesh_data", "smpl/smpl_param.pkl"
CENTIMETRES = 100.0
EXPECTED = "a RenderPeople folder holds NAME_OBJ/NAME_100k.obj (PIFu), or mesh_data/NAME/*.obj (PaMIR)"


def plan_renderpeople(raw: Raw, gender: Gender = "neutral") -> Plan:
    """One unit a scan; no mesh and no fit is opened.

    In PIFu's layout, units are centimetres and there are no fits; in PaMIR's, which overwrites the meshes with ones of
    the height of a box, units are not known and fits are SMPL. `val.txt` (and `train.txt`, `test.txt`) holds subjects
    out; without, splits are a keyed hash.

    Args:
        raw: RAW.
        gender: of PaMIR's fits, which do not say it.

    Raises:
        RawDataError: RAW holds no such folder, or a list is damaged.
    """
    if not raw.is_dir():
        raise RawDataError(f"{raw}: no such folder; give the folder with the scans as --raw (RAW=)")
    listed = listed_splits(raw, (".",))

    def split(name: str) -> str:
        return hashed_split(NAME, name) if listed is None else listed.get(name, "train")

    notes = Counter({"splits by a hash of each name, for there is no val.txt": int(listed is None)})
    scans = [name.removesuffix(SUFFIX) for name in folders(raw) if name.endswith(SUFFIX) and name != SUFFIX]
    units = [planned(unit_name(x), split(x), x + SUFFIX, partial(_pifu, raw, x, split(x))) for x in scans]
    pamir = folders(raw / MESHES)
    wanted = read_list(raw, "data_list.txt")
    if pamir and wanted:
        notes["scans that data_list.txt does not list are left out"] += len({*pamir} - {*wanted})
    fitted = [
        planned(unit_name(x), split(x), f"{MESHES}/{x}", partial(_pamir, raw, x, split(x), gender))
        for x in (wanted or pamir if pamir else ())
    ]
    with_fit = sum(unit.payload.get("fit") is not None for unit in fitted)
    notes[f"fits whose files do not say the gender: {gender}"] = with_fit
    notes["scans of PaMIR's layout without a fit"] = sum(bool(unit.payload) for unit in fitted) - with_fit
    distinct = {unit.name: unit for unit in reversed(units + fitted)}
    notes["scans of a name that another one has are left out"] = len(units) + len(fitted) - len(distinct)
    if not distinct:
        raise RawDataError(f"{raw}: no RenderPeople scan in it; {EXPECTED}")
    return Plan(tuple(distinct[name] for name in sorted(distinct)), tuple(_lines(notes)))


def _lines(notes: Mapping[str, int]) -> Iterator[str]:
    for what, count in notes.items():
        if count:
            yield what if what.startswith("splits") else f"{count} {what}"


def _pifu(raw: Raw, name: str, split: str) -> Unit:
    folder = f"{name}{SUFFIX}"
    scan, texture = f"{folder}/{name}_100k.obj", f"{folder}/tex/{name}_dif_2k.jpg"
    if not (raw / scan).is_file():
        return rejected(unit_name(name), split, folder, f"a folder of a scan without {name}_100k.obj")
    if not (raw / texture).is_file():
        return rejected(unit_name(name), split, scan, f"a scan without its texture: {texture} is missing")
    return ScanUnit(NAME, scan, texture, units_per_metre=CENTIMETRES).unit(unit_name(name), split)


def _pamir(raw: Raw, name: str, split: str, gender: Gender) -> Unit:
    folder, unit = f"{MESHES}/{name}", unit_name(name)
    files = [entry for entry in (raw / folder).names() if (raw / folder / entry).is_file()]
    meshes, textures = ([x for x in files if x.lower().endswith(ending)] for ending in (".obj", ".jpg"))
    fit = first_file(raw, f"{folder}/{FIT}")
    if not meshes:
        error = f"a fit without a scan: {folder}/*.obj is missing" if fit else "no scan in its folder"
        return rejected(unit, split, fit or folder, error)
    if len(meshes) > 1 or len(textures) > 1:
        return rejected(unit, split, folder, f"{len(meshes)} meshes and {len(textures)} textures; a scan has one each")
    if not textures:
        return rejected(unit, split, f"{folder}/{meshes[0]}", f"a scan without its texture: {folder}/*.jpg is missing")
    paths = f"{folder}/{meshes[0]}", f"{folder}/{textures[0]}"
    kind = ("pamir", gender) if fit else (None, None)
    return ScanUnit(NAME, *paths, fit, *kind).unit(unit, split)  # type: ignore[arg-type]
