"""The test part where the data themselves give it, what may not stand on both sides of it, and what each must hold.

Knows nothing of how a split is drawn where none is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from latentprobe.corpus.names import names_of
from latentprobe.corpus.target import Target
from latentprobe.corpus.wording import counted, listed
from latentprobe.errors import CorpusError, nearest

_NEAR = "near-copy"


def marked(values: Sequence[object], ids: Sequence[str], *, column: str, value: str) -> NDArray[np.bool_]:
    """True, [n], on the rows that a column marks as test rows; rows where it is empty train.

    Raises:
        CorpusError: no row has that value, or every row has it; or the column does not hold names.
    """
    names = names_of(values, ids, column=column, what="parts")
    test = np.array([name == value for name in names], dtype=np.bool_)
    if test.any() and not test.all():
        return test
    there = sorted({name for name in names if name is not None})
    raise CorpusError(
        f"the column {column!r} must have both test rows and others",
        got=f"{value!r} in {'every' if test.any() else 'no'} row; the values there are: {listed(there, limit=20)}",
        fix=f"set `test: {{column: {column}, value: ...}}` to the value of the test rows{nearest(value, there)}",
    )


def without_leaks(
    test: NDArray[np.bool_],
    *,
    ids: Sequence[str],
    copies: Sequence[str],
    what: str = "text",
    near: Sequence[str] | None = None,
    groups: Sequence[str] | None,
    on_leak: Literal["refuse", "move"],
) -> tuple[NDArray[np.bool_], list[str]]:
    """A given test part, [n], that shares no text or image and no group with the other, and what was done for it.

    Rows with the same value in ``copies`` hold the same text or image, as ``what`` says, and with the same value in
    ``near`` nearly the same; empty texts are no copies of each other. With ``move``, a training row goes to the test
    side if its text or its group stands there, and then so does what shares a text or group with that row, until
    nothing is left to move.

    Raises:
        CorpusError: something stands on both sides and ``on_leak`` is ``refuse``.
    """
    keys: dict[str, Sequence[str]] = {what: copies}
    if near is not None:
        keys[_NEAR] = near
    if groups is not None:
        keys["group"] = groups
    if on_leak == "refuse":
        _refuse(keys, test, ids)
    settled, reasons = test, set()
    while leaks := _leaks(keys, settled):
        reasons |= set(leaks)
        settled = settled | np.any(list(leaks.values()), axis=0)
    moved = int(settled.sum() - test.sum())
    if not moved:
        return test, []
    shared = " or ".join(what for what in keys if what in reasons)
    return settled, [f"{counted(moved, 'training row')} moved to the test side, where the same {shared} stands."]


def _leaks(keys: Mapping[str, Sequence[str]], test: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """Reason -> training rows, [n], that leak for it and for none before it; without reasons that take no row."""
    found: dict[str, NDArray[np.bool_]] = {}
    for what, values in keys.items():
        rows = _leaking(values, test) & ~np.any([np.zeros_like(test), *found.values()], axis=0)
        if rows.any():
            found[what] = rows
    return found


def _refuse(keys: Mapping[str, Sequence[str]], test: NDArray[np.bool_], ids: Sequence[str]) -> None:
    for what, values in keys.items():
        leaking = np.flatnonzero(_leaking(values, test))
        if len(leaking):
            or_else = ", or let them stand with `near_duplicates: null`" if what == _NEAR else ""
            raise CorpusError(
                f"the same {what} stands on both sides of the given split",
                got=f"{counted(len(leaking), 'training row')} with a {what} of the test part: "
                + listed(ids[int(row)] for row in leaking),
                fix=f"`on_leak: move` takes those rows to the test side; or remove them from one side{or_else}",
            )


def _leaking(values: Sequence[str], test: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Training rows, [n], whose value also stands on the test side."""
    tested = {value for value, is_test in zip(values, test, strict=True) if is_test and value}
    return np.array([value in tested for value in values], dtype=np.bool_) & ~test


def absent_from_test(target: Target, test: NDArray[np.bool_]) -> list[str]:
    """A sentence on the classes a given test part has no row of: they cannot be scored there."""
    absent = [name for name, n in target.counts(test).items() if not n]
    return [f"The test part has no row of {listed(absent)}."] if absent else []


def require_rows_for_folds(target: Target, test: NDArray[np.bool_] | None, *, share: float, folds: int) -> None:
    """Refuse a class that cannot stand in every fold of the training part.

    Args:
        target: the labels.
        test: the given test part, [n], or None where a share of the rows is drawn for it.
        share: that share, of each class.
        folds: how many folds the training part is cut into.

    Raises:
        CorpusError: naming the classes and their numbers of training rows.
    """
    if test is None:
        counts = {name: n - round(n * share) for name, n in target.counts().items()}
    else:
        counts = target.counts(~test)
    short = sorted((n, name) for name, n in counts.items() if n < folds)
    if short:
        raise CorpusError(
            f"each class needs at least {folds} training rows, one for each fold",
            got=f"{len(short)} of {len(counts)} have fewer: {listed(name for _, name in short)} "
            f"(the first has {short[0][0]})",
            fix="add rows, join or leave out those classes, or ask for fewer folds",
        )
