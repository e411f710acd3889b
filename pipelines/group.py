"""One task: a group of units to shards, in this process or in a Ray worker. Results go to disk here."""

import contextlib
import errno
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..datasets.errors import TesseraError
from ..datasets.index import ShardFacts
from ..datasets.schema import Schema
from ..datasets.shard import ShardWriter, shard_stem
from ..datasets.stages import Stages
from .discover import load_recipe
from .fingerprint import REJECTED, fingerprint
from .limits import UnitTimeout
from .lock import lock_commit
from .notes import GroupNote, UnitNote, note_path, read_note, write_note
from .out_store import OutStore
from .previous import Previous, intact
from .publish import publish_group, send
from .raw import Raw
from .raw_store import StoreError
from .rawfiles import FileNote, RawFiles, note_file, note_raw
from .recipe import Recipe, Reject, Sample, Unit
from .rejects import normalise
from .status import StatusFile

MOST_TRACEBACKS = 100
OUT_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # no reading fails so: it is what is noted of it
Limit = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class GroupTask:
    """What a worker needs to build one group; small, for it travels through Ray.

    `options` are the values of the recipe's options (its class may not be importable where the task is unpickled).
    `skip` holds the rejects of units that crashed or hung before, `opened` the raw files that these had opened;
    `keep` names units whose records are copied from the group's shards of an earlier run where these are intact, with
    their fingerprints. With a `label`, that one is added to the group's shards, which stay as they are; `options` are
    those of a run that had it from the start. `store` is the URL of an object store whose mirror `out` is; else empty.
    """

    recipe: str
    options: Mapping[str, Any]
    raw: Raw
    out: Path
    run: str
    split: str
    group: int
    units: tuple[Unit, ...]
    specs: Mapping[str, str]
    made_from: Mapping[str, Any]
    shard_bytes: int
    unit_timeout: float = 0.0
    strict: bool = False
    attempt: int = 1
    skip: Mapping[str, Reject] = field(default_factory=dict)
    opened: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)
    lock_name: str = "lock"
    label: str = ""
    store: str = ""

    @property
    def name(self) -> str:
        """`train-000012`, or `train-000012.semantic` where a label is added: names the group in `runs/`."""
        return f"{self.split}-{self.group:06d}" + (f".{self.label}" if self.label else "")

    @property
    def writer(self) -> str:
        """Names this attempt's temporary files; a worker on a node that is cut off may still write an earlier one's."""
        return self.run if self.attempt == 1 else f"{self.run}-{self.attempt}"

    @property
    def log_folder(self) -> Path:
        """Folder of the run's log."""
        return self.out / "runs" / self.run

    @property
    def status_path(self) -> Path:
        """The group's standing."""
        return self.log_folder / "status" / f"{self.name}.json"


@dataclass
class GroupResult:
    """What a finished group reports to the driver: counts and notes, never data."""

    records: int = 0
    bytes: int = 0
    reused: int = 0
    retries: int = 0
    rejects: list[Reject] = field(default_factory=list)
    tracebacks: list[dict[str, str]] = field(default_factory=list)
    stages: Stages = field(default_factory=Stages)
    shards: list[ShardFacts] = field(default_factory=list)


class StopRun(TesseraError):
    """The run cannot go on: a unit or record failed under `--strict`, or OUT cannot be written."""


