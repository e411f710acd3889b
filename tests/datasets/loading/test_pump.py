"""Batches come in order, errors in their place; nothing runs on after the end."""

import os
import sys
import threading
import time
from contextlib import nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import UsageError
from tessera.datasets.loading import pump as pump_module
from tessera.datasets.loading.baton import BATON
from tessera.datasets.loading.pump import NICER, Pump


def alive():
    return [thread for thread in threading.enumerate() if thread.name.startswith("tessera-stream")]


@settings(max_examples=50)
@given(st.integers(0, 30), st.integers(0, 5), st.integers(1, 9), st.randoms(use_true_random=False))
def test_batches_come_in_order_whichever_is_made_first(count, threads, depth, random):
    pauses = [random.random() * 1e-3 for _ in range(count)]

    def make(number):
        time.sleep(pauses[number])
        return number

    pump = Pump(make, count, threads, depth)
    assert list(pump) == list(range(count))
    pump.close()


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_no_more_are_made_ahead_than_allowed(threads):
    begun, most = [], []

    def make(number):
        begun.append(number)
        return number

    pump = Pump(make, 40, threads, 5)
    for number in pump:
        time.sleep(0.001)
        most.append(len(begun) - (number + 1))
    pump.close()
    assert sorted(begun) == list(range(40)) and max(most) <= 5 and (threads == 0 or max(most) == 5)


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_that_decode_give_way_to_the_one_that_trains(threads):
    def make(number):
        time.sleep(0.002)  # so that each thread makes some
        return threading.get_ident(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    own = os.getpriority(os.PRIO_PROCESS, 0)
    for give_way, wanted in ((True, min(own + NICER, 19)), (False, own)):
        pump = Pump(make, 40, threads, 5, give_way=give_way)
        made = list(pump)
        pump.close()
        assert {nice for _, nice in made} == {wanted} and len({thread for thread, _ in made}) == threads
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_where_priorities_are_forbidden_batches_come_all_the_same(monkeypatch):
    def forbidden(more):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "nice", forbidden)
    pump = Pump(lambda number: number, 10, 2, 3, give_way=True)
    assert list(pump) == list(range(10))
    pump.close()


def test_nothing_is_made_before_it_is_asked_for_without_threads():
    begun = []
    pump = Pump(begun.append, 3, 0, 2)
    assert begun == []
    next(iter(pump))
    assert begun == [0]


@pytest.mark.parametrize("threads", [0, 1, 4])
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, StopIteration])
def test_an_error_is_raised_where_the_batch_would_have_come(threads, kind):
    def make(number):
        if number == 3:
            raise kind("three")
        return number

    pump, found = Pump(make, 8, threads, 6), []
    with pytest.raises((kind, RuntimeError)) as caught:
        for number in pump:
            found.append(number)
    pump.close()
    assert found == [0, 1, 2]
    assert "three" in str(caught.value) or "three" in str(caught.value.__cause__)


def test_a_batch_that_is_an_error_by_itself_is_not_raised_as_one_of_another():
    pump = Pump(lambda number: 1 / (number - 2), 4, 2, 2)
    found = iter(pump)
    assert [next(found), next(found)] == [-0.5, -1.0]
    with pytest.raises(ZeroDivisionError):
        next(found)
    pump.close()


def test_closing_ends_the_threads_whatever_they_do():
    before = len(alive())
    pump = Pump(lambda number: time.sleep(0.01) or number, 1000, 4, 8)
    batches = iter(pump)
    next(batches)
    assert len(alive()) == before + 4
    pump.close()
    assert len(alive()) == before
    pump.close()


def test_threads_end_by_themselves_when_all_is_made():
    pump = Pump(lambda number: number, 6, 3, 6)
    assert list(pump) == list(range(6))
    for thread in pump._threads:
        thread.join(5)
        assert not thread.is_alive()
    pump.close()


def test_who_waits_is_told_of_the_close():
    gate = threading.Event()
    pump, told = Pump(lambda number: gate.wait(5), 3, 1, 1), []

    def wait():
        try:
            list(pump)
        except UsageError as error:
            told.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.05)
    closing = threading.Thread(target=pump.close)
    closing.start()
    waiting.join(4)
    assert not waiting.is_alive() and "closed" in str(told[0])
    gate.set()
    closing.join(4)
    assert not closing.is_alive()


def test_what_was_made_is_let_go_with_its_pump():
    class Batch:
        count = 0

        def __init__(self):
            Batch.count += 1

        def __del__(self):
            Batch.count -= 1

    pump = Pump(lambda number: Batch(), 20, 2, 6)
    for number, _ in enumerate(pump):
        if number == 3:
            break
    pump.close()
    del _, pump
    assert Batch.count == 0


def test_threads_that_wait_for_a_store_are_called_off_when_the_loop_is_left(monkeypatch):
    monkeypatch.setattr(pump_module, "PATIENCE", 0.05)
    store, called = threading.Event(), []

    def make(number):
        if number:
            store.wait(30)
        return number

    def cancel():
        called.append(True)
        store.set()

    pump = Pump(make, 5, 2, 3, cancel)
    next(iter(pump))
    pump.close()
    assert called == [True] and not alive()
    quick = Pump(lambda number: number, 5, 2, 3, cancel)
    list(quick)
    quick.close()
    assert called == [True], "nobody waits there"


def test_an_iterator_dropped_while_the_baton_is_held_is_closed_all_the_same():
    """Garbage is collected at any time: by a thread with the baton, for which the pump's own threads may wait."""
    held = threading.Event()

    def make(number):
        if number:
            held.wait(10)
        with BATON:
            return number

    pump = Pump(make, 3, 1, 1)
    batches = iter(pump)
    assert next(batches) == 0 and alive()
    with BATON:
        held.set()
        pump.close()
    assert not alive()


def test_threads_that_only_wait_for_the_baton_rest():
    """Two that hand it over at each batch are slower than one; where each works without it, both go on."""
    for light in (True, False):
        makers = []

        def make(number, light=light, makers=makers):
            with BATON if light else nullcontext():
                time.sleep(0.001)
            makers.append(threading.current_thread().name)
            return number

        pump = Pump(make, 400, 2, 3)
        assert list(pump) == list(range(400))
        pump.close()
        fewer = min(makers.count(name) for name in {"tessera-stream-0", "tessera-stream-1"})
        assert fewer < 120 if light else fewer > 120
