"""Groups as Ray tasks: bounded work in flight, crashes laid to their unit, our own counted retries."""

import contextlib
import hashlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from .. import __version__
from ..datasets.checkout import ROOT, guard_import_path
from ..datasets.errors import RawDataError, TesseraError
from .crash import cause_of_death, fault_trace
from .discover import load_recipe
from .group import GroupResult, GroupTask, build_group
from .limits import ended_by_sigterm, process_time_limit, use_one_thread
from .raw import Raw
from .recipe import Reject
from .status import read_opened, read_standing

POLL_SECONDS = 0.5
PATIENCE = 600.0  # seconds without a single CPU in the cluster, after which no node is waited for any longer
MOST_NODES = 3  # nodes that may die under a unit before it is suspected itself
LIBRARIES = ("deflate", "numcodecs", "numpy", "opencv-python-headless", "pillow", "pyarrow")


@dataclass(frozen=True)
class Failure:
    """An error that ends the run, sent back as a value so that its text arrives as it was."""

    message: str
    traceback: str


@dataclass
class _Flight:
    task: GroupTask
    strikes: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    lost: int = 0


def _worker(task: GroupTask) -> GroupResult | Failure:
    guard_import_path()
    use_one_thread()
    limit = partial(process_time_limit, task.unit_timeout, task.status_path.with_suffix(".timeout"))
    try:
        with ended_by_sigterm(), fault_trace(_crash_path(task)):
            return build_group(task, limit)
    except (TesseraError, OSError) as error:
        out = f"--out {task.out}: {type(error).__name__}: {error}; the same command again goes on from here"
        return Failure(str(error) if isinstance(error, TesseraError) else out, traceback.format_exc())


def _crash_path(task: GroupTask) -> Path:
    """Where the task's worker leaves its last words."""
    return task.status_path.with_suffix(".crash")


def _versions() -> dict[str, str]:
    """What bytes depend on: this code, Python, and the libraries that labels and codecs call."""
    digest = hashlib.sha256()
    for folder in ("datasets", "pipelines"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    versions = {name: metadata.version(name) for name in LIBRARIES}
    return {"tessera": f"{__version__} {digest.hexdigest()[:12]}", "python": sys.version.split()[0], **versions}


def _warm(recipe: str) -> None:
    guard_import_path()
    use_one_thread()
    load_recipe(recipe)


def start_ray(workers: int, address: str | None, recipe: str) -> int:
    """Start a local Ray with `workers` CPUs, or join a cluster and compare versions; returns the tasks run at once.

    The workers import what they need here, which is start-up and not work.

    Raises:
        TesseraError: Ray cannot be started or joined, or a node of the cluster runs other versions, which would give
            other bytes.
    """
    os.environ["RAY_task_oom_retries"] = "0"  # noqa: SIM112 (Ray's spelling); ours are counted and logged
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    common: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    local: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address or "local", **common, **({} if address else local))
    except Exception as error:  # Ray's own are of many kinds
        what = f"--ray-address {address}: this cluster cannot be joined" if address else "Ray cannot be started"
        raise TesseraError(f"{what} ({type(error).__name__}: {error}); --workers 0 does without") from error
    finally:
        signal.signal(signal.SIGTERM, before)  # Ray's own prints a crash dump
    if address:
        _compare_versions()
    at_once = int(ray.cluster_resources().get("CPU", 1))
    warm = ray.remote(num_cpus=1, max_retries=0)(_warm)
    try:
        for handle in [warm.remote(recipe) for _ in range(at_once)]:
            with contextlib.suppress(ray.exceptions.NodeDiedError):  # the others are waited for all the same
                ray.get(handle)
    except ray.exceptions.RayTaskError as error:
        raise TesseraError(f"a worker cannot start: {error.cause}") from error
    except ray.exceptions.RayError as error:
        raise _dead_at_start(error) from error
    return at_once


def _dead_at_start(error: Exception) -> TesseraError:
    todo = "fewer --workers need less memory, --workers 0 does without Ray"
    return TesseraError(f"Ray's workers die at their start ({type(error).__name__}); {todo}")


def _compare_versions() -> None:
    ours = _versions()
    remote = ray.remote(num_cpus=0)(_versions)
    for node in ray.nodes():
        if node["Alive"]:
            place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            try:
                theirs = ray.get(remote.options(scheduling_strategy=place).remote())
            except ray.exceptions.RayTaskError as error:
                raise TesseraError(f"node {node['NodeManagerHostname']}: {error.cause}") from error
            except ray.exceptions.RayError:
                continue  # it has died, which Ray may notice ten seconds late, and does no work
            if theirs != ours:
                other = ", ".join(
                    f"{name} {theirs[name]} (here {ours[name]})" for name in ours if theirs[name] != ours[name]
                )
                raise TesseraError(f"node {node['NodeManagerHostname']} has {other}; install the same")


