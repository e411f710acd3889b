"""A schema that no record could keep is refused when it is made; a record that breaks it, when it is written."""

import json

import numpy as np
import pytest
from tessera.datasets import Column, Field, Linear, Octahedral, Reference, Rounded, Schema
from tessera.datasets.errors import FormatError, SchemaError
from tessera.datasets.members import encode_record


def refused(match, values, frames_schema):
    with pytest.raises(SchemaError, match=match):
        encode_record(frames_schema, "s0-0000", values)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ids", np.zeros((6, 8), np.int32)),
        ("ids", np.zeros((6, 8), ">u2")),
        ("pose", np.eye(4, dtype=np.float32)),
        ("sdf", np.array([None, {}])),
        ("sdf", np.zeros(3, "complex64")),
        ("scale", 0.5),
        ("scale", [0.5]),
        ("distance", "near"),
    ],
)
def test_wrong_dtype_names_the_field(field, value, frame, frames_schema):
    refused(f"field '{field}'.*the schema says", frame | {field: value}, frames_schema)


@pytest.mark.parametrize(
    ("field", "shape"),
    [("ids", (6, 9)), ("ids", (8, 6)), ("ids", (6, 8, 1)), ("pose", (4, 3)), ("points", (3,)), ("points", (2, 4)),
     ("scale", (1,)), ("sdf", ())],
)  # fmt: skip
def test_wrong_shape_names_the_field(field, shape, frame, frames_schema):
    dtype = frames_schema.by_name[field].dtype
    refused(f"field '{field}': shape is", frame | {field: np.zeros(shape, dtype)}, frames_schema)


def test_unknown_field_is_named(frame, frames_schema):
    refused("field 'colour' is not in the schema", frame | {"colour": np.zeros(3)}, frames_schema)


@pytest.mark.parametrize("field", ["ids", "pose", "sdf"])
def test_missing_field_is_named(field, frame, frames_schema):
    refused(f"field '{field}' is missing", {k: v for k, v in frame.items() if k != field}, frames_schema)
    refused(f"field '{field}' is missing", frame | {field: None}, frames_schema)


def test_optional_fields_may_be_absent_or_none(frame, frames_schema):
    for left_out in ({}, {"image": None, "bits": None, "meta": None}):
        values = {k: v for k, v in frame.items() if k not in ("image", "bits", "meta")} | left_out
        assert set(encode_record(frames_schema, "s0", values).places) == set(frame) - {"image", "bits", "meta"}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["sdf", "pose", "hdr", "normal", "scale"])
def test_nan_and_infinity_are_refused_and_counted(field, bad, frame, frames_schema):
    array = np.array(frame[field])
    array.reshape(-1)[:2] = bad
    bad_values = min(2, array.size)
    refused(f"field '{field}': {bad_values} of {array.size} values are", frame | {field: array}, frames_schema)


def test_nan_is_kept_where_it_has_a_meaning_and_infinity_is_not(frame, frames_schema):
    assert np.isnan(frame["distance"]).sum() == 1
    encode_record(frames_schema, "s0", frame)
    distance = frame["distance"].copy()
    distance[0, 0] = np.inf
    refused("field 'distance': 1 of 48 values are infinite", frame | {"distance": distance}, frames_schema)


def test_fields_that_share_a_free_dimension_agree(frame, frames_schema):
    n = len(frame["points"])
    refused("points.* must be", frame | {"sdf": np.zeros(n + 1, np.float32)}, frames_schema)


@pytest.mark.parametrize("value", [{1, 2}, {"x": np.zeros(2)}, [float("nan")], {"a": b"bytes"}, {1: 2, "1": 3}])
def test_values_that_json_cannot_hold_name_the_field(value, frame, frames_schema):
    refused("field 'meta': json", frame | {"meta": value}, frames_schema)


def test_json_that_contains_itself_names_the_field(frame, frames_schema):
    loop: list = []
    loop.append(loop)
    refused("field 'meta'", frame | {"meta": loop}, frames_schema)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("Depth", "float32", (2,), "npy"), "'Depth': names match"),
        (("key", "float32", (2,), "npy"), "'key'.*taken"),
        (("labels", "float32", (2,), "npy"), "'labels'.*taken"),
        (("record", "float32", (2,), "npy"), "'record'.*taken"),
        (("dim", "float32", (2,), "npy"), "'dim'.*taken"),
        (("depth", "float32", (2,), "zip"), "'depth': unknown codec 'zip'.*npy"),
        (("depth", "float99", (2,), "npy"), "'depth'.*no numpy dtype"),
        (("depth", "{'a'", (2,), "npy"), "'depth'.*no numpy dtype"),
        (("depth", "object", (2,), "npy"), "'depth'.*not a number"),
        (("depth", "U8", (2,), "npz"), "'depth'.*not a number"),
        (("depth", "complex64", (2,), "npy"), "'depth'.*not a number"),
        (("depth", "json", (), "npy"), "'depth'.*go together"),
        (("depth", "uint8", (), "json"), "'depth'.*go together"),
        (("depth", "uint8", (-1,), "npy"), "'depth'.*negative"),
        (("depth", "float32", (4, 4), "png"), "'depth'.*png holds.*uint8 or uint16"),
        (("depth", "int32", (4, 4), "png"), "'depth'.*png holds"),
        (("depth", "uint16", (4, 4), "jpg"), "'depth'.*jpg holds"),
        (("depth", "uint8", (4,), "jpg"), "'depth'.*jpg holds"),
    ],
)
def test_fields_that_no_record_could_keep(arguments, match):
    with pytest.raises(SchemaError, match=match):
        Field(*arguments)


