"""Orders hold every record once, are the same everywhere, and are as random as they should be."""

import os
import subprocess
import sys
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tessera.datasets.errors import UsageError
from tessera.datasets.order import MAX_SIZE, SORTED_SIZE, Order, draw, key_of, mix64, permute

KEY = 6104043874426139046
keys = st.integers(0, 2**64 - 1)
sizes = st.integers(1, 5000)


@st.composite
def orders(draw_value):
    kind = draw_value(st.sampled_from(["global", "block", "sequential"]))
    block, merge = draw_value(st.integers(1, 300)), draw_value(st.integers(1, 9))
    return Order(kind, draw_value(sizes), draw_value(keys), block, merge)


@given(orders())
def test_every_record_once(order):
    records = order.records(np.arange(order.size))
    assert records.dtype == np.int64
    np.testing.assert_array_equal(np.sort(records), np.arange(order.size))


@given(orders(), st.data())
def test_any_positions_give_what_the_whole_gives(order, data):
    positions = np.array(data.draw(st.lists(st.integers(0, order.size - 1), max_size=50)), np.int64)
    whole = order.records(np.arange(order.size))
    np.testing.assert_array_equal(order.records(positions), whole[positions])
    start = data.draw(st.integers(0, order.size - 1))
    np.testing.assert_array_equal(order.records(np.arange(start, order.size)), whole[start:])


@given(st.integers(1, MAX_SIZE), keys)
def test_huge_sizes_stay_in_range_without_repeats(size, key):
    positions = np.unique(np.linspace(0, size - 1, 20_000).astype(np.int64).clip(0, size - 1))
    values = permute(positions, size, key)
    assert values.min() >= 0 and values.max() < size and len(np.unique(values)) == len(positions)


@pytest.mark.parametrize("size", [2, 16, SORTED_SIZE, SORTED_SIZE + 1, 17 * 17, 17 * 18, 4096, 70_001])
def test_bijection_at_the_edges_of_the_rectangle(size):
    for around in (size - 1, size, size + 1):
        values = permute(np.arange(around), around, 3)
        np.testing.assert_array_equal(np.sort(values), np.arange(around))


@given(st.integers(20, 5000), keys, keys)
def test_another_key_gives_another_order(size, first, second):
    same = np.array_equal(permute(np.arange(size), size, first), permute(np.arange(size), size, second))
    assert same == (first == second)


def test_input_is_left_alone_and_any_integer_dtype_will_do():
    positions = np.arange(1000)
    expected = permute(positions, 1000, 1)
    np.testing.assert_array_equal(positions, np.arange(1000))
    for dtype in (np.uint64, np.int32, np.uint16):
        np.testing.assert_array_equal(permute(positions.astype(dtype), 1000, 1), expected)


GOLDEN = {
    "key_of(0, 'demo', 'order', 1)": KEY,
    f"permute(np.arange(8), 10**6, {KEY}).tolist()": [635106, 773084, 12576, 954001, 944312, 104331, 692465, 103566],
    f"permute(np.arange(7), 7, {KEY}).tolist()": [3, 1, 5, 2, 6, 0, 4],
    f"permute(np.arange(3), 10**15, {KEY}).tolist()": [437795136173526, 882927430079469, 953757089540604],
    f"draw({KEY}, np.arange(6), 1000).tolist()": [791, 525, 647, 511, 901, 602],
    f"Order('block', 1003, {KEY}, 50, 4).records(np.arange(0, 1003, 200)).tolist()": [891, 152, 390, 999, 474, 323],
    f"Order('global', 1003, {KEY}).records(np.arange(0, 1003, 200)).tolist()": [281, 774, 675, 459, 650, 556],
}


def test_golden_values_that_states_of_older_versions_rely_on():
    for code, expected in GOLDEN.items():
        assert eval(code) == expected, code


def test_the_same_in_another_process():
    code = f"import numpy as np; from tessera.datasets.order import *; print([{', '.join(GOLDEN)}])"
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert eval(done.stdout) == list(GOLDEN.values())


def test_permutations_of_tiny_sizes_are_equally_likely():
    for size in (2, 3, 4, 5):
        seen = [permute(np.arange(size), size, key_of(number, "tiny")) for number in range(6000)]
        counts = np.unique(np.array(seen), axis=0, return_counts=True)[1]
        missing = factorial(size) - len(counts)
        assert stats.chisquare([*counts, *[0] * missing]).pvalue > 0.01


@pytest.mark.parametrize("size", [40, SORTED_SIZE + 1, 17 * 17, 300])
def test_differences_of_neighbours_are_uniform_over_keys(size):
    """Four rounds of the network instead of eight fail this."""
    orders = np.array([permute(np.arange(size), size, key_of(number, "steps")) for number in range(1500)])
    steps = np.diff(orders, axis=1) % size
    assert stats.chisquare(np.bincount(steps.ravel(), minlength=size)[1:]).pvalue > 0.01
    starts = [stats.chisquare(np.bincount(orders[:, at], minlength=size)).pvalue for at in range(0, size, 5)]
    assert stats.kstest(starts, "uniform").pvalue > 0.01
    assert abs((orders == np.arange(size)).sum(axis=1).mean() - 1) < 0.15  # fixed points: one on average


