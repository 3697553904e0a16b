"""A small world in which the truth is known: one feature a word, probes with chosen weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from latentprobe.learn import FittedProbe
from latentprobe.store import SparseFeatures


def probe_with(
    features: ArrayLike, weights: ArrayLike, intercept: ArrayLike = 0.0, thresholds: ArrayLike | None = None
) -> FittedProbe:
    """A probe with the given weights ``[K, m]``, as if it had been fitted."""
    rows = np.asarray(weights, dtype=np.float64)
    return FittedProbe(
        features=np.asarray(features, dtype=np.int64),
        thresholds=None if thresholds is None else np.asarray(thresholds, dtype=np.float32),
        weights=rows,
        intercept=np.broadcast_to(np.asarray(intercept, dtype=np.float64), len(rows)),
        C=1.0,
        converged=True,
    )


def features_of(rows: list[list[tuple[int, float, int, int]]], width: int = 8, pooling: str = "max") -> SparseFeatures:
    """Rows of (feature, value, start, end), features ascending."""
    entries = [entry for row in rows for entry in row]
    columns = list(zip(*entries, strict=True)) if entries else [(), (), (), ()]
    return SparseFeatures(
        width=width,
        ids=tuple(f"r{i}" for i in range(len(rows))),
        n_tokens=np.full(len(rows), 5, np.int32),
        indptr=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        indices=np.array(columns[0], np.int32),
        values={pooling: np.array(columns[1], np.float32)},
        peak_start=np.array(columns[2], np.int32),
        peak_end=np.array(columns[3], np.int32),
    )


def word_world(texts: list[str], words: list[str]) -> SparseFeatures:
    """Feature j is lit by word j: its value is 1 plus the number of exclamation marks in the text."""
    rows = []
    for text in texts:
        lit = [(j, text.find(word)) for j, word in enumerate(words)]
        rows.append([(j, 1.0 + text.count("!"), at, at + len(words[j])) for j, at in lit if at >= 0])
    return features_of(rows, width=len(words))
