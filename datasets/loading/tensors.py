"""Arrays of a batch as tensors: in pinned memory where a GPU will take them, and nowhere near any other GPU."""

from typing import Any

import numpy as np
import torch

Batch = dict[str, Any]


class Tensors:
    """Makes tensors of a batch's arrays.

    Args:
        device: where batches go; None leaves them in main memory.
        pin: whether they are put into pinned memory; None does so where `device` is a GPU, or where this process uses
            one already.
    """

    def __init__(self, device: str | torch.device | None, pin: bool | None) -> None:
        self.device = None if device is None else torch.device(device)
        if self.device is not None and self.device.type == "cuda" and self.device.index is None:
            self.device = torch.device("cuda", torch.cuda.current_device())
        self._pin = pin

    @property
    def on_gpu(self) -> bool:
        """Whether batches go to another device than main memory."""
        return self.device is not None and self.device.type != "cpu"

    def pinned(self) -> bool:
        """Whether batches are put into pinned memory now; this touches no GPU that was not chosen."""
        if self._pin is not None:
            return self._pin
        if self.device is not None:
            return self.device.type == "cuda"
        return torch.cuda.is_initialized()

    def wrap(self, arrays: dict[str, Any]) -> Batch:
        """Tensors that share the arrays' memory (or copies in pinned memory); lists stay lists."""
        return {name: self._tensor(value) for name, value in arrays.items()}

    def _tensor(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        tensor = torch.from_numpy(value)
        return tensor.pin_memory() if self.pinned() else tensor

    def place(self, batch: Batch) -> Batch:
        """The batch on the device; the copy from pinned memory runs beside what the GPU does."""
        if self.device is None:
            return batch
        return {name: self._move(value) for name, value in batch.items()}

    def _move(self, value: Any) -> Any:
        return value.to(self.device, non_blocking=True) if isinstance(value, torch.Tensor) else value
