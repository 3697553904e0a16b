"""Features that fire together, and what a classifier does without them.

A probe spreads its weight over features that say the same: removing one of them changes little, and shows little.
Groups are removed together. Knows nothing of labels and texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.explain.stability import importance
from latentprobe.learn.decisions import labels_of
from latentprobe.learn.intervals import bootstrap_macro_f1, interval, paired_difference
from latentprobe.learn.metrics import macro_f1

if TYPE_CHECKING:
    from latentprobe.corpus import Target
    from latentprobe.learn.probes import FittedProbe

__all__ = ["BOUND", "redundancy_groups", "without_features"]

#: Correlation of two features over rows from which on they count as firing together.
BOUND = 0.7
#: Features that are looked at: those that matter most to the probe.
MOST = 512


def redundancy_groups(
    probe: FittedProbe, rows: sp.csr_matrix, *, bound: float = BOUND, most: int = MOST
) -> list[dict[str, Any]]:
    """Groups of features whose values rise and fall together over rows, the one that matters most to the probe first.

    Two features are joined where the correlation of what the probe sees of them is at least ``bound``; a group is all
    that is joined, also through others, so that two of its features may be less alike than that.

    Args:
        probe: the fitted probe.
        rows: pooled features of training rows, ``[n, width]``.
        bound: the least correlation (Pearson's).
        most: features looked at, by importance: the spread of what they add to scores.

    Returns:
        Plain dicts: ``features`` (by importance), ``correlation`` and ``jaccard``, the mean over pairs (rows with both
        on, over rows with either), ``lowest`` (the least correlation of a pair), and ``importance`` of the group.
    """
    weight = importance(probe, rows)
    columns = np.argsort(-weight, kind="stable")[:most]
    columns = columns[weight[columns] > 0]
    seen = sp.csr_matrix(probe.values(rows))[:, columns].astype(np.float64)
    correlation, jaccard = _correlation(seen), _jaccard(seen)
    _, group = sp.csgraph.connected_components(correlation >= bound, directed=False)
    found = []
    for members in (np.flatnonzero(group == name) for name in np.unique(group)):
        if len(members) < 2:
            continue
        pairs = np.triu_indices(len(members), 1)
        alike = correlation[np.ix_(members, members)][pairs]
        found.append(
            {
                "features": [int(feature) for feature in probe.features[columns[members]]],
                "correlation": float(alike.mean()),
                "lowest": float(alike.min()),
                "jaccard": float(jaccard[np.ix_(members, members)][pairs].mean()),
                "importance": float(weight[columns[members]].sum()),
            }
        )
    return sorted(found, key=lambda one: -one["importance"])


def _correlation(seen: sp.csr_matrix) -> NDArray[np.float64]:
    n = max(1, seen.shape[0])
    mean = np.asarray(seen.mean(axis=0)).ravel()
    covariance = np.asarray((seen.T @ seen).todense()) / n - np.outer(mean, mean)
    sd = np.sqrt(np.maximum(np.diag(covariance), 0))
    scale = np.outer(sd, sd)
    return np.asarray(np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0))


def _jaccard(seen: sp.csr_matrix) -> NDArray[np.float64]:
    on = (seen != 0).astype(np.float64)
    both = np.asarray((on.T @ on).todense())
    either = np.add.outer(np.diag(both), np.diag(both)) - both
    return np.asarray(np.divide(both, either, out=np.zeros_like(both), where=either > 0))


def without_features(
    probe: FittedProbe,
    rows: sp.csr_matrix,
    target: Target,
    units: NDArray[Any],
    groups: Sequence[Sequence[int]],
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """How good a classifier is when groups of its features are always off; nothing is fitted anew.

    Args:
        probe: the fitted probe.
        rows: pooled features of test rows, ``[n, width]``.
        target: their labels.
        units: of each row, drawn whole in the bootstrap.
        groups: feature numbers of each group.
        resamples, seed: of the bootstrap.

    Returns:
        One dict a group: ``macro_f1`` with ``low`` and ``high``, ``difference`` (without minus with: ``value``,
        ``low``, ``high``, ``p``) and ``flipped``, the rows decided otherwise.
    """
    seen = sp.csr_matrix(probe.values(rows))
    whole = probe.decision(rows)
    decisions = [whole]
    for group in groups:
        columns = np.flatnonzero(np.isin(probe.features, np.asarray(group, np.int64)))
        decisions.append(whole - np.asarray(seen[:, columns] @ probe.weights[:, columns].T))
    predicted = [labels_of(values, target.kind) for values in decisions]
    resampled = bootstrap_macro_f1(target, predicted, units, resamples=resamples, seed=seed)
    scores = [macro_f1(target, one) for one in predicted]
    told = []
    for score, one, drawn in zip(scores[1:], predicted[1:], resampled[1:], strict=True):
        gap = paired_difference(score - scores[0], drawn, resampled[0])
        low, high = interval(drawn)
        changed = one != predicted[0]
        told.append(
            {
                "macro_f1": score,
                "low": low,
                "high": high,
                "difference": {"value": gap.value, "low": gap.low, "high": gap.high, "p": gap.p},
                "flipped": int((changed.any(axis=1) if changed.ndim == 2 else changed).sum()),
            }
        )
    return told
