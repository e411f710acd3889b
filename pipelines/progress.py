"""Progress of a run: a rich bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..datasets.plain import printable

LINE_SECONDS = 10.0


class RunProgress:
    """Shows records done of the plan's total, rate, time left and rejects; a context manager."""

    def __init__(self, name: str, total: int, console: Console) -> None:
        self.name, self.total, self.console = name, total, console
        self.start = self._last = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = [
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}", markup=False),
            ]
            self._bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
            self._task = self._bar.add_task(name, total=total, text="")

    def __enter__(self) -> "RunProgress":
        """Start the bar, where there is one."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bar."""
        if self._bar:
            self._bar.stop()

    def update(self, settled: int, rejects: int, stage: str = "") -> None:
        """Show the state: planned records that are written or left out so far, rejects, and where a worker stands."""
        now = time.monotonic()
        rate = settled / max(now - self.start, 1e-9)
        if self._bar:
            text = f"{rate:.1f}/s  {rejects} rejected  {printable(stage)}"
            self._bar.update(self._task, completed=settled, text=text)
        elif now - self._last >= LINE_SECONDS:
            self._last = now
            left = f"{(self.total - settled) / rate:.0f} s" if rate else "unknown time"
            self.console.print(
                f"{self.name}: {settled}/{self.total} records, {rate:.1f}/s, {left} left, {rejects} rejected",
                soft_wrap=True, highlight=False,
            )  # fmt: skip
