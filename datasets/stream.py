"""Streams: the records of a data set as batches of tensors, in a random order that can be resumed anywhere."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from .assets import Assets
from .catalog import Catalog
from .errors import UsageError
from .loading.arguments import check_folder, check_sample, check_split, check_transforms, whole_number
from .loading.cuts import Request, Window
from .loading.files import Files, LocalFiles
from .loading.loader import BatchTransform, Last, Loader
from .loading.reader import TableReader
from .loading.records import MOST_BYTES
from .loading.request import Asked, ask, refuse_other_axes
from .loading.source import Source, Transform, Windows
from .loading.tensors import Batch
from .order import Order, key_of
from .transforms.random_crop import RandomCrop

RUN = 4096  # positions whose records are computed at once
BLOCK_BYTES = 8 << 20  # of consecutive records in one run of the order "block"
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class Stream(Loader):
    """Batches of the records of one table.

    Example:
        >>> stream = Stream("out/hypersim", "frames", "train", fields=["image", "distance"])  # doctest: +SKIP
        >>> for batch in stream:  # doctest: +SKIP
        ...     batch["image"].shape, batch["key"]
        (torch.Size([8, 384, 512, 3]), ['ai_001_001-cam_00-0007', ...])

    Args:
        root: folder of a data set, its URL (`s3://...`), or a folder of WebDataset tars that others wrote.
        table: which table; may be left out where there is only one.
        split: which split; None for all.
        fields: fields, index columns, references (their keys), and paths over references (`subject.points`); None for
            all fields of the table.
        batch_size: records a batch.
        seed: of the order and of all draws.
        order: `global`, a permutation of all records; `block`, of runs of records, for disks and object stores that are
            slow at random access; `sequential`.
        last: what becomes of the last batch where it is not full: `pad` with repeats that `repeat` flags, or `drop`.
        sample: of pools (`points`, `subject.points`), how many elements each record gives: a number, or one for each
            stratum.
        window: elements of each window of a sequence; None streams whole records.
        stride: between the beginnings of windows; `window` by default.
        along: dimension of the sequences; the only free one by default.
        draws: of pools, and by random transforms: `fresh` in each epoch, or `fixed` (for validation).
        transforms: of single records, in the decoding threads (see `datasets/transforms`).
        batch_transforms: of batches of tensors; on `device` where that is a GPU.
        rank: this process among `world_size`; both from torch.distributed or the environment where not given.
        world_size: number of processes that share each epoch.
        threads: threads that read and decode; one a core by default, 0 for none.
        prefetch: batches made ahead; one more than threads by default.
        on_error: `raise` where a record cannot be read, or `skip` it: a flagged repeat takes its place.
        checksums: whether each block is verified the first time that this process reads it.
        device: where batches go.
        pin_memory: whether batches are put into pinned memory; by default where a GPU was chosen.
        cache_dir: folder of the cache of remote shards; one in the user's cache folder by default.
        cache_bytes: size of that cache.
        index_dir: folder of the indexes of tars that others wrote, as given to `tessera index --index-dir`.
        index_bytes: memory for indexes that were opened, of each table; those used longest ago go first.
        limit: only the first so many records (or windows) of the split, to try whether a network can learn them.

    Raises:
        UsageError: an argument that the data set does not go with; the message says what it has.
        FormatError: no data set, or a damaged one.
    """

    def __init__(
        self,
        root: str | Path,
        table: str | None = None,
        split: str | None = None,
        fields: Iterable[str] | None = None,
        *,
        batch_size: int = 8,
        seed: int = 0,
        order: Literal["global", "block", "sequential"] = "global",
        last: Last = "pad",
        sample: Mapping[str, Request] | None = None,
        window: int | None = None,
        stride: int | None = None,
        along: str | None = None,
        draws: Literal["fresh", "fixed"] = "fresh",
        transforms: Sequence[Transform] = (),
        batch_transforms: Sequence[BatchTransform] = (),
        rank: int | None = None,
        world_size: int | None = None,
        threads: int | None = None,
        prefetch: int | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        checksums: bool = True,
        device: str | torch.device | None = None,
        pin_memory: bool | None = None,
        cache_dir: str | Path | None = None,
        cache_bytes: int = 64 << 30,
        index_dir: str | Path | None = None,
        index_bytes: int = MOST_BYTES,
        limit: int | None = None,
    ) -> None:
        self._arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__(
            batch_size=batch_size, last=last, batch_transforms=batch_transforms, rank=rank, world_size=world_size,
            threads=threads, prefetch=prefetch, device=device, pin_memory=pin_memory,
        )  # fmt: skip
        check_split(split)
        transforms = check_transforms(transforms, "transforms")
        if draws not in ("fresh", "fixed"):
            raise UsageError(f"draws {draws!r}: those of each epoch are 'fresh', or 'fixed' to be those of the first")
        if on_error not in ("raise", "skip"):
            raise UsageError(f"on_error {on_error!r}: a record that cannot be read is 'raise' or 'skip'")
        self.root, self.seed, self.split = root, seed, split
        self.catalog, self._files, own_keys = open_files(root, cache_dir, cache_bytes, index_dir)
        self.table = _one_table(self.catalog, table)
        asked = ask(self.catalog, self.table, fields, check_sample(sample))
        windows = _windows(self.catalog, asked, window, stride, along)
        bound = _bound(transforms, asked, self.catalog.joint_sets, Assets(self.catalog, self._files))
        _reduce(self.catalog, asked, bound)
        _window_pictures(asked, bound)
        self.reader = TableReader(
            self.catalog, self._files, asked, split,
            check=checksums, own_keys=own_keys, index_bytes=whole_number("index_bytes", index_bytes, 0),
        )  # fmt: skip
        self._key = key_of(seed, self.catalog.name, self.table, split or "")
        self.source = Source(self.reader, self._key, windows, bound, on_error, self._skipped, fixed=draws == "fixed")
        if not len(self.source):
            raise UsageError(f"{self.reader.records.name}: no record to stream")
        self._count = len(self.source)
        if limit is not None:
            self._count = min(self._count, whole_number("limit", limit, 1))
        self.order = Order(order, self._count, 0, self._block()).kind
        self._records_at = lru_cache(maxsize=8)(self._run)
        sums = (text for shard in self.reader.records.shards for text in (shard.sha256, shard.index_sha256))
        self._shards = f"{key_of(*sums):016x}"

    def epoch_records(self) -> int:
        """Records (or windows) of an epoch, of all ranks together."""
        return self._count

    def items(self, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Record (or window) numbers at positions of an epoch."""
        runs = positions // RUN
        if runs[0] == runs[-1]:
            return self._records_at(epoch, int(runs[0]))[positions - runs[0] * RUN]
        found = np.empty_like(positions)
        for run in np.unique(runs).tolist():
            inside = runs == run
            found[inside] = self._records_at(epoch, run)[positions[inside] - run * RUN]
        return found

    def get(self, keys: Sequence[str]) -> Batch:
        """One batch of the records with these keys, with the draws of the epoch where the stream stands.

        Raises:
            UsageError: a key that the table does not have; or a stream of windows, which have no keys of their own.
            FormatError: a record cannot be read; nothing stands in for one that was asked for by its key.
        """
        if not keys:
            raise UsageError("get: which keys?")
        if isinstance(keys, str):
            raise UsageError(f"{keys!r} is one text; give a list of keys, such as [{keys!r}]")
        if self.source.windows is not None:
            raise UsageError("records are fetched by key from a stream without windows")
        self._settle()
        try:
            numbers = np.array([self.reader.records.find(key) for key in keys], np.int64)
        except KeyError as error:
            raise UsageError(f"{self.reader.records.name}: no record {error.args[0]!r}") from error
        repeat = np.zeros(len(numbers), bool)
        arrays = self.source.read(numbers, self._epoch, repeat, self._memory(), self._meter, exact=True)
        batch = self._tensors.wrap(arrays)
        return self._transformed(self._tensors.place(batch))

    def __repr__(self) -> str:
        """What is streamed, and where it stands."""
        return f"Stream({self.reader.records.name}: {len(self)} steps of {self.batch_size}, epoch {self._epoch})"

    def close(self) -> None:
        """Stop threads and release files; iterating again opens them anew."""
        self._cancel()  # or threads that wait for a store would be waited for
        self._stop()
        self._release()

    def _cancel(self) -> None:
        self._files.cancel()

    def _release(self) -> None:
        self._files.close()

    def _read(self, epoch: int, positions: NDArray[np.int64], repeat: NDArray[np.bool_]) -> dict[str, Any]:
        return self.source.read(self.items(epoch, positions), epoch, repeat, self._memory(), self._meter)

    @property
    def waits_for_store(self) -> bool:
        """Whether bytes come from a store, through the cache."""
        return not isinstance(self._files, LocalFiles)

    def _ahead(self, epoch: int, positions: NDArray[np.int64]) -> None:
        if self.waits_for_store:
            self.reader.announce(np.unique(self.source.locate(self.items(epoch, positions))[0]), self._files)

    def _run(self, epoch: int, run: int) -> NDArray[np.int64]:
        order = Order(self.order, self._count, key_of(self._key, "order", epoch), self._block())
        return order.records(np.arange(run * RUN, min((run + 1) * RUN, self._count)))

    def _block(self) -> int:
        """Records of one run of the order "block"."""
        shards = self.reader.records.shards
        each = sum(shard.bytes for shard in shards) / max(1, len(self.source))
        return max(1, int(BLOCK_BYTES / max(each, 1)))

    def _identity(self) -> dict[str, Any]:
        where: dict[str, Any] = {"data": self.catalog.name, "table": self.table, "split": self.split}
        order = f"{self.order} of {self._block()}" if self.order == "block" else self.order
        where |= {"records": self._count, "shards": self._shards, "order": order, "seed": self.seed}
        cut = self.source.windows
        return where | {"window": None if cut is None else [cut.dimension, cut.window, cut.stride]}

    def _cache_counters(self) -> dict[str, int]:
        return self._files.counters()


