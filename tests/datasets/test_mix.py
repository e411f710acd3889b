"""Mixtures: exact proportions, every record once in each epoch of its own stream, one number as state."""

import json
import os
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tessera.datasets import Column, Field, Mix, Reference, Schema, Stream, UsageError

from .stream_data import Rows, numbers, numbers_set, same_batch, write_set

EXAMPLES = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIZES = (1, 7, 30, 101)
WEIGHTS = st.lists(st.integers(1, 7), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        return [numbers_set(tmp_path_factory.mktemp("mix") / str(n), n, name=f"n{n}") for n in SIZES]


def mixed(roots, weights, rank=0, ranks=1, **options):
    streams = [(Stream(root, seed=i), weight) for i, (root, weight) in enumerate(zip(roots, weights, strict=False))]
    return Mix(streams, rank=rank, world_size=ranks, **options)


def drawn(mixes, epochs=1):
    """(source, number) in the order of positions, repeats left out, of all ranks."""
    found = []
    for _ in range(epochs):
        ends = [list(mix) for mix in mixes]
        assert len({len(end) for end in ends}) == 1 and len(ends[0]) == len(mixes[0])
        for batches in zip(*ends, strict=True):
            for batch in batches:
                rows = zip(batch["source"].tolist(), batch["number"].tolist(), batch["repeat"].tolist(), strict=True)
                found += [(source, number) for source, number, repeat in rows if not repeat]
    return found


def once_in_each_epoch(found, roots):
    """Each source's records: its own order, epoch behind epoch, each of them whole."""
    for source in {source for source, _ in found}:
        inside = [number for each, number in found if each == source]
        size = Stream(roots[source]).epoch_records()
        expected, epoch = [], 0
        while len(expected) < len(inside):
            stream = Stream(roots[source], seed=source, batch_size=size, threads=0)
            stream.set_epoch(epoch)
            expected, epoch = expected + numbers(stream), epoch + 1
        assert inside == expected[: len(inside)]


@EXAMPLES
@given(WEIGHTS, st.integers(1, 9), st.integers(1, 3), st.integers(0, 2), st.integers(1, 60))
def test_proportions_are_exact_in_every_window_of_a_period(roots, weights, batch_size, ranks, threads, length):
    mixes = [
        mixed(roots, weights, rank, ranks, batch_size=batch_size, threads=threads, length=length)
        for rank in range(ranks)
    ]
    found = drawn(mixes, epochs=3)
    assert len(found) == 3 * length
    shares = np.array(weights) / sum(weights)
    period = mixes[0].pattern.period
    assert sum(weights) % period == 0
    sources = np.array([source for source, _ in found])
    counts = np.concatenate(
        [np.zeros((1, len(weights))), np.cumsum(sources[:, None] == np.arange(len(weights)), axis=0)]
    )
    whole = counts[period:] - counts[:-period]
    np.testing.assert_array_equal(whole, np.broadcast_to(shares * period, whole.shape).round())
    once_in_each_epoch(found, roots)


@EXAMPLES
@given(st.data(), WEIGHTS, st.integers(1, 9), st.integers(1, 3), st.integers(5, 60))
def test_a_resumed_mixture_goes_on_as_if_nothing_had_been(roots, data, weights, batch_size, ranks, length):
    options = {"length": length, "threads": 1}
    expected = drawn([mixed(roots, weights, batch_size=length, **options)], epochs=3)
    before = [mixed(roots, weights, rank, ranks, batch_size=batch_size, **options) for rank in range(ranks)]
    steps = [iter(mix) for mix in before]
    stop = data.draw(st.integers(0, len(before[0])))
    for _ in range(stop):
        for step in steps:
            next(step)
    states = {json.dumps(mix.state_dict()) for mix in before}
    [step.close() for step in steps]
    assert len(states) == 1
    state = json.loads(states.pop())
    ranks, batch_size = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 9))
    after = [mixed(roots, weights, rank, ranks, batch_size=batch_size, **options) for rank in range(ranks)]
    for mix in after:
        mix.load_state_dict(state)
    position = state["epoch"] * length + state["position"]
    # the rest of an epoch has fewer steps than a whole one, so it is counted on its own
    rest = [list(mix) for mix in after]
    assert len({len(end) for end in rest}) == 1
    found = [
        (source, number)
        for batches in zip(*rest, strict=True)
        for batch in batches
        for source, number, repeat in zip(*(batch[x].tolist() for x in ("source", "number", "repeat")), strict=True)
        if not repeat
    ]
    assert found == expected[position : position + len(found)] and (position + len(found)) % length == 0
    assert drawn(after) == expected[position + len(found) :][:length]


