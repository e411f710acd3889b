"""Arguments in another form than is meant: told at once, by name."""

import json

import numpy as np
import pytest
import torch
from tessera.datasets import Field, FormatError, Mix, Schema, SchemaError, Stream, UsageError
from tessera.datasets.transforms.sdf_noise import SdfNoise

from .stream_data import Rows, write_set

MISTAKES = {
    "split": ({"split": ["train", "val"]}, "give one split"),
    "sample": ({"sample": 2048}, '"points": 2048'),
    "sample of a picture": ({"fields": ["ids"], "sample": {"ids": 3}}, "is a grid"),
    "a transform for a list": ({"transforms": abs}, "give a list"),
    "a transform's name": ({"transforms": ["random_crop"]}, r"load_transform\('random_crop'"),
    "a transform's class": ({"transforms": [SdfNoise]}, "give an instance"),
    "a batch transform's class": ({"batch_transforms": [SdfNoise]}, "give an instance"),
    "the key": ({"fields": ["key"]}, "in every batch"),
    "batch size": ({"batch_size": "8"}, "whole number"),
    "draws": ({"draws": "same"}, "'fixed'"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_told_when_the_stream_is_made(built, what):
    options, message = MISTAKES[what]
    with pytest.raises(UsageError, match=message):
        Stream(built.root, "frames", **{"fields": ["scale"], **options})


def test_epochs_are_numbers(built):
    stream = Stream(built.root, "frames", fields=["scale"])
    for epoch in ("1", -1):
        with pytest.raises(UsageError, match="from 0 on"):
            stream.set_epoch(epoch)


def test_an_epoch_without_a_step_is_told(built, caplog):
    stream = Stream(built.root, "frames", fields=["scale"], batch_size=1000, last="drop")
    assert list(stream) == []
    assert "without a step: an epoch has 16 records, one step of all ranks takes 1000" in caplog.text
    with pytest.raises(UsageError, match="no step"):
        stream.diagnose(print)


def test_a_folder_in_or_around_a_data_set_is_not_taken_for_tars_of_others(built, tmp_path):
    for folder in (built.root / "train", built.root.parent):
        with pytest.raises(UsageError, match="is that the data set that you mean"):
            Stream(folder)
    assert not list(built.root.rglob(".tessera-index"))
    with pytest.raises(FormatError, match="no such folder"):
        Stream(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="give the folder"):
        Stream(built.tar())


def test_a_text_is_no_list_of_keys(built):
    with pytest.raises(UsageError, match=r"give a list of keys, such as \['s0-0000'\]"):
        Stream(built.root, "frames", fields=["scale"]).get("s0-0000")


def test_what_shares_a_dimension_is_cut_together_or_not_at_all(tmp_path):
    schema = Schema(
        (Field("points", "float32", ("points", 3), "npy"), Field("seen", "uint8", (2, "points"), "npy")),
        {"points": None},
    )
    values = {"points": np.zeros((5, 3), "f4"), "seen": np.zeros((2, 5), "u1")}
    root = write_set(tmp_path, {"pools": Rows(schema, {"train": [[("p-0", values, {})]]})})
    for options in ({"sample": {"points": 3}}, {"window": 3}):
        with pytest.raises(UsageError, match="seen has 'points' as a later axis"):
            Stream(root, **options)
        assert next(iter(Stream(root, fields=["points"], batch_size=1, **options)))["points"].shape == (1, 3, 3)


def test_numbers_of_other_libraries_are_numbers(built):
    stream = Stream(built.root, "frames", fields=["scale"], batch_size=np.int64(4), threads=np.int32(1))
    stream.set_epoch(np.int64(3))
    assert json.loads(json.dumps(stream.state_dict()))["epoch"] == 3 and len(next(iter(stream))["key"]) == 4


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE"])
def test_an_environment_without_numbers_is_told(built, monkeypatch, name):
    monkeypatch.setenv(name, "")
    list(Stream(built.root, "frames", fields=["scale"]))
    monkeypatch.setenv(name, "x")
    with pytest.raises(UsageError, match=f"{name} is 'x'"):
        list(Stream(built.root, "frames", fields=["scale"]))


@pytest.mark.parametrize("state", [None, 3, {"position": True}, {"position": 10**9}, {"epoch": -1}])
def test_a_state_that_is_none_is_refused(built, state):
    stream = Stream(built.root, "frames", fields=["scale"])
    whole = {**stream.state_dict(), **state} if isinstance(state, dict) else state
    with pytest.raises(UsageError, match="stream state"):
        stream.load_state_dict(whole)


@pytest.mark.parametrize(
    ("value", "message"),
    [(None, "a transform gives a dict"), ({"x": torch.ones(2)}, "torch tensor"), ({"x": np.str_("a")}, "array of <U1")],
)
def test_what_a_transform_may_not_give(built, value, message):
    stream = Stream(built.root, "frames", fields=["scale"], transforms=[lambda record: value], threads=0)
    with pytest.raises(SchemaError, match=message):
        next(iter(stream))


def test_numbers_of_a_transform_become_a_tensor(built):
    stream = Stream(built.root, "frames", fields=["scale"], transforms=[lambda record: {**record, "one": 1.5}])
    assert next(iter(stream))["one"].tolist() == [1.5] * 8


def test_a_batch_transform_gives_a_dict(built):
    stream = Stream(built.root, "frames", fields=["scale"], batch_transforms=[lambda batch: None])
    with pytest.raises(UsageError, match="it must give a dict"):
        next(iter(stream))


def test_a_mixture_is_told_of_its_parts(built):
    streams = [
        Stream(built.root, "frames", fields=["scale"], **options) for options in ({}, {"batch_transforms": [dict.copy]})
    ]
    with pytest.raises(UsageError, match=r"Mix\(\[\(stream, weight\)"):
        Mix(streams)
    with pytest.raises(UsageError, match="give them to the Mix"):
        Mix([(stream, 1) for stream in streams])
    state = Mix([(streams[0], 1)]).state_dict()
    with pytest.raises(UsageError, match="of a mixture"):
        streams[0].load_state_dict(state)
    with pytest.raises(UsageError, match="of one stream"):
        Mix([(streams[0], 1)]).load_state_dict(streams[0].state_dict())


def test_fixed_draws_are_those_of_the_first_epoch(built):
    class Draw:
        random = True

        def __call__(self, record, rng):
            return {**record, "drawn": np.float64(rng.uniform())}

    def epochs(**options):
        stream = Stream(
            built.root, "frames", fields=["scale"], order="sequential", transforms=[Draw()], batch_size=16, **options
        )
        return [[batch["drawn"].tolist() for batch in stream] for _ in range(3)]

    fresh, fixed = epochs(), epochs(draws="fixed")
    assert fixed[0] == fixed[1] == fixed[2] == fresh[0] and fresh[1] != fresh[0]


def test_what_a_stream_is_shows(built):
    stream = Stream(built.root, "frames", "train", ["scale"], batch_size=4)
    assert repr(stream) == "Stream(toy, table frames, split train: 3 steps of 4, epoch 0)"
    assert repr(Mix([(stream, 1)])) == "Mix(toy, table frames, split train: 3 steps of 4, epoch 0)"