def run_ray(
    tasks: Sequence[GroupTask], at_once: int, retries: int, poll: Callable[[Sequence[GroupTask]], None]
) -> Iterator[tuple[GroupTask, GroupResult]]:
    """Build groups as Ray tasks; yields each with its result, in order of completion.

    A worker that dies costs its group's other units nothing but time: the group is built again, and a unit that
    was being processed at `retries + 1` deaths is rejected. A hung unit is rejected at once. That a whole node dies is
    laid to no unit, unless it happens again and again.

    Args:
        tasks: the groups.
        at_once: how many run at once; two more are queued.
        retries: how often a unit that crashed its worker is tried again.
        poll: called with the tasks in flight, twice a second and before each wait.

    Raises:
        TesseraError: a failure that ends the run.
    """
    remote = ray.remote(num_cpus=1, max_retries=0, retry_exceptions=False)(_worker)
    # The largest groups first, so that no worker is left alone with one at the end.
    waiting = [_Flight(t) for t in sorted(tasks, key=lambda t: sum(len(unit.records) for unit in t.units))]
    flying: dict[Any, _Flight] = {}
    alone = time.monotonic()
    while waiting or flying:
        while waiting and len(flying) < at_once + 2:
            flight = waiting.pop()
            flying[remote.remote(flight.task)] = flight
        poll([flight.task for flight in flying.values()])
        done, _ = ray.wait(list(flying), timeout=POLL_SECONDS)
        if done or ray.cluster_resources().get("CPU", 0) >= 1:
            alone = time.monotonic()
        elif time.monotonic() - alone > PATIENCE:
            raise TesseraError("the cluster has no CPU left: its nodes have died; the same command goes on from here")
        for handle in done:
            flight = flying.pop(handle)
            try:
                result = ray.get(handle)
            except ray.exceptions.RayTaskError as error:
                raise TesseraError(f"{flight.task.name}: {error.cause}") from error
            except ray.exceptions.RayError as error:
                waiting.append(_after_crash(flight, error, retries))
                continue
            if isinstance(result, Failure):
                failure = TesseraError(result.message)
                failure.add_note(result.traceback)
                raise failure
            result.retries += flight.task.attempt - 1
            yield flight.task, result


def _after_crash(flight: _Flight, error: Exception, retries: int) -> _Flight:
    """The group's next attempt, without a unit that has used up its own."""
    task = replace(flight.task, attempt=flight.task.attempt + 1)
    standing = read_standing(flight.task.status_path)
    trace = flight.task.status_path.with_suffix(".timeout")
    hung = trace.exists() and trace.stat().st_size > 0
    words = _crash_path(task)
    text = f"took longer than --unit-timeout {task.unit_timeout:g}" if hung else cause_of_death(error, words)
    flight.task.status_path.unlink(missing_ok=True)
    outside = not standing.unit or standing.stage == "commit" or standing.unit in task.keep
    if isinstance(error, ray.exceptions.NodeDiedError):
        who = "" if outside else standing.unit
        flight.nodes[who] = flight.nodes.get(who, 0) + 1
        if flight.nodes[who] <= MOST_NODES:
            return replace(flight, task=task)
    if outside:
        flight.lost += 1
        if flight.lost > 3:
            if isinstance(error, ray.exceptions.OutOfMemoryError) and not standing.unit:
                raise _dead_at_start(error) from error
            raise TesseraError(f"{task.name}: its worker died {flight.lost} times outside any unit: {error}") from error
        return replace(flight, task=task)
    strikes = flight.strikes.get(standing.unit, 0) + 1
    flight.strikes[standing.unit] = strikes
    if hung:
        trace.rename(trace.with_name(f"{task.name}-{standing.unit}.hung.txt"))
    elif words.exists() and words.stat().st_size > 0:
        words.rename(words.with_name(f"{task.name}-{standing.unit}.crash.txt"))
    if hung or strikes > retries:
        read = read_opened(task.status_path)
        reject = Reject(standing.unit, "", _last_there(task.raw, read) or standing.unit, standing.stage, text)
        opened = {**task.opened, standing.unit: read}
        task = replace(task, skip={**task.skip, standing.unit: reject}, opened=opened)
    return replace(flight, task=task)


def _last_there(raw: Raw, read: Sequence[str]) -> str:
    """The last of the paths at which there is a file; empty where there is none."""
    for path in reversed(read):
        with contextlib.suppress(RawDataError, OSError):
            if (raw / path).is_file():
                return path
    return ""