@EXAMPLES
@given(WEIGHTS, st.integers(1, 9), st.integers(1, 3), st.integers(1, 60))
def test_by_batch_every_batch_of_all_ranks_is_of_one_stream(roots, weights, batch_size, ranks, length):
    mixes = [
        mixed(roots, weights, rank, ranks, batch_size=batch_size, by="batch", length=length) for rank in range(ranks)
    ]
    together = batch_size * ranks
    found = drawn(mixes, epochs=2)
    assert len(found) == 2 * together * -(-length // together), "always full: no repeats"
    sources = np.array([source for source, _ in found]).reshape(-1, together)
    assert (sources == sources[:, :1]).all()
    period = mixes[0].pattern.period
    for first in range(len(sources) - period + 1):
        counts = np.bincount(sources[first : first + period, 0], minlength=len(weights))
        np.testing.assert_array_equal(counts * sum(weights), np.array(weights) * period)
    once_in_each_epoch(found, roots)


def test_the_first_positions_of_a_stream_s_epoch_are_not_always_the_same_place(roots):
    """Streams go on into their own epochs: over many, every record comes as often as any other."""
    found = drawn([mixed(roots[1:3], (2, 1), batch_size=4, length=21)], epochs=20)
    counts = [np.bincount([n for s, n in found if s == source]) for source in (0, 1)]
    assert counts[0].tolist() == [40] * 7 and counts[1].max() - counts[1].min() <= 1


@pytest.mark.parametrize("by", ["record", "batch"])
@pytest.mark.parametrize("last", ["pad", "drop"])
def test_the_report_is_what_was_drawn(roots, by, last):
    mix = mixed(roots[1:], (3, 2, 0.5), batch_size=6, by=by, last=last, length=50)
    counts = np.zeros(3, np.int64)
    assert [row["records"] for row in mix.report()] == [0, 0, 0]
    for _ in range(3):
        for batch in mix:
            counts += np.bincount(batch["source"][~batch["repeat"]], minlength=3)
            rows = mix.report()
            assert [row["records"] for row in rows] == counts.tolist()
    assert [row["stream"] for row in rows] == [f"n{n}, table things" for n in SIZES[1:]]
    np.testing.assert_allclose([row["weight"] for row in rows], np.array([3, 2, 0.5]) / 5.5)
    np.testing.assert_allclose([row["share"] for row in rows], counts / counts.sum())
    np.testing.assert_allclose([row["epochs"] for row in rows], counts / SIZES[1:])
    json.dumps(rows)


@pytest.mark.parametrize(
    "weights", [(0.1, 0.9), (np.float32(0.25), np.float64(0.75)), (Fraction(1, 3), Fraction(2, 3)), (1, 2)]
)
def test_weights_of_every_kind_of_number(roots, weights):
    mix = mixed(roots[1:3], weights, batch_size=4)
    shares = [row["weight"] for row in mix.report()]
    np.testing.assert_allclose(
        shares, np.array([float(w) for w in weights]) / float(sum(map(float, weights))), rtol=1e-6
    )
    mix.load_state_dict(json.loads(json.dumps(mix.state_dict())))


def test_a_mixture_travels_to_another_process_as_it_stands(roots):
    mix = mixed(roots[1:3], (1, 2), batch_size=4, length=40)
    steps = iter(mix)
    next(steps)
    copy = pickle.loads(pickle.dumps(mix))
    copy.load_state_dict(mix.state_dict())
    for one, other in zip(steps, copy, strict=True):
        same_batch(one, other)


WRONG = {
    "none": (lambda s: Mix([]), "at least one stream"),
    "by": (lambda s: Mix([(s, 1)], by="epoch"), "'record' or by 'batch'"),
    "weight": (lambda s: Mix([(s, 1), (s, 0)]), "above zero"),
    "period": (lambda s: Mix([(s, 1), (s, 2)], period=4), "period=3"),
    "length": (lambda s: Mix([(s, 1)], length=0), "at least one record"),
    "batch": (lambda s: Mix([(s, 1)], batch_size=0), "batch_size 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(roots, name):
    make, message = WRONG[name]
    with pytest.raises(UsageError, match=message):
        make(Stream(roots[0]))


def test_a_state_of_another_mixture_is_refused(roots):
    mix = mixed(roots[1:3], (1, 2), batch_size=4)
    for other, message in [
        (mixed(roots[1:3], (2, 1), batch_size=4), "weights"),
        (mixed(roots[2:], (1, 2), batch_size=4), "streams|records"),
        (mixed(roots[1:3], (1, 2), batch_size=4, by="batch"), "by"), (Stream(roots[1]), "of a mixture"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=message):
            other.load_state_dict(mix.state_dict())


def test_a_mixture_between_two_of_its_epochs_is_amid_those_of_its_streams(roots):
    """So nothing may have changed: another length, or a set that has grown, would lead to other places of them."""
    mix = mixed(roots[1:3], (1, 2), batch_size=4, length=12)
    list(mix)
    state = mix.state_dict()
    assert (state["epoch"], state["position"]) == (1, 0)
    mixed(roots[1:3], (1, 2), batch_size=3, length=12).load_state_dict(state)
    longer = mixed(roots[1:3], (1, 2), batch_size=4, length=16)
    with pytest.raises(UsageError, match="records was 12"):
        longer.load_state_dict(state)
    grown = json.loads(json.dumps(state))
    grown["streams"][1]["records"] += 1
    with pytest.raises(UsageError, match="streams was"):
        mix.load_state_dict(grown)
    longer.load_state_dict(mixed(roots[1:3], (1, 2), batch_size=4, length=12).state_dict())  # nothing was drawn yet


RICH = Schema(
    (
        Field("number", "int64", (), "npz"),
        Field("points", "float32", ("points", 3), "npy"),
        Field("grid", "int16", ("rows", "columns"), "npy"),
        Field("note", "json", (), "json"),
        Field("bits", "uint8", ("bits",), "npz", optional=True),
        Field("mask", "uint8", (4,), "npz", optional=True),
    ),
    {"points": None, "rows": None, "columns": None, "bits": None},
    (Column("word", "string"), Column("mean", "float64")),
    (Reference("next", "things"), Reference("near", "things", many=True)),
)
STRICT = Schema(
    tuple(Field(**(vars(entry) | {"optional": False})) for entry in RICH.fields), RICH.dimensions, RICH.columns,
    RICH.references,
)  # fmt: skip


def rich(source, number, whole):
    values = {
        "number": np.int64(number), "points": np.full((number % 4, 3), 100 * source + number, np.float32),
        "grid": np.full((1 + number % 2, number % 3), number, np.int16), "note": [source, number],
    }  # fmt: skip
    if whole or number % 2:
        values |= {"bits": np.full(number % 5, number, np.uint8), "mask": np.full(4, number, np.uint8)}
    near = [f"t-{(number + k) % 9}" for k in range(number % 4)]
    scalars = {"word": f"w{number}", "mean": number / 2, "near": near}
    return f"t-{number}", values, scalars | {"next": None if number % 3 == 0 else f"t-{(number + 1) % 9}"}


@pytest.fixture(scope="module")
def riches(tmp_path_factory):
    """The same fields twice, optional in one only."""
    made = []
    for source, schema in enumerate((RICH, STRICT)):
        records = [rich(source, number, source == 1) for number in range(9)]
        rows = {"things": Rows(schema, {"train": [records]})}
        made.append(write_set(tmp_path_factory.mktemp("rich"), rows, f"rich{source}"))
    return made


NAMES = [
    "number", "points", "grid", "note", "bits", "mask", "word", "mean", "next", "near", "next.points", "next.note",
    "near.number", "near.points", "near.note", "near.word", "near.grid", "near.bits", "near.mask", "near.mean",
    "near.near.points", "near.near.note", "near.next.number",
]  # fmt: skip


def part(batch, name, slot, bounds=None):
    """All that belongs to one record, as plain lists."""
    rows = range(slot, slot + 1) if bounds is None else range(*bounds[slot : slot + 2])
    found = []
    for row in rows:
        if f"{name}.present" in batch and not batch[f"{name}.present"][row]:
            found.append(None)
        elif f"{name}.offsets" in batch and name not in ("near", "next"):
            low, high = batch[f"{name}.offsets"][row : row + 2].tolist()
            shape = batch[f"{name}.shapes"][row].tolist() if f"{name}.shapes" in batch else []
            found.append((batch[name][low:high].tolist(), shape))
        else:
            value = batch[name][row]
            found.append(value if isinstance(batch[name], list) else value.tolist())
    return found


def parts_of(batch):
    found = {}
    near = batch["near.offsets"].tolist()
    inner = batch["near.near.offsets"].numpy()[near].tolist()
    for slot in range(len(batch["key"])):
        for name in NAMES:
            bounds = inner if name.startswith("near.near.") else near if name.startswith("near.") else None
            found[slot, name] = part(batch, name, slot, bounds)
    return found


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_ragged_fields_and_lists_of_references_in_mixed_batches(riches, batch_size):
    """Each record is in a mixed batch what it is in a batch of its own stream."""
    expected = []
    for root in riches:
        batch = next(iter(Stream(root, fields=NAMES, batch_size=9)))
        expected.append({(batch["key"][slot], name): value for (slot, name), value in parts_of(batch).items()})
    mix = Mix([(Stream(root, fields=NAMES), 1) for root in riches], batch_size=batch_size, last="drop")
    count, kinds = 0, set()
    for batch in mix:
        for (slot, name), value in parts_of(batch).items():
            key = batch["key"][slot]
            assert value == expected[int(batch["source"][slot])][key, name], (key, name)
            count += 1
        if len(set(batch["source"].tolist())) == 2:
            kinds.add(frozenset(batch))
            assert batch["bits.present"].shape == (batch_size,) and batch["mask.present"].dtype == batch["repeat"].dtype
    assert count > 200 and len(kinds) == (batch_size > 1)


def test_a_mixed_batch_has_the_same_names_whichever_streams_it_holds(riches):
    fields = ["number", "mask", "bits"]
    mix = Mix([(Stream(root, fields=fields), 1) for root in riches], batch_size=1)
    assert len({frozenset(batch) for batch in mix}) == 1


def sequences(root, name, low):
    """Three records whose numbers go up by one, from `low` on."""
    schema = Schema((Field("number", "int64", ("points",), "npy"),), {"points": None})
    listed = [(f"{name}-{i}", {"number": low + np.arange(4 + i)}, {}) for i in range(3)]
    return write_set(root / name, {"things": Rows(schema, {"train": [listed]})}, name)


def test_draws_of_the_same_count_and_windows_of_the_same_length_mix(tmp_path):
    roots = [sequences(tmp_path, "a", 0), sequences(tmp_path, "b", 100)]
    for options, shape in (({"sample": {"number": 3}}, (6, 3)), ({"window": 2}, (6, 2))):
        for batch in Mix([(Stream(root, **options), 1) for root in roots], batch_size=6, length=12):
            assert batch["number"].shape == shape and batch["source"].tolist().count(0) == 3
            assert ((batch["number"] >= 100).all(1) == (batch["source"] == 1)).all()
            whole = batch["window.mask"].all(1) if "window" in options else []
            assert (batch["number"].diff(dim=1)[whole] == 1).all()
    streams = [(Stream(root, window=2 + i), 1) for i, root in enumerate(roots)]
    with pytest.raises(UsageError, match=r"'(number|window.mask)' is .* in one stream, .* in another"):
        list(Mix(streams, batch_size=4))


@pytest.mark.parametrize("change", ["missing", "dtype", "shape"])
def test_streams_with_different_fields_are_refused_unless_mixed_by_batch(roots, tmp_path, change):
    entry = {"missing": Field("number", "int64", (), "npz"), "dtype": Field("number", "int32", (), "npz")}
    entry["shape"] = Field("number", "int64", (2,), "npz")
    fields = [entry[change]] + ([Field("more", "int64", (), "npz")] if change == "missing" else [])
    value = {"missing": np.int64(1), "dtype": np.int32(1), "shape": np.ones(2, np.int64)}[change]
    values = {"number": value} | ({"more": np.int64(2)} if change == "missing" else {})
    other = write_set(tmp_path, {"others": Rows(Schema(tuple(fields)), {"train": [[("a-1", values, {})]]})})
    for order in (1, -1):
        streams = [(Stream(roots[1]), 1), (Stream(other), 1)][::order]
        with pytest.raises(UsageError, match=r"mixture: .*'(more|number)'.*batch"):
            list(Mix(streams, batch_size=4))
        assert list(Mix(streams, batch_size=4, by="batch"))


def test_transforms_of_the_streams_are_kept(roots):
    def negative(record):
        return {**record, "number": -1 - record["number"]}

    mix = Mix([(Stream(roots[1], transforms=[negative]), 1), (Stream(roots[1]), 1)], batch_size=4)
    for batch in mix:
        assert ((batch["number"] < 0) == (batch["source"] == 0)).all()


def test_a_field_named_source_is_refused(tmp_path):
    schema = Schema((Field("source", "int64", (), "npz"),))
    root = write_set(tmp_path, {"others": Rows(schema, {"train": [[("a-1", {"source": np.int64(1)}, {})]]})})
    assert next(iter(Stream(root, batch_size=1)))["source"].tolist() == [1]
    with pytest.raises(UsageError, match="'source'"):
        list(Mix([(Stream(root), 1)]))
