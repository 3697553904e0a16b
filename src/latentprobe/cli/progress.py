"""What long work says while it runs: a bar on a terminal, quiet lines otherwise; always on stderr.

Results go to stdout, so that a pipe carries nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

__all__ = ["Terminal", "terminal"]


class Terminal:
    """The reporter of the command line: one bar a stage.

    Made by :func:`terminal`.
    """

    def __init__(self, console: Console, bars: Progress | None) -> None:
        self._console = console
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._halves: dict[str, int] = {}

    def say(self, sentence: str) -> None:
        """One line."""
        self._console.print(sentence, style="dim", markup=False, highlight=False, soft_wrap=True)

    def progress(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` of a stage; without a terminal, one line at the start, the middle and the end."""
        if self._bars is None:
            half = 0 if total == 0 else 2 * done // total
            if self._halves.get(stage) != half:
                self._halves[stage] = half
                self._console.print(f"{stage}: {done} of {total}", markup=False, highlight=False, soft_wrap=True)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)


@contextmanager
def terminal(*, quiet: bool = False) -> Iterator[Terminal]:
    """A reporter for the time of one command."""
    console = Console(file=sys.stderr, quiet=quiet)
    if not console.is_terminal or quiet:
        yield Terminal(console, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        yield Terminal(console, bars)
