"""The benchmark of shuffle quality: what its statistics say about known orders, and about ours."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from tessera.benchmarks import shuffle
from tessera.datasets.order import Order, key_of

SHARDS, SIZE = 12, 2400


def ours(kind, epochs=20):
    return np.array([Order(kind, SIZE, key_of(3, kind, epoch), 50).records(np.arange(SIZE)) for epoch in range(epochs)])


def starts(kind):
    return np.array([Order(kind, SIZE, key_of(4, kind, epoch), 50).records(np.arange(1))[0] for epoch in range(480)])


def test_rows():
    (rows,) = shuffle.tables(12, 150, 2, 48).values()
    by_name = {row["order"]: row for row in rows}
    assert len(rows) == 6 and all(row.keys() == rows[0].keys() for row in rows)
    near = by_name["webdataset buffer 100"]
    assert near["shards_per_64"] < 4 < by_name["tessera block"]["shards_per_64"] < 10
    for name in ("true permutation", "tessera global"):
        assert by_name[name]["shards_per_64"] > 11.5 and by_name[name]["neighbours_kept"] < 3
        assert by_name[name]["rank_correlation"] < 0.1 < near["rank_correlation"]


def test_webdataset_gives_every_record_once(tmp_path):
    urls = shuffle.write_tars(tmp_path, 3, 40)
    epochs = [list(shuffle._webdataset(urls, 10)(number)) for number in (0, 1, 1)]
    assert all(sorted(epoch) == list(range(120)) for epoch in epochs)
    assert epochs[0] != epochs[1] == epochs[2]


def test_global_order_is_a_true_permutation_to_every_statistic():
    """Chance is what independent permutations of numpy's show: mean and spread of each statistic."""
    rng = np.random.default_rng(1)
    samples = []
    for _ in range(12):
        orders = np.array([rng.permutation(SIZE) for _ in range(20)])
        samples.append(shuffle.measure(orders, rng.integers(0, SIZE, 480), SHARDS))
    found = shuffle.measure(ours("global"), starts("global"), SHARDS)
    assert found.pop("first_p") > 0.01
    for name, value in found.items():
        chance = np.array([sample[name] for sample in samples])
        assert abs(value - chance.mean()) < 4.5 * chance.std(), name


def test_block_order_lies_between_shards_and_chance():
    found = shuffle.measure(ours("block"), starts("block"), SHARDS)
    assert found["first_p"] > 0.01 and found["rank_correlation"] < 0.2 and found["epochs_correlation"] < 0.2
    assert 5 < found["shards_per_64"] < 9 and found["displacement"] == pytest.approx(1, abs=0.05)
    assert found["neighbours_kept"] == pytest.approx(SIZE / 400, rel=0.2)  # as among the 400 records of a pool


def test_statistics_of_orders_that_are_no_shuffle():
    as_stored = np.array([np.arange(SIZE)] * 2)
    found = shuffle.measure(as_stored, np.zeros(48, np.int64), SHARDS)
    assert found["rank_correlation"] == found["shard_correlation"] == found["epochs_correlation"] == pytest.approx(1)
    assert found["displacement"] == 0 and found["first_p"] < 1e-9 and found["shards_per_64"] < 1.5
    assert found["neighbours_kept"] == pytest.approx(SIZE / 2)
    order = np.random.default_rng(0).permutation(SIZE)
    one = shuffle.measure(order[None].repeat(2, axis=0), np.arange(48), SHARDS)
    assert one["rank_correlation"] == pytest.approx(abs(spearmanr(np.arange(SIZE), order).statistic))
    assert one["epochs_correlation"] == pytest.approx(1)


def test_ideal_is_what_permutations_of_numpy_show():
    rng = np.random.default_rng(2)
    orders = np.array([rng.permutation(SIZE) for _ in range(60)])
    found, ideal = shuffle.measure(orders, np.arange(48), SHARDS), shuffle.ideal(SIZE, SHARDS)
    assert ideal["shards_per_64"] == pytest.approx(found["shards_per_64"], abs=0.03)
    for name in ("rank_correlation", "shard_correlation", "epochs_correlation", "neighbours_kept", "displacement"):
        assert found[name] == pytest.approx(ideal[name], rel=0.25), name
