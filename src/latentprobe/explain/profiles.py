"""Features one by one: what each is worth to every class, how strongly it is on, and which others fire with it.

Reads stored features and a fitted probe. Knows nothing of models or pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.explain.contributions import class_weights
from latentprobe.store import SparseFeatures
from latentprobe.store.labels import FeatureLabel, shown_label

if TYPE_CHECKING:
    from latentprobe.corpus import Target
    from latentprobe.learn.probes import FittedProbe

__all__ = ["feature_profiles"]

BINS = 12
"""Bars of a histogram."""


def feature_profiles(
    features: SparseFeatures,
    pooling: str,
    probe: FittedProbe,
    target: Target,
    rows: NDArray[np.intp],
    numbers: Sequence[int],
    labels: Mapping[int, FeatureLabel],
    *,
    neighbours: int = 5,
) -> list[dict[str, Any]]:
    """Named features of a probe, each by itself, on training rows.

    Args:
        features: pooled features of all rows.
        pooling: the pooling the probe was fitted on.
        probe: the fitted probe.
        target: classes and codes of all rows.
        rows: positions of the training rows.
        numbers: features to tell of, each one of the probe's.
        labels: feature number to its label, where there is one.
        neighbours: others of the probe to name with each, at most.

    Returns:
        A plain dict a feature, in order: "feature", "label", "label_score", "weights" (class to weight), "rate" (share
        of the rows in which its pooled value is above 0), "histogram" ("class", the one it speaks for most; "edges" of
        equal bins from 0 to the highest pooled value; "inside" and "outside", the counts of rows of that class and of
        all others with a value in each; rows where it is off are in none), "neighbours" ("feature", "label",
        "label_score", "similarity": the cosine of the pooled values over the rows; the most alike first).
    """
    matrix = features.take(np.asarray(rows, np.intp)).csr(pooling)[:, probe.features].tocsc()
    columns = np.searchsorted(probe.features, np.asarray(numbers, np.int64))
    weights = np.stack([class_weights(probe, k) for k in range(len(target.classes))])
    y = target.y[rows]
    alike = _cosines(matrix, columns)
    told = []
    for place, column in enumerate(columns):
        best = int(np.argmax(weights[:, column]))
        inside = (y[:, best] == 1) if target.kind == "multilabel" else (y == best)
        span = slice(matrix.indptr[column], matrix.indptr[column + 1])
        told.append(
            {
                "feature": int(probe.features[column]),
                **shown_label(labels, int(probe.features[column])),
                "weights": dict(zip(target.classes, weights[:, column].round(5).tolist(), strict=True)),
                "rate": round((span.stop - span.start) / max(1, len(rows)), 4),
                "histogram": {
                    "class": target.classes[best],
                    **_histogram(matrix.data[span], inside[matrix.indices[span]]),
                },
                "neighbours": _nearest(alike[place], int(column), probe, labels, neighbours),
            }
        )
    return told


def _histogram(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> dict[str, list[Any]]:
    edges = np.linspace(0.0, float(values.max(initial=0.0)) or 1.0, BINS + 1)
    counts = {name: np.histogram(values[own], edges)[0] for name, own in (("inside", inside), ("outside", ~inside))}
    return {"edges": edges.round(4).tolist()} | {name: count.tolist() for name, count in counts.items()}


def _cosines(matrix: sp.csc_matrix, columns: NDArray[np.intp]) -> sp.csr_matrix:
    """Of some columns with all, ``[columns, m]``; a column of zeros is like none."""
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0), np.float64).ravel())
    unit = matrix @ sp.diags_array(1 / np.where(norms > 0, norms, 1.0))
    return sp.csr_matrix(unit.tocsc()[:, columns].T @ unit)


def _nearest(
    alike: sp.csr_matrix, column: int, probe: FittedProbe, labels: Mapping[int, FeatureLabel], most: int
) -> list[dict[str, Any]]:
    others = alike.indices != column
    similar, found = alike.data[others], alike.indices[others]
    order = np.lexsort((found, -similar))[:most]
    numbers = [int(probe.features[found[i]]) for i in order]
    return [
        {"feature": number, **shown_label(labels, number), "similarity": round(float(similar[i]), 4)}
        for number, i in zip(numbers, order, strict=True)
    ]
