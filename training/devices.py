"""Which device a run is on; no other is touched."""

import os
from dataclasses import dataclass
from typing import Any

import torch

from ..datasets.errors import UsageError

LIGHTNING = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True)
class Place:
    """Where a run is.

    Attributes:
        accelerator: `cpu` or `cuda`.
        devices: what Lightning is given: numbers of cards, or how many processes of this machine.
        stream: device of the batches; None for the CPU.
        processes: of all machines.
        nodes: machines.
    """

    accelerator: str
    devices: Any
    stream: str | None
    processes: int
    nodes: int

    @property
    def strategy(self) -> str:
        """Lightning's name of how processes work together."""
        return "ddp" if self.processes > 1 else "auto"

    @property
    def torch_device(self) -> torch.device:
        """Of tensors."""
        return torch.device(self.stream or "cpu")


def find_place(device: str, precision: str) -> Place:
    """Where a run is, by the settings and by torchrun's environment.

    Raises:
        UsageError: there is no such device, or it does not have the precision.
    """
    processes = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    number = _card(device)
    if number is None:
        if precision == "fp16":
            raise UsageError("--precision fp16: only on a GPU; bf16 works on CPUs")
        return Place("cpu", local, None, processes, max(1, processes // local))
    if processes > 1:
        number = int(os.environ.get("LOCAL_RANK", 0))
        return Place("cuda", local, f"cuda:{number}", processes, max(1, processes // local))
    return Place("cuda", [number], f"cuda:{number}", 1, 1)


def _card(device: str) -> int | None:
    """Number of the card; None for the CPU."""
    if device == "cpu":
        return None
    there = torch.cuda.device_count()  # asks the driver, makes no context
    if device == "auto":
        return 0 if there else None
    name, _, number = device.partition(":")
    if name != "cuda" or (number and not number.isdecimal()):
        raise UsageError(f"--device {device!r}: auto, cpu, cuda, or a card such as cuda:1")
    if int(number or 0) >= there:
        raise UsageError(f"--device {device}: there are {there} GPUs on this machine that torch can use")
    return int(number or 0)


def out_of_memory(batch: int, device: torch.device, error: BaseException, fixed: int) -> str:
    """What to say where a GPU's memory is full: what was used, and a batch size that should fit.

    Args:
        batch: records a step that were tried.
        device: the card.
        error: torch's.
        fixed: bytes that were taken before the step.
    """
    total = torch.cuda.get_device_properties(device).total_memory
    peak = torch.cuda.max_memory_allocated(device)
    return memory_message(batch, total, peak, min(fixed, peak), str(error))


def memory_message(batch: int, total: int, peak: int, fixed: int, error: str) -> str:
    """The text of `out_of_memory`.

    Args:
        batch: records a step.
        total: bytes of the card.
        peak: most bytes that were taken.
        fixed: bytes that stay taken between steps, whatever the batch: weights, optimiser.
        error: torch's message.
    """
    wanted = _wanted(error)
    a_record = max(1, peak + wanted - fixed) / batch
    fits = max(0, int((0.9 * total - fixed) / a_record))
    fits = min(fits, batch - 1)
    advice = f"--batch {fits} should fit" if fits >= 1 else "not even one record fits: make the network smaller"
    if fits >= 1 and batch // fits > 1:
        advice += f" (with --optim.accumulate {batch // fits}, a step of the optimiser has as many records)"
    gib = 1 << 30
    return (
        f"the GPU's memory is full at --batch {batch}: {peak / gib:.1f} of {total / gib:.1f} GiB were taken, "
        f"{wanted / gib:.2f} more asked for; {advice}"
    )


def _wanted(error: str) -> int:
    """Bytes that torch says it could not get; 0 where it does not say."""
    words = error.split()
    for number, word in enumerate(words[:-2]):
        if word == "allocate":
            factor = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}.get(words[number + 2].rstrip("."), 0)
            try:
                return int(float(words[number + 1]) * factor)
            except ValueError:
                return 0
    return 0
