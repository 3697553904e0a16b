"""How sure a macro F1 is: bootstrap intervals, paired differences and Holm's correction.

All configurations are scored on the same resamples of the test part, so that their differences are paired. A score
needs no more than how many rows of each class were predicted right, predicted and true, and those counts are linear in
the weights of the rows: a block of resamples is one matrix product a configuration. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.corpus import Target
from latentprobe.learn.metrics import f1_of_counts, indicators, macro_of_classes

__all__ = [
    "Difference",
    "Effect",
    "bootstrap_macro_f1",
    "effect_size",
    "holm",
    "interval",
    "paired_difference",
    "resampled_weights",
    "weighted_macro_f1",
]

_BLOCK = 100
"""Resamples at a time: bounds memory to a few arrays of [n, 100]."""


@dataclass(frozen=True)
class Difference:
    """One score minus another on the same rows."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided bootstrap probability of a difference at least this far from none."""
    error: float = 0.0
    """Standard error: the standard deviation of the resampled differences."""


def bootstrap_macro_f1(
    target: Target, predictions: Sequence[NDArray[Any]], units: NDArray[Any], *, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Macro F1 of each configuration on each resample, [configurations, resamples].

    Args:
        target: true labels of the n test rows.
        predictions: predicted labels of each configuration, as `metrics.macro_f1` takes them.
        units: unit of each row, [n]. Units are drawn with replacement, as many as there are, each with all its rows;
            where every row is a unit of its own, that is the ordinary bootstrap.
        resamples: how many.
        seed: of the draw.
    """
    score = weighted_macro_f1(target, predictions)
    drawn = [score(weights) for weights in resampled_weights(units, resamples=resamples, seed=seed)]
    return np.concatenate(drawn, axis=1)


def weighted_macro_f1(
    target: Target, predictions: Sequence[NDArray[Any]]
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """From how often each row counts, [n, resamples], to the macro F1 of each configuration, [configurations,
    resamples]."""
    counted = [_indicators(target, predicted) for predicted in predictions]
    true: Any = _columns(indicators(target, predictions[0])[0]) if counted else None

    def score(weights: NDArray[np.float32]) -> NDArray[np.float64]:
        n_true = true @ weights
        scores = np.empty((len(counted), weights.shape[1]))
        for row, (hits, guesses) in enumerate(counted):
            scores[row] = macro_of_classes(f1_of_counts(hits @ weights, guesses @ weights, n_true), axis=0)
        return scores

    return score


def resampled_weights(units: NDArray[Any], *, resamples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """How often each row stands in each resample, in blocks of [n, up to 100]; exact, as counts are small integers.

    Args:
        units: unit of each row, [n]; drawn whole, with replacement, as many as there are.
        resamples: columns in all.
        seed: of the draw: the same seed gives the same resamples to whatever is scored on them.
    """
    _, codes = np.unique(np.asarray(units), return_inverse=True)
    n_units = int(codes.max()) + 1
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _BLOCK):
        block = min(_BLOCK, resamples - start)
        drawn = rng.integers(n_units, size=(block, n_units)) + n_units * np.arange(block)[:, None]
        times = np.bincount(drawn.ravel(), minlength=block * n_units).reshape(block, n_units)
        yield np.ascontiguousarray(times[:, codes].T.astype(np.float32))


def _indicators(target: Target, predicted: NDArray[Any]) -> tuple[Any, Any]:
    true, guess = indicators(target, predicted)
    return _columns(true & guess), _columns(guess)


def _columns(is_in: NDArray[np.bool_]) -> Any:
    return sp.csr_matrix(is_in.T.astype(np.float32))


def interval(values: NDArray[np.float64], *, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of bootstrapped values.

    >>> interval(np.arange(9.0), level=0.5)
    (2.0, 6.0)
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(
    value: float, first: NDArray[np.float64], second: NDArray[np.float64], *, level: float = 0.95
) -> Difference:
    """The difference of two scores with its percentile interval and two-sided p.

    The p is twice the smaller tail beyond no difference, (k + 1) / (B + 1) with k resamples in that tail, at most 1.

    Args:
        value: the difference on the rows themselves.
        first, second: both scores on the same resamples, [B].
    """
    differences = first - second
    low, high = interval(differences, level=level)
    tail = min(int(np.sum(differences <= 0)), int(np.sum(differences >= 0)))
    p = min(1.0, 2 * (tail + 1) / (len(differences) + 1))
    return Difference(value, low, high, p, error=float(np.std(differences, ddof=1)))


@dataclass(frozen=True)
class Effect:
    """Cohen's g: of the units that two classifiers don't do equally well on, the share that the first does better on,
    minus one half (Cohen 1988, chapter 5: .05 is small, .15 medium, .25 large)."""

    wins: int
    """Units the first does better on."""
    losses: int
    """Units the second does better on."""
    value: float | None
    """None where they do equally well on every unit."""
    low: float | None
    """With ``high``, the exact 95 % interval (Clopper and Pearson 1934)."""
    high: float | None


def effect_size(
    target: Target, first: NDArray[Any], second: NDArray[Any], units: NDArray[Any], *, level: float = 0.95
) -> Effect:
    """How often one classifier is right where the other is wrong: the effect size that goes with McNemar's test.

    Args:
        target: true labels of the n test rows.
        first, second: predicted labels, as `metrics.macro_f1` takes them.
        units: unit of each row, [n]. A unit is won where more of its answers are right.
    """
    _, codes = np.unique(np.asarray(units), return_inverse=True)
    ahead = np.bincount(codes, weights=_n_right(target, first) - _n_right(target, second))
    wins, losses = int((ahead > 0).sum()), int((ahead < 0).sum())
    if not wins + losses:
        return Effect(0, 0, None, None, None)
    from scipy.stats import binomtest

    ends = binomtest(wins, wins + losses).proportion_ci(level, method="exact")
    return Effect(wins, losses, wins / (wins + losses) - 0.5, float(ends.low) - 0.5, float(ends.high) - 0.5)


def _n_right(target: Target, predicted: NDArray[Any]) -> NDArray[np.float64]:
    """Right answers of each row, [n]: 0 or 1, or of a multi-label task up to as many as it has labels."""
    right = np.asarray(predicted == target.y, dtype=np.float64)
    return right.sum(axis=1) if target.kind == "multilabel" else right


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p values that hold for the whole family, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    corrected = np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(corrected, 1.0)
    return [float(value) for value in result]