def open_files(
    root: str | Path, cache_dir: str | Path | None, cache_bytes: int, index_dir: str | Path | None = None
) -> tuple[Catalog, Files, bool]:
    """Catalog of a data set, where its bytes come from, and whether its keys keep Tessera's rules.

    Raises:
        FormatError: there is none.
    """
    if URL.match(str(root)):
        from .cache import open_remote

        catalog, files = open_remote(str(root), Path(cache_dir) if cache_dir else None, cache_bytes)
        return catalog, files, True
    folder = Path(root)
    if check_folder(folder):
        from .foreign_index import open_foreign

        found = open_foreign(folder, index_dir=index_dir)
        return found.catalog, LocalFiles(found.tar_root, found.index_root), False
    return Catalog.read(folder), LocalFiles(Path(os.path.abspath(folder))), True


def _one_table(catalog: Catalog, table: str | None) -> str:
    if table is None and len(catalog.tables) == 1:
        return next(iter(catalog.tables))
    if table not in catalog.tables:
        wanted = "which table? give table= (--table)" if table is None else f"no table {table!r}"
        raise UsageError(f"{catalog.name}: {wanted} (tables: {', '.join(catalog.tables)})")
    return table


def _windows(
    catalog: Catalog, asked: Asked, window: int | None, stride: int | None, along: str | None
) -> Windows | None:
    """How sequences are cut; the cut is noted in what is asked for."""
    if window is None:
        if stride is not None or along is not None:
            raise UsageError("stride and along go with a window")
        return None
    schema = catalog.schema(asked.table)
    free = {str(x.shape[0]) for x in asked.fields.values() if x.shape and x.shape[0] in schema.free}
    dimension = along or (free.pop() if len(free) == 1 else None)
    if dimension is None or dimension not in schema.free:
        known = ", ".join(schema.free) or "none"
        raise UsageError(f"window: along which dimension of table {asked.table!r}? (free ones: {known})")
    stride = window if stride is None else stride
    if window < 1 or stride < 1:
        raise UsageError(f"window {window}, stride {stride}: both are at least 1")
    if dimension in asked.cuts:
        raise UsageError(f"dimension {dimension!r}: either a window or a sample")
    refuse_other_axes(asked, dimension, "window")
    asked.cuts[dimension] = Window(dimension, window)
    return Windows(dimension, window, stride)


