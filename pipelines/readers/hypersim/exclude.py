"""Scenes, cameras and frames to leave out, as lists in a file; and lists of frames to keep.

A TOML file has one table a list:

    [lists.my_list]
    default = true                     # applied unless lists are chosen by name; true where it is not said
    source = "where the list comes from"
    reason = "what is wrong with its entries"
    entries = ["ai_003_001", "ai_004_009/cam_01", "ai_038_006/cam_00/4"]

Any other file is one list: an entry a line, `#` before comments. `known_bad.toml` is the list of this package.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....datasets.errors import RawDataError, UsageError
from .layout import read_table

KNOWN_BAD = Path(__file__).with_name("known_bad.toml")
ENTRY = re.compile(r"(ai_\d{3}_\d{3})(?:/(cam_\d{2})(?:/(\d{1,4}))?)?", re.ASCII)
KEPT = re.compile(r"(ai_\d{3}_\d{3})/(?:rgb_)?(cam_\d{2})(?:_fr|/)(\d{1,4})(?:\.png)?", re.ASCII)
FORM = "write ai_VVV_NNN, ai_VVV_NNN/cam_NN or ai_VVV_NNN/cam_NN/FRAME"


@dataclass(frozen=True)
class Exclusions:
    """What is left out: (scene, camera or None, frame or None) -> the reason."""

    reasons: Mapping[tuple[str, str | None, int | None], str]

    def reason(self, scene: str, camera: str, frame: int) -> str | None:
        """Why a frame is left out: the reason of its scene, camera or own entry; None where it stays."""
        for entry in ((scene, None, None), (scene, camera, None), (scene, camera, frame)):
            if entry in self.reasons:
                return self.reasons[entry]
        return None


def load_exclusions(path: Path | None, lists: Sequence[str] | None) -> Exclusions:
    """The entries of chosen lists.

    Args:
        path: a file of lists (see above); None for the known-bad entries of this package.
        lists: names of the lists that apply, `default` standing for those that are on by default and `none` for none;
            None is the same as `default`.

    Raises:
        RawDataError: the file cannot be read, or an entry or table is not of the form above.
        UsageError: a list of that name is not in the file.
    """
    source = KNOWN_BAD if path is None else path
    tables = _tables(source)
    default = [name for name, table in tables.items() if table.get("default", True)]
    chosen: list[str] = []
    for name in ["default"] if lists is None else lists:
        if name not in (*tables, "default", "none"):
            raise UsageError(f"no list {name!r} in {source} (lists: {', '.join(tables)}; or default, none)")
        chosen += {"default": default, "none": []}.get(name, [name])
    reasons: dict[tuple[str, str | None, int | None], str] = {}
    for name, table in tables.items():
        entries = [_entry(text, source, name) for text in table["entries"]]
        if name in chosen:
            why = f"{name}: {table['reason']}" if "reason" in table else name
            reasons = dict.fromkeys(entries, why) | reasons
    return Exclusions(reasons)


def load_keep_list(path: Path) -> set[tuple[str, str, int]]:
    """(scene, camera, frame) of each line that is kept.

    A line begins with `ai_001_001/rgb_cam_00_fr0000.png`, as in the lists of filtered frames that Marigold publishes,
    or with `ai_001_001/cam_00/0`.

    Raises:
        RawDataError: the file cannot be read, has no lines, or a line is of neither form.
    """
    kept = set()
    for number, line in _lines(path):
        match = KEPT.fullmatch(line.split()[0])
        if match is None:
            raise RawDataError(f"{path}: line {number}: {line!r} names no frame; write ai_VVV_NNN/cam_NN/FRAME")
        kept.add((match[1], match[2], int(match[3])))
    if not kept:
        raise RawDataError(f"{path}: keeps no frame at all; give a list with one frame a line")
    return kept


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    """The lists of a file by name."""
    if path.suffix != ".toml":
        return {path.stem: {"entries": [line for _, line in _lines(path)]}}
    try:
        tables = tomllib.loads(read_table(path).decode()).get("lists")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RawDataError(f"{path}: not a TOML file ({error}); correct it") from error
    if not isinstance(tables, dict) or not tables:
        raise RawDataError(f"{path}: no [lists.NAME] in it; add one with entries = [...]")
    for name, table in tables.items():
        entries = table.get("entries") if isinstance(table, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise RawDataError(f"{path}: lists.{name} has no entries = [...] of texts; {FORM}")
    return tables


def _entry(text: str, source: Path, name: str) -> tuple[str, str | None, int | None]:
    match = ENTRY.fullmatch(text)
    if match is None:
        raise RawDataError(f"{source}: list {name}: {text!r} is no entry; {FORM}")
    return match[1], match[2], None if match[3] is None else int(match[3])


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    """Numbered lines of a text file without comments and blank lines."""
    try:
        text = read_table(path).decode()
    except UnicodeDecodeError as error:
        raise RawDataError(f"{path}: not a text file ({error}); give one entry a line") from error
    stripped = ((number, line.split("#")[0].strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in stripped if line]
