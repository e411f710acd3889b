"""Options of a run that are the same for every recipe."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ..datasets.errors import UsageError


@dataclass(frozen=True)
class RunSettings:
    """Where to, how fast, how strict.

    Attributes:
        out: folder of the data set, or its URL (s3://...); default `out/RECIPE`.
        workers: 0 runs in this process without Ray, N > 0 starts a local Ray with N CPUs.
        ray_address: joins this Ray cluster instead; default: environment variable RAY_ADDRESS.
        limit: only the first N records of the plan.
        only: only units whose name matches this pattern, such as 'ai_001_*'.
        plan: print what a run would do, and stop.
        part: `i/n`: only the i-th of n parts of the plan, without Ray; the parts' union is the whole.
        retry_failed: try again what is in rejects.parquet, and nothing else.
        strict: stop at the first unit or record that fails.
        max_reject: exit status 1 when more than this share of the units is rejected.
        unit_timeout: seconds after which a unit is given up; 0: never.
        retries: how often a unit that crashed its worker is tried again.
        rehash: compare raw files by content also where size and time are unchanged.
        shard_mb: size of a shard in MB; default 512, or 128 for data sets below 20 GB.
        seed: seed of every keyed choice.
    """

    out: Annotated[str | Path | None, tyro.conf.arg(metavar="DIR|URL")] = None
    workers: int = 2
    ray_address: str | None = None
    limit: int | None = None
    only: str | None = None
    plan: bool = False
    part: str | None = None
    retry_failed: bool = False
    strict: bool = False
    max_reject: float = 0.05
    unit_timeout: float = 3600.0
    retries: int = 1
    rehash: bool = False
    shard_mb: int | None = None
    seed: int = 0
    quiet: Annotated[bool, tyro.conf.Suppress] = field(default=False)

    def parsed_part(self) -> tuple[int, int] | None:
        """(i, n) of `--part i/n`.

        Raises:
            UsageError: it is not i/n with 0 <= i < n.
        """
        if self.part is None:
            return None
        try:
            i, n = (int(number) for number in self.part.split("/"))
        except ValueError as error:
            raise UsageError(f"--part {self.part}: expected i/n, such as 0/3") from error
        if not 0 <= i < n:
            raise UsageError(f"--part {self.part}: parts of {n} are 0/{n} to {n - 1}/{n}")
        return i, n

    def check(self) -> None:
        """Refuse values that make no sense.

        Raises:
            UsageError: with the option's name.
        """
        self.parsed_part()
        if self.plan and (self.part or self.retry_failed or self.strict):
            raise UsageError("--plan does not go with --part, --retry-failed or --strict")
        for name in ("workers", "unit_timeout", "retries"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"--{name.replace('_', '-')} must be a finite number, and not negative")
        if self.limit is not None and self.limit < 1:
            raise UsageError("--limit: at least one record")
        if self.shard_mb is not None and self.shard_mb < 1:
            raise UsageError("--shard-mb: at least 1")
        if not 0 <= self.max_reject <= 1:
            raise UsageError("--max-reject is a share between 0 and 1")
