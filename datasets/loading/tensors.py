"""Arrays of a batch as tensors: in pinned memory where a GPU will take them, and nowhere near any other GPU."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import UsageError
from .buffers import Buffers, Memory

Batch = dict[str, Any]


class PinnedBuffers:
    """Arrays in pinned memory.

    torch keeps that memory itself, and gives none of it anew while a copy to the GPU that was begun still reads it.

    Args:
        device: the GPU that was chosen; no other is touched.
    """

    def __init__(self, device: torch.device | None) -> None:
        self._device = device

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
        """An array of any content, C order; its `base` is the tensor whose memory it is."""
        kind = torch.from_numpy(np.empty(0, dtype)).dtype
        with torch.cuda.device(self._device) if self._device is not None else nullcontext():
            tensor = torch.empty(shape, dtype=kind, pin_memory=True)
        array: NDArray[Any] = tensor.numpy()
        return array


class Tensors:
    """Makes tensors of a batch's arrays.

    Args:
        device: where batches go; None leaves them in main memory.
        pin: whether they are put into pinned memory; None does so where `device` is a GPU, or where this process uses
            one already.

    Raises:
        UsageError: there is no such device.
    """

    def __init__(self, device: str | torch.device | None, pin: bool | None) -> None:
        self.device = _device(device, pin)
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
        """Tensors that share the arrays' memory; lists stay lists."""
        return {name: self._tensor(value) for name, value in arrays.items()}

    def _tensor(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        pinned = value.base
        if isinstance(pinned, torch.Tensor) and pinned.shape == value.shape:
            return pinned  # itself, so that torch knows when a copy to the GPU still reads it
        return torch.from_numpy(value)

    def buffers(self, usual: Buffers) -> Memory:
        """Where large arrays come from now: `usual`, or pinned memory."""
        return PinnedBuffers(self.device) if self.pinned() else usual

    def place(self, batch: Batch) -> Batch:
        """The batch on the device; from pinned memory, this queues the copies and waits for none of them."""
        if self.device is None:
            return batch
        return {name: self._move(value) for name, value in batch.items()}

    def _move(self, value: Any) -> Any:
        return value.to(self.device, non_blocking=True) if isinstance(value, torch.Tensor) else value


def _device(name: str | torch.device | None, pin: bool | None) -> torch.device | None:
    """The device of this name; refuses one that is not there, and pinned memory without any."""
    try:
        device = None if name is None else torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r}: none that torch knows, such as 'cuda', 'cuda:1' or 'cpu'") from error
    wanted = device if device is not None and device.type == "cuda" else None
    if wanted is not None or pin:
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if there <= ((wanted.index or 0) if wanted is not None else 0):
            what = "pin_memory" if wanted is None else f"device {str(name)!r}"
            raise UsageError(
                f"{what}: no CUDA GPU for it (this process sees {there}); leave it out, or look at the driver"
            )
    return device
