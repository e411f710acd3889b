"""Names and keys: what the index, the tar and WebDataset's reader can hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.datasets.errors import SchemaError
from tessera.datasets.names import check_key, check_name, unit_candidates

PART = st.from_regex(r"[A-Za-z0-9_]{1,6}", fullmatch=True)
UNIT = st.lists(PART, min_size=1, max_size=4).map("-".join).filter(lambda name: name[0] != "_")


@pytest.mark.parametrize("name", ["a", "world_from_camera", "x2", "sdf_1"])
def test_good_names(name):
    assert check_name(name, "field") == name


@pytest.mark.parametrize("name", ["", "K", "worldFromCamera", "2d", "_a", "a-b", "a.b", "a b", "a\n", "ä", "a/b"])
def test_bad_names_are_named_with_what_they_name(name):
    with pytest.raises(SchemaError) as caught:
        check_name(name, "dimension")
    assert repr(name) in str(caught.value) and "dimension" in str(caught.value)


@pytest.mark.parametrize(
    "key", ["a.b", "a.jpg", "a/b", "../a", "a b", "", "-a", "_a", "a\n", "a\0", "ä", "a:b", "a\\b"]
)
def test_keys_that_cannot_name_tar_members(key):
    with pytest.raises(SchemaError, match="key"):
        check_key(key, key)


@pytest.mark.parametrize("key", ["ai_001_002-cam", "ai_001_0010", "ai_001_00", "x-ai_001_001", "AI_001_001"])
def test_key_of_another_unit(key):
    with pytest.raises(SchemaError) as caught:
        check_key(key, "ai_001_001")
    assert repr(key) in str(caught.value) and "ai_001_001" in str(caught.value)


@given(UNIT, st.lists(PART, max_size=3))
def test_the_unit_of_every_accepted_key_is_a_candidate(unit, more):
    key = check_key("-".join([unit, *more]), unit)
    assert unit in unit_candidates(key)


@given(UNIT)
def test_candidates_are_distinct_longest_first_and_could_own_the_key(key):
    candidates = unit_candidates(key)
    assert candidates == sorted(set(candidates), key=len, reverse=True)
    assert all(check_key(key, unit) == key for unit in candidates if unit)
