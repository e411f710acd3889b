"""Which layer of a per-point network reads what."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .checks import check_choice, check_least

SHAPES = ("plain", "u", "n")


@dataclass(frozen=True)
class LayerPlan:
    """One layer.

    Attributes:
        inputs: channels that it reads, all together.
        outputs: channels that it makes.
        with_input: whether the network's input is joined to what it reads.
        mirror: the layer whose output is joined, too, or None.
    """

    inputs: int
    outputs: int
    with_input: bool
    mirror: int | None


def plan_layers(sizes: Sequence[int], skips: Sequence[int], shape: str) -> list[LayerPlan]:
    """Layers of a network, numbered from 0.

    Args:
        sizes: input, hidden widths, output. With `u` and `n` the hidden widths fall and are one half of the network.
        skips: numbers of the layers that read the network's input again. Numbers past the last layer name nothing and
            are left out, as in ICON, whose (2, 3, 4) goes with four layers, 0 to 3.
        shape: `plain`; `u`: the hidden widths, then back up, and each layer on the way up (and the last one) reads its
            mirror layer's output, too; `n`: the hidden widths from narrow to wide, then back down.

    Raises:
        ValueError: for sizes below 1, skips below 1, repeated or all past the last layer, an unknown shape, or widths
            that do not fall with `u` or `n`.
    """
    check_choice("shape", shape, SHAPES)
    if len(sizes) < 2:
        raise ValueError(f"sizes is {list(sizes)}; it needs an input and an output")
    for size in sizes:
        check_least(1, sizes=size)
    widths = _unfold(list(sizes[1:-1]), shape)
    count = len(widths) + 1
    used = _used_skips(skips, count)
    widths = [*widths, sizes[-1]]
    plans = []
    for layer, outputs in enumerate(widths):
        mirror = count - 1 - layer if shape == "u" and layer > count // 2 else None
        inputs = widths[layer - 1] if layer else sizes[0]
        inputs += (sizes[0] if layer in used else 0) + (widths[mirror] if mirror is not None else 0)
        plans.append(LayerPlan(inputs, outputs, layer in used, mirror))
    return plans


def _unfold(hidden: list[int], shape: str) -> list[int]:
    """Widths of all hidden layers."""
    if shape == "plain":
        return hidden
    falls = all(first > second for first, second in pairwise(hidden))
    if len(hidden) < 2 or not falls:
        raise ValueError(f"sizes has hidden widths {hidden}; shape {shape!r} needs at least two that fall")
    return hidden + hidden[-2::-1] if shape == "u" else hidden[::-1] + hidden[1:]


def _used_skips(skips: Sequence[int], count: int) -> set[int]:
    """Those of the skips that name one of `count` layers."""
    for skip in skips:
        check_least(1, skips=skip)
    used = {skip for skip in skips if skip < count}
    if len(set(skips)) != len(skips) or (skips and not used):
        raise ValueError(f"skips is {tuple(skips)}; it must name layers 1 to {count - 1}, each once, or be empty")
    return used
