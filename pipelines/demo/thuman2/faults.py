"""Deliberate faults of the demo: one subject each, of the kinds that scans and fits of others come with."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np


def put_in(root: Path, first: int) -> None:
    """Spoil the subjects from number `first` on, one for each of `FAULTS`, and list them in `faults.json`."""
    entries = []
    for number, (kind, (spoil, expected)) in enumerate(FAULTS.items(), first):
        name = f"{number:04d}"
        spoil(root / "scans" / name / f"{name}.obj", root / "fits" / name / "smplx_param.pkl")
        entries.append({"subject": name, "kind": kind, "expected": expected})
    (root / "faults.json").write_text(json.dumps(entries, indent=1) + "\n")


def _faces(path: Path) -> tuple[list[str], list[str]]:
    lines = path.read_text().splitlines(keepends=True)
    return [line for line in lines if line[0] != "f"], [line for line in lines if line[0] == "f"]


def _open_mesh(scan: Path, fit: Path) -> None:
    """A hole: the faces about one of them are gone, as where a scanner could not see."""
    others, faces = _faces(scan)
    vertices = np.array([line.split()[1:4] for line in others if line.startswith("v ")], np.float64)
    corners = np.array([[part.split("/")[0] for part in line.split()[1:]] for line in faces], np.int64) - 1
    middle = vertices[corners].mean(1)
    hole = np.linalg.norm(middle - middle[middle[:, 1].argmax()], axis=1) < 0.03
    scan.write_text("".join(others + [line for line, gone in zip(faces, hole, strict=True) if not gone]))


def _flipped_faces(scan: Path, fit: Path) -> None:
    """Every ninth face looks the other way."""
    others, faces = _faces(scan)
    for number in range(0, len(faces), 9):
        _, a, b, c = faces[number].split()
        faces[number] = f"f {a} {c} {b}\n"
    scan.write_text("".join(others + faces))


def _stray_component(scan: Path, fit: Path) -> None:
    """A little box in the air, beside the person."""
    others, faces = _faces(scan)
    vertices = sum(line.startswith("v ") for line in others)
    box = [(x, y, z) for x in (0.0, 0.01) for y in (0.0, 0.01) for z in (0.0, 0.01)]
    others += [f"v {0.3 + x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in box]
    sides = ((1, 3, 4, 2), (5, 6, 8, 7), (1, 2, 6, 5), (3, 7, 8, 4), (1, 5, 7, 3), (2, 4, 8, 6))
    for a, b, c, d in sides:
        faces += [f"f {vertices + i}/1 {vertices + j}/1 {vertices + k}/1\n" for i, j, k in ((a, c, b), (a, d, c))]
    scan.write_text("".join(others + faces))


def _missing_texture(scan: Path, fit: Path) -> None:
    (scan.parent / "material0.jpeg").unlink()


def _wrong_scale_fit(scan: Path, fit: Path) -> None:
    """The fit of a person half as large again."""
    found = pickle.loads(fit.read_bytes())  # ours, of a moment ago
    found["scale"] = found["scale"] * 1.5
    fit.write_bytes(pickle.dumps(found, protocol=3))


class _Hostile:
    """Would make a folder in that in which it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (os.mkdir, ("hostile_pickle_ran",))


def _hostile_pickle(scan: Path, fit: Path) -> None:
    fit.write_bytes(pickle.dumps({"betas": np.zeros((1, 10), np.float32), "scale": _Hostile()}, protocol=3))


FAULTS: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "open mesh": (_open_mesh, "kept; signs by winding numbers, its doubt in the index"),
    "flipped faces": (_flipped_faces, "kept; faces turned, their number in the index"),
    "stray component": (_stray_component, "kept; one part more in the index"),
    "missing texture": (_missing_texture, "rejected, with the texture's path"),
    "wrong-scale fit": (_wrong_scale_fit, "rejected: the fit lies far from the scan"),
    "hostile pickle": (_hostile_pickle, "rejected: the pickle names a class that is none of ours; nothing runs"),
}
