"""Rows to where the work is done: each source loaded once, checked, and handed to this process or to workers.

Knows nothing of what is done with them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import joblib
import numpy as np
import scipy.sparse as sp

from latentprobe.errors import StoreError
from latentprobe.learn.baselines import SideBySide

__all__ = ["Loadable", "in_workers", "loaded"]

Result = TypeVar("Result")


class Loadable(Protocol):
    """What rows can be loaded from."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def source(self) -> str:
        """Key of what ``load`` returns."""

    @property
    def load(self) -> Callable[[], Any]:
        """All rows, in order."""


def loaded(sources: Sequence[Loadable], n: int) -> Iterator[tuple[int, Any]]:
    """(position, rows) of each, those of one source together, so that it is loaded once.

    Raises:
        StoreError: not ``n`` rows, or values that are not finite.
    """
    by_source: dict[Hashable, list[int]] = {}
    for index, one in enumerate(sources):
        by_source.setdefault(one.source, []).append(index)
    for together in by_source.values():
        rows = sources[together[0]].load()
        _require_usable(rows, n, sources[together[0]].name)
        for index in together:
            yield index, rows
        del rows


def in_workers(
    function: Callable[..., Result], calls: Iterable[tuple[Any, ...]], n_calls: int, jobs: int | None
) -> Iterator[Result]:
    """The results of some calls in any order, worked out here or in worker processes.

    Args:
        function: a function of a module.
        calls: its arguments, made one by one as workers become free.
        n_calls: how many there will be.
        jobs: processes; None: as many as there are cores and calls.
    """
    workers = min(jobs or joblib.cpu_count(), n_calls)
    if workers <= 1:
        for arguments in calls:
            yield function(*arguments)
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
    yield from parallel(joblib.delayed(function)(*arguments) for arguments in calls)


def _require_usable(rows: Any, n: int, name: str) -> None:
    """Rows in are rows out: anything else would score one text by the features of another."""
    count = rows.shape[0] if hasattr(rows, "shape") else len(rows)
    finite = not hasattr(rows, "shape") or _finite(rows)
    if count != n or not finite:
        raise StoreError(
            f"the features of {name!r} must be one row of finite numbers for each of {n} texts",
            got=f"{count} rows" if count != n else "a value that is not finite",
            fix="extract the features again",
        )


def _finite(rows: Any) -> bool:
    if isinstance(rows, SideBySide):
        return _finite(rows.sparse) and _finite(rows.dense)
    return bool(np.isfinite(rows.data if sp.issparse(rows) else rows).all())