@given(st.integers(1, 5000), keys, st.integers(1, 60), st.integers(1, 6), st.data())
def test_block_order_reads_in_runs(size, key, block, merge, data):
    records = Order("block", size, key, block, merge).records(np.arange(size))
    window = data.draw(st.integers(1, size))
    start = data.draw(st.integers(0, size - window))
    runs = np.unique(records[start : start + window] // block)
    # a window touches at most so many pools: whole ones, one cut at each end, and one that holds the short run
    assert len(runs) <= merge * (window // (block * merge) + 3)


def test_block_order_permutes_runs_pools_and_records():
    order = Order("block", 100_003, 1, 100, 8)
    records = order.records(np.arange(order.size))
    pools = records[:-3].reshape(-1, 800) // 100  # 125 full pools; the short run makes later ones begin three earlier
    assert np.mean([len(np.unique(pool)) for pool in pools]) < 16.1
    assert abs(stats.spearmanr(np.arange(order.size), records).statistic) < 0.1
    within = records[:800]
    assert (np.abs(np.diff(within)) == 1).mean() < 0.01
    other = Order("block", 100_003, 2, 100, 8).records(np.arange(order.size))
    assert abs(stats.spearmanr(records, other).statistic) < 0.1


def test_every_pool_has_a_permutation_of_its_own():
    records = Order("block", 8000, 1, 100, 8).records(np.arange(8000)).reshape(10, 800)
    offsets = np.sort(records % 100, axis=1)
    assert (offsets == offsets[0]).all()  # each pool holds the same places within runs ...
    agree = (records[1:] % 100 == records[0] % 100).mean()
    assert agree < 0.05  # ... in an order that has nothing to do with that of the first pool


def test_short_run_falls_anywhere():
    places = [int(Order("block", 39, key, 10, 1).records(np.arange(39)).argmax() // 10) for key in range(400)]
    assert stats.chisquare(np.bincount(places, minlength=4)).pvalue > 0.01


def test_draws_are_uniform_and_keyed():
    ids = np.arange(60_000)
    for below in (2, 7, 1000):
        counts = np.bincount(draw(5, ids, below), minlength=below)
        assert len(counts) == below and stats.chisquare(counts).pvalue > 0.01
    assert stats.kstest(draw(9, ids, 2**32 - 1) / (2**32 - 1), "uniform").pvalue > 0.01
    assert abs(np.corrcoef(draw(5, ids, 1000), draw(6, ids, 1000))[0, 1]) < 0.02
    assert abs(np.corrcoef(draw(5, ids, 1000)[1:], draw(5, ids, 1000)[:-1])[0, 1]) < 0.02


@given(keys, st.lists(st.tuples(st.integers(0, 2**62), st.integers(1, 2**32 - 1)), min_size=1, max_size=20))
def test_draws_of_each_id_are_the_exact_product(key, pairs):
    ids, below = np.array(pairs).T
    expected = [int(word) * end >> 64 for word, (_, end) in zip(mix64(key, ids), pairs, strict=True)]
    assert draw(key, ids, below).tolist() == expected


def test_mix64_is_splitmix64():
    def published(state):
        word = (state + 0x9E3779B97F4A7C15) % 2**64
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
        return word ^ word >> 31

    assert published(0) == 0xE220A8397B1DCDAF  # the generator's well-known first number
    assert int(mix64(-0x9E3779B97F4A7C15, 0)[0]) == published(published(0) - 2 * 0x9E3779B97F4A7C15)
    assert mix64(7, [1, 2]).tolist() == [published(published(x) + 7 - 0x9E3779B97F4A7C15) for x in (1, 2)]


def test_mix64_flips_half_of_the_bits():
    ids = np.arange(2000)
    for bit in range(0, 62, 7):
        flipped = mix64(3, ids) ^ mix64(3, ids ^ (1 << bit))
        assert abs(np.unpackbits(flipped.view(np.uint8)).sum() / 2000 - 32) < 0.5


def test_keys_tell_names_apart():
    names = [(), (1,), ("1",), (1, 2), (2, 1), (12,), ("1", "2"), ('1", "2',), (-1,), ("ä",), (2**70,)]
    assert len({key_of(*each) for each in names}) == len(names)
    assert key_of(np.int64(7), "a") == key_of(7, "a")
    with pytest.raises(TypeError):
        key_of(1.5)


def test_nothing_of_an_empty_order():
    for kind in ("global", "block", "sequential"):
        assert Order(kind, 0, 1).records(np.arange(0)).tolist() == []
        assert Order(kind, 1000, 1).records(np.arange(0)).tolist() == []


def test_errors():
    for kind in ("global", "block", "sequential"):
        for position in (-1, 1000):
            with pytest.raises(ValueError, match=r"order of 1000 records"):
                Order(kind, 1000, 1).records(np.array([3, position]))
    with pytest.raises(ValueError, match="records"):
        permute(np.arange(2), MAX_SIZE + 1, 1)
    with pytest.raises(UsageError, match="global, block or sequential"):
        Order("random", 5, 1)
    with pytest.raises(UsageError, match="at least one"):
        Order("block", 5, 1, block=0)
    for below in (0, 2**32):
        with pytest.raises(ValueError, match="draws"):
            draw(1, np.arange(2), below)
