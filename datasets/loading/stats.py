"""What a stream measured of itself."""

from dataclasses import dataclass, field

CALM = 0.02  # share of the time that a loop may wait before the loader is called slow
LIMIT = 1 / 3  # from here on a faster loader would give half as many steps again


@dataclass(frozen=True)
class StreamStats:
    """Sums since the stream was made, or since its statistics were reset.

    Attributes:
        steps: batches given.
        records: records in them, repeats included.
        wait_seconds: time for which the loop waited for batches.
        busy_seconds: time that the loop spent between batches.
        bytes_read: bytes of fields as stored.
        decode_seconds: by field, time of all threads for reading and decoding it.
        skipped: how often a record could not be read and was skipped.
        skipped_errors: one message a record.
        cache: counters of the cache (requests, hits, misses, retries, evictions), for remote data sets.
        first_batch_seconds: from the beginning of the last iteration to its first batch.
    """

    steps: int = 0
    records: int = 0
    wait_seconds: float = 0.0
    busy_seconds: float = 0.0
    bytes_read: int = 0
    decode_seconds: dict[str, float] = field(default_factory=dict)
    skipped: int = 0
    skipped_errors: tuple[str, ...] = ()
    cache: dict[str, int] = field(default_factory=dict)
    first_batch_seconds: float = 0.0

    @property
    def wait_share(self) -> float:
        """Share of the loop's time that went into waiting for batches."""
        total = self.wait_seconds + self.busy_seconds
        return self.wait_seconds / total if total else 0.0

    @property
    def wait_ms(self) -> float:
        """Milliseconds of waiting a step."""
        return 1e3 * self.wait_seconds / max(self.steps, 1)

    @property
    def bytes_per_second(self) -> float:
        """Bytes of fields read, by the loop's time."""
        total = self.wait_seconds + self.busy_seconds
        return self.bytes_read / total if total else 0.0

    def costly(self) -> tuple[str, float]:
        """The field that takes most of the threads' time, and its share of it."""
        total = sum(self.decode_seconds.values())
        if not total:
            return "", 0.0
        name = max(self.decode_seconds, key=lambda key: self.decode_seconds[key])
        return name, self.decode_seconds[name] / total

    @property
    def verdict(self) -> str:
        """One line: what limits the loop, and which field costs most."""
        if not self.steps:
            return "nothing was read yet"
        name, share = self.costly()
        field_text = f"; {name!r} takes {share:.0%} of the loader's time" if name else ""
        waits = f"the loop waits {self.wait_share:.1%} of its time ({self.wait_ms:.2f} ms a step) for batches"
        if self.wait_share > LIMIT:
            return f"the loader is the limit: {waits}{field_text}"
        if self.wait_share > CALM:
            return f"the loader slows the model: {waits}{field_text}"
        return f"the model is the limit: {waits}{field_text}"

    def logs(self) -> dict[str, float]:
        """Numbers to log beside a training's own."""
        numbers = {"loader/wait_ms": self.wait_ms, "loader/wait_share": self.wait_share}
        numbers |= {"loader/bytes_per_second": self.bytes_per_second, "loader/skipped": float(self.skipped)}
        numbers |= {f"loader/seconds/{name}": seconds for name, seconds in self.decode_seconds.items()}
        return numbers | {f"loader/cache/{name}": float(count) for name, count in self.cache.items()}
