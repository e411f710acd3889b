"""Random generators keyed by names: the same names give the same numbers, whatever ran before or beside."""

import hashlib

import numpy as np


def keyed_rng(seed: int, *names: str) -> np.random.Generator:
    """Generator of one purpose, such as `keyed_rng(seed, dataset, unit, record, "points")`."""
    digest = hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def keyed_share(seed: int, *names: str) -> float:
    """A number in [0, 1) of one purpose, the same under every version of every library."""
    digest = hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)