class GroupBuilder:
    """State of one group while it is built."""

    def __init__(self, task: GroupTask, limit: Limit, poll: Callable[[], None], status: StatusFile) -> None:
        self.task, self.limit, self.poll, self.status = task, limit, poll, status
        self.recipe: Recipe = load_recipe(task.recipe)
        self.options = self.recipe.options(**task.options)
        self.schemas: dict[str, Schema] = self.make_schemas()
        copies = bool(task.keep) and intact(task.out, task.split, list(self.schemas), task.group, task.label)
        if not copies:
            self.task = replace(task, keep={})
        self.labels = {name: self.recipe.labels(name, self.options) for name in self.schemas}
        self.joint = self.recipe.is_joint(self.options)
        self.result = GroupResult()
        self.writers: dict[str, ShardWriter] = {}
        self.notes: dict[str, UnitNote] = {}
        self.settled = 0

    @cached_property
    def previous(self) -> Previous:
        """The group's records as they are committed."""
        return Previous(self.task.out, self.task.split, self.task.group, list(self.schemas), self.task.label)

    def make_schemas(self) -> dict[str, Schema]:
        """Schemas of what is written."""
        return self.recipe.schemas(self.options)

    def make_writer(self, table: str, schema: Schema) -> ShardWriter:
        """The writer of one table's shards."""
        task = self.task
        folder = task.out / task.split
        return ShardWriter(folder, table, task.split, task.group, schema, run=task.writer, limit=task.shard_bytes)

    def build(self) -> GroupResult:
        """Build and commit the group."""
        task, result = self.task, self.result
        with contextlib.ExitStack() as stack:
            for table, schema in self.schemas.items():
                self.writers[table] = stack.enter_context(self.make_writer(table, schema))
            fingerprints = {}
            for unit in task.units:
                fingerprints[unit.name] = self.unit(unit)
                self.settled += len(unit.records)
                self.status.set(settled=self.settled)
            self.status.set(key="", stage="commit")
            rejects = [vars(reject) for reject in result.rejects]
            stack.enter_context(lock_commit(task.out))
            self.check_lock()
            for writer in self.writers.values():
                result.shards += writer.commit(fingerprints, rejects, dict(task.made_from))
                result.stages.merge(writer.stages)
            self.publish()
        return result

    def publish(self) -> None:
        """Leave the group's note; where OUT is on an object store, shards and note are put there."""
        task = self.task
        if not task.store:
            self.note()
            return
        with self.result.stages("upload"):
            publish_group(task.store, task.out, task.run, self.result.shards, task.label)
            self.note()
            send(OutStore(task.store), task.out, [f"runs/notes/{task.name}.json"])

    def note(self) -> None:
        """Leave the group's note, by which the next run knows it; units that were copied keep theirs."""
        task = self.task
        path = note_path(task.out, task.split, task.group, task.label)
        old = read_note(path)
        units = {name: old.units[name] for name in task.keep if old} | self.notes
        files = [f"{task.split}/{x.tar}" for x in self.result.shards if x.tar]
        for label in dict.fromkeys(("", task.label)):
            files += [f"{task.split}/{shard_stem(x.table, x.group, x.part, label)}.parquet" for x in self.result.shards]
        write_note(path, GroupNote(units, {name: note_file(task.out / name) for name in files}), task.writer)

    def unit(self, unit: Unit) -> str:
        """Build or copy one unit; returns its fingerprint."""
        task = self.task
        self.status.set(unit=unit.name, key="", stage="start")
        for writer in self.writers.values():
            writer.begin(unit.name)
        if unit.name in task.keep:
            with self.result.stages("copy"):
                copied = self.previous.copy(unit.name, self.writers)
            self.result.records += copied
            self.result.reused += copied
            self.result.rejects += self.previous.rejects.get(unit.name, [])
            return task.keep[unit.name]
        if unit.name in task.skip:
            return self.failed(unit, task.skip[unit.name], {x: note_raw(task.raw / x) for x in task.opened[unit.name]})
        for attempt in (1, 2):
            files = RawFiles(task.raw, opened=self.status.opens)
            before = self.result.records, self.result.bytes, len(self.result.rejects)
            try:
                with self.limit():
                    self.records(unit, files)
                break
            except (KeyboardInterrupt, StopRun):
                raise
            except (Exception, SystemExit) as error:
                if isinstance(error, OSError) and error.errno in OUT_FAULTS:
                    raise self.stop(error) from error
                self.undo(*before)
                if (
                    attempt == 1
                    and isinstance(error, OSError)
                    and not isinstance(error, FileNotFoundError | PermissionError)
                ):
                    self.result.retries += 1  # a hiccup of disk or network, not of the data
                    continue
                if isinstance(error, StoreError):  # every unit would be rejected for it
                    raise StopRun(f"{error}; the same command again goes on from here") from error
                return self.failed(unit, self.reject(unit, "", error, files), files.notes)
        self.notes[unit.name] = UnitNote(task.specs[unit.name], dict(files.notes), False)
        return fingerprint(task.specs[unit.name], files.digest())

    def undo(self, records: int, size: int, rejects: int) -> None:
        """Forget what a failed unit has given so far."""
        self.result.records, self.result.bytes = records, size
        del self.result.rejects[rejects:]
        self.status.set(settled=self.settled, rejects=rejects)
        for writer in self.writers.values():
            writer.rollback()

    def failed(self, unit: Unit, reject: Reject, files: Mapping[str, FileNote]) -> str:
        """Leave out a whole unit; returns its fingerprint."""
        self.left_out(reject)
        self.notes[unit.name] = UnitNote(self.task.specs[unit.name], dict(files), True)
        return f"{REJECTED}{self.task.specs[unit.name]}"

    def left_out(self, reject: Reject) -> None:
        """Note a unit or record that is left out.

        Raises:
            StopRun: under `--strict`.
        """
        if self.task.strict:
            raise StopRun(f"{reject.key or reject.unit} ({reject.path}): {reject.stage}: {reject.error}")
        self.result.rejects.append(reject)
        self.status.set(rejects=len(self.result.rejects))

    def records(self, unit: Unit, files: RawFiles) -> None:
        """Every planned record of a unit becomes a record or a reject.

        Joint labels have seen all records of the unit that the reader had not refused before it gave the first one; if
        one of these fails after all, the unit is built again without it.
        """
        self.result.rejects += unit.rejects
        before = self.result.records, self.result.bytes
        while unit.records:
            lost, late = self.once(unit, files)
            if not late or not self.joint:
                break
            self.undo(*before, len(self.result.rejects))
            unit = unit.only([key for key in unit.records if key not in lost])
        for name, seconds in files.stages.items():
            self.result.stages.merge({f"read: {name}": seconds})

    def once(self, unit: Unit, files: RawFiles) -> tuple[set[str], bool]:
        """Read and label a unit; returns the keys of records that were left out, and whether one was so late."""
        missing, lost, late = dict.fromkeys((*unit.records, *unit.summaries)), set[str](), False
        planned, count = len(missing), self.result.records
        samples = self.recipe.read(unit, files, self.options)
        while True:
            done = min(planned - len(missing), len(unit.records))
            self.status.set(stage="read", settled=self.settled + done)
            self.poll()
            with self.result.stages("read"):
                sample = next(samples, None)
            if sample is None:
                break
            if sample.key not in missing:
                raise TesseraError(f"the reader gave record {sample.key!r}, which was not planned or came twice")
            del missing[sample.key]
            if isinstance(sample, Reject):
                self.left_out(sample)
                late |= self.result.records > count
                lost.add(sample.key)
            elif not self.sample(unit, sample, files):
                late = True
                lost.add(sample.key)
        gone = [key for key in missing if key in unit.records or self.result.records > count]
        if gone:
            raise TesseraError(f"the reader gave nothing for {len(gone)} planned records, first {gone[0]}")
        return lost, late

    def sample(self, unit: Unit, sample: Sample, files: RawFiles) -> bool:
        """Label, encode and write one record; a failure rejects this record alone, and is answered with False."""
        writer = self.writers[sample.table]
        names = set(self.schemas[sample.table].by_name)
        values: dict[str, Any] = {}
        try:
            for label in self.labels[sample.table]:
                self.status.set(key=sample.key, stage=label.name)
                with self.result.stages(label.name):
                    values.update(label.make(sample.data, self.options))
            self.status.set(stage="encode")
            scalars = {**sample.scalars, **{name: value for name, value in values.items() if name not in names}}
            fields = {name: value for name, value in values.items() if name in names}
            self.result.bytes += self.write(writer, sample.key, fields, scalars)
        except (KeyboardInterrupt, UnitTimeout, OSError, StopRun):
            raise
        except Exception as error:
            if sample.key in unit.summaries:  # the unit's records refer to it
                raise
            self.left_out(self.reject(unit, sample.key, error, files))
            return False
        self.result.records += 1
        return True

    def write(self, writer: ShardWriter, key: str, fields: dict[str, Any], scalars: dict[str, Any]) -> int:
        """Add one record to its shard; a full disk is no fault of the unit, as a file that cannot be read would be."""
        try:
            return writer.add(key, fields, scalars)
        except OSError as error:
            raise self.stop(error) from error

    def stop(self, error: OSError) -> StopRun:
        """What ends the run when OUT cannot be written to."""
        again = "the same command again goes on from here"
        return StopRun(f"--out {self.task.out}: {type(error).__name__}: {error}; {again}")

    def reject(self, unit: Unit, key: str, error: BaseException, files: RawFiles) -> Reject:
        """The reject of a unit or record, with the file that it names or that was read last; and a traceback."""
        if len(self.result.tracebacks) < MOST_TRACEBACKS:
            self.result.tracebacks.append({"unit": unit.name, "key": key, "traceback": traceback.format_exc()})
        message = normalise(error, self.task.raw, self.task.out)
        named = [path for path in files.notes if path in message]
        read = [path for path, note in files.notes.items() if note.size >= 0]
        path = max(named, key=len, default="") or (read[-1] if read else unit.name)
        return Reject(unit.name, key, path, self.status.standing.stage, message)

    def check_lock(self) -> None:
        """A worker that outlived its driver must not commit into a later run."""
        lock = self.task.out / "runs" / self.task.lock_name
        if lock.read_text() != self.task.run:
            raise TesseraError("another run has taken over; this group is not committed")


def build_group(task: GroupTask, limit: Limit, poll: Callable[[], None] = lambda: None) -> GroupResult:
    """Build and commit one group.

    Args:
        task: what to build.
        limit: context manager under which each unit runs, for its time limit.
        poll: called after each record, for the progress of a run in this process.

    Raises:
        StopRun, OSError: something failed under `--strict`, or OUT cannot be written; nothing of the group is left.
    """
    builder = GroupBuilder
    if task.label:
        from .sidecar_group import SidecarBuilder as builder
    status = StatusFile(task.status_path)
    try:
        return builder(task, limit, poll, status).build()
    finally:
        status.close()
