"""Which features to take out of a probe to close a gap between groups of rows, at the least cost.

Greedy: in each step the feature goes whose removal lowers the gap most for what it costs, until none does. A
step is weighed by probabilities, not by labels: one feature moves few labels and many probabilities, so the search
follows what features do and not which rows happen to lie at the border. This is what debiaSAE does to images (Sasse and
others 2024, arXiv 2410.13146), for any probe on any column.

Among thousands of features some close the gap of some hundred rows by chance. So how many steps are worth taking is
learned by cross-validation around the whole search (Hastie and others, The Elements of Statistical Learning, 2009,
7.10.2): the rows of each fold are judged by the search on the others, and of the numbers of steps that do as well as
the best, within one jackknife standard error of the difference, the smallest is taken (Breiman and others 1984,
3.4.3). It may be none. Knows nothing of models, or of how sure the gap of other rows is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.errors import CorpusError, SpecError
from latentprobe.learn.decisions import probabilities_of
from latentprobe.learn.metrics import f1_of_counts, indicators, macro_of_classes
from latentprobe.learn.splits import inner_folds

if TYPE_CHECKING:
    from latentprobe.corpus import Target
    from latentprobe.learn.probes import FittedProbe

__all__ = ["Measure", "Search", "closing", "gap_of", "require_measure"]

Measure = Literal["fpr", "recall", "accuracy", "macro_f1"]

_FEWEST = 20
"""Rows a value needs for a score, and rows of one class for a rate: as in ``learn.fairness``."""
_CHUNK = 1 << 19
"""Stored values that are looked at together: bounds memory to some tens of MiB."""

Counts = NDArray[np.float64]
"""Rows predicted right, predicted, and true, of each value and class, [3, ..., G + 1, K]; the last value is for rows
without one that is scored."""


@dataclass(frozen=True, eq=False)
class Search:
    """Features in the order in which a search took them, and how far it is worth going."""

    order: list[int]
    """Feature numbers, the first to go first."""
    change: NDArray[np.float64]
    """Gap minus macro F1 without the first 0, 1, ... features, less that with all, by probabilities; each fold's rows
    judged by the search on the others, [len(order) + 1]."""
    error: NDArray[np.float64]
    """Jackknife standard error of it over the folds."""
    proposed: int
    """How many of ``order`` to drop."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows a search looks at, as a probe sees them."""

    inputs: sp.csr_matrix
    """[n, m]"""
    decision: NDArray[np.float64]
    """[n, K or 1]"""
    true: NDArray[np.float64]
    """[n, K]"""
    known: NDArray[np.float64]
    """1 where the answer is known, [n, K]."""
    codes: NDArray[np.int64]
    """Value of each row; the last code is for rows without one that is scored, [n]."""

    def take(self, rows: NDArray[Any]) -> _Rows:
        return _Rows(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class _Task:
    """What is searched for."""

    weights: NDArray[np.float64]
    slope: NDArray[np.float64]
    kind: Any
    measure: Measure
    n_values: int
    """With the one of rows that have none."""
    most: int

    def soft(self, decision: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far each class is predicted, [n, K]: 0.5 is the border between two labels."""
        return probabilities_of(decision * self.slope, self.kind)


def require_measure(kind: str, measure: str) -> None:
    """Refuse a measure that a task does not have.

    Raises:
        SpecError: naming those it has.
    """
    defined = {"binary": ("fpr", "recall", "accuracy", "macro_f1"), "multiclass": ("accuracy", "macro_f1")}
    known = defined.get(kind, ("macro_f1",))
    if measure not in known:
        raise SpecError(
            f"the gap of a {kind} classifier is one in {', '.join(known)}", got=measure, fix="name one of them by --gap"
        )


def closing(
    probe: FittedProbe,
    rows: sp.csr_matrix,
    target: Target,
    values: Sequence[str],
    units: NDArray[Any],
    *,
    measure: Measure,
    most: int = 20,
    slope: Any = 1.0,
    folds: int = 5,
    seed: int = 0,
) -> Search:
    """Features to take out, in order, each step of which lowers the gap by more than it costs in macro F1.

    Args:
        probe: the fitted probe.
        rows: pooled features of n rows to search on, csr_matrix [n, width].
        target: their labels.
        values: the column, [n]; values with fewer than 20 rows (for a rate, 20 rows of its class) and the empty one
            are in no gap.
        units: unit of each row, [n]; in one fold together.
        measure: the score between whose highest and lowest value the gap lies.
        most: features at most.
        slope: of the probe's calibration: how steeply decisions become probabilities.
        folds, seed: of the cross-validation.

    Raises:
        CorpusError: fewer than two values can be scored, or there are too few rows for the folds.
    """
    kept = _scored_values(target, values, measure)
    inputs = sp.csr_matrix(probe.values(rows))
    decision = np.asarray(inputs @ probe.weights.T + probe.intercept, dtype=np.float64)
    seen = _rows(target, values, kept, inputs, decision)
    task = _Task(probe.weights, np.asarray(slope, np.float64), target.kind, measure, len(kept) + 1, most)
    columns = list(_greedy(task, seen))
    if not columns:
        return Search([], np.zeros(1), np.zeros(1), 0)
    task = replace(task, most=len(columns))
    parts = np.stack([_judged(task, *map(seen.take, part)) for part in inner_folds(target, units, folds, seed)])
    whole = parts.sum(axis=0)
    worth = _worth(whole, measure)
    left_out = np.stack([_worth(whole - part, measure) for part in parts])
    best = int(np.argmin(worth))
    as_good = worth - worth[best] <= _error(left_out - left_out[:, [best]])
    return Search(
        [int(probe.features[column]) for column in columns],
        worth - worth[0],
        _error(left_out - left_out[:, :1]),
        int(np.flatnonzero(as_good)[0]),
    )


def gap_of(target: Target, predicted: NDArray[Any], values: Sequence[str], measure: Measure) -> float:
    """The widest gap between the values that can be scored, of predicted labels."""
    kept = _scored_values(target, values, measure)
    seen = _rows(target, values, kept, sp.csr_matrix((len(target), 0)), np.zeros((len(target), 1)))
    task = _Task(np.zeros((1, 0)), np.ones(1), target.kind, measure, len(kept) + 1, 0)
    return float(_gap(_counts(task, seen, indicators(target, predicted)[1].astype(np.float64)), measure))


def _scored_values(target: Target, values: Sequence[str], measure: Measure) -> list[str]:
    """The values that enter the gap.

    Raises:
        CorpusError: there are not two.
    """
    column = np.array(values, dtype=object)
    counted = np.ones(len(target), dtype=bool)
    if measure in ("recall", "fpr"):
        counted = target.y == (measure == "recall")
    names, counts = np.unique(column[counted].astype(str), return_counts=True)
    kept = [str(name) for name, n in zip(names, counts, strict=True) if name and n >= _FEWEST]
    if len(kept) < 2:
        raise CorpusError(
            f"a gap in {measure} lies between two values with at least {_FEWEST} rows to score",
            got=f"{len(kept)} of {len(set(values) - {''})} values have them",
            fix="name a column with fewer values, or bring more rows",
        )
    return kept


def _rows(
    target: Target,
    values: Sequence[str],
    kept: Sequence[str],
    inputs: sp.csr_matrix,
    decision: NDArray[np.float64],
) -> _Rows:
    place = {value: code for code, value in enumerate(kept)}
    several = target.kind == "multilabel"
    true = indicators(target, np.nan_to_num(target.y).astype(np.int64))[0].astype(np.float64)
    known = (~np.isnan(target.y)).astype(np.float64) if several else np.ones_like(true)
    codes = np.array([place.get(value, len(kept)) for value in values])
    return _Rows(inputs, decision, true, known, codes)


def _greedy(task: _Task, seen: _Rows) -> Iterator[int]:
    """Columns to take out one after the other, until none lowers the worth."""
    by_column = seen.inputs.tocsc()
    active = np.ones(by_column.shape[1], dtype=bool)
    seen = replace(seen, decision=seen.decision.copy())
    effects = _effects(task, seen)
    for _ in range(min(task.most, len(active) - 1)):
        now = _counts(task, seen, task.soft(seen.decision))
        worth = _worth(now[:, None] + effects, task.measure)
        worth[~active] = np.inf
        column = int(np.argmin(worth))
        if not worth[column] < _worth(now, task.measure) - 1e-9:
            return
        yield column
        active[column] = False
        rows, less = _share(task, by_column, column)
        old = seen.take(rows)
        new = replace(old, decision=old.decision - less)
        effects += _effects(task, new) - _effects(task, old)
        seen.decision[rows] = new.decision


def _judged(task: _Task, others: _Rows, held: _Rows) -> Counts:
    """Counts of some rows after each step of the search on others, [3, most + 1, G + 1, K]."""
    by_column = held.inputs.tocsc()
    held = replace(held, decision=held.decision.copy())
    found = [_counts(task, held, task.soft(held.decision))]
    for column in _greedy(task, others):
        rows, less = _share(task, by_column, column)
        held.decision[rows] -= less
        found.append(_counts(task, held, task.soft(held.decision)))
    return np.stack(found + found[-1:] * (task.most + 1 - len(found)), axis=1)


def _share(task: _Task, by_column: sp.csc_matrix, column: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows in which a feature is on, [r], and its share of their decisions, [r, K or 1]."""
    own = by_column[:, [column]]
    return own.indices, own.data[:, None].astype(np.float64) * task.weights[:, column]


def _counts(task: _Task, seen: _Rows, guess: NDArray[np.float64]) -> Counts:
    """Counts of each value and class; guesses may be shares."""
    n = len(seen.codes)
    groups = sp.csr_matrix((np.ones(n), (seen.codes, np.arange(n))), shape=(task.n_values, n))
    guess = guess * seen.known
    return np.stack([np.asarray(groups @ part) for part in (guess * seen.true, guess, seen.true)])


def _effects(task: _Task, seen: _Rows) -> Counts:
    """The counts without each feature in turn, less those with all, [3, m, G + 1, K]; of trues there are none.

    Only rows in which it is on are other than before, so this looks at stored values alone.
    """
    m, n = seen.inputs.shape[1], task.n_values
    soft = task.soft(seen.decision)
    found = np.zeros((3, soft.shape[1], m * n))
    of_entry = np.repeat(np.arange(seen.inputs.shape[0]), np.diff(seen.inputs.indptr))
    for start in range(0, len(of_entry), _CHUNK):
        part = slice(start, start + _CHUNK)
        row, column = of_entry[part], seen.inputs.indices[part]
        less = seen.inputs.data[part, None].astype(np.float64) * task.weights[:, column].T
        moved = (task.soft(seen.decision[row] - less) - soft[row]) * seen.known[row]
        cell = column.astype(np.int64) * n + seen.codes[row]
        for k in range(soft.shape[1]):
            found[0, k] += np.bincount(cell, weights=moved[:, k] * seen.true[row, k], minlength=m * n)
            found[1, k] += np.bincount(cell, weights=moved[:, k], minlength=m * n)
    return np.moveaxis(found.reshape(3, -1, m, n), 1, -1)


def _error(left_out: NDArray[np.float64]) -> NDArray[np.float64]:
    """Jackknife standard error of a figure from its values without each fold in turn, [F, ...]."""
    n = len(left_out)
    return np.asarray(np.sqrt((n - 1) / n * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)))


def _worth(counts: Counts, measure: Measure) -> Any:
    """What a search makes small: the gap minus macro F1 of all rows, so that one is paid for with the other."""
    f1 = f1_of_counts(*counts.sum(axis=-2))
    return _gap(counts, measure) - macro_of_classes(f1)


def _gap(counts: Counts, measure: Measure) -> Any:
    """Highest minus lowest score of a value; rows without a value, which are last, are in none."""
    hits, guesses, trues = counts[..., :-1, :]
    with np.errstate(invalid="ignore", divide="ignore"):  # without the one fold that has it, a value has no score
        if measure == "macro_f1":
            f1 = f1_of_counts(hits, guesses, trues)
            score = np.where(np.isnan(f1).all(axis=-1), np.nan, macro_of_classes(f1))
        elif measure == "accuracy":
            score = hits.sum(axis=-1) / trues.sum(axis=-1)
        elif measure == "recall":
            score = hits[..., 1] / trues[..., 1]
        else:
            score = (guesses - hits)[..., 1] / trues[..., 0]
    return np.fmax.reduce(score, axis=-1) - np.fmin.reduce(score, axis=-1)
