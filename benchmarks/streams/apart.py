"""Work in a fresh process on fixed cores, its memory watched from outside."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from .processes import MemoryPeak

CORES = 2
Work = Callable[..., Iterator[Any]]


class RunError(RuntimeError):
    """A run failed, died or hung."""


def apart(work: Work, *arguments: Any, limit: float = 180) -> tuple[list[Any], MemoryPeak]:
    """What the generator `work(*arguments)` yields in a fresh (spawned) process, bound to the same two cores always.

    Args:
        work: a function of a module.
        arguments: picklable.
        limit: seconds that may pass between results.

    Returns:
        The results, and the peak of the memory of the process and its children until the first of them.

    Raises:
        RunError: it failed; the message is the last line of its traceback.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_inside, args=(there, work, arguments))
    process.start()
    there.close()
    found: list[Any] = []
    try:
        with MemoryPeak(process.pid or 0) as peak:
            done, message = _receive(here, limit)
        while not done:
            found.append(message)
            done, message = _receive(here, limit)
        return found, peak
    finally:
        here.close()
        _end(process)


def _receive(pipe: Connection, limit: float) -> tuple[bool, Any]:
    if not pipe.poll(limit):
        raise RunError(f"nothing came for {limit:.0f} s")
    try:
        done, message = pipe.recv()
    except (EOFError, ConnectionResetError):
        raise RunError("its process died") from None
    if isinstance(message, RunError):
        raise message
    return done, message


def _inside(pipe: Connection, work: Work, arguments: tuple[Any, ...]) -> None:
    os.setsid()  # so that whatever it starts can be ended with it
    multiprocessing.set_start_method(None, force=True)  # the loader's own workers begin as on the user's machine
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    try:
        for result in work(*arguments):
            pipe.send((False, result))
        pipe.send((True, None))
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        pipe.send((True, RunError(f"{type(error).__name__}: {str(error).strip().splitlines()[-1:]}")))
    os._exit(0)  # some loaders' threads never end


def _end(process: BaseProcess) -> None:
    """Waits a moment for the process, and ends it and what it left behind."""
    group = process.pid
    if group is None:
        return
    process.join(0.2)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    process.kill()
    process.join()
