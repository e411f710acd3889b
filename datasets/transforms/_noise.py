"""What transforms that add noise to float fields have in common."""

from collections.abc import Sequence

import numpy as np

from ..schema import Field
from ._fields import Fields, Selected


class Noise:
    """Noise of a standard deviation on chosen fields.

    Args:
        sigma: standard deviation.
        fields: which float fields.

    Raises:
        ValueError: a negative sigma.
    """

    name: str
    writes: tuple[Field, ...] = ()
    random = True

    def __init__(self, sigma: float, fields: str | Sequence[str]) -> None:
        if not 0 <= sigma < np.inf:
            raise ValueError(f"sigma {sigma} is no standard deviation")
        self.sigma = sigma
        self._selected = Selected(self.name, fields)
        self.reads = self._selected.names

    def bind(self, fields: Fields) -> None:
        """Check that the fields are delivered, as floats."""
        self._selected = self._selected.bound(fields, "float", "float")