def _bound(
    transforms: Sequence[Transform], asked: Asked, joint_sets: Mapping[str, Any], assets: Assets
) -> list[Transform]:
    """The transforms, those that want to know it told what the stream delivers; these are copies, for a list may be
    given to several streams."""
    fields = dict(_delivered(asked))
    moved = ""
    bound = [copy(transform) if hasattr(transform, "bind") else transform for transform in transforms]
    for transform in bound:
        if moved and getattr(transform, "needs_axes", False):
            raise UsageError(f"transform {transform.name}: goes before {moved}, which moves the channels of pictures")  # type: ignore[attr-defined]
        moved = moved or (transform.name if getattr(transform, "moves_axes", False) else "")  # type: ignore[attr-defined]
        if hasattr(transform, "bind"):
            if hasattr(transform, "joint_sets"):  # those that the data set defines are the truth about its joints
                transform.joint_sets = joint_sets
            if getattr(transform, "assets", assets) is None:  # the user gave none of his own
                transform.assets = assets  # type: ignore[attr-defined]
            transform.bind(fields)
        fields |= {entry.name: entry for entry in getattr(transform, "writes", ())}
        changes = getattr(transform, "changes", {})
        fields = {name: entry for name, entry in (fields | changes).items() if entry is not None}
    return bound


