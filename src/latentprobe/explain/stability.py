"""Whether other training rows would have brought up the same features. Knows nothing of how rows are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

if TYPE_CHECKING:
    from latentprobe.learn.probes import FittedProbe

__all__ = ["TOP", "importance", "stability"]

#: Features that are compared.
TOP = 20


def importance(probe: FittedProbe, rows: sp.csr_matrix) -> NDArray[np.float64]:
    """How much each feature of a probe moves its scores: the standard deviation, over rows, of what it adds, summed
    over the scores, ``[m]``."""
    seen = sp.csr_matrix(probe.values(rows)).astype(np.float64)
    mean = np.asarray(seen.mean(axis=0)).ravel()
    square = np.asarray(seen.multiply(seen).mean(axis=0)).ravel()
    return np.asarray(np.abs(probe.weights).sum(axis=0) * np.sqrt(np.maximum(square - mean**2, 0)))


def stability(probes: Sequence[FittedProbe], rows: sp.csr_matrix, *, top: int = TOP) -> dict[str, Any]:
    """How alike probes of different training rows are in the features that matter most to them.

    Args:
        probes: two or more.
        rows: pooled features of the rows on which importance is measured, for all of them alike, ``[n, width]``.
        top: features compared.

    Returns:
        ``jaccard``: of the best ``top`` features of two probes, those of both over those of either, the mean over all
        pairs; ``chance``: what is expected of as many features drawn at random from those that are ever on;
        ``rank_correlation``: Spearman's, of importance over the features that are among the best of either;
        ``always``: features among the best of every probe; ``probes``: how many.
    """
    from scipy.stats import spearmanr

    width = rows.shape[1]
    weights = np.zeros((len(probes), width))
    for line, probe in zip(weights, probes, strict=True):
        line[probe.features] = importance(probe, rows)
    best = [set(np.argsort(-line, kind="stable")[:top][np.sort(-line, kind="stable")[:top] < 0]) for line in weights]
    jaccards, ranks = [], []
    for (one, first), (other, second) in combinations(zip(best, weights, strict=True), 2):
        union = sorted(one | other)
        jaccards.append(len(one & other) / len(union) if union else 1.0)
        if len(union) > 2 and np.ptp(first[union]) > 0 and np.ptp(second[union]) > 0:
            ranks.append(float(spearmanr(first[union], second[union]).statistic))
    drawn = top / max(top, int(np.sum(np.diff(rows.tocsc().indptr) > 0)))
    return {
        "top": top,
        "jaccard": float(np.mean(jaccards)),
        "chance": drawn / (2 - drawn),
        "rank_correlation": float(np.mean(ranks)) if ranks else None,
        "always": sorted(int(feature) for feature in set.intersection(*best)),
        "probes": len(probes),
    }
