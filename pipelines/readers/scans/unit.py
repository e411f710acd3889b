"""One scan as planners of every layout hand it on: paths and conventions, as JSON values."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ....datasets.errors import RawDataError
from ....datasets.names import LONGEST
from ....datasets.typed import typed
from ...raw import Raw
from ...recipe import Reject, Unit
from .fit import Gender
from .fit_files import Kind

KEPT = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)
LONGEST_NAME = LONGEST - 24  # a record's key is the unit's name and more


@dataclass(frozen=True)
class ScanUnit:
    """Payload of a unit; paths are relative to RAW.

    Attributes:
        layout: which planner found it.
        scan: path of the mesh.
        texture: path of the picture that all faces have; None where the mesh's materials say it.
        fit: path of the body model's fit; None where there is none.
        fit_kind: how the fit is written.
        gender: of the body model; None where the fit says it, or its kind has only one.
        units_per_metre: raw units in a metre; None where they are not known, and come from the fit's scale or height.
    """

    layout: str
    scan: str
    texture: str | None = None
    fit: str | None = None
    fit_kind: Kind | None = None
    gender: Gender | None = None
    units_per_metre: float | None = None

    def payload(self) -> dict[str, Any]:
        """JSON values for `Unit.payload`."""
        return asdict(self)

    @classmethod
    def of(cls, unit: Unit) -> "ScanUnit":
        """The scan of a unit.

        Raises:
            TypeError: its payload is of another kind.
        """
        return typed(cls, unit.payload)

    def unit(self, name: str, split: str) -> Unit:
        """The unit, still without records: how many there are of a scan is the recipe's choice."""
        return Unit(name, split, {}, self.payload())


def rejected(name: str, split: str, path: str, error: str) -> Unit:
    """A unit that is left out as a whole, because of a path in RAW."""
    return Unit(name, split, {}, rejects=(Reject(name, "", path, "plan", error),))


def unit_name(text: str) -> str:
    """A name that keys can begin with: letters, digits, '_' and '-'; what is not goes to '_'."""
    return KEPT.sub("_", text).lstrip("_-")[:LONGEST_NAME] or "scan"


def planned(name: str, split: str, path: str, make: Callable[[], Unit]) -> Unit:
    """The unit that `make` gives, or one that is left out where RAW is not sound: a bad link, a damaged archive."""
    try:
        return make()
    except RawDataError as error:
        return rejected(name, split, path, str(error))


def folders(place: Raw) -> list[str]:
    """Names of the folders in a folder, sorted; where links lead is not looked at yet.

    Raises:
        RawDataError, StoreError: it cannot be listed.
    """
    return sorted(name for name, inner in place.store.entries(place.path).items() if inner)


def is_file(place: Raw) -> bool:
    """Whether there is a file; one that lies elsewhere, by way of a symbolic link, or in a damaged archive is none."""
    try:
        return place.is_file()
    except RawDataError:
        return False


def first_file(raw: Raw, *paths: str) -> str | None:
    """The first of some paths at which there is a file."""
    return next((path for path in paths if is_file(raw / path)), None)
