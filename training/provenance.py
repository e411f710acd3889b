"""What a checkpoint was trained on, and whether another data set goes with it.

Added scenes, labels and records are fine. Another joint set, fields of another meaning, or a record to test on that was
trained on are refused: they give figures that mean nothing, and nobody notices.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..datasets.catalog import Catalog
from ..datasets.errors import FormatError, UsageError
from ..datasets.order import key_of
from .engine import Request

SEMANTIC = ("dtype", "shape", "unit", "frame", "meaning", "nan", "options")  # of a field; not how it is stored


@dataclass(frozen=True)
class Provenance:
    """What a checkpoint was trained on.

    Attributes:
        data: name of the data set.
        recipe: that wrote it.
        split: that was trained on.
        fields: hash of what each field means, by path.
        joint_sets: hash of each joint set.
        assets: hash of each file that all records share.
        units: hashes of the units (subjects, scenes) that were trained on.
    """

    data: str
    recipe: str
    split: str
    fields: dict[str, str] = field(default_factory=dict)
    joint_sets: dict[str, str] = field(default_factory=dict)
    assets: dict[str, str] = field(default_factory=dict)
    units: tuple[int, ...] = ()

    def to_state(self) -> dict[str, Any]:
        """For a checkpoint: plain values."""
        return asdict(self) | {"units": list(self.units)}

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> "Provenance":
        """Of a checkpoint.

        Raises:
            FormatError: it holds something else.
        """
        try:
            return Provenance(**{**state, "units": tuple(state["units"])})
        except (TypeError, KeyError) as error:
            raise FormatError(f"checkpoint: what it was trained on cannot be read ({error})") from error

    def joined(self, other: "Provenance") -> "Provenance":
        """Of a run that went on with more data: all units that either was trained on."""
        return Provenance(
            other.data, other.recipe, other.split, {**self.fields, **other.fields}, other.joint_sets, other.assets,
            tuple(sorted({*self.units, *other.units})),
        )  # fmt: skip


def trained_on(state: dict[str, Any], path: Path) -> Provenance:
    """What the run of a checkpoint was trained on.

    Raises:
        FormatError: it does not say so.
    """
    found = state.get("callbacks", {}).get("Checkpoints", {}).get("trained")
    if not isinstance(found, dict):
        raise FormatError(f"{path}: it does not say what it was trained on; is it a checkpoint of tessera train?")
    return Provenance.from_state(found)


def provenance(catalog: Catalog, asked: Request, split: str) -> Provenance:
    """What a run on a split of a data set is trained on."""
    return Provenance(
        data=catalog.name, recipe=catalog.recipe, split=split,
        fields={path: meaning(catalog, asked.table, path) for path in asked.fields},
        joint_sets={name: str(entry.get("hash", "")) for name, entry in catalog.joint_sets.items()},
        assets=dict(catalog.assets), units=units(catalog, asked.table, split),
    )  # fmt: skip


def units(catalog: Catalog, table: str, split: str) -> tuple[int, ...]:
    """Hashes of the units of a split: subjects, scenes, captures."""
    found: Iterable[str] = {
        unit for shard in catalog.shards if shard.table == table and shard.split == split for unit in shard.units
    }
    return tuple(sorted(_unit(catalog.recipe, unit) for unit in found))


def meaning(catalog: Catalog, table: str, path: str) -> str:
    """Hash of what a field means: type, dimensions, unit, frame, words; of columns and references likewise."""
    table, leaf = catalog.home(table, path)
    schema = catalog.schema(table)
    if leaf in schema.by_name:
        entry = schema.by_name[leaf].to_json()
        said = {name: entry.get(name) for name in SEMANTIC}
    else:
        others: list[Any] = [*schema.columns, *schema.references]
        said = next(x for x in others if x.name == leaf).__dict__
    return f"{key_of(repr(sorted((k, str(v)) for k, v in said.items()))):016x}"


def check_fits(trained: Provenance, catalog: Catalog, asked: Request, what: str) -> None:
    """Refuse a data set that does not mean what the checkpoint was trained on.

    Args:
        trained: of the checkpoint.
        catalog: of the data set that is to go with it.
        asked: what the engine asks of it.
        what: the checkpoint, for messages.

    Raises:
        UsageError: another joint set, or a field with another meaning; the message names it.
    """
    new = provenance(catalog, asked, trained.split)
    for name, old in trained.joint_sets.items():
        if name in new.joint_sets and new.joint_sets[name] != old:
            raise UsageError(f"{what}: joint set {name} of {catalog.name} is another one than it was trained with")
    lost = sorted(set(trained.joint_sets) - set(new.joint_sets))
    if lost and new.joint_sets:
        has = f"{catalog.name} has {_list(new.joint_sets)}"
        raise UsageError(f"{what}: trained with joint set {', '.join(lost)}; {has}")
    changed = [path for path, old in trained.fields.items() if path in new.fields and new.fields[path] != old]
    if changed:
        raise UsageError(
            f"{what}: {', '.join(changed)} of {catalog.name} does not mean what it was trained on (type, dimensions, "
            "unit, frame or words of the schema differ); build the data set with the version that it was trained with, "
            "or train anew"
        )


def check_unseen(trained: Provenance, catalog: Catalog, table: str, split: str, what: str) -> None:
    """Refuse to test on what was trained on.

    Raises:
        UsageError: with the number of such units, and some of their names.
    """
    known = set(trained.units)
    names = {unit for x in catalog.shards if x.table == table and x.split == split for unit in x.units}
    seen = sorted(name for name in names if _unit(catalog.recipe, name) in known)
    if seen:
        raise UsageError(
            f"{what}: was trained on {len(seen)} of the {len(names)} units of split {split!r} ({_list(seen[:5])}): "
            f"figures of them would say nothing; choose another split (tessera eval --split {trained.split} looks at "
            "training records openly)"
        )


def _unit(recipe: str, unit: str) -> int:
    return key_of(recipe, unit) >> 1  # fits a signed 64-bit number


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