def _reduce(catalog: Catalog, asked: Asked, transforms: Sequence[Transform]) -> None:
    """Note which pictures of fixed size the first transform would rather have smaller; others see them as it leaves
    them.

    Raises:
        UsageError: another than the first asks for that.
    """
    for number, transform in enumerate(transforms):
        if number and _reduces(transform):
            raise UsageError(f"transform {getattr(transform, 'name', transform)}: with reduced=True it goes first")
    if not transforms or not _reduces(transforms[0]):
        return
    schema = catalog.schema(asked.table)
    for name, entry in asked.fields.items():
        sides = schema.shape(entry, dict.fromkeys(schema.free, 0))
        if entry.codec == "jpg" and 0 not in sides:
            asked.reduced[name] = transforms[0].reduction(asked.prefix + name, entry, *sides[:2])  # type: ignore[attr-defined]
    for _, child in asked.children.values():
        _reduce(catalog, child, transforms[:1])


def _window_pictures(asked: Asked, transforms: Sequence[Transform]) -> None:
    """Note of which JPEG pictures only a window is decoded: the first transform cuts one, and no other sees more."""
    if not transforms or type(transforms[0]) is not RandomCrop:  # a class made from it may look at all pixels
        return
    for name, entry in asked.fields.items():
        if entry.codec == "jpg" and asked.cut(entry) is None and transforms[0].windowed(asked.prefix + name):
            asked.windowed.add(name)
    for _, child in asked.children.values():
        _window_pictures(child, transforms)


def _reduces(transform: Transform) -> bool:
    return bool(hasattr(transform, "reduction") and getattr(transform, "reduced", False))


def _delivered(asked: Asked) -> Iterable[tuple[str, Any]]:
    for name, entry in asked.fields.items():
        yield asked.prefix + name, entry
    for _, child in asked.children.values():
        yield from _delivered(child)
