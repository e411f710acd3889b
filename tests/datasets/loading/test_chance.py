"""Generators that are used again give what new ones give."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tessera.datasets.errors import SchemaError
from tessera.datasets.loading.chance import Chance
from tessera.datasets.transforms.random_crop import RandomCrop

KEYS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5)


def draws(rng):
    """All kinds of draws, such that one may leave half a number behind."""
    whole = [int(rng.integers(2**62)), int(rng.integers(7, dtype=np.int32)), rng.permutation(5).tolist()]
    return [*whole, float(rng.random(dtype=np.float32)), rng.normal(), rng.bytes(3)]


@given(KEYS, st.integers(0, 3))
def test_generators_are_as_new_whatever_was_drawn_before(keys, before):
    expected = [draws(np.random.Generator(np.random.Philox(key=key))) for key in keys]
    for _ in range(2):
        chance = Chance(keys)
        for number in reversed(range(len(keys))):
            other = Chance(keys)  # of a stream that a transform reads meanwhile
            for _ in range(before):
                other.generator(0).random(dtype=np.float32)
            assert draws(chance.generator(number)) == expected[number]
            other.close()
        assert all(chance.generator(n) is chance.generator(n) for n in range(len(keys)))
        chance.close()


@given(KEYS)
def test_a_window_is_drawn_once_by_the_record_s_generator(keys):
    crop = RandomCrop(4, resize=(0.1, 0.9), ratio=1.5)
    chance = Chance(keys, crop)
    for number, key in enumerate(keys):
        rng = np.random.Generator(np.random.Philox(key=key))
        window = crop.window(50, 70, rng)
        for _ in range(2):
            assert chance.window(number, 50, 70) == (window.y, window.x, window.height, window.width)
        assert chance.window(number, 50, 71) is None and chance.drawn[number] == window
        assert chance.generator(number).random() == rng.random(), "and goes on behind that"


def test_a_window_that_there_is_not_is_left_to_the_transform():
    crop = RandomCrop(40)
    chance = Chance([1], crop)
    assert chance.window(0, 39, 100) is None and not chance.drawn
    try:
        crop.window(39, 100, chance.generator(0))
    except SchemaError as error:
        assert "no window of 40 x 40" in str(error)
    else:
        raise AssertionError("it has to be told")
