"""Names of fields for the members of strangers' records, and of splits for their files."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from ..members import LABELS
from ..schema import RESERVED

TAKEN = (*RESERVED, "repeat", "window")  # the last two are names in a batch
LONGEST = 64
SPLIT = re.compile(r"(train|training|val|valid|validation|test|testing|dev|eval|holdout)(?![a-z])")


def field_names(raws: Iterable[str]) -> dict[str, str]:
    """Field name of each kind of member: `image.jpg` is `image`, `jpg` is `jpg`, `data.npz/points` is `data_points`.

    Where two would have one name, or the format keeps it for itself, the ending stays: `image_jpg`, `image_png`.
    """
    raws = sorted(raws)
    short = {raw: _short(raw) for raw in raws}
    counts = Counter(short.values())
    named: dict[str, str] = {}
    for raw in raws:
        name = short[raw] if counts[short[raw]] == 1 and short[raw] not in TAKEN else _plain(raw)
        named[raw] = name
    counts = Counter(named.values())
    used = {name for name, count in counts.items() if count == 1} - set(TAKEN)
    for raw in raws:
        if named[raw] not in used or counts[named[raw]] > 1:
            named[raw] = _numbered(named[raw], used)
            used.add(named[raw])
    return named


def _short(raw: str) -> str:
    ending, _, member = raw.partition("/")
    stem, _, kind = ending.rpartition(".")
    name = stem or kind
    if member:
        name = member if ending == LABELS else f"{name}_{member}"
    return _plain(name)


def _plain(text: str) -> str:
    name = re.sub(r"[^a-z0-9_]", "_", text.lower())[:LONGEST]
    return name if name[:1].isalpha() else f"f_{name}"


def _numbered(name: str, used: set[str]) -> str:
    number = 2
    while f"{name}_{number}" in used:
        number += 1
    return f"{name}_{number}"


def split_name(path: PurePosixPath) -> str:
    """Split of a tar: its first folder, or a name such as `val` that it begins with, or `train`.

    Args:
        path: relative to the data set's folder.
    """
    if len(path.parts) > 1:
        return _plain(path.parts[0])
    found = SPLIT.match(path.name.lower())
    return found[1] if found else "train"
