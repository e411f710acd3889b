"""Memory of batches is taken again only when nobody can see it any more."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tessera.datasets.loading.buffers import ALIGNED, SMALLEST, Buffers

SHAPE, FLOAT = (64, 256), np.dtype(np.float32)  # 64 KiB


def address(array):
    return array.__array_interface__["data"][0]


HOLD = {
    "array": lambda a: a,
    "view": lambda a: a[3:5, ::2],
    "other_dtype": lambda a: a.view(np.uint8)[1],
    "reshaped": lambda a: a.reshape(-1)[:1],
    "tensor": torch.from_numpy,
    "view_of_tensor": lambda a: torch.from_numpy(a)[7],
    "numpy_of_tensor": lambda a: torch.from_numpy(a).numpy(),
    "numpy_of_view": lambda a: torch.from_numpy(a)[2:].view(torch.uint8).numpy()[0],
    "memoryview": memoryview,
    "detached": lambda a: torch.from_numpy(a).detach().reshape(-1),
}


@pytest.mark.parametrize("kind", HOLD)
def test_memory_is_not_taken_again_while_anything_looks_into_it(kind):
    buffers = Buffers(most=4)
    array = buffers.array(SHAPE, FLOAT)
    array[:] = 5
    place, held = address(array), HOLD[kind](array)
    before = bytes(held) if kind == "memoryview" else np.asarray(held).copy()
    del array
    for _ in range(12):
        other = buffers.array(SHAPE, FLOAT)
        assert address(other) != place
        other[:] = 9
        del other
    after = bytes(held) if kind == "memoryview" else np.asarray(held)
    assert (after == before) if kind == "memoryview" else np.array_equal(after, before)


def test_free_memory_is_taken_again():
    buffers = Buffers(most=4)
    places = set()
    for _ in range(20):
        array = buffers.array(SHAPE, FLOAT)
        places.add(address(array))
        del array
    assert len(places) == 1


def test_no_more_than_so_many_of_one_size_are_kept_and_those_forgotten_stay_whole():
    buffers = Buffers(most=3)
    held = [buffers.array(SHAPE, FLOAT) for _ in range(10)]
    for number, array in enumerate(held):
        array[:] = number
    assert all((array == number).all() for number, array in enumerate(held))
    assert len({address(array) for array in held}) == 10
    assert sum(len(kept) for kept in buffers._kept.values()) <= 3


@given(st.lists(st.integers(0, 40), max_size=3), st.sampled_from(["uint8", "float16", "int64", "bool"]))
def test_arrays_have_their_shape_and_begin_at_whole_cache_lines(shape, dtype):
    array = Buffers().array((*shape, 50), np.dtype(dtype))
    assert array.shape == (*shape, 50) and array.dtype == dtype and array.flags.c_contiguous and array.flags.writeable
    if array.nbytes >= SMALLEST:
        assert address(array) % ALIGNED == 0


def test_sizes_that_always_differ_do_not_pile_up():
    buffers = Buffers(most=2)
    for number in range(1, 200):
        buffers.array((number, SMALLEST), np.dtype(np.uint8))
    assert sum(base.nbytes for kept in buffers._kept.values() for base in kept) < 20 * 200 * SMALLEST


def test_threads_never_share_one():
    buffers, failed = Buffers(most=3), []

    def work(number):
        for _ in range(300):
            array = buffers.array((SMALLEST,), np.dtype(np.uint8))
            array[:] = number
            if not (array == number).all():
                failed.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failed
