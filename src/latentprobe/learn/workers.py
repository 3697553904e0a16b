"""Work in several processes: tasks made when a worker is free, results as they come. Knows nothing of the work."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import joblib

__all__ = ["worked_out"]

Result = TypeVar("Result")


def worked_out(
    function: Callable[..., Result], arguments: Iterator[tuple[Any, ...]], *, n: int, jobs: int | None
) -> Iterator[Result]:
    """``function(*one)`` for each of the arguments, in any order.

    Args:
        function: of a module, so that it can be sent to a process.
        arguments: made one at a time, in this process, when a worker is free.
        n: how many there are.
        jobs: processes; None: as many as there are cores. With one, or one task, everything happens here.
    """
    workers = min(jobs or joblib.cpu_count(), n)
    if workers <= 1:
        for one in arguments:
            yield function(*one)
        return
    # Rows travel inside the task: joblib's memory maps would keep every source in shared memory until the last task is
    # done. Tasks are made when a worker is free, so that only as many sources are in memory as are being worked on.
    # A terminal's Ctrl-C reaches the workers too: it is this process that says so, and ends them.
    parallel = joblib.Parallel(
        n_jobs=workers,
        backend="loky",
        pre_dispatch="n_jobs",
        batch_size=1,
        max_nbytes=None,
        return_as="generator_unordered",
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    yield from parallel(joblib.delayed(function)(*one) for one in arguments)
