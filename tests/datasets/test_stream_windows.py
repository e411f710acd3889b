"""Windows over sequences, as a stream cuts them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets import Dataset, Field, Linear, Octahedral, Schema, Stream

from .stream_data import Rows, angles, write_set

SERIES = Schema(
    (
        Field("pose", "float32", ("frames", 2, 3), "npy"),
        Field("time", "int64", ("frames",), "blosc"),
        Field("angle", "float32", ("frames", 3), "npy", storage=Octahedral(12)),
        Field("level", "float32", ("frames",), "npy", storage=Linear(0, 255, 8), optional=True),
        Field("marks", "int16", ("marks",), "npy"),
        Field("rate", "float32", (), "npz"),
    ),
    {"frames": None, "marks": None},
)


def series(number, length):
    time = np.arange(length, dtype=np.int64)
    values = {
        "pose": np.stack([time] * 6, -1).reshape(-1, 2, 3).astype(np.float32), "time": time,
        "angle": angles(time), "marks": np.arange(number % 3, dtype=np.int16), "rate": np.float32(number),
    }  # fmt: skip
    return values | ({"level": time.astype(np.float32)} if number % 2 else {})


def series_set(root, lengths):
    records = [(f"m-{i}", series(i, length), {}) for i, length in enumerate(lengths)]
    return write_set(root, {"motions": Rows(SERIES, {"train": [records]}, limit=6000)})


@pytest.fixture(scope="module")
def motions(tmp_path_factory):
    """Folder of a data set of sequences of these lengths; made once."""
    made = {}

    def data_set(lengths):
        if lengths not in made:
            made[lengths] = series_set(tmp_path_factory.mktemp("motions"), lengths)
        return made[lengths]

    return data_set


@settings(max_examples=60)
@given(
    st.sampled_from([(5, 0, 12, 1, 30), (7,), (0, 3), (8, 16, 24)]), st.integers(1, 14), st.integers(1, 14),
    st.integers(1, 9), st.integers(0, 2), st.integers(1, 3),
)  # fmt: skip
def test_windows_cover_every_frame_of_every_sequence(motions, lengths, window, stride, batch_size, threads, ranks):
    seen = {}
    for rank in range(ranks):
        stream = Stream(
            motions(lengths), window=window, stride=stride, along="frames", batch_size=batch_size, threads=threads,
            rank=rank, world_size=ranks,
        )  # fmt: skip
        for batch in stream:
            assert batch["pose"].shape == (batch_size, window, 2, 3) and batch["window.mask"].shape == (
                batch_size,
                window,
            )
            for row, key in enumerate(batch["key"]):
                start, length = int(batch["window.start"][row]), lengths[int(key[2:])]
                wanted = np.minimum(start + np.arange(window), length - 1)
                np.testing.assert_array_equal(batch["window.mask"][row], start + np.arange(window) < length)
                np.testing.assert_array_equal(batch["time"][row], wanted)
                np.testing.assert_array_equal(batch["pose"][row].reshape(window, 6), np.stack([wanted] * 6, -1))
                np.testing.assert_allclose(batch["angle"][row], angles(wanted), atol=6e-3)
                present = int(key[2:]) % 2 == 1
                assert batch["level.present"][row] == present
                np.testing.assert_array_equal(batch["level"][row], wanted * present)
                assert batch["rate"][row] == int(key[2:])
                if not batch["repeat"][row]:
                    assert (key, start) not in seen
                    seen[key, start] = set(wanted.tolist())
    for number, length in enumerate(lengths):
        starts = sorted(start for key, start in seen if key == f"m-{number}")
        assert starts == [stride * i for i in range(len(starts))] and all(start < length for start in starts)
        covered = set().union(*(seen[f"m-{number}", start] for start in starts))
        gaps = {t for t in range(length) if t % stride >= window}
        assert covered >= set(range(length)) - gaps
        assert sum(start + window >= length for start in starts) <= 1, "one window reaches the end, not several"


def test_windows_are_the_plain_reader_s_frames(motions):
    lengths = (5, 0, 12, 1, 30)
    table = Dataset(motions(lengths)).table("motions")
    for batch in Stream(motions(lengths), window=4, along="frames", batch_size=2):
        for row, key in enumerate(batch["key"]):
            start, mask = int(batch["window.start"][row]), batch["window.mask"][row].numpy()
            for name in ("pose", "time", "angle"):
                whole = table[key][name][start : start + 4]
                np.testing.assert_array_equal(batch[name][row].numpy()[mask], whole)
                np.testing.assert_array_equal(batch[name][row].numpy()[~mask], whole[-1:].repeat(4 - len(whole), 0))
        low = batch["marks.offsets"].numpy()
        assert np.diff(low).tolist() == [int(key[2:]) % 3 for key in batch["key"]], "other dimensions come whole"


def test_windows_resume_and_are_shuffled(motions):
    root = motions((8, 16, 24))

    def places(stream):
        return [
            (key, int(s))
            for b in stream
            for key, s, r in zip(b["key"], b["window.start"], b["repeat"], strict=True)
            if not r
        ]

    stream = Stream(root, window=3, stride=2, along="frames", batch_size=4)
    assert len(stream) == -(-stream.epoch_records() // 4)
    expected = places(stream)
    stream.set_epoch(0)
    first = iter(stream)
    next(first)
    other = Stream(root, window=3, stride=2, along="frames", batch_size=3, threads=0)
    other.load_state_dict(stream.state_dict())
    first.close()
    assert places(other) == expected[4:] and expected != sorted(expected)
    assert places(Stream(root, window=3, stride=2, along="frames", order="sequential")) == sorted(expected)


def test_the_only_free_dimension_is_that_of_the_windows(motions):
    batch = next(iter(Stream(motions((7,)), fields=["time", "rate"], window=3, batch_size=1, order="sequential")))
    assert batch["time"].tolist() == [[0, 1, 2]]
