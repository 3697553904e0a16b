"""What is to be predicted: classes and codes, made from label columns. Knows nothing of texts or splits.

One column makes a binary or multi-class target; several columns of 0 and 1 a multi-label one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentprobe.corpus.names import name_of, names_of
from latentprobe.corpus.wording import counted, listed
from latentprobe.errors import CorpusError, nearest

_FLAGS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}


@dataclass(frozen=True, eq=False)
class Target:
    """The labels of n rows.

    Attributes:
        kind: what sort of task this is.
        classes: names in sorted order (whole numbers by size). Of two, the second is the one scored and flagged. For
            a multi-label task, the label columns in the order they were given.
        y: int64 positions in ``classes``, [n]. Multi-label: float64 of 0, 1 or nan (not labelled), [n, classes].
    """

    kind: Literal["binary", "multiclass", "multilabel"]
    classes: tuple[str, ...]
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Any) -> Target:
        """The target of some rows, by position or mask, with the same classes."""
        return replace(self, y=self.y[rows])

    def counts(self, rows: Any = slice(None)) -> dict[str, int]:
        """Rows of each class; for a multi-label task, of each answer to each label. Rows without a label count not.

        >>> Target("binary", ("ham", "spam"), np.array([0, 1, 1])).counts()
        {'ham': 1, 'spam': 2}
        """
        y = self.y[rows]
        if self.kind == "multilabel":
            return {
                f"{name}={answer}": int((y[:, column] == answer).sum())
                for column, name in enumerate(self.classes)
                for answer in (0, 1)
            }
        return {name: int((y == code).sum()) for code, name in enumerate(self.classes)}


def relabelled(
    values: Sequence[object], classes: Mapping[str, str] | None, ids: Sequence[str], column: str
) -> Sequence[object]:
    """The class of each label, where a spec names them; a missing label stays missing.

    Args:
        values: labels, one a row.
        classes: label -> class. None: labels are classes.
        ids, column: for messages.

    Raises:
        CorpusError: a label that has no class, or a class whose label is in no row.
    """
    if classes is None:
        return values
    names = names_of(values, ids, column=column, what="labels")
    found = {name for name in names if name is not None}
    if found != set(classes):
        wrong = {"without a class": _sorted(found - set(classes)), "in no row": _sorted(set(classes) - found)}
        raise CorpusError(
            f"`classes` names every label in the column {column!r}, and no other",
            got="; ".join(f"{said}: {listed(labels)}" for said, labels in wrong.items() if labels),
            fix="write {label: class} for each label; put yes, no, true and false in quotes",
        )
    return [None if name is None else classes[name] for name in names]


def target_of(columns: Mapping[str, Sequence[object]], ids: Sequence[str], *, positive: str | None) -> Target:
    """The target that one or several label columns make.

    Args:
        columns: label column -> one value a row.
        ids: row names, for messages.
        positive: of two classes, the one to put last. Default: as sorted.

    Raises:
        CorpusError: a missing label, a number with a fraction, a label that is not 0 or 1 among several columns, one
            class alone, or a ``positive`` that is no class or not one of two.
    """
    if len(columns) > 1:
        target = _multilabel(columns, ids)
    else:
        ((column, values),) = columns.items()
        target = _single(values, ids, column=column)
    return target if positive is None else _with_positive(target, positive)


def _single(values: Sequence[object], ids: Sequence[str], *, column: str) -> Target:
    names = names_of(values, ids, column=column, what="classes")
    missing = [row for row, name in zip(ids, names, strict=True) if name is None]
    if missing:
        raise CorpusError(
            f"every row needs a label in the column {column!r}",
            got=f"{counted(len(missing), 'row')} without one: {listed(missing)}",
            fix="label those rows or leave them out of the file",
        )
    classes = _sorted({name for name in names if name is not None})
    if len(classes) < 2:
        raise CorpusError(
            "at least two classes are needed",
            got=f"{listed(classes)} in every row of the column {column!r}",
            fix="name the column that tells the classes apart, or add rows of another class",
        )
    if 2 * len(classes) > len(names):
        raise CorpusError(
            f"the column {column!r} must hold classes, which repeat from row to row",
            got=f"{len(classes):,} different values in {len(names):,} rows",
            fix="name the column with the classes, or add rows of each class",
        )
    codes = {name: code for code, name in enumerate(classes)}
    y = np.array([codes[name] for name in names if name is not None], dtype=np.int64)
    return Target("binary" if len(classes) == 2 else "multiclass", classes, y)


def _sorted(names: set[str]) -> tuple[str, ...]:
    """Sorted by size if all are whole numbers ("2" before "10"), else as strings."""
    if all(re.fullmatch(r"-?[0-9]{1,18}", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _multilabel(columns: Mapping[str, Sequence[object]], ids: Sequence[str]) -> Target:
    y = np.empty((len(ids), len(columns)), dtype=np.float64)
    for position, (column, values) in enumerate(columns.items()):
        for row, value in enumerate(values):
            try:
                name = name_of(value)
                y[row, position] = np.nan if name is None else _FLAGS[name.casefold()]
            except (ValueError, KeyError) as error:
                raise CorpusError(
                    "of several label columns each holds 0, 1, true, false or nothing",
                    got=f"another value in row {ids[row]!r} of the column {column!r}",
                    fix="name one label column for classes of other names, or write 0 and 1",
                ) from error
    constant = [
        column
        for column, answers in zip(columns, y.T, strict=True)
        if not {0.0, 1.0} <= set(answers[~np.isnan(answers)])
    ]
    if constant:
        raise CorpusError(
            "each label column needs rows with 0 and rows with 1",
            got=f"the same answer, or none, in every row: {listed(constant)}",
            fix="leave those columns out, or add rows with the other answer",
        )
    return Target("multilabel", tuple(columns), y)


def _with_positive(target: Target, positive: str) -> Target:
    """The same binary target with ``positive`` as its second class."""
    if target.kind != "binary":
        raise CorpusError(
            "a positive class goes with two classes",
            got=f"positive {positive!r} in a task with {len(target.classes)} {target.kind} classes",
            fix="leave `positive` out",
        )
    if positive not in target.classes:
        raise CorpusError(
            "the positive class is not one of the labels",
            got=f"{positive!r}, where the labels are {listed(target.classes)}",
            fix=f"name one of those{nearest(positive, target.classes)}",
        )
    if positive == target.classes[1]:
        return target
    return replace(target, classes=target.classes[::-1], y=1 - target.y)
