"""Arguments that are easily given in another form than is meant: told at once, not in the first batch."""

from collections.abc import Callable, Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

from ..catalog import CATALOG
from ..errors import FormatError, UsageError


def check_transforms(transforms: object, what: str) -> Sequence[Callable[..., Any]]:
    """A list of transforms.

    Raises:
        UsageError: it is no list, or holds names or classes.
    """
    if isinstance(transforms, str) or not isinstance(transforms, Sequence):
        raise UsageError(f"{what}: give a list, such as [{what[:-1]}], not {type(transforms).__name__}")
    for transform in transforms:
        if isinstance(transform, str):
            raise UsageError(f"{what}: {transform!r} is a name; give load_transform({transform!r}, ...)")
        if isinstance(transform, type) and any("__call__" in kind.__dict__ for kind in transform.__mro__):
            raise UsageError(f"{what}: {transform.__name__} is a class; give an instance, {transform.__name__}(...)")
        if not callable(transform):
            raise UsageError(f"{what}: {transform!r} cannot be called")
    return transforms


def check_sample(sample: object) -> Mapping[str, Any]:
    """What is drawn, by field or dimension.

    Raises:
        UsageError: it is no mapping.
    """
    if sample is None:
        return {}
    if not isinstance(sample, Mapping):
        raise UsageError(f'sample: give what to draw from, such as {{"points": 2048}}, not {sample!r}')
    return sample


def whole_number(name: str, value: object, least: int) -> int:
    """A number as Python's own, whatever library it is of.

    Raises:
        UsageError: it is none, or too small.
    """
    try:
        number = -1 if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if number < least:
        raise UsageError(f"{name} {value!r}: a whole number from {least} on")
    return number


def check_split(split: object) -> None:
    """Refuse several splits at once.

    Raises:
        UsageError: it is no name.
    """
    if split is not None and not isinstance(split, str):
        raise UsageError(f"split: {split!r} is no name; give one split, None for all of them, or a Mix of streams")


def check_folder(folder: Path) -> bool:
    """Whether a folder holds WebDataset tars of others; False where it is, or may be, a data set.

    Raises:
        UsageError: it is a part of a data set, or holds some.
        FormatError: there is no folder, or nothing in it.
    """
    if (folder / CATALOG).exists():
        return False
    if not folder.is_dir():
        what = "a file; give the folder that it lies in" if folder.exists() else "there is no such folder"
        raise FormatError(f"{folder}: {what}")
    for near in (folder.absolute().parent, *sorted(path.parent for path in folder.glob(f"*/{CATALOG}"))):
        if (near / CATALOG).exists():
            raise UsageError(f"{folder}: no {CATALOG} here, but in {near}; is that the data set that you mean?")
    if not any(folder.glob("**/*.tar")):
        made = f"`tessera shards RECIPE --out {folder}` makes one"
        raise FormatError(f"{folder}: no {CATALOG} and no tar here; {made}")
    return True
