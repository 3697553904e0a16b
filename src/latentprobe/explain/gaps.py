"""Which features to take out of a probe to close a gap between groups of rows, at the least cost.

Greedy: in each step the feature goes whose removal lowers the gap most for what it costs, until none does. A step is
weighed by probabilities, not by labels: one feature moves few labels and many probabilities, so the search follows what
features do and not which rows happen to lie at the border. This is what debiaSAE does to images (Sasse and others 2024,
arXiv 2410.13146), for any probe on any column. Knows nothing of models, or of how sure a gap is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.errors import CorpusError, SpecError
from latentprobe.learn.decisions import probabilities_of
from latentprobe.learn.metrics import f1_of_counts, indicators, macro_of_classes

if TYPE_CHECKING:
    from latentprobe.corpus import Target
    from latentprobe.learn.probes import FittedProbe

__all__ = ["Measure", "closing", "gap_of", "require_measure"]

Measure = Literal["fpr", "recall", "accuracy", "macro_f1"]

_FEWEST = 20
"""Rows a value needs for a score, and rows of one class for a rate: as in ``learn.fairness``."""
_CHUNK = 1 << 19
"""Stored values that are looked at together: bounds memory to some tens of MiB."""

Counts = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Rows predicted right, predicted, and true, of each value and class, [..., G, K]."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows a search looks at."""

    true: NDArray[np.float64]
    """[n, K]"""
    known: NDArray[np.float64]
    """1 where the answer is known, [n, K]."""
    codes: NDArray[np.int64]
    """Value of each row; the last code is for rows without one that is scored, [n]."""
    n_values: int


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
    *,
    measure: Measure,
    most: int = 20,
    slope: Any = 1.0,
) -> list[int]:
    """Features to take out, in order, each step of which lowers the gap by more than it costs in macro F1.

    Args:
        probe: the fitted probe.
        rows: pooled features of n rows to search on, csr_matrix [n, width].
        target: their labels.
        values: the column, [n]; values with fewer than 20 rows (for a rate, 20 rows of its class) and the empty one
            are in no gap.
        measure: the score between whose highest and lowest value the gap lies.
        most: features at most.
        slope: of the probe's calibration: how steeply decisions become probabilities.

    Raises:
        CorpusError: fewer than two values can be scored.
    """
    kept = _scored_values(target, values, measure)
    seen = _rows(target, values, kept)
    inputs = sp.csr_matrix(probe.values(rows))
    decision = np.asarray(inputs @ probe.weights.T + probe.intercept, dtype=np.float64)
    active = np.ones(len(probe.features), dtype=bool)
    dropped: list[int] = []
    scale = np.asarray(slope, dtype=np.float64)
    best = _worth(_counts(seen, _soft(decision, scale, target)), measure)
    while len(dropped) < min(most, len(probe.features) - 1):
        worth = _worth(_without_each(seen, inputs, probe, decision, scale, target), measure)
        worth[~active] = np.inf
        column = int(np.argmin(worth))
        if not worth[column] < best - 1e-9:
            break
        best = worth[column]
        active[column] = False
        dropped.append(int(probe.features[column]))
        decision = decision - inputs[:, [column]].toarray().astype(np.float64) * probe.weights[:, column]
    return dropped


def gap_of(target: Target, predicted: NDArray[Any], values: Sequence[str], measure: Measure) -> float:
    """The widest gap between the values that can be scored, of predicted labels."""
    seen = _rows(target, values, _scored_values(target, values, measure))
    guess = indicators(target, predicted)[1].astype(np.float64)
    return float(_gap(_counts(seen, guess), measure))


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


def _rows(target: Target, values: Sequence[str], kept: Sequence[str]) -> _Rows:
    place = {value: code for code, value in enumerate(kept)}
    several = target.kind == "multilabel"
    true = indicators(target, np.nan_to_num(target.y).astype(np.int64))[0].astype(np.float64)
    known = (~np.isnan(target.y)).astype(np.float64) if several else np.ones_like(true)
    return _Rows(true, known, np.array([place.get(value, len(kept)) for value in values]), len(kept))


def _soft(decision: NDArray[np.float64], slope: NDArray[np.float64], target: Target) -> NDArray[np.float64]:
    """How far each class is predicted, [n, K]: 0.5 is the border between two labels."""
    return probabilities_of(decision * slope, target.kind)


def _counts(seen: _Rows, guess: NDArray[np.float64]) -> Counts:
    """Counts of each value and class; guesses may be shares."""
    groups = sp.csr_matrix(
        (np.ones(len(seen.codes)), (seen.codes, np.arange(len(seen.codes)))), shape=(seen.n_values + 1, len(seen.codes))
    )
    guess = guess * seen.known
    return tuple(np.asarray(groups @ part) for part in (guess * seen.true, guess, seen.true))  # type: ignore[return-value]


def _without_each(
    seen: _Rows,
    inputs: sp.csr_matrix,
    probe: FittedProbe,
    decision: NDArray[np.float64],
    slope: NDArray[np.float64],
    target: Target,
) -> Counts:
    """The counts without each feature in turn, [m, G, K]: only rows in which it is on are other than before."""
    soft = _soft(decision, slope, target)
    hits, guesses, trues = _counts(seen, soft)
    m, shape = len(probe.features), hits.shape
    changes = np.zeros((2, shape[1], m * shape[0]))
    of_entry = np.repeat(np.arange(inputs.shape[0]), np.diff(inputs.indptr))
    for start in range(0, len(of_entry), _CHUNK):
        part = slice(start, start + _CHUNK)
        row, column = of_entry[part], inputs.indices[part]
        less = inputs.data[part, None].astype(np.float64) * probe.weights[:, column].T
        change = (_soft(decision[row] - less, slope, target) - soft[row]) * seen.known[row]
        cell = column.astype(np.int64) * shape[0] + seen.codes[row]
        for k in range(shape[1]):
            changes[0, k] += np.bincount(cell, weights=change[:, k] * seen.true[row, k], minlength=m * shape[0])
            changes[1, k] += np.bincount(cell, weights=change[:, k], minlength=m * shape[0])
    moved = np.moveaxis(changes.reshape(2, shape[1], m, shape[0]), 1, -1)
    return hits + moved[0], guesses + moved[1], np.broadcast_to(trues, moved[0].shape)


def _worth(counts: Counts, measure: Measure) -> Any:
    """What a search makes small: the gap minus macro F1 of all rows, so that one is paid for with the other."""
    f1 = f1_of_counts(*(part.sum(axis=-2) for part in counts))
    return _gap(counts, measure) - macro_of_classes(f1)


def _gap(counts: Counts, measure: Measure) -> Any:
    """Highest minus lowest score of a value; rows without a value, which are last, are in none."""
    hits, guesses, trues = (part[..., :-1, :] for part in counts)
    if measure == "macro_f1":
        score = macro_of_classes(f1_of_counts(hits, guesses, trues))
    elif measure == "accuracy":
        score = hits.sum(axis=-1) / trues.sum(axis=-1)
    elif measure == "recall":
        score = hits[..., 1] / trues[..., 1]
    else:
        score = (guesses - hits)[..., 1] / trues[..., 0]
    return score.max(axis=-1) - score.min(axis=-1)
