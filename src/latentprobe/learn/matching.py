"""Which features of one SAE are those of another, told from rows that both have read; and a probe carried over by it.

Two features match as far as their pooled values correlate over the same rows. How much of that is chance is measured
by shuffling one side's rows. Labels play no part. Knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from latentprobe.learn.probes import FittedProbe

__all__ = ["Matching", "carry", "match"]


@dataclass(frozen=True, eq=False)
class _Side:
    """Some columns of a matrix of features on the rows they are matched on."""

    columns: NDArray[np.int64]
    """Ascending, [m]."""
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    standard: NDArray[np.float32]
    """Values with mean 0 and mean square 1, [n, m]."""


@dataclass(frozen=True, eq=False)
class Matching:
    """Each feature of the first side with its partners on the second."""

    first: _Side
    second: _Side
    best: NDArray[np.int64]
    """For each feature of the first side, the position on the second that it correlates most with, [p]. Several may
    have the same one."""
    correlation: NDArray[np.float64]
    """That correlation, [p]."""
    only: NDArray[np.int64]
    """The same where no two may have the same one and the sum of correlations is largest; -1 for none, [p]."""
    only_correlation: NDArray[np.float64]
    """That correlation; 0 where there is none, [p]."""
    null: NDArray[np.float64]
    """The largest best correlation of each feature over the shuffles, [p]."""
    null_correlation: float
    """Median best correlation over features and shuffles."""

    @property
    def matched(self) -> NDArray[np.bool_]:
        """Features whose best partner beats every shuffle, [p]; by chance 1 / (shuffles + 1) of them would."""
        return self.correlation > self.null

    @property
    def matched_alone(self) -> NDArray[np.bool_]:
        """Features whose own partner, one to one, beats every shuffle, [p]."""
        return self.only_correlation > self.null


def match(first: Any, second: Any, *, features: int, permutations: int, seed: int) -> Matching:
    """Match the features of two matrices on the same rows.

    Args:
        first, second: pooled values, csr_matrix or array, [n, p] and [n, q].
        features: columns of each side that take part: those not 0 on the most rows.
        permutations: shuffles of the second side's rows.
        seed: of the shuffles.

    >>> rows = np.random.default_rng(0).random((50, 3))
    >>> match(rows, rows[:, [2, 0, 1]], features=3, permutations=19, seed=0).best
    array([1, 2, 0])
    """
    one, other = _side(first, features), _side(second, features)
    n = len(one.standard)
    correlations = (one.standard.T @ other.standard / n).astype(np.float64)
    best = correlations.argmax(axis=1)
    rows, columns = linear_sum_assignment(correlations, maximize=True)
    only = np.full(len(one.columns), -1)
    only[rows] = columns
    only_correlation = np.where(only >= 0, correlations[np.arange(len(only)), only], 0.0)
    rng = np.random.default_rng(seed)
    shuffled = np.stack(
        [(one.standard.T @ other.standard[rng.permutation(n)] / n).max(axis=1) for _ in range(permutations)]
    )
    return Matching(
        one,
        other,
        best,
        correlations[np.arange(len(best)), best],
        only,
        only_correlation,
        shuffled.max(axis=0).astype(np.float64),
        float(np.median(shuffled)),
    )


def carry(probe: FittedProbe, matching: Matching, *, one_to_one: bool) -> FittedProbe:
    """A probe on features of the first side as one on those of the second.

    A matched feature is replaced by the best linear guess from its partner, mean + r s / s' (value' - mean'); one
    without a match, or that took no part, by its mean where that is known, else by 0. No label is used.

    Args:
        probe: fitted on the first side, without binarization.
        matching: of the two sides.
        one_to_one: through the partners that no two features share, or through the best.
    """
    assert probe.thresholds is None, "a binarized probe is not linear in what is matched"
    first, second = matching.first, matching.second
    partner = matching.only if one_to_one else matching.best
    r = matching.only_correlation if one_to_one else matching.correlation
    matched = matching.matched_alone if one_to_one else matching.matched
    place = {int(column): position for position, column in enumerate(first.columns)}
    weights = np.zeros((len(probe.weights), len(second.columns)))
    intercept = probe.intercept.astype(np.float64).copy()
    for own, column in enumerate(probe.features):
        position = place.get(int(column))
        if position is None:
            continue
        intercept += probe.weights[:, own] * first.mean[position]
        if matched[position]:
            to = partner[position]
            slope = r[position] * first.deviation[position] / second.deviation[to]
            weights[:, to] += probe.weights[:, own] * slope
            intercept -= probe.weights[:, own] * slope * second.mean[to]
    used = np.any(weights != 0, axis=0)
    return FittedProbe(second.columns[used], None, weights[:, used], intercept, probe.C, probe.converged)


def _side(rows: Any, features: int) -> _Side:
    """The columns on in the most rows that are not the same in all, standardized."""
    rows = sp.csc_matrix(rows, dtype=np.float64)
    n = rows.shape[0]
    mean = np.asarray(rows.mean(axis=0)).ravel()
    square = np.asarray(rows.multiply(rows).mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    active = np.diff(rows.indptr)
    usable = np.flatnonzero(deviation > 1e-6 * np.maximum(np.abs(mean), 1e-12))
    columns = np.sort(usable[np.argsort(-active[usable], kind="stable")[:features]]).astype(np.int64)
    dense = rows[:, columns].toarray() if n else np.zeros((0, len(columns)))
    standard = ((dense - mean[columns]) / deviation[columns]).astype(np.float32)
    return _Side(columns, mean[columns], deviation[columns], standard)
