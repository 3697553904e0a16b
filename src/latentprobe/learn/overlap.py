"""Do two domains choose the same features? Overlap of the features that weigh most, against what chance would give.

A feature weighs what its standardized coefficient says: weight times the standard deviation of its values, so that
domains in which it fires more or less strongly can be compared. Chance is a permutation of the features of one domain
among those that fire about as often there: two domains would share frequent features even if they chose blindly. Knows
nothing of what features mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import rankdata

from latentprobe.learn.probes import FittedProbe

__all__ = ["Chance", "Weights", "jaccard", "overlap", "top_features", "weights_of"]

_BINS = 10
"""Classes of firing rate that features are permuted within."""


@dataclass(frozen=True, eq=False)
class Weights:
    """What the features of a domain weigh there."""

    standardized: NDArray[np.float64]
    """Mean over the folds, [K, width]; 0 for a feature that is not used. K = 1 for two classes, positive for the
    second one."""
    rate: NDArray[np.float64]
    """Share of the domain's training rows in which a feature fires, [width]."""

    @property
    def size(self) -> NDArray[np.float64]:
        """The largest absolute weight over the classes, [width]."""
        return np.asarray(np.abs(self.standardized).max(axis=0))


@dataclass(frozen=True)
class Chance:
    """A statistic beside its permutations."""

    value: float
    mean: float
    """Of the permutations."""
    high: float
    """Their 97.5th percentile."""
    p: float
    """Share of them, with the value itself, that are at least as large."""


def weights_of(rows: Any, probes: Sequence[FittedProbe], train: Sequence[NDArray[np.int64]]) -> Weights:
    """The weights of a domain.

    Args:
        rows: pooled features of all rows, csr_matrix [n, width].
        probes: one a fold.
        train: the rows each was fitted on.
    """
    width = rows.shape[1]
    total = np.zeros((probes[0].weights.shape[0], width))
    rate = np.zeros(width)
    for probe, own in zip(probes, train, strict=True):
        values = sp.csr_matrix(probe.values(rows[own]), dtype=np.float64)
        mean = np.asarray(values.mean(axis=0)).ravel()
        square = np.asarray(values.multiply(values).mean(axis=0)).ravel()
        total[:, probe.features] += probe.weights * np.sqrt(np.maximum(square - mean**2, 0))
        rate[probe.features] += np.asarray((values != 0).mean(axis=0)).ravel()
    return Weights(total / len(probes), rate / len(probes))


def top_features(weights: Weights, k: int) -> NDArray[np.int64]:
    """The k features that weigh most, heaviest first; of equals, the lower number. Only features with a weight.

    >>> top_features(Weights(np.array([[0.0, -3.0, 1.0]]), np.ones(3)), 5)
    array([1, 2])
    """
    size = weights.size
    return np.argsort(-size, kind="stable")[: min(k, int(np.count_nonzero(size)))]


def jaccard(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Features in both over features in either; 0 where there are none.

    >>> jaccard(np.array([1, 2]), np.array([2, 3, 4]))
    0.25
    """
    both = len(np.intersect1d(first, second))
    return both / max(1, len(first) + len(second) - both)


def overlap(first: Weights, second: Weights, *, k: int, permutations: int, seed: int) -> tuple[Chance, Chance]:
    """How alike two domains choose: Jaccard of the top k, and rank correlation of the weights (Spearman; over the
    classes, where there are more than two), over the features that fire in both.

    Args:
        first, second: weights of the same features.
        k: features that count as chosen.
        permutations: of the features of ``second``.
        seed: of the permutations.
    """
    top, theirs = top_features(first, k), top_features(second, k)
    in_top = np.zeros(len(first.rate), dtype=bool)
    in_top[top] = True
    fires = np.flatnonzero(second.rate > 0)
    place = np.searchsorted(fires, theirs)
    shared = np.flatnonzero((first.rate > 0) & (second.rate > 0))
    ours, others = (_ranks(weights.standardized[:, shared]) for weights in (first, second))
    bins, shared_bins = _rate_bins(second.rate[fires]), _rate_bins(second.rate[shared])
    rng = np.random.default_rng(seed)
    shares, correlations = np.empty(permutations), np.empty(permutations)
    for draw in range(permutations):
        both = int(in_top[fires[_shuffled(bins, rng)[place]]].sum())
        shares[draw] = both / max(1, len(top) + len(theirs) - both)
        correlations[draw] = _correlation(ours, others[:, _shuffled(shared_bins, rng)])
    return _chance(jaccard(top, theirs), shares), _chance(_correlation(ours, others), correlations)


def _shuffled(bins: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random permutation that leaves everything in its bin."""
    moved = np.empty(len(bins), dtype=np.int64)
    moved[np.argsort(bins, kind="stable")] = np.lexsort((rng.random(len(bins)), bins))
    return moved


def _rate_bins(rate: NDArray[np.float64]) -> NDArray[np.int64]:
    """Class of firing rate of each feature: equally many in each, ties together."""
    ranks = rankdata(rate, method="min") - 1
    return np.asarray(ranks * _BINS // max(1, len(rate)), dtype=np.int64)


def _ranks(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred ranks of the weights of each class, scaled to length 1 over all of them."""
    ranks = np.asarray(rankdata(weights, axis=1))
    ranks = ranks - ranks.mean(axis=1, keepdims=True) if ranks.size else ranks
    return np.asarray(ranks / (np.sqrt(np.sum(ranks**2)) or 1.0))


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(np.sum(first * second))


def _chance(value: float, null: NDArray[np.float64]) -> Chance:
    # Rounding may tell equal correlations apart; they are equal all the same.
    p = (1 + int(np.sum(null >= value - 1e-12))) / (len(null) + 1)
    return Chance(value, float(null.mean()), float(np.quantile(null, 0.975)), p)
