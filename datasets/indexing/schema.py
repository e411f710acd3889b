"""The schema of a strangers' data set, from what every one of its records holds."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import FormatError
from ..schema import Field, Schema
from .columns import columns
from .names import field_names
from .scan import Scan

MOST_KINDS = 1024
MOST_FREE = 128  # axes that vary; beyond, none is compared with another
PICTURES = ("jpg", "png", "rgb")
NAN = "as whoever wrote the data set meant it"
Axis = tuple[str, int]


@dataclass(frozen=True)
class LeftOut:
    """Members that are not read: their ending, why, in how many records, and one of these (tar and key)."""

    member: str
    why: str
    records: int
    example: str


@dataclass
class _Kind:
    """What is known of one kind of member; sizes are those of the first axes that all have."""

    records: int
    forms: Counter[tuple[str, str, int]]  # codec, dtype, number of axes
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    example: str

    def join(self, other: "_Kind") -> "_Kind":
        axes = min(len(self.low), len(other.low))
        low, high = np.minimum(self.low[:axes], other.low[:axes]), np.maximum(self.high[:axes], other.high[:axes])
        return _Kind(self.records + other.records, self.forms + other.forms, low, high, self.example)

    def form(self) -> tuple[str, str, int] | None:
        """Codec, dtype and number of axes of the field that holds all of them; None where none does."""
        if all(codec in PICTURES and dtype in ("uint8", "bool") for codec, dtype, _ in self.forms):
            channels = self.low[2:] == self.high[2:]
            if len(self.forms) > 1 or not channels.all():
                return "rgb", "uint8", 3  # of different kinds, as Pillow's and WebDataset's conversion has them
        return next(iter(self.forms)) if len(self.forms) == 1 else None


class Inference:
    """Collects what scans hold: `add` each, then `compare` each, then take `schema`.

    Attributes:
        records: number of records.
        have: number of records that have each kind of member.
    """

    def __init__(self) -> None:
        self.records = 0
        self._kinds: dict[str, _Kind] = {}
        self._left_out: dict[tuple[str, str], tuple[int, str]] = {}
        self._axes: list[Axis] | None = None
        self._differ = self._meet = np.zeros((0, 0), np.bool_)

    def add(self, scan: Scan, where: str) -> None:
        """Take in the kinds, dtypes and shapes of a scan; `where` names its tar.

        Raises:
            FormatError: more than 1,024 kinds of members.
        """
        self.records += len(scan.records)
        for name, column in columns(scan).items():
            rows = column.at[column.at >= 0]
            low, high = column.shape.min(axis=0), column.shape.max(axis=0)
            example = f"{where}, {scan.records['key'][int(scan.of[rows[0]])]}"
            kind = _Kind(len(rows), _forms(scan, pa.array(rows)), low, high, example)
            self._kinds[name] = self._kinds[name].join(kind) if name in self._kinds else kind
        self._leave_out(scan, where)
        if len(self._kinds) > MOST_KINDS:
            raise FormatError(
                f"{where}: more than {MOST_KINDS} kinds of members ({', '.join(sorted(self._kinds)[:3])}, ...); "
                "WebDataset ends a key at the first dot, so names with dots in them make a kind each"
            )

    def _leave_out(self, scan: Scan, where: str) -> None:
        rows = np.flatnonzero(pc.equal(scan.entries["codec"], "").to_numpy(zero_copy_only=False))
        names, reasons = (scan.entries[x].take(pa.array(rows)).to_pylist() for x in ("raw", "why"))
        for row, pair in zip(rows.tolist(), zip(names, reasons, strict=True), strict=True):
            if pair not in self._left_out and len(self._left_out) >= MOST_KINDS:
                pair = ("...", "further kinds and reasons")
            count, example = self._left_out.get(pair, (0, ""))
            self._left_out[pair] = count + 1, example or f"{where}, {scan.records['key'][int(scan.of[row])]}"

    def note(self, where: str, behind: int) -> None:
        """Take in that bytes lie behind a tar's end of archive."""
        if behind:
            why = "bytes behind the end of the archive (tars joined by cat?), which no reader reads"
            count, example = self._left_out.get(("", why), (0, where))
            self._left_out["", why] = count + 1, example

    def compare(self, scan: Scan) -> None:
        """See which of the axes that vary have one size in each record of a scan."""
        axes = self._free()
        if not 1 < len(axes) <= MOST_FREE:
            return
        found = columns(scan)
        absent = np.full(len(scan.records), -1, np.int64)
        sizes = np.stack([found[name].sizes(axis) if name in found else absent for name, axis in axes])
        there = sizes >= 0
        for at in range(len(axes)):
            both = there[at] & there
            self._meet[at] |= both.any(axis=1)
            self._differ[at] |= (both & (sizes[at] != sizes)).any(axis=1)

    def _free(self) -> list[Axis]:
        """Axes that do not have one size in all records."""
        if self._axes is None:
            self._axes = []
            for name, kind in sorted(self._kinds.items()):
                form = kind.form()
                axes = 0 if form is None else min(len(kind.low), 2 if form[0] == "rgb" else form[2])
                self._axes += [(name, axis) for axis in range(axes) if kind.low[axis] != kind.high[axis]]
            self._differ, self._meet = np.zeros((2, len(self._axes), len(self._axes)), np.bool_)
        return self._axes

    def schema(self) -> tuple[Schema, dict[str, str]]:
        """The schema, and the kind of member that each field is made from.

        Axes that have one size in all records have it in the schema; others are free, and share a dimension where
        they agree in every record that has both.
        """
        kinds = {name: form for name, kind in sorted(self._kinds.items()) if (form := kind.form())}
        names = field_names(kinds)
        dimension = self._dimensions(names, {name: codec in PICTURES for name, (codec, _, _) in kinds.items()})
        fields = []
        for raw, (codec, dtype, _) in kinds.items():
            sizes = self._kinds[raw].low.tolist()
            sizes = [*sizes[:2], 3] if codec == "rgb" else sizes
            shape = tuple(dimension.get((raw, axis), size) for axis, size in enumerate(sizes))
            nan = NAN if dtype.startswith("float") else ""
            optional = self._kinds[raw].records < self.records
            fields.append(Field(names[raw], dtype, shape, codec, meaning=f"member {raw}", optional=optional, nan=nan))
        free: dict[str, int | None] = dict.fromkeys(dimension.values())
        return Schema(tuple(fields), free), {names[raw]: raw for raw in kinds}

    def _dimensions(self, names: dict[str, str], pictures: dict[str, bool]) -> dict[Axis, str]:
        """Name of each free axis; the first of those that agree gives the name."""
        found: dict[Axis, str] = {}
        groups: list[list[int]] = []
        for at, (raw, axis) in enumerate(self._free()):
            for group in groups:
                if self._meet[at, group].all() and not self._differ[at, group].any():
                    group.append(at)
                    found[raw, axis] = found[self._free()[group[0]]]
                    break
            else:
                groups.append([at])
                words = ("height", "width") if pictures[raw] else ("length",)
                found[raw, axis] = f"{names[raw]}_{words[axis] if axis < len(words) else f'axis{axis}'}"
        return found

    def have(self) -> dict[str, int]:
        """Number of records that have each kind of member."""
        return {name: kind.records for name, kind in self._kinds.items()}

    def left_out(self) -> list[LeftOut]:
        """What is not read, most frequent first."""
        found = [LeftOut(name, why, *told) for (name, why), told in self._left_out.items()]
        for name, kind in self._kinds.items():
            if kind.form() is None:
                forms = ", ".join(f"{dtype} with {n} axes in {c}" for (_, dtype, n), c in kind.forms.most_common(3))
                found.append(LeftOut(name, f"records differ: {forms}", kind.records, kind.example))
        return sorted(found, key=lambda entry: (-entry.records, entry.member, entry.why))


def _forms(scan: Scan, rows: pa.Array) -> Counter[tuple[str, str, int]]:
    axes = scan.entries["shape"].take(rows).value_lengths()
    table = pa.table(
        [scan.entries["codec"].take(rows), scan.entries["dtype"].take(rows), axes], ["codec", "dtype", "axes"]
    )
    counted = table.group_by(["codec", "dtype", "axes"]).aggregate([([], "count_all")])
    names = ("codec", "dtype", "axes", "count_all")
    return Counter(
        {(row[0], row[1], row[2]): row[3] for row in zip(*(counted[x].to_pylist() for x in names), strict=True)}
    )
