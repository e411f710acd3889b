"""Refusals of bad settings and of tensors of the wrong shape, each naming what was wrong."""

from collections.abc import Sequence

from torch import Tensor


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of the `choices` of the setting `name`."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")


def check_least(least: int, **settings: int) -> None:
    """Raise ValueError unless every setting is a whole number of at least `least`."""
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")


def check_chance(name: str, value: float) -> None:
    """Raise ValueError unless `value` is in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} is {value!r}; it must be in [0, 1)")


def check_divides(divisor: int, name: str, sizes: Sequence[int]) -> None:
    """Raise ValueError unless every one of the `sizes`, called `name` together, is a multiple of `divisor` above 0."""
    if any(size < divisor or size % divisor for size in sizes):
        raise ValueError(f"{name} is {tuple(sizes)}; each must be a multiple of {divisor}")


def check_shape(name: str, tensor: Tensor, *shape: int | None) -> None:
    """Raise ValueError unless the tensor has that shape; None stands for any size."""
    fits = tensor.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("*" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; it must be ({wanted})")
