"""Mixtures of streams in exact proportions."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import UsageError
from .loading.loader import BatchTransform, Last, Loader
from .loading.packing import merged
from .loading.skipped import Skipped
from .pattern import Pattern
from .stream import Stream


class Mix(Loader):
    """Batches drawn from several streams in exact proportions.

    The order of the sources is periodic: any `period` records that follow each other hold exactly each stream's share.
    Each stream goes through its own epochs, every record once in each, however often that is in one epoch of the
    mixture. Where it stands is one number.

    Example:
        >>> mix = Mix([(Stream("out/a", batch_size=8), 3), (Stream("out/b"), 1)])  # doctest: +SKIP
        >>> for batch in mix:  # doctest: +SKIP
        ...     batch["source"]
        tensor([0, 0, 1, 0, 0, 0, 1, 0])

    Args:
        streams: (stream, weight); their own batch sizes, ranks and threads are not used, their transforms are.
        by: `record`, where the streams have the same fields and each batch holds records of all; or `batch`, each batch
            of all ranks from one stream.
        period: records (or batches) in which the shares are exact; by default the shortest in which they can be.
        length: records of an epoch of the mixture; by default those of all streams together.
        batch_size: records a batch; that of the first stream by default.
        last: as in `Stream`; with `by="batch"` always full, since streams go on into their next epochs.
        batch_transforms: as in `Stream`, as are all that follow.
        rank: this process.
        world_size: number of processes.
        threads: threads that decode.
        prefetch: batches made ahead.
        device: where batches go.
        pin_memory: whether batches are put into pinned memory.

    A batch has `source` (B,) int64, the number of each record's stream.

    Raises:
        UsageError: no stream, or weights without an exact period.
    """

    def __init__(
        self,
        streams: Sequence[tuple[Stream, float | Fraction]],
        *,
        by: Literal["record", "batch"] = "record",
        period: int | None = None,
        length: int | None = None,
        batch_size: int | None = None,
        last: Last = "pad",
        batch_transforms: Sequence[BatchTransform] = (),
        rank: int | None = None,
        world_size: int | None = None,
        threads: int | None = None,
        prefetch: int | None = None,
        device: str | torch.device | None = None,
        pin_memory: bool | None = None,
    ) -> None:
        self._arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        if not all(
            isinstance(each, tuple | list) and len(each) == 2 and isinstance(each[0], Stream) for each in streams
        ):
            raise UsageError("a mixture is a list of streams and weights: Mix([(stream, weight), ...])")
        if any(stream._batch_transforms for stream, _ in streams):
            raise UsageError("batch_transforms of the streams of a mixture are not applied; give them to the Mix")
        if not streams:
            raise UsageError("a mixture needs at least one stream: Mix([(stream, weight), ...])")
        if by not in ("record", "batch"):
            raise UsageError(f"by {by!r}: a mixture is by 'record' or by 'batch'")
        self.streams = [stream for stream, _ in streams]
        super().__init__(
            batch_size=self.streams[0].batch_size if batch_size is None else batch_size, last=last,
            batch_transforms=batch_transforms, rank=rank, world_size=world_size, threads=threads, prefetch=prefetch,
            device=device, pin_memory=pin_memory,
        )  # fmt: skip
        self._optional = set[str]().union(*(stream.reader.optional() for stream in self.streams))
        self.by, self.weights = by, [weight for _, weight in streams]
        self.pattern = Pattern(self.weights, period)
        self.length = sum(stream.epoch_records() for stream in self.streams) if length is None else length
        if self.length < 1:
            raise UsageError(f"length {length!r}: an epoch has at least one record")

    def epoch_records(self) -> int:
        """Records of one epoch of the mixture; whole batches where it is mixed by batch."""
        if self.by == "record":
            return self.length
        together = self._together()
        return -(-self.length // together) * together

    def __repr__(self) -> str:
        """What is mixed, and where it stands."""
        parts = ", ".join(f"{stream.reader.records.name}" for stream in self.streams)
        return f"Mix({parts}: {len(self)} steps of {self.batch_size}, epoch {self._epoch})"

    def report(self) -> list[dict[str, Any]]:
        """What was really drawn up to where the mixture stands: a row a stream.

        Returns:
            `stream`, `weight` (share that was asked for), `records` drawn since the first epoch, their `share`, and
            `epochs` of the stream that this makes. Repeats that fill last batches are not counted, nor is what
            dropping them leaves out.
        """
        whole, given = self.epoch_records(), len(self) * self._together()
        drawn = self._drawn(self._epoch * whole + self._position)
        for end in range(whole, self._epoch * whole + 1, whole) if given < whole else ():
            drawn -= self._drawn(end) - self._drawn(end - whole + given)  # last batches that were dropped
        total, shares = max(int(drawn.sum()), 1), self.pattern.counts / self.pattern.period
        return [
            {"stream": stream.reader.records.name, "weight": float(share), "records": int(count),
             "share": int(count) / total, "epochs": int(count) / stream.epoch_records()}
            for stream, share, count in zip(self.streams, shares, drawn, strict=True)
        ]  # fmt: skip

    def close(self) -> None:
        """Close all streams."""
        self._cancel()  # or threads that wait for a store would be waited for
        self._stop()
        for stream in self.streams:
            stream.close()

    def _cancel(self) -> None:
        for stream in self.streams:
            stream._cancel()

    def _release(self) -> None:
        for stream in self.streams:
            stream._release()

    def _skips(self) -> list[Skipped]:
        return [stream._skipped for stream in self.streams]

    def _renew(self) -> None:
        for stream in self.streams:
            stream._renew()
        super()._renew()

    def _together(self) -> int:
        return self.batch_size * self._ranks()[1]

    def _drawn(self, positions: int) -> NDArray[np.int64]:
        """Records of each stream among the first positions."""
        if self.by == "record":
            return self.pattern.drawn(positions)
        batches, rest = divmod(positions, self._together())
        whole, begun = self.pattern.drawn(batches), self.pattern.drawn(batches + 1)
        return whole * self._together() + (begun - whole) * rest

    def _read(self, epoch: int, positions: NDArray[np.int64], repeat: NDArray[np.bool_]) -> dict[str, Any]:
        sources, places = self._places(epoch * self.epoch_records() + positions)
        parts = []
        for number in np.unique(sources).tolist():
            stream = self.streams[number]
            epochs, inside = np.divmod(places, stream.epoch_records())
            for turn in np.unique(epochs[sources == number]).tolist():
                slots = np.flatnonzero((sources == number) & (epochs == turn))
                items = stream.items(turn, inside[slots])
                arrays = stream.source.read(items, turn, repeat[slots], self._memory(), self._meter)
                parts.append((slots.tolist(), arrays))
        batch = self._merged(parts, len(positions), sources)
        return batch | {"source": sources}

    @property
    def waits_for_store(self) -> bool:
        """Whether a stream's bytes come from a store."""
        return any(stream.waits_for_store for stream in self.streams)

    def _ahead(self, epoch: int, positions: NDArray[np.int64]) -> None:
        sources, places = self._places(epoch * self.epoch_records() + positions)
        for number in np.unique(sources).tolist():
            stream = self.streams[number]
            epochs, inside = np.divmod(places[sources == number], stream.epoch_records())
            for turn in np.unique(epochs).tolist():
                stream._ahead(turn, inside[epochs == turn])

    def _places(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Stream of each position, and which of that stream's records it is, counted from its first epoch on."""
        if self.by == "record":
            return self.pattern.source(positions)
        batch, inside = np.divmod(positions, self._together())
        source, before = self.pattern.source(batch)
        return source, before * self._together() + inside

    def _merged(
        self, parts: list[tuple[list[int], dict[str, Any]]], records: int, sources: NDArray[np.int64]
    ) -> dict[str, Any]:
        for _, arrays in parts:
            if "source" in arrays:
                raise UsageError("mixture: batches say by 'source' which stream a record is of; rename that field")
            for name in arrays.keys() & self._optional:
                if f"{name}.present" not in arrays:
                    rows = len(arrays.get(f"{name}.offsets", arrays[name])) - (f"{name}.offsets" in arrays)
                    arrays[f"{name}.present"] = np.ones(rows, bool)
        names = [set(arrays) for _, arrays in parts]
        for (slots, _), found in zip(parts, names, strict=True):
            for name in sorted(set.union(*names) - found):
                has = f"stream {sources[slots[0]]} gives no {name!r}"
                raise UsageError(f"mixture: {has}, another does; ask for the same fields, or mix by 'batch'")
        try:
            return merged(parts, records, self._memory())
        except ValueError as error:
            name, one, other = error.args
            raise UsageError(f"mixture: {name!r} is {one} in one stream, {other} in another; mix by 'batch'") from error

    def _identity(self) -> dict[str, Any]:
        own: dict[str, Any] = {
            "by": self.by,
            "weights": [str(weight) for weight in self.weights],
            "period": self.pattern.period,
        }
        own |= {"records": self.length, "streams": [stream._identity() for stream in self.streams]}
        return own | ({"together": self._together()} if self.by == "batch" else {})

    def _cache_counters(self) -> dict[str, int]:
        counters: dict[str, int] = {}
        for stream in self.streams:
            for name, count in stream._cache_counters().items():
                counters[name] = counters.get(name, 0) + count
        return counters
