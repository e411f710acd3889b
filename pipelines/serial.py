"""`--workers 0`: groups one after the other in this process."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from .group import GroupResult, GroupTask, build_group
from .limits import python_time_limit, use_one_thread


def run_serial(
    tasks: Sequence[GroupTask], poll: Callable[[Sequence[GroupTask]], None]
) -> Iterator[tuple[GroupTask, GroupResult]]:
    """Build each group; yields it with its result.

    A unit's time limit cannot interrupt native code here, and a crash ends the run: this mode is for debugging,
    array jobs and small data.

    Raises:
        StopRun, OSError: as `build_group`.
    """
    use_one_thread()
    for task in tasks:
        yield task, build_group(task, partial(python_time_limit, task.unit_timeout), partial(poll, [task]))
