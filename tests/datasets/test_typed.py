"""Values of another type than the class says are refused by name."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from tessera.datasets.typed import fits, typed


@dataclass
class Part:
    name: str
    size: int = 0


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, int, True),
        (True, int, False),
        (1.0, int, False),
        ("a", int | str, True),
        (None, str | None, True),
        (None, str, False),
        ("b", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        ({"a": 1}, dict[str, int], True),
        ({"a": "1"}, dict[str, int], False),
        ({1: 1}, dict[str, int], False),
        ([], dict[str, int], False),
        ((1, 2), tuple[int, ...], True),
        ((1, "2"), tuple[int, ...], False),
        ([1], tuple[int, ...], False),
        ({"a": {"b": 1}}, dict[str, dict[str, int]], True),
        ({"a": object()}, dict[str, Any], True),
        (Part("x"), Part, True),
        ({"name": "x"}, Part, False),
    ],
)
def test_fits(value, hint, expected):
    assert fits(value, hint) is expected


def test_an_instance_of_its_values():
    assert typed(Part, {"name": "x", "size": 3}) == Part("x", 3)


@pytest.mark.parametrize(
    ("values", "match"),
    [({"name": 3}, "Part.name is '3', not str"), ({"name": "x", "size": None}, "Part.size"), ({}, "name"),
     ({"name": "x", "colour": 1}, "colour")],
)  # fmt: skip
def test_wrong_values_are_named(values, match):
    with pytest.raises(TypeError, match=match):
        typed(Part, values)
