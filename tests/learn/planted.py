"""Data whose truth is known: sparse rows in which some features follow the class and the others don't."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.corpus import Target


def labels(n: int, k: int = 2, seed: int = 0) -> Target:
    """n labels of k classes, as even as can be, in random order."""
    y = np.random.default_rng(seed).permutation(np.arange(n) % k).astype(np.int64)
    return Target("binary" if k == 2 else "multiclass", tuple(f"class {i}" for i in range(k)), y)


def sparse_rows(y: NDArray[np.int64], width: int = 200, planted: int = 5, seed: int = 0) -> sp.csr_matrix:
    """Heavy-tailed sparse rows; class c has features that fire four times as often in it, from ``planted * c`` on."""
    rng = np.random.default_rng(seed)
    rate = np.full((len(y), width), 0.1)
    for c in range(int(y.max()) + 1):
        rate[np.ix_(y == c, range(planted * c, planted * (c + 1)))] = 0.4
    values = rng.lognormal(0.0, 1.0, size=rate.shape) * (rng.random(rate.shape) < rate)
    return sp.csr_matrix(values.astype(np.float32))


def multilabel(n: int, k: int = 3, missing: float = 0.2, seed: int = 0) -> Target:
    """n rows of k answers of which a share is missing."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, k)) < 0.4).astype(np.float64)
    y[rng.random((n, k)) < missing] = np.nan
    return Target("multilabel", tuple(f"label {i}" for i in range(k)), y)
