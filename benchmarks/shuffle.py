"""How well orders are shuffled: Tessera's beside a true permutation (numpy's) and webdataset's shards and buffer.

webdataset reads real tars of tiny records, as its documentation says: shards are shuffled, then records by a buffer.
Each order is measured over several epochs; a true permutation shows what chance alone gives.
"""

import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chisquare

from ..datasets.order import Order, key_of

SHARDS, PER_SHARD = 12, 1000
EPOCHS, FIRSTS = 8, 480
BUFFERS = (100, 1000)
BATCH = 64
BINS = 24  # half a shard each

Integers = NDArray[np.int64]
Epoch = Callable[[int], Iterator[int] | Integers]  # epoch number -> record numbers, one after the other
Row = dict[str, str | float]


def tables(
    shards: int = SHARDS, per_shard: int = PER_SHARD, epochs: int = EPOCHS, firsts: int = FIRSTS
) -> dict[str, list[Row]]:
    """The benchmark's table, by title.

    Args:
        shards: number of shards.
        per_shard: records each.
        epochs: whole epochs that are measured.
        firsts: epochs of which only the first record is looked at.

    Returns:
        A row an order, as `measure` makes it, and a first row with what an ideal order gives.
    """
    size = shards * per_shard
    rows = [ideal(size, shards)]
    with tempfile.TemporaryDirectory() as folder:
        urls = write_tars(Path(folder), shards, per_shard)
        for name, epoch in _ways(size, urls).items():
            orders = np.array([np.fromiter(epoch(number), np.int64) for number in range(epochs)])
            starts = np.array([next(iter(epoch(number))) for number in range(firsts)])
            rows.append({"order": name, **measure(orders, starts, shards)})
    return {f"shuffle quality, {shards} shards of {per_shard} records, mean of {epochs} epochs": rows}


def ideal(size: int, shards: int) -> Row:
    """Expectations for a uniformly random permutation; those of absolute correlations are sqrt(2 / (pi (n - 1)))."""
    chance, within = (float(np.sqrt(2 / np.pi / (count - 1))) for count in (size, size // shards))
    absent = float(np.prod(1 - (size // shards) / (size - np.arange(BATCH))))
    return {
        "order": "ideal", "rank_correlation": chance, "shard_correlation": within, "neighbours_kept": 1.0,
        "displacement": 1.0, "shards_per_64": shards * (1 - absent), "epochs_correlation": chance, "first_p": 0.5,
    }  # fmt: skip


def measure(orders: Integers, starts: Integers, shards: int) -> dict[str, float]:
    """Statistics of an order.

    Args:
        orders: (epochs, n) record numbers of whole epochs, each a permutation; n is a multiple of `shards`.
        starts: (m,) first record numbers of many epochs.
        shards: number of shards, of equally many consecutive records.

    Returns:
        rank_correlation: of position and record number (Spearman), absolute, mean over epochs.
        shard_correlation: the same among the records of one shard.
        neighbours_kept: pairs of consecutive positions with consecutive records, over their expectation.
        displacement: mean distance of a record from its place in the shards, over its expectation.
        shards_per_64: distinct shards in a batch of 64, mean.
        epochs_correlation: of a record's positions in two epochs, absolute, mean over pairs of epochs.
        first_p: p-value of a chi-square test that the first record of an epoch is uniform over the records.
    """
    size = orders.shape[1]
    positions = np.arange(size)
    places = np.argsort(orders, axis=1)  # position of each record
    in_shards = places.reshape(-1, size // shards)
    batches = orders[:, : size // BATCH * BATCH].reshape(-1, BATCH) // (size // shards)
    counts = np.bincount(starts * BINS // size, minlength=BINS)
    return {
        "rank_correlation": _mean_correlation((order, positions) for order in orders),
        "shard_correlation": _mean_correlation((shard, np.arange(len(shard))) for shard in in_shards),
        "neighbours_kept": float((np.abs(np.diff(orders, axis=1)) == 1).mean() / (2 / size)),
        "displacement": float(np.abs(orders - positions).mean() / ((size**2 - 1) / (3 * size))),
        "shards_per_64": float(np.mean([len(np.unique(batch)) for batch in batches])),
        "epochs_correlation": _mean_correlation(combinations(places, 2)),
        "first_p": float(chisquare(counts).pvalue),
    }


def write_tars(folder: Path, shards: int, per_shard: int) -> list[str]:
    """Write tars of records whose key is their number; returns their paths."""
    urls = []
    for shard in range(shards):
        urls.append(str(folder / f"{shard:06d}.tar"))
        with tarfile.open(urls[-1], "w") as tar:
            for number in range(shard * per_shard, (shard + 1) * per_shard):
                tar.addfile(tarfile.TarInfo(f"{number:09d}.txt"), io.BytesIO())
    return urls


def _ways(size: int, urls: list[str]) -> dict[str, Epoch]:
    """The orders by name."""
    ways: dict[str, Epoch] = {"true permutation": lambda epoch: np.random.default_rng([7, epoch]).permutation(size)}
    for kind in ("global", "block"):
        ways[f"tessera {kind}"] = _tessera(kind, size)
    return ways | {f"webdataset buffer {buffer}": _webdataset(urls, buffer) for buffer in BUFFERS}


def _tessera(kind: str, size: int) -> Epoch:
    def epoch(number: int) -> Integers:
        key = key_of(0, "shuffle", number)
        return Order(kind, size, key).records(np.arange(size))  # type: ignore[arg-type]

    return epoch


def _webdataset(urls: list[str], buffer: int) -> Epoch:
    from webdataset import WebDataset

    def epoch(number: int) -> Iterator[int]:
        records = WebDataset(urls, shardshuffle=len(urls), seed=2 * number).shuffle(buffer, seed=2 * number + 1)
        return (int(record["__key__"]) for record in records)

    return epoch


def _mean_correlation(pairs: Iterator[tuple[Integers, Integers]]) -> float:
    """Mean absolute Spearman correlation of pairs of arrays without ties."""
    return float(
        np.mean([abs(np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1]) for a, b in pairs])
    )
