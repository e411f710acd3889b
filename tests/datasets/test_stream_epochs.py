"""Every record exactly once an epoch, and the same sequence after any interruption, on any number of ranks."""

import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tessera.datasets import FormatError, Stream, UsageError
from tessera.datasets import stream as stream_module

from .stream_data import NUMBERS, Rows, numbers, numbers_set, write_set

EXAMPLES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIZES, RANKS, BATCHES, THREADS = st.integers(1, 300), st.integers(1, 8), st.integers(1, 40), st.integers(0, 4)
SEEDS, EPOCHS = st.integers(0, 2**40), st.integers(0, 1000)
ORDERS, LASTS = st.sampled_from(["global", "block", "sequential"]), st.sampled_from(["pad", "drop"])


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    """Folder of a data set with so many records; made once."""
    folder, made = tmp_path_factory.mktemp("sized"), {}

    def data_set(size):
        if size not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", lambda handle: None)
                made[size] = numbers_set(folder / str(size), size)
        return made[size]

    return data_set


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """So that the order "block" has several of them in data sets as small as these."""
    monkeypatch.setattr(stream_module, "BLOCK_BYTES", 1 << 14)


def opened(root, ranks, **options):
    return [Stream(root, rank=rank, world_size=ranks, **options) for rank in range(ranks)]


def sequence(root, epoch, seed, order):
    """The whole epoch's order, by one rank in one batch."""
    stream = Stream(root, batch_size=1000, seed=seed, order=order, threads=0)
    stream.set_epoch(epoch)
    return numbers(stream)


def global_steps(streams, most=None):
    """What all ranks give at each step: (numbers, repeats), in the order of ranks; and all must end together."""
    found, ends = [], [iter(stream) for stream in streams]
    while most is None or len(found) < most:
        batches = [next(end, None) for end in ends]
        if None in batches:
            assert batches == [None] * len(streams), "ranks ended at different steps"
            break
        numbers_ = [int(x) for batch in batches for x in batch["number"]]
        found.append((numbers_, [bool(x) for batch in batches for x in batch["repeat"]]))
    for end in ends:
        end.close()
    return found


def drawn(steps):
    return [number for each, repeats in steps for number, repeat in zip(each, repeats, strict=True) if not repeat]


