"""Materials of OBJ files: MTL text, and the picture or colour of each material that faces have."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from ....datasets.errors import FormatError
from ...rawfiles import RawFiles
from .textures import Pixels, decode_picture

MOST_BYTES = 4 << 20  # of an MTL file
MOST_MATERIALS = 256
GREY = (204, 204, 204)  # of a material that says nothing
NO_TEXTURE = "is missing: no texture"  # end of a note
SEVERAL = re.compile(r"\S+\.mtl(\s+\S+\.mtl)+", re.IGNORECASE)  # one name may have blanks in it
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # or a drive
OPTION = re.compile(r"-[A-Za-z]+((?:\s+(?:[-+]?[\d.]+(?:e[-+]?\d+)?|on|off|[rgbmlz]))*)\s+", re.ASCII)


@dataclass(frozen=True)
class Material:
    """One material: its picture's path relative to the MTL file's folder, where it has one, and its colour, sRGB."""

    picture: str | None = None
    colour: tuple[int, int, int] = GREY


def parse_mtl(data: bytes, source: str) -> dict[str, Material]:
    """Materials by name: `map_Kd` and `Kd`; options of a map are left aside.

    Args:
        data: the file.
        source: what it is called in messages.

    Raises:
        FormatError: it is too large, or a colour is none; the message names the line.
    """
    if len(data) > MOST_BYTES:
        raise FormatError(f"{source}: {len(data)} bytes; refused: materials have up to {MOST_BYTES}")
    found: dict[str, Material] = {}
    name: str | None = None
    for line, text in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        word, *given = text.split(maxsplit=1)[:2] or [""]
        rest = given[0].strip() if given else ""
        if word == "newmtl":
            name = rest
            found[name] = Material()
        elif name is not None and word.lower() == "map_kd" and rest:
            found[name] = Material(OPTION.sub("", f"{rest} ").strip() or None, found[name].colour)
        elif name is not None and word == "Kd":
            found[name] = Material(found[name].picture, _colour(rest, f"{source}: line {line}"))
    return found


def _colour(text: str, place: str) -> tuple[int, int, int]:
    """Kd as 8-bit sRGB; programs write what is seen, so that it is taken as it is."""
    try:
        values = [float(value) for value in text.split()]
    except ValueError as error:
        raise FormatError(f"{place}: Kd {text[:80]!r} is no colour; fetch the file again") from error
    if len(values) not in (1, 3) or not np.isfinite(values).all():
        raise FormatError(f"{place}: Kd {text[:80]!r} is no colour; fetch the file again")
    red, green, blue = (round(255 * min(max(value, 0.0), 1.0)) for value in (values * 3)[:3])
    return red, green, blue


def beside(path: str, named: str) -> str:
    """Path of a file that another one names, in its folder or below.

    Args:
        path: the file that names it, relative to RAW.
        named: what it says.

    Raises:
        FormatError: it is absolute, or leads upwards.
    """
    name = named.strip().strip('"').replace("\\", "/")
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or URL.match(name) or "\0" in name:
        raise FormatError(f"{path}: names {named[:200]!r}, outside of its folder; refused: put it there and correct it")
    return (PurePosixPath(path).parent / name).as_posix()


def read_materials(files: RawFiles, path: str, lines: list[str], notes: list[str]) -> dict[str, Material]:
    """Materials of the files that `mtllib` lines name, the pictures' paths relative to RAW; missing ones are noted.

    Raises:
        FormatError: a path leaves the folder, or a file is none.
        RawDataError: a file cannot be read.
    """
    found: dict[str, Material] = {}
    names = [name for line in lines for name in (line.split() if SEVERAL.fullmatch(line) else [line])]
    for named in dict.fromkeys(names):
        source = beside(path, named)
        try:
            data = files.read(source)
        except FileNotFoundError:
            notes.append(f"{source} {NO_TEXTURE}")
            continue
        for name, material in parse_mtl(data, source).items():
            picture = beside(source, material.picture) if material.picture else None
            found.setdefault(name, Material(picture, material.colour))
    return found


def read_picture(files: RawFiles, path: str, notes: list[str]) -> Pixels | None:
    """A texture; None, and a note, where it is missing.

    Raises:
        FormatError: it is damaged.
        RawDataError: it cannot be read.
    """
    try:
        data = files.read(path)
    except FileNotFoundError:
        notes.append(f"{path} {NO_TEXTURE}")
        return None
    with files.stages("decode texture"):
        return decode_picture(data, path)
