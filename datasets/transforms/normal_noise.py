"""Small random rotations of normals, each about an axis of its own at right angles to it.

A Gaussian step g of `sigma` an axis is taken in the plane at right angles to n, and n follows it along the sphere,
n' = n cos|g| + g / |g| sin|g|: the exponential map, so that lengths stay, and the angle is Rayleigh distributed with
mean sigma * sqrt(pi / 2).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..errors import SchemaError
from ._fields import Record
from ._noise import Noise


class NormalNoise(Noise):
    """Tilts unit vectors; zero vectors (no direction) stay zero.

    Args:
        sigma: standard deviation in radians, along each of the two directions that a unit vector can move in.
        fields: float fields of vectors (..., 3).

    Raises:
        ValueError: a negative sigma.
    """

    name = "normal_noise"

    def __init__(self, sigma: float = 0.05, fields: str | Sequence[str] = "normal") -> None:
        super().__init__(sigma, fields)

    def __call__(self, record: Record, rng: Generator) -> dict[str, NDArray[Any]]:
        """The record with tilted normals.

        Args:
            record: with the fields, (..., 3) unit or zero vectors.
            rng: draws three numbers a vector, field after field.

        Returns:
            a new mapping; dtypes stay, vectors are unit vectors to the accuracy of their dtype.

        Raises:
            SchemaError: a field is missing, or its last axis is not 3.
        """
        return {**record, **{name: self._tilted(name, record[name], rng) for name in self._selected.present(record)}}

    def _tilted(self, name: str, normals: NDArray[Any], rng: Generator) -> NDArray[Any]:
        if normals.shape[-1:] != (3,):
            raise SchemaError(f"transform {self.name}: `{name}` {normals.shape} holds no vectors (..., 3)")
        normal = np.ascontiguousarray(np.moveaxis(normals, -1, 0), np.float32)  # whole planes: x, y, z
        step = rng.standard_normal(normal.shape, np.float32)
        step *= np.float32(self.sigma)
        step -= _dot(step, normal) * normal
        angle = np.sqrt(_dot(step, step))
        step *= np.sinc(angle / np.float32(np.pi))
        step += normal * np.cos(angle)
        length = np.sqrt(_dot(step, step))
        some = _dot(normal, normal) > 0
        step *= np.where(some, 1 / np.where(some, length, 1), 0)
        tilted = np.empty_like(normals, order="C")
        tilted[...] = np.moveaxis(step, 0, -1)
        return tilted


def _dot(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """(...) products of vectors whose components are whole planes (3, ...)."""
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


TRANSFORM = NormalNoise