@pytest.mark.parametrize(
    ("dtype", "shape", "storage", "nan"),
    [("uint8", (4, 3), Octahedral(), ""), ("int64", (4,), Rounded(), ""), ("float32", (4, 2), Octahedral(), ""),
     ("float32", (), Octahedral(), ""), ("float32", (4, 3), Octahedral(), "not measured"),
     ("float32", (4,), Linear(0, 1), "not measured"), ("float16", (4,), Linear(0, 1), "")],
)  # fmt: skip
def test_storage_that_would_lose_values_without_a_word(dtype, shape, storage, nan):
    with pytest.raises(SchemaError, match="'depth'"):
        Field("depth", dtype, shape, "npy", storage=storage, nan=nan)


@pytest.mark.parametrize("channels", [1, 5])
def test_pictures_with_channels_that_the_format_has_not(channels):
    schema = Schema((Field("image", "uint8", (4, 4, "c"), "jpg"),), {"c": channels})
    with pytest.raises(SchemaError, match="field 'image': jpg cannot hold it"):
        encode_record(schema, "a", {"image": np.zeros((4, 4, channels), np.uint8)})


def depth(name="depth", shape=(2,)):
    return Field(name, "float32", shape, "npy")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Schema((depth(), depth())), "'depth': used twice"),
        (lambda: Schema((depth(),), columns=(Column("depth", "int64"),)), "'depth': used twice"),
        (lambda: Schema((depth(),), references=(Reference("depth", "frames"),)), "'depth': used twice"),
        (lambda: Schema((depth(),), columns=(Column("unit", "string"),)), "'unit'.*reserved"),
        (lambda: Schema((depth(shape=("n",)),)), "'depth': dimension 'n' is not declared"),
        (lambda: Schema((), {"Height": 3}), "dimension 'Height'"),
        (lambda: Schema((), {"height": -3}), "dimension 'height': -3"),
        (lambda: Column("x", "int32"), "'x': type 'int32'.*int64"),
        (lambda: Column("X", "int64"), "column 'X'"),
        (lambda: Reference("next", "Frames"), "table 'Frames'"),
        (lambda: Reference("next.one", "frames"), "reference 'next.one'"),
    ],
)
def test_schemas_that_contradict_themselves(make, match):
    with pytest.raises(SchemaError, match=match):
        make()


def test_json_round_trip(frames_schema):
    assert Schema.from_json(json.loads(json.dumps(frames_schema.to_json()))) == frames_schema


def test_changing_the_json_leaves_the_schema_alone(frames_schema):
    entry = frames_schema.to_json()
    entry["columns"][0]["name"] = entry["fields"][0]["options"]["quality"] = "changed"
    assert frames_schema.columns[0].name == "camera" and frames_schema.fields[0].options == {"quality": 95}


@pytest.mark.parametrize(
    "change",
    [{"shape": [1.5]}, {"shape": [[3]]}, {"shape": 3}, {"optional": "yes"}, {"dtype": 8}, {"codec": ["npy"]},
     {"colour": 1}, {"options": []}, {"storage": {"kind": "new"}}, {"storage": "octahedral"}, {"name": None}],
)  # fmt: skip
def test_damaged_json_of_a_field(change):
    entry = {**depth().to_json(), **change}
    with pytest.raises((TypeError, ValueError, SchemaError, FormatError)):
        Field.from_json(entry)


@pytest.mark.parametrize(
    ("dtype", "shape", "codec"),
    [
        ("json", (), "cls"),
        ("int32", (), "cls"),
        ("int64", (1,), "cls"),
        ("int64", (), "text"),
        ("float32", (2, 2), "rgb"),
    ],
)
def test_codecs_of_strangers_tars_hold_what_they_can(dtype, shape, codec):
    with pytest.raises(SchemaError):
        Field("x", dtype, shape, codec)
    assert Field("x", "int64", (), "cls") and Field("x", "json", (), "text") and Field("x", "uint8", (2, 2, 3), "rgb")
