"""One of several bodies: everything of it, and nothing of another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets import Barycentric, Field, Linear, Octahedral, SchemaError, Stream, UsageError
from tessera.datasets.transforms import load_transform

from .bodies import BODIES, FIELDS, POINTS, VERTICES, record_of, write_bodies
from .scene import copies, same

AXES = {
    "subject.body_face": 1, "subject.body_bary": 1, "subject.body_sdf": 1, "subject.body_normals": 0,
    "subject.joints": 0, "body_visible": 0,
}  # fmt: skip


def picking(fields=FIELDS, **options):
    transform = load_transform("pick_body", **options)
    transform.bind(fields)
    return transform


def body_of(record, whole):
    """The one body that all fields of a record are of."""
    (found,) = {int(record["body_normal_f"].flat[0])}
    for name, axis in AXES.items():
        np.testing.assert_array_equal(record[name], np.take(whole[name], found, axis))
    return found


@pytest.mark.parametrize("body", range(BODIES))
def test_all_fields_of_the_body_and_no_others_change(body):
    record, _, _ = record_of()
    before = copies(record)
    picked = picking(body=body)(record)
    assert same(record, before) and body_of(picked, record) == body
    assert list(picked) == [name for name in record if name != "noisy_normal_f"]
    for name in set(picked) - set(AXES) - {"body_normal_f"}:
        assert picked[name] is record[name]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1), st.sampled_from([1, 2, "random"]))
def test_equal_generators_pick_the_same_body_of_all_fields(seed, noisy, body):
    record, _, _ = record_of()
    transform = picking(body=body, noisy=noisy)
    first, second = (transform(record, np.random.default_rng(seed)) for _ in range(2)) if transform.random else (
        transform(record) for _ in range(2))  # fmt: skip
    assert same(first, second) and body_of(first, record) in range(BODIES)


def test_random_bodies_are_as_likely_as_each_other_and_the_fit_as_often_as_asked_for():
    record, _, _ = record_of()

    def counts(**options):
        transform = picking(**options)
        found = [body_of(transform(record, np.random.default_rng(i)), record) for i in range(300)]
        return np.bincount(found, minlength=BODIES)

    assert (np.abs(counts(body="random") - 100) < 35).all()
    assert (np.abs(counts(body="random", noisy=0.5) - [200, 50, 50]) < 35).all()
    assert (np.abs(counts(body=2, noisy=0.25) - [225, 0, 75]) < 35).all()
    assert counts(body="random", noisy=0).tolist() == [300, 0, 0]


def test_only_what_draws_says_so():
    drawn = [load_transform("pick_body", body=body, noisy=noisy).random
             for body, noisy in ((0, 1), (0, 0.5), (1, 1), (1, 0.5), ("random", 1))]  # fmt: skip
    assert drawn == [False, False, False, True, True]


def test_axes_in_front_of_the_schema_s_are_free_and_the_dimension_may_lie_anywhere():
    fields = {"neighbours.x": Field("x", "float32", ("points", "bodies", 3), "npy")}
    array = np.random.default_rng(0).normal(size=(5, 7, 4, 3)).astype(np.float32)
    found = picking(fields, body=3)({"neighbours.x": array})["neighbours.x"]
    np.testing.assert_array_equal(found, array[:, :, 3])


def test_records_may_lack_fields_and_pictures_alone_will_do():
    record, _, _ = record_of()
    few = {name: record[name] for name in ("body_visible", "subject.points")}
    assert picking(body=2)(few)["body_visible"].shape == record["body_visible"].shape[1:]
    pictures = {name: FIELDS[name] for name in ("body_normal_f", "noisy_normal_f")}
    transform = picking(pictures, body="random")
    record = {name: record[name] for name in pictures}
    found = {int(transform(record, np.random.default_rng(i))["body_normal_f"].flat[0]) for i in range(40)}
    assert found == set(range(BODIES))


def test_what_follows_is_told_what_is_left():
    changes = picking().changes
    assert changes["subject.body_bary"].shape == ("points", 3) and changes["noisy_normal_f"] is None
    assert changes["body_visible"].shape == ("vertex_bytes",) and changes["body_normal_f"].frame == "camera"
    assert changes["subject.joints"].shape == ("joints", 3) and "subject.points" not in changes


def test_what_follows_is_told_what_the_numbers_are_as_long_as_the_last_axis_is_theirs():
    fields = FIELDS | {
        "normals": Field("normals", "float32", ("bodies", 3), "npy", "unit vector", "world", storage=Octahedral(14)),
        "heights": Field("heights", "float32", ("bodies",), "npy", "metre", storage=Linear(0, 2)),
    }
    changes = picking(fields).changes
    assert changes["subject.body_bary"].storage == Barycentric(8)
    assert changes["normals"].storage == Octahedral(14) and changes["normals"].shape == (3,)
    assert changes["heights"].storage is None and changes["heights"].shape == ()
    for name in ("subject.body_bary", "normals"):
        flip = load_transform("random_flip")
        flip.bind({name: changes[name]})


def test_errors_name_what_is_missing():
    with pytest.raises(UsageError, match="no field has a dimension 'bodies' among points"):
        picking({"points": FIELDS["subject.points"]})
    without = {name: field for name, field in FIELDS.items() if name != "body_normal_f"}
    for options in ({}, {"body": "random"}, {"body": 1, "noisy": 0.5}):
        with pytest.raises(UsageError, match="ask for body_normal_f too"):
            picking(without, **options)
    record, _, _ = record_of()
    assert (picking(without, body=1)(record)["body_normal_f"] == 1).all()
    with pytest.raises(SchemaError, match=r"`subject.body_face` has 3 bodies, there is no body 3"):
        picking(body=3)(record)
    with pytest.raises(SchemaError, match=r"`noisy_normal_f` has pictures of 1 bodies beside the fit.* no body 2"):
        picking(body=2)(record | {"noisy_normal_f": record["noisy_normal_f"][:1]})
    with pytest.raises(SchemaError, match="`body_normal_f` of the fit alone, not of body 1"):
        picking(body=1)({name: array for name, array in record.items() if name != "noisy_normal_f"})
    with pytest.raises(UsageError, match="bind"):
        load_transform("pick_body")(record)
    with pytest.raises(UsageError, match="generator"):
        picking(body="random")(record)


@pytest.mark.parametrize(
    "options", [{"body": -1}, {"body": "fit"}, {"body": True}, {"body": 1.5}, {"noisy": 1.1}, {"noisy": float("nan")}]
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError, match="pick_body"):
        load_transform("pick_body", **options)


def test_a_stream_delivers_one_body_and_binds_what_follows_to_it(tmp_path):
    root = write_bodies(tmp_path / "people")
    fields = [*AXES, "subject.points", "body_normal_f", "noisy_normal_f"]
    flip = load_transform("random_flip", joints={"joints": ["left_a", "right_a"]}, keep=["subject.body_face"])
    with pytest.raises(UsageError, match="cannot mirror noisy_normal_f"):
        Stream(root, "views", fields=fields, transforms=[flip])
    picks = load_transform("pick_body", body="random")
    stream = Stream(root, "views", fields=fields, transforms=[picks, flip], sample={"subject.points": 50}, threads=0)
    whole = Stream(root, "views", fields=fields, threads=0, order="sequential")
    seen = set()
    for batch in stream:
        assert batch["subject.body_face"].shape == (8, 50) and batch["subject.body_bary"].shape == (8, 50, 3)
        assert batch["subject.body_normals"].shape == (8, VERTICES, 3) and "noisy_normal_f" not in batch
        for row, key in enumerate(batch["key"]):
            body = int(batch["body_normal_f"][row].flatten()[0].abs())
            one = whole.get([key])
            assert one["subject.body_face"].numpy().shape == (POINTS, BODIES)
            np.testing.assert_array_equal(batch["body_visible"][row], one["body_visible"][0, body])
            seen.add(body)
    assert len(seen) > 1 and picks.changes == {}  # the stream's own copy was bound


def test_bodies_of_a_free_number(tmp_path):
    transform = picking({"body_visible": FIELDS["body_visible"]}, body="random")
    for count in (1, 5):
        array = np.arange(count)[:, None] * np.ones((1, 3), np.uint8)
        found = {int(transform({"body_visible": array}, np.random.default_rng(i))["body_visible"][0])
                 for i in range(60)}  # fmt: skip
        assert found == set(range(count))
