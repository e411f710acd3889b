"""Plain WebDataset tars written by others, indexed on first use, so that a stream reads them like Tessera's own."""

import hashlib
import os
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .catalog import CATALOG, Catalog
from .entries import ShardEntry
from .errors import FormatError
from .indexing.folder import INDEX_VERSION, Tar, find_tars, state_name
from .indexing.places import SCANS, STATE, index_folders, kept, locked, put, refuse_planted, sweep, writable
from .indexing.rows import shard_index
from .indexing.scan import Scan, read_scan, scan_tar
from .indexing.schema import Inference, LeftOut
from .indexing.state import TABLE, State, read_state, state_bytes
from .schema import Schema
from .shard import shard_stem

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ForeignSet:
    """An indexed data set of strangers.

    Attributes:
        catalog: one table, `records`; each shard's `index` is relative to `index_root`, its `tar` to `tar_root`.
            Keys need not keep Tessera's rules, and may be there again in another tar.
        index_root: folder of the indexes.
        tar_root: the data set's folder.
        have: number of records that have each field.
        left_out: what is not read, and why.
    """

    catalog: Catalog
    index_root: Path
    tar_root: Path
    have: dict[str, int]
    left_out: tuple[LeftOut, ...]


def open_foreign(
    folder: str | Path,
    *,
    index_dir: str | Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ForeignSet:
    """The data set of the tars below `folder`; indexed first, where that was not done since a tar was last changed.

    Any number of processes may do this at once.

    Args:
        folder: folder of the tars; those in a sub-folder are a split of its name.
        index_dir: where the indexes lie, in a folder for this data set alone; by default in `.tessera-index` there,
            or in the user's cache where that cannot be written to.
        threads: tars that are read at once; by default one a core.
        progress: called with the bytes that are indexed and those of all tars.

    Raises:
        FormatError: no tar, a damaged or truncated one, records that WebDataset could not read back, no place for
            the index, or a link or the like in its place; the message names the path, and what to do.
    """
    folder = Path(folder)
    if (folder / CATALOG).exists():
        raise FormatError(f"{folder}: a data set of Tessera's, which has its index; open it as it is")
    tars = find_tars(folder)
    folders = index_folders(folder, Path(index_dir) if index_dir is not None else None)
    for place in folders:
        refuse_planted(place, state_name(tars), sorted({tar.split for tar in tars}))
        if state := read_state(place / state_name(tars) / STATE, tars):
            return _set(state, place / state_name(tars), folder)
    place = writable(folders)
    with locked(place):
        root = place / state_name(tars)
        state = read_state(root / STATE, tars) or _Build(folder, place, tars, threads, progress).run()
    return _set(state, root, folder)


def _set(state: State, root: Path, folder: Path) -> ForeignSet:
    return ForeignSet(state.catalog, root, folder, state.have, state.left_out)


class _Build:
    """Scans of all tars, then the schema, then the indexes, then the file that says that they are whole."""

    def __init__(
        self, folder: Path, place: Path, tars: list[Tar], threads: int | None, progress: Progress | None
    ) -> None:
        self._folder, self._place, self._tars = folder, place, tars
        self._threads = threads or len(os.sched_getaffinity(0))
        self._progress = progress or (lambda done, total: None)
        self._run = uuid.uuid4().hex

    def run(self) -> State:
        """Index the data set."""
        (self._place / SCANS).mkdir(exist_ok=True)
        done, total = 0, sum(tar.size for tar in self._tars)
        self._progress(0, total)
        with ThreadPoolExecutor(self._threads) as pool:
            tasks = pool.map(self._scan, self._tars)
            try:
                for tar, _ in zip(self._tars, tasks, strict=True):
                    done += tar.size
                    self._progress(done, total)
            finally:
                pool.shutdown(cancel_futures=True)
        inference = Inference()
        for tar in self._tars:
            scan = self._read(tar)
            inference.add(scan, tar.path)
            inference.note(tar.path, scan.behind)
        for tar in self._tars:
            inference.compare(self._read(tar))
        state = self._write(inference)
        sweep(self._place, state_name(self._tars), {self._path(tar).name for tar in self._tars})
        return state

    def _path(self, tar: Tar) -> Path:
        return self._place / SCANS / f"{tar.mark}.parquet"

    def _scan(self, tar: Tar) -> None:
        if kept(self._path(tar)):
            return
        path = self._folder / tar.path
        data = scan_tar(path)
        now = path.stat()
        if (now.st_size, now.st_mtime_ns) != (tar.size, tar.mtime_ns):
            raise FormatError(f"{path}: changed while it was indexed; index again once it is written")
        put(self._path(tar), data, self._run)

    def _read(self, tar: Tar) -> Scan:
        try:
            return read_scan(self._path(tar))
        except FormatError:  # damaged since, or by whoever the folder is from: it follows from the tar
            self._path(tar).unlink(missing_ok=True)
            self._scan(tar)
            return read_scan(self._path(tar))

    def _write(self, inference: Inference) -> State:
        schema, raws = inference.schema()
        left_out = inference.left_out()
        if not schema.fields:
            why = "; ".join(f"{entry.member}: {entry.why}" for entry in left_out[:5]) or "no record"
            raise FormatError(f"{self._folder}: no field that can be read ({why})")
        groups: dict[str, int] = {}
        entries = []
        for tar in self._tars:
            group = groups.setdefault(tar.split, 0)
            groups[tar.split] += 1
            entries.append(self._shard(tar, group, schema, raws))
        catalog = Catalog(
            name=self._folder.resolve().name, recipe="webdataset", state="complete", labels={}, options={},
            selection={}, seed=0, groups=groups, shard_bytes=max(tar.size for tar in self._tars),
            tables={TABLE: schema}, code_version=f"index {INDEX_VERSION}",
        ).with_shards(tuple(entries), 0, "complete")  # fmt: skip
        have = inference.have()
        state = State(catalog, {name: have[raw] for name, raw in raws.items()}, tuple(left_out))
        put(self._place / state_name(self._tars) / STATE, state_bytes(state), self._run)
        return state

    def _shard(self, tar: Tar, group: int, schema: Schema, raws: dict[str, str]) -> ShardEntry:
        scan, stem = self._read(tar), shard_stem(TABLE, group, 0)
        unit = f"{tar.split}-{group:06d}"
        name = f"{tar.split}/{stem}.parquet"
        data = shard_index(scan, schema, raws, tar, unit, group)
        path = self._place / state_name(self._tars) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, data, self._run)
        digest = hashlib.sha256(data).hexdigest()
        units = (unit,) if len(scan.records) else ()
        return ShardEntry(TABLE, tar.split, group, 0, name, digest, tar.path, tar.size, "", len(scan.records), units)
