"""Which split a subject belongs to: by the data set's own lists where it has them, else by a keyed hash."""

from collections.abc import Mapping, Sequence

from ....datasets.errors import RawDataError
from ...keyed import keyed_share
from ...raw import Raw

SPLITS = ("train", "val", "test")
VAL, TEST = 0.05, 0.05  # shares of subjects, where there is no list
MOST_BYTES = 16 << 20


def hashed_split(dataset: str, subject: str) -> str:
    """A split by a keyed hash of the subject: another subject's coming or going moves none."""
    share = keyed_share(0, dataset, subject, "split")
    return "test" if share < TEST else "val" if share < TEST + VAL else "train"


def read_list(raw: Raw, path: str) -> list[str] | None:
    """The lines of a list of subjects, each without what stands before its last `/`; None where there is no list.

    Raises:
        RawDataError: it is no text file, is too long, or cannot be read.
    """
    place = raw / path
    if not place.is_file():
        return None
    state = place.state()
    if state is not None and state.size > MOST_BYTES:
        raise RawDataError(f"{place}: {state.size} bytes; a list of subjects is shorter")
    try:
        lines = place.read_text().splitlines()
    except UnicodeDecodeError as error:
        raise RawDataError(f"{place}: not a text file ({error}); write one subject a line") from error
    names = (line.split("#")[0].strip().replace("\\", "/").rstrip("/") for line in lines)
    return list(dict.fromkeys(name.rpartition("/")[2] for name in names if name))


def listed_splits(raw: Raw, folders: Sequence[str]) -> dict[str, str] | None:
    """Split of each subject that `train.txt`, `val.txt` or `test.txt` lists; None where there is none of them.

    Args:
        raw: RAW.
        folders: where the lists may lie, relative to RAW; the first folder that has one counts.

    Raises:
        RawDataError: a list is no text file, or a subject is in two of them.
    """
    for folder in folders:
        lists = {split: read_list(raw, f"{folder}/{split}.txt") for split in SPLITS}
        if any(names is not None for names in lists.values()):
            return _of_lists(raw / folder, {split: names for split, names in lists.items() if names is not None})
    return None


def _of_lists(place: Raw, lists: Mapping[str, list[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for split, names in lists.items():
        for name in names:
            if found.setdefault(name, split) != split:
                raise RawDataError(f"{place}: {name} is in {found[name]}.txt and {split}.txt; a subject has one split")
    return found
