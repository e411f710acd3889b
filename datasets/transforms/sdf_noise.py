"""Gaussian noise on signed distances, as of a scanner or of a fit that is not exact."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ._fields import Record
from ._noise import Noise


class SdfNoise(Noise):
    """Adds independent Gaussian noise to float fields.

    Args:
        sigma: standard deviation in metres (in the field's own unit, where that is another).
        fields: which fields.

    Raises:
        ValueError: a negative sigma.
    """

    name = "sdf_noise"

    def __init__(self, sigma: float = 0.005, fields: str | Sequence[str] = "sdf") -> None:
        super().__init__(sigma, fields)

    def __call__(self, record: Record, rng: Generator) -> dict[str, NDArray[Any]]:
        """The record with noisy distances.

        Args:
            record: with the fields, any shape; NaN stays NaN.
            rng: draws one number a value, field after field, in float32 (float64 for fields of float64).

        Returns:
            a new mapping; dtypes stay.

        Raises:
            SchemaError: a field is missing.
        """
        changed = {}
        for name in self._selected.present(record):
            exact = np.promote_types(record[name].dtype, np.float32)
            noise = rng.standard_normal(record[name].shape, exact)
            noise *= self.sigma
            noise += record[name]
            changed[name] = noise.astype(record[name].dtype, copy=False)
        return {**record, **changed}


TRANSFORM = SdfNoise
