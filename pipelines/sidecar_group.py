"""One group of an added label: the reader is asked again for the group's records, with just this label on."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from graphlib import TopologicalSorter
from itertools import pairwise
from typing import Any

from ..datasets.schema import Schema
from ..datasets.sidecar_writer import SidecarWriter, read_base
from .group import GroupBuilder, GroupTask, Limit
from .rawfiles import FileNote, RawFiles
from .recipe import Reject, Sample, Unit
from .sidecar import only_label, optional, split_schemas
from .status import StatusFile


class SidecarBuilder(GroupBuilder):
    """Like `GroupBuilder`: the records are those of the group's shards, and each is written.

    One that cannot have the label is written without it, and stands in the rejects at a stage `LABEL: STAGE`.
    """

    writers: dict[str, SidecarWriter]  # type: ignore[assignment]

    def __init__(self, task: GroupTask, limit: Limit, poll: Callable[[], None], status: StatusFile) -> None:
        super().__init__(task, limit, poll, status)
        self.labels = {name: tuple(x for x in on if x.name == task.label) for name, on in self.labels.items()}
        folder = task.out / task.split
        self.base = {name: read_base(folder, name, task.group, x) for name, x in self.without.items()}
        units = {unit.name: unit for unit in task.units}
        self.task = replace(self.task, units=tuple(units[name] for name in self.order() if name in units))

    def make_schemas(self) -> dict[str, Schema]:
        """What the label adds, as it declares it; from here on only this label is on."""
        self.without, added = split_schemas(self.recipe, self.options, self.task.label)
        whole, self.options = self.options, only_label(self.recipe, self.options, self.task.label)
        self.alone = self.options != whole
        return added

    def make_writer(self, table: str, schema: Schema) -> SidecarWriter:
        """The writer of the shards beside those of one table."""
        task = self.task
        return SidecarWriter(
            task.out / task.split, table, task.split, task.group, label=task.label, schema=optional(schema),
            strict=schema, base=self.base[table], run=task.writer,
        )  # fmt: skip

    def order(self) -> list[str]:
        """Units in the order in which all tables of the group have them."""
        before: dict[str, list[str]] = {}
        for table in self.schemas:
            names = list(dict.fromkeys(name for part in self.base[table] for name in part.units))
            before.update({name: before.get(name, []) for name in names})
            for name, following in pairwise(names):
                before[following].append(name)
        return list(TopologicalSorter(before).static_order())

    def unit(self, unit: Unit) -> str:
        """Build or copy one unit; it is copied only where the shards hold the same records of it as before."""
        if unit.name in self.task.keep and any(
            self.previous.keys(table, unit.name) != writer.keys(unit.name) for table, writer in self.writers.items()
        ):
            self.task = replace(self.task, keep={k: v for k, v in self.task.keep.items() if k != unit.name})
        return super().unit(unit)

    def records(self, unit: Unit, files: RawFiles) -> None:
        """Every record of the unit that is there gets the label or is left without."""
        there = {key for parts in self.base.values() for part in parts for key in part.units.get(unit.name, ())}
        known = {*unit.records, *unit.summaries}
        if known:
            text = "the plan with this label leaves it out"
            lost = [key for writer in self.writers.values() for key in writer.keys(unit.name) if key not in known]
            self.result.rejects += [Reject(unit.name, x, unit.name, f"{self.task.label}: plan", text) for x in lost]
        else:
            self.result.rejects += unit.rejects
        own = {key for writer in self.writers.values() for key in writer.keys(unit.name)}
        summaries = {key: value for key, value in unit.summaries.items() if key in own or not self.alone}
        records = {key: value for key, value in unit.records.items() if key in there}
        super().records(replace(unit, records=records, summaries=summaries, rejects=()), files)
        self.leave_rest()

    def once(self, unit: Unit, files: RawFiles) -> tuple[set[str], bool]:
        """Read and label the records of the unit; others are left without the label."""
        for writer in self.writers.values():
            writer.expect({*unit.records, *unit.summaries})
        return super().once(unit, files)

    def sample(self, unit: Unit, sample: Sample, files: RawFiles) -> bool:
        """Label one record; those of other tables are of no concern here."""
        writer = self.writers.get(sample.table)
        if writer is None or not writer.wants(sample.key):
            return True
        base = self.without[sample.table]
        known = {x.name for x in base.columns} | {x.name for x in base.references}
        scalars: dict[str, Any] = {name: value for name, value in sample.scalars.items() if name not in known}
        return super().sample(unit, replace(sample, scalars=scalars), files)

    def left_out(self, reject: Reject) -> None:
        """Note a unit or record that cannot have the label, and leave it without."""
        waiting = [writer for writer in self.writers.values() if reject.key and writer.wants(reject.key)]
        if waiting or not reject.key:
            super().left_out(replace(reject, stage=f"{self.task.label}: {reject.stage}"))
        for writer in waiting:
            writer.leave(reject.key)

    def failed(self, unit: Unit, reject: Reject, files: Mapping[str, FileNote]) -> str:
        """Leave all records of a unit without the label; returns its fingerprint."""
        fingerprint = super().failed(unit, reject, files)
        self.leave_rest()
        return fingerprint

    def leave_rest(self) -> None:
        """Leave the unit's records without the label that have not got it."""
        for writer in self.writers.values():
            writer.expect(frozenset())
