"""Pictures of uint8 as float32, the input of most networks; to be the last of a stream's transforms."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemaError
from ..schema import Field
from ._fields import Fields, Record, Selected

NAMED = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "symmetric": ((0.5,) * 3, (0.5,) * 3)}


class ToFloat:
    """Replaces uint8 pictures by (v / 255 - mean) / std in float32, channels last or first.

    Args:
        normalise: None for [0, 1]; "symmetric" for [-1, 1] (ICON); "imagenet" (SPIN); or the channels' means and
            standard deviations, in [0, 1].
        channels_first: (..., 3, height, width) instead of (..., height, width, 3).
        fields: which pictures.

    Raises:
        ValueError: no such normalisation, or a standard deviation that is not positive.
    """

    name = "to_float"
    writes: tuple[Field, ...] = ()

    def __init__(
        self,
        normalise: str | tuple[Sequence[float], Sequence[float]] | None = None,
        channels_first: bool = False,
        fields: str | Sequence[str] = "image",
    ) -> None:
        if isinstance(normalise, str) and normalise not in NAMED:
            raise ValueError(f"normalise {normalise!r}: {', '.join(NAMED)}, or means and standard deviations")
        mean, std = (NAMED[normalise] if isinstance(normalise, str) else normalise) or ((0.0,), (1.0,))
        self.mean, self.std = np.array(mean, np.float64), np.array(std, np.float64)
        if self.mean.shape != self.std.shape or self.mean.ndim != 1 or not (self.std > 0).all():
            raise ValueError(f"normalise {normalise}: as many means as standard deviations, and these above 0")
        self.channels_first = self.moves_axes = channels_first
        self._selected = Selected(self.name, fields)
        self.reads = self._selected.names

    def bind(self, fields: Fields) -> None:
        """Check that the pictures are delivered, as uint8."""
        self._selected = self._selected.bound(fields, "uint8", "uint8")

    def __call__(self, record: Record) -> dict[str, NDArray[Any]]:
        """The record with float pictures.

        Args:
            record: with the pictures, (..., height, width, channels) uint8.

        Returns:
            a new mapping; the pictures are float32 and contiguous.

        Raises:
            SchemaError: a picture is missing, not uint8, or has another number of channels than there are means.
        """
        return {**record, **{name: self._converted(name, record[name]) for name in self._selected.present(record)}}

    def _converted(self, name: str, picture: NDArray[Any]) -> NDArray[np.float32]:
        if picture.dtype != np.uint8 or picture.ndim < 3 or len(self.mean) not in (1, picture.shape[-1]):
            raise SchemaError(
                f"transform {self.name}: `{name}` is {picture.dtype} {picture.shape}; uint8 pictures (height, width, "
                f"channels) are needed, of {len(self.mean) if len(self.mean) > 1 else 'any number of'} channels"
            )
        shift, scale = (255 * self.mean).astype(np.float32), (255 * self.std).astype(np.float32)
        if self.channels_first:
            picture = np.moveaxis(picture, -1, -3)
            shift, scale = shift[:, None, None], scale[:, None, None]
        value = np.subtract(picture, shift, dtype=np.float32, order="C")
        return np.divide(value, scale, out=value)


TRANSFORM = ToFloat
