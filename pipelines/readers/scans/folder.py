"""Any folder of meshes, with fits beside them."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import count

from ....datasets.errors import RawDataError
from ...raw import Raw
from ...recipe import Plan, Unit
from .fit import Gender
from .fit_files import Kind
from .meshes import SUFFIXES
from .splits import hashed_split, listed_splits
from .unit import ScanUnit, first_file, planned, rejected, unit_name

NAME = "folder"
DEEPEST = 8
MOST_FOLDERS = 100_000
EXPECTED = f"a folder of scans holds meshes that end with {', '.join(SUFFIXES)}, in it or in folders of it"


def plan_folder(raw: Raw, units_per_metre: float | None = None, gender: Gender | None = None) -> Plan:
    """One unit a mesh, at any depth; no mesh and no fit is opened.

    The fit of `a/b.obj` is `a/b.pkl` or `a/b.npz`, or `a/smplx_param.pkl` where that folder holds no other mesh. Splits
    are those of `train.txt`, `val.txt` and `test.txt` in RAW, which name units, or a keyed hash.

    Args:
        raw: RAW.
        units_per_metre: of all meshes; None where it is not known (GLB files are in metres).
        gender: of the fits' models; None where they say it.

    Raises:
        RawDataError: RAW holds no mesh, or a list is damaged.
    """
    if not raw.is_dir():
        raise RawDataError(f"{raw}: no such folder; give the folder with the meshes as --raw (RAW=)")
    listed = listed_splits(raw, (".",))
    units: dict[str, Unit] = {}
    notes: Counter[str] = Counter()
    for mesh, alone in _meshes(raw):
        name = unit_name(mesh.rpartition(".")[0].replace("/", "-"))
        if listed is not None and name not in listed:
            notes["meshes that no list of a split names are left out"] += 1
            continue
        split = hashed_split(NAME, name) if listed is None else listed[name]
        if name in units:
            number = next(n for n in count(2) if f"{name}-{n}" not in units)
            units[f"{name}-{number}"] = rejected(f"{name}-{number}", split, mesh, f"a second mesh of the name {name}")
            continue
        fit = _fit(raw, mesh, alone)
        notes["meshes without a fit"] += fit is None
        kind: Kind | None = "any" if fit else None
        metres = 1.0 if units_per_metre is None and mesh.lower().endswith(".glb") else units_per_metre  # glTF's unit
        scan = ScanUnit(NAME, mesh, None, fit, kind, gender, metres)
        units[name] = planned(name, split, mesh, partial(_unit, raw, scan, name, split))
    if not units:
        raise RawDataError(f"{raw}: no mesh in it{', or none that a list names' if listed else ''}; {EXPECTED}")
    how = "the lists in RAW" if listed is not None else "a hash of each name"
    return Plan(
        tuple(units[name] for name in sorted(units)),
        (f"splits by {how}", *(f"{n} {what}" for what, n in notes.items() if n)),
    )


def _meshes(raw: Raw) -> Iterator[tuple[str, bool]]:
    """Path of each mesh, in order, and whether it is alone in its folder; hidden folders are passed over."""
    todo, folders = [("", 0)], 0
    while todo:
        path, depth = todo.pop()
        folder = raw / path
        folders += 1
        if folders > MOST_FOLDERS:
            raise RawDataError(f"{raw}: more than {MOST_FOLDERS} folders; give the folder that holds the meshes")
        found = {name: inner for name, inner in sorted(folder.store.entries(path).items()) if not name.startswith(".")}
        meshes = [name for name, inner in found.items() if name.lower().endswith(SUFFIXES) and not inner]
        for name in meshes:
            yield (folder / name).path, len(meshes) == 1
        if depth < DEEPEST:
            below = [name for name, inner in found.items() if inner and _is_folder(folder / name)]
            todo += [((folder / name).path, depth + 1) for name in reversed(below)]


def _unit(raw: Raw, scan: ScanUnit, name: str, split: str) -> Unit:
    if not (raw / scan.scan).is_file():
        return rejected(name, split, scan.scan, "no file: a link that leads nowhere, or a device")
    return scan.unit(name, split)


def _is_folder(place: Raw) -> bool:
    try:
        return place.is_dir()
    except RawDataError:  # a symbolic link that leads out of RAW
        return False


def _fit(raw: Raw, mesh: str, alone: bool) -> str | None:
    stem = mesh.rpartition(".")[0]
    beside = [(raw / mesh).parent / "smplx_param.pkl"] if alone else []
    return first_file(raw, f"{stem}.pkl", f"{stem}.npz", *(place.path for place in beside))
