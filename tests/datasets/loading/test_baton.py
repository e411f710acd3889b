"""The baton: one thread does light work; whoever waits or decodes puts it aside."""

import os
import threading
import time

import pytest
from tessera.datasets import Stream
from tessera.datasets.loading import files as files_module
from tessera.datasets.loading.baton import ASIDE, Baton


def test_one_thread_holds_it_and_another_gets_it_while_it_is_aside():
    baton, seen = Baton(), []

    def other():
        with baton:
            seen.append("other")

    with baton:
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.02)
        assert seen == []
        with ASIDE:
            thread.join(5)
            assert seen == ["other"]
        assert baton._lock.locked()
    assert not baton._lock.locked()


def test_aside_is_nothing_to_a_thread_without_it_and_may_be_nested():
    baton = Baton()
    with ASIDE, ASIDE:
        pass
    with baton:
        with ASIDE, ASIDE:
            assert not baton._lock.locked()
        assert baton._lock.locked()


def test_an_error_aside_leaves_it_held_and_then_free():
    baton = Baton()
    with pytest.raises(ValueError, match="inside"), baton:
        try:
            with ASIDE:
                raise ValueError("inside")
        finally:
            assert baton._lock.locked()
    assert not baton._lock.locked()


def test_an_interrupt_while_it_is_taken_again_frees_no_lock_of_another_thread(monkeypatch):
    baton, release = Baton(), threading.Event()

    def other():
        with baton:
            release.wait(10)

    thread = threading.Thread(target=other)
    taken = baton._lock.acquire
    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with baton:
            with ASIDE:
                thread.start()
                while not baton._lock.locked():
                    time.sleep(0.001)
                baton._lock = Interrupted(baton._lock)
    baton._lock = baton._lock.lock
    assert baton._lock.locked(), "the other thread's"
    release.set()
    thread.join(10)
    assert not baton._lock.locked() and taken()


class Interrupted:
    """A lock whose waits are interrupted."""

    def __init__(self, lock):
        self.lock = lock

    def acquire(self, blocking=True):
        raise KeyboardInterrupt

    def release(self):
        self.lock.release()


@pytest.mark.skipif(not files_module.NOWAIT, reason="no reads without waiting here")
def test_what_is_not_in_the_page_cache_is_waited_for_without_the_baton(built, monkeypatch):
    """A disk that is slow for one thread must not stop the others."""
    whole = [batch["scale"].tolist() for batch in Stream(built.root, "frames", fields=["scale"], threads=0)]
    waits = []

    def cold(fd, buffers, offset, flags=0):
        if flags:
            raise BlockingIOError
        from tessera.datasets.loading.baton import BATON

        waits.append(BATON._lock.locked())
        return real(fd, buffers, offset)

    real = os.preadv
    monkeypatch.setattr(files_module.os, "preadv", cold)
    again = [batch["scale"].tolist() for batch in Stream(built.root, "frames", fields=["scale"], threads=0)]
    assert again == whole and waits and not any(waits)


def test_partly_cached_reads_are_completed(built, monkeypatch):
    """A read without waiting may give the beginning only."""
    real = os.preadv

    def half(fd, buffers, offset, flags=0):
        view = buffers[0]
        return real(fd, (view[: max(1, len(view) // 2)],) if flags else buffers, offset)

    whole = [batch["hdr"].tolist() for batch in Stream(built.root, "frames", fields=["hdr"], threads=0)]
    monkeypatch.setattr(files_module.os, "preadv", half)
    assert [batch["hdr"].tolist() for batch in Stream(built.root, "frames", fields=["hdr"], threads=2)] == whole
