"""Brightness, contrast, saturation and gamma of pictures, drawn anew each time.

With v in [0, 1] and m the picture's mean luminance (0.299 R + 0.587 G + 0.114 B, Rec. 601, as Pillow's):

    u = clip(contrast * brightness * (v - m) + brightness * m)      of each value alone: a table of 256 for uint8
    w = u ** gamma
    out = clip(saturation * w + (1 - saturation) * luminance(w))

Unlike torchvision's jitter, which shuffles the four, the order is fixed, and clipping happens twice, not four times.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..errors import SchemaError
from ..schema import Field
from ._fields import Fields, Record, Selected

LUMINANCE = np.array([0.299, 0.587, 0.114])
BITS = 6  # below the point of the fixed-point sums: 255 << 6 and the overshoot of saturation fit int16


class PhotometricJitter:
    """Changes the colours of RGB pictures; all pictures of a record get the same change.

    Args:
        brightness: the factor is uniform in [1 - brightness, 1 + brightness].
        contrast: the same, of the spread about the picture's mean luminance.
        saturation: the same, of the distance from grey.
        gamma: the exponent's logarithm is uniform in [-log(1 + gamma), log(1 + gamma)].
        fields: RGB pictures (..., height, width, 3), uint8, or float in [0, 1].

    Raises:
        ValueError: an amount below 0 or, but for gamma, above 1.
    """

    name = "photometric_jitter"
    writes: tuple[Field, ...] = ()
    random = True

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.2,
        gamma: float = 0.0,
        fields: str | Sequence[str] = "image",
    ) -> None:
        if not (all(0 <= amount <= 1 for amount in (brightness, contrast, saturation)) and gamma >= 0):
            raise ValueError("brightness, contrast and saturation lie between 0 and 1, gamma is not negative")
        self.amounts, self.gamma = (brightness, contrast, saturation), gamma
        self._selected = Selected(self.name, fields)
        self.reads = self._selected.names

    def bind(self, fields: Fields) -> None:
        """Check that the pictures are delivered, as uint8 or float."""
        self._selected = self._selected.bound(fields, "uint8 float", "uint8 or float")

    def __call__(self, record: Record, rng: Generator) -> dict[str, NDArray[Any]]:
        """The record with changed colours.

        Args:
            record: with the pictures.
            rng: draws the four factors.

        Returns:
            a new mapping; pictures keep their dtype.

        Raises:
            SchemaError: a picture is missing, or not RGB of uint8 or float.
        """
        brightness, contrast, saturation = (rng.uniform(1 - amount, 1 + amount) for amount in self.amounts)
        factors = (brightness, contrast, saturation, np.exp(rng.uniform(-1, 1) * np.log1p(self.gamma)))
        return {
            **record,
            **{name: self._jittered(name, record[name], *factors) for name in self._selected.present(record)},
        }

    def _jittered(
        self, name: str, picture: NDArray[Any], brightness: float, contrast: float, saturation: float, gamma: float
    ) -> NDArray[Any]:
        if picture.shape[-1:] != (3,) or not (picture.dtype == np.uint8 or picture.dtype.kind == "f"):
            raise SchemaError(
                f"transform {self.name}: `{name}` is {picture.dtype} {picture.shape}, not RGB of uint8 or float"
            )
        whole = 255.0 if picture.dtype == np.uint8 else 1.0
        lift = brightness * (1 - contrast) * _mean_luminance(picture) / whole

        def line(values: NDArray[Any]) -> NDArray[Any]:
            return np.clip(values * (brightness * contrast) + lift, 0, 1) ** gamma

        if picture.dtype == np.uint8:
            return _by_table(picture, line(np.arange(256) / 255), saturation)
        value = line(picture.astype(np.float32))
        grey = value @ LUMINANCE.astype(np.float32)
        return np.clip(value * saturation + (grey * (1 - saturation))[..., None], 0, 1).astype(picture.dtype)


def _mean_luminance(picture: NDArray[Any]) -> float:
    """In the picture's own range. Columns are summed first: whole rows are added, which is 20 times as fast."""
    columns = picture.reshape(-1, picture.shape[-2] * 3)
    sums = columns.sum(axis=0, dtype=np.uint64 if picture.dtype == np.uint8 else np.float64)
    return float(sums.reshape(-1, 3).sum(axis=0) @ LUMINANCE) / (picture.size // 3)


def _by_table(picture: NDArray[np.uint8], line: NDArray[np.float64], saturation: float) -> NDArray[np.uint8]:
    """The uint8 picture whose values v become line[v] (256,) in [0, 1], then more or less grey."""
    if saturation == 1:
        return np.take(np.rint(line * 255).astype(np.uint8), picture, mode="clip")  # which spares a check of each index
    scale = 255 * (1 << BITS)
    own = np.rint(line * (scale * saturation)).astype(np.int16)
    shares = np.rint(line * (scale * (1 - saturation)) * LUMINANCE[:, None]).astype(np.int16)
    red, green, blue = (np.take(shares[channel], picture[..., channel], mode="clip") for channel in range(3))
    grey = red + green + blue
    total = np.take(own, picture, mode="clip")
    grey += 1 << (BITS - 1)  # rounds to nearest when shifted
    total += grey[..., None]
    total >>= BITS
    return np.clip(total, 0, 255, out=total).astype(np.uint8)


TRANSFORM = PhotometricJitter