@EXAMPLES
@given(SIZES, RANKS, BATCHES, THREADS, SEEDS, EPOCHS, ORDERS, LASTS)
@example(1, 8, 40, 4, 0, 0, "global", "pad")
@example(1, 8, 40, 4, 0, 0, "global", "drop")
def test_all_ranks_together_give_every_record_exactly_once(
    sized, size, ranks, batch, threads, seed, epoch, order, last
):
    together = ranks * batch
    streams = opened(sized(size), ranks, batch_size=batch, threads=threads, seed=seed, order=order, last=last)
    for stream in streams:
        stream.set_epoch(epoch)
    steps = global_steps(streams)
    assert {len(stream) for stream in streams} == {len(steps)}
    assert len(steps) == (-(-size // together) if last == "pad" else size // together)
    assert all(len(each) == together for each, _ in steps)
    found, repeats = drawn(steps), sum(sum(flags) for _, flags in steps)
    assert len(set(found)) == len(found)
    expected = sequence(sized(size), epoch, seed, order)
    assert found == expected[: len(found)] and sorted(expected) == list(range(size))
    if last == "pad":
        assert sorted(found) == list(range(size)) and repeats == len(steps) * together - size
        assert all(not any(flags) for _, flags in steps[:-1]), "repeats stand in the last step only"
    else:
        assert repeats == 0 and size - len(found) < together


@EXAMPLES
@given(st.data(), SIZES, RANKS, BATCHES, THREADS, SEEDS, EPOCHS, ORDERS)
def test_a_resumed_stream_goes_on_as_if_nothing_had_been(sized, data, size, ranks, batch, threads, seed, epoch, order):
    root, options = sized(size), {"seed": seed, "order": order}
    before = opened(root, ranks, batch_size=batch, threads=threads, **options)
    for stream in before:
        stream.set_epoch(epoch)
    stop = data.draw(st.integers(0, len(before[0])), "interrupted after")
    first = global_steps(before, stop)
    states = [json.dumps(stream.state_dict()) for stream in before]
    assert len(set(states)) == 1 and len(states[0]) < 500, "one small state for all ranks"
    ranks, batch, threads = (data.draw(x) for x in (RANKS, BATCHES, THREADS))
    after = opened(root, ranks, batch_size=batch, threads=threads, **options)
    for stream in after:
        stream.load_state_dict(json.loads(states[0]))
        assert json.dumps(stream.state_dict()) == states[0]
    expected = [sequence(root, number, seed, order) for number in (epoch, epoch + 1)]
    rest = drawn(global_steps(after))
    assert drawn(first) + rest == (expected[0] if stop < len(before[0]) else expected[0] + expected[1])
    follows = epoch + 1 if stop < len(before[0]) else epoch + 2
    assert drawn(global_steps(after)) == sequence(root, follows, seed, order)


@settings(EXAMPLES, max_examples=30)
@given(st.data(), SIZES, RANKS, BATCHES)
def test_resume_where_the_last_batch_is_dropped(sized, data, size, ranks, batch):
    before = opened(sized(size), ranks, batch_size=batch, threads=1, last="drop")
    stop = data.draw(st.integers(0, len(before[0])), "interrupted after")
    first = drawn(global_steps(before, stop))
    batch = data.draw(BATCHES)
    after = Stream(sized(size), batch_size=batch, last="drop", threads=0)
    after.load_state_dict(before[0].state_dict())
    expected, left = sequence(sized(size), 0, 0, "global"), size - len(first)
    if stop < len(before[0]) or not stop:
        assert first + numbers(after) == expected[: len(first) + left // batch * batch]
        assert after.state_dict()["epoch"] == 1
    assert numbers(after) == sequence(sized(size), 1, 0, "global")[: size // batch * batch]


@settings(EXAMPLES, max_examples=20)
@given(st.integers(8, 300), SEEDS, EPOCHS)
def test_another_seed_or_epoch_gives_another_order(sized, size, seed, epoch):
    """Two permutations of eight and more records that agree: one in 40,320 at most."""
    orders = [(seed, epoch), (seed + 1, epoch), (seed, epoch + 1)]
    assert len({tuple(sequence(sized(size), e, s, "global")) for s, e in orders}) == 3
    assert sequence(sized(size), epoch, seed, "global") == sequence(sized(size), epoch, seed, "global")
    assert sequence(sized(size), epoch, seed, "sequential") == list(range(size))


def test_blocks_are_read_together_and_are_a_permutation_of_their_own(sized, monkeypatch):
    monkeypatch.setattr(stream_module, "BLOCK_BYTES", 1 << 12)
    root = sized(300)
    found = np.array(sequence(root, 3, 1, "block"))
    assert sorted(found) == list(range(300)) and found.tolist() != list(range(300))
    spread = [np.ptp(found[i : i + 8]) for i in range(0, 296, 8)]
    shuffled = [np.ptp(np.random.default_rng(0).permutation(300)[i : i + 8]) for i in range(0, 296, 8)]
    assert np.median(spread) < np.median(shuffled)
    assert sequence(root, 3, 1, "block") != sequence(root, 4, 1, "block")


def test_every_rank_takes_its_own_run_of_a_global_step(sized):
    """Global step s takes positions [s G, (s + 1) G), rank r the r-th run of them."""
    expected = sequence(sized(50), 0, 0, "global")
    for rank, stream in enumerate(opened(sized(50), 4, batch_size=3)):
        batches = [numbers([batch], repeats=True) for batch in stream]
        assert batches[1] == expected[12 + 3 * rank :][:3] and len(batches) == 5


def test_ranks_come_from_the_environment(sized, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert numbers(Stream(sized(10), batch_size=2)) == numbers(Stream(sized(10), batch_size=2, rank=1, world_size=2))


def test_epochs_follow_each_other_and_an_epoch_broken_off_is_over(sized):
    stream = Stream(sized(20), batch_size=4)
    orders = [sequence(sized(20), epoch, 0, "global") for epoch in range(6)]
    assert [numbers(stream) for _ in range(2)] == orders[:2]
    for batch in stream:
        assert numbers([batch]) == orders[2][:4]
        break
    assert numbers(stream) == orders[3]
    iter(stream)  # nothing was taken of it
    assert numbers(stream) == orders[4]
    stream.set_epoch(1)
    assert numbers(stream) == orders[1] and stream.state_dict()["epoch"] == 2


def test_set_epoch_begins_an_epoch_again_that_was_broken_off(sized):
    """A validation that is cut short sees the same records each time."""
    stream = Stream(sized(20), batch_size=4)
    for _ in range(3):
        stream.set_epoch(0)
        for _, batch in zip(range(2), stream, strict=False):
            first = numbers([batch])
        assert first == sequence(sized(20), 0, 0, "global")[4:8]


def test_set_epoch_leaves_a_loaded_state_where_it_stands(sized):
    """Training loops call it at each epoch's beginning, also after they resumed in the middle."""
    one = Stream(sized(20), batch_size=4)
    steps = iter(one)
    next(steps)
    other = Stream(sized(20), batch_size=4)
    other.load_state_dict(one.state_dict())
    other.set_epoch(0)
    assert numbers(other) == sequence(sized(20), 0, 0, "global")[4:]
    steps.close()


def test_the_state_is_that_behind_the_batch_given_last_whatever_was_made_ahead(sized):
    stream = Stream(sized(100), batch_size=5, threads=3, prefetch=8)
    for number, _ in enumerate(stream):
        state = stream.state_dict()
        expected = (0, 5 * (number + 1)) if number < 19 else (1, 0)
        assert (state["epoch"], state["position"]) == expected


def test_the_state_after_the_last_batch_begins_the_next_epoch(sized):
    stream = Stream(sized(10), batch_size=4, world_size=1, rank=0)
    steps = iter(stream)
    for _ in range(len(stream)):
        next(steps)
    state = stream.state_dict()  # the iterator has not been asked for more
    assert (state["epoch"], state["position"]) == (1, 0)
    other = Stream(sized(10), batch_size=3)
    other.load_state_dict(state)
    assert numbers(other) == sequence(sized(10), 1, 0, "global")
    steps.close()


def test_a_state_can_be_loaded_while_a_stream_is_read(sized):
    stream = Stream(sized(30), batch_size=5)
    expected = sequence(sized(30), 0, 0, "global")
    kept = None
    for number, _ in enumerate(stream):
        kept = stream.state_dict() if number == 1 else kept
    stream.load_state_dict(kept)
    assert numbers(stream) == expected[10:]
    stream.load_state_dict(kept)
    next(iter(stream))
    assert stream.state_dict()["position"] == 15


STATES = {
    "seed": ({"seed": 4}, "seed was 4"),
    "order": ({"order": "block"}, "order was 'block'"),
    "records": ({"records": 31, "position": 5}, "records was 31"),
    "data": ({"data": "other"}, "data was 'other'"),
    "table": ({"table": "frames"}, "table was 'frames'"),
    "split": ({"split": "val"}, "split was 'val'"),
    "version": ({"version": 99}, "version 99"),
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_that_does_not_fit_is_refused(sized, name):
    changes, message = STATES[name]
    stream = Stream(sized(30), batch_size=5)
    with pytest.raises(UsageError, match=message):
        stream.load_state_dict(stream.state_dict() | changes)
    assert numbers(stream) == sequence(sized(30), 0, 0, "global")


def test_a_data_set_may_grow_between_two_epochs_only(sized):
    small, large = Stream(sized(20), batch_size=5), Stream(sized(30), batch_size=5)
    steps = iter(small)
    next(steps)
    with pytest.raises(UsageError, match="records was 20"):
        large.load_state_dict(small.state_dict())
    steps.close()
    list(small)
    large.load_state_dict(small.state_dict())
    assert sorted(numbers(large)) == list(range(30))


@pytest.mark.parametrize("state", [{}, {"version": 1}, {"version": 1, "epoch": 0}, {"position": -5}, {"position": "x"}])
def test_a_state_that_is_none_is_refused_in_one_line(sized, state):
    stream = Stream(sized(20), batch_size=5)
    state = stream.state_dict() | state if "position" in state else state
    with pytest.raises(UsageError, match="state"):
        stream.load_state_dict(state)


def test_skipped_records_keep_steps_and_sequence_of_the_others(sized, tmp_path):
    """One damaged record; the others stand where they stood, and its slot holds a flagged repeat."""
    root = numbers_set(tmp_path, 30, groups=1)
    expected = sequence(root, 0, 0, "global")
    tar = next(root.rglob("*.tar"))
    data = bytearray(tar.read_bytes())
    header = data.index(b"NUMPY", data.index(b"g0-%04d" % expected[7]))
    data[data.index(b"\n", header) + 1] ^= 255
    tar.write_bytes(data)
    for threads in (0, 2):
        stream = Stream(root, batch_size=4, on_error="skip", threads=threads)
        batches = list(stream)
        assert len(batches) == len(stream) == 8
        assert numbers(batches) == [number for number in expected if number != expected[7]]
        assert batches[1]["repeat"].tolist() == [False, False, False, True] and stream.stats().skipped == 1
        with pytest.raises(FormatError, match=f"g0-{expected[7]:04d}.*checksum"):
            list(Stream(root, batch_size=4, threads=threads))


def test_another_data_set_table_or_split_has_another_order_with_the_same_seed(tmp_path):
    """Or record i of one set would always meet record i of another in a mixture."""
    listed = [[(f"g-{i:04d}", {"number": np.int64(i)}, {}) for i in range(100)]]
    rows = Rows(NUMBERS, {"train": listed, "val": [[(f"h-{i:04d}", *rest) for i, (_, *rest) in enumerate(listed[0])]]})
    roots = [write_set(tmp_path / name, {"things": rows, "others": rows}, name) for name in ("one", "two")]
    orders = {
        (root.name, table, split): tuple(numbers(Stream(root, table, split, fields=["number"], batch_size=100)))
        for root in roots for table in ("things", "others") for split in ("train", "val")
    }  # fmt: skip
    assert len(set(orders.values())) == 8 and all(sorted(order) == list(range(100)) for order in orders.values())


@pytest.mark.parametrize("order", ["global", "block", "sequential"])
def test_a_limit_gives_the_first_records_each_epoch_once(sized, order):
    stream = Stream(sized(50), limit=7, batch_size=3, order=order, fields=["number"])
    first = set(numbers(Stream(sized(50), batch_size=7, order="sequential", fields=["number"], threads=0))[:7])
    for epoch in range(3):
        stream.set_epoch(epoch)
        assert sorted(drawn(global_steps([stream]))) == sorted(first) and len(first) == 7
    assert len(stream) == 3 and stream.epoch_records() == 7
    next(iter(stream))  # in the middle of an epoch
    with pytest.raises(UsageError, match="records was 7, this stream's is 8"):
        Stream(sized(50), limit=8, batch_size=3, order=order, fields=["number"]).load_state_dict(stream.state_dict())
    with pytest.raises(UsageError, match="limit"):
        Stream(sized(50), limit=0)
