"""Where the time of some steps goes: torch's profiler, as a table and as a trace for chrome://tracing."""

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch.profiler import ProfilerActivity, profile

from ..runfolder import RunFolder

FIRST, LAST = 5, 15


class Profile(Callback):
    """Profiles steps 5 to 15 of this start.

    Args:
        folder: of the run; `profile.txt` and `profile.json` are written there.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self._count = folder, 0
        self._profile: profile | None = None

    def on_train_batch_start(self, trainer: Trainer, engine: Any, batch: Any, index: int) -> None:
        """Begin where it is time."""
        self._count += 1
        if self._count == FIRST:
            on_gpu = [ProfilerActivity.CUDA] if torch.cuda.is_initialized() else []
            self._profile = profile(activities=[ProfilerActivity.CPU, *on_gpu])
            self._profile.__enter__()

    def on_train_batch_end(self, trainer: Trainer, engine: Any, outputs: Any, batch: Any, index: int) -> None:
        """End where it is time."""
        if self._count == LAST:
            self.finish()

    def on_train_end(self, trainer: Trainer, engine: Any) -> None:
        """End a run that was shorter."""
        self.finish()

    def finish(self) -> None:
        """Write what was measured."""
        if self._profile is None:
            return
        found, self._profile = self._profile, None
        found.__exit__(None, None, None)
        order = "cuda_time_total" if torch.cuda.is_initialized() else "self_cpu_time_total"
        self.folder.write("profile.txt", found.key_averages().table(sort_by=order, row_limit=40) + "\n")
        found.export_chrome_trace(str(self.folder.path / "profile.json"))
