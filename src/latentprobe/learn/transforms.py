"""From pooled values to the columns a linear model sees: binarization, feature selection and scaling.

All of it is learned on the rows it is given, which are training rows of one fold, and is then one `Transform` that
treats any row alike. Knows nothing of folds, texts or scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.corpus import Target
from latentprobe.learn.logistic import Matrix, fit_path

__all__ = [
    "ROW_LENGTH", "Scaling", "Transform", "binarized", "columns_of", "fit_transform", "mean_difference", "scaled_rows",
]  # fmt: skip

ROW_LENGTH = 16.0
"""Root mean square length of the scaled training rows, the same for every representation. A value of C then means the
same for SAE features, hidden states and TF-IDF, and one grid serves them all: with rows of length 1, as TF-IDF comes,
the best C of word and character counts lies at the end of the grid or beyond it."""
_SELECTION_C = 1.0
"""C of the L1 fit that selects features."""

Scaling = Literal["firing", "standard", "none"]
"""How columns are brought to one scale: ``firing`` divides by the root mean square of the non-zero values (sparse
features), ``standard`` centres and divides by the standard deviation (dense ones), ``none`` leaves them (TF-IDF)."""


@dataclass(frozen=True, eq=False)
class Transform:
    """What was learned on training rows; applies to any row."""

    features: NDArray[np.int64]
    """Columns used, ascending, [m]."""
    thresholds: NDArray[np.float32] | None
    """A binarized feature is 1 where its value is strictly above this, [m]; None where values stay as they are."""
    center: NDArray[np.float64] | None
    """Subtracted first, [m]; None where zeros must stay zeros."""
    scale: NDArray[np.float64]
    """Multiplied last, [m]."""

    def apply(self, rows: Matrix) -> Matrix:
        """The rows as the linear model sees them, float32 [n, m]; sparse stays sparse."""
        values = binarized(columns_of(rows, self.features), self.thresholds)
        if self.center is not None:
            return ((values - self.center) * self.scale).astype(np.float32)
        return _scaled(values, self.scale)

    def fold_in(
        self, weights: NDArray[np.float64], intercept: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights [K, m] and intercept [K] that act on the pooled (or binarized) values themselves."""
        folded = weights * self.scale
        return folded, intercept if self.center is None else intercept - folded @ self.center


def columns_of(rows: Matrix, features: NDArray[np.int64]) -> Matrix:
    """Some columns, in ascending order, of a sparse or dense matrix; itself where they are all of them."""
    return rows if len(features) == rows.shape[1] else rows[:, features]


def binarized(rows: Matrix, thresholds: NDArray[np.float32] | None) -> Matrix:
    """1 where a value is strictly above the threshold of its column, else 0: the one definition, here and in use.

    Args:
        rows: [n, m]; not changed.
        thresholds: at least 0, [m]; None gives the rows back.

    >>> binarized(np.array([[0.5, 1.0, 1.5]], dtype=np.float32), np.full(3, 1.0, dtype=np.float32))
    array([[0., 0., 1.]], dtype=float32)
    """
    if thresholds is None:
        return rows
    if not sp.issparse(rows):
        return (rows > thresholds).astype(np.float32)
    ones = sp.csr_matrix(
        ((rows.data > thresholds[rows.indices]).astype(np.float32), rows.indices.copy(), rows.indptr.copy()),
        shape=rows.shape,
    )
    ones.eliminate_zeros()
    return ones


def fit_transform(
    rows: Matrix, target: Target, *, scaling: Scaling, binarize: str | float = "none", selection: str = "all"
) -> tuple[Matrix, Transform]:
    """Learn thresholds, features and scales, in this order, and return the scaled training rows with them.

    Args:
        rows: training rows, float32 [n, d].
        target: their labels, for the selection only.
        scaling: how columns are brought to one scale.
        binarize: ``none``, a threshold for every feature, or ``auto``: half the mean of the feature's non-zero
            values, so that a feature is on where it fires as it usually does, whatever its unit. (Against 0, the
            median and a threshold picked by class separation, it was best or level on the same data as below.)
        selection: ``all`` that vary; ``top{K}`` with the largest absolute standardized mean difference; ``l1``, those
            an L1 logistic regression gives a weight.

    Returns:
        ``(Transform.apply(rows), Transform)``. Columns that are constant on these rows (for sparse ones: always 0)
        are left out: no fit can give them a weight.
    """
    features = _varying(rows, centred=scaling == "standard")
    kept = columns_of(rows, features)
    thresholds = _thresholds(kept, binarize)
    values = binarized(kept, thresholds)
    if thresholds is not None:
        still = _varying(values, centred=False)
        features, thresholds, values = features[still], thresholds[still], columns_of(values, still)
    if selection.startswith("top"):
        chosen = _largest(mean_difference(values, target), int(selection.removeprefix("top")))
    elif selection == "l1":
        chosen = _with_weight(values, target, scaling)
    else:
        chosen = np.arange(len(features))
    values = columns_of(values, chosen)
    center, scale = _scales(values, scaling)
    transform = Transform(features[chosen], None if thresholds is None else thresholds[chosen], center, scale)
    if center is not None:
        return ((values - center) * scale).astype(np.float32), transform
    return _scaled(values, scale), transform


def scaled_rows(rows: Matrix, scaling: Scaling) -> tuple[Matrix, Transform]:
    """Scales alone, without a look at a label: as `fit_transform` with every column that varies."""
    features = _varying(rows, centred=scaling == "standard")
    transform = Transform(features, None, *_scales(columns_of(rows, features), scaling))
    return transform.apply(rows), transform


def _varying(rows: Matrix, *, centred: bool) -> NDArray[np.int64]:
    """Columns with something to learn from: not constant where they will be centred, else not always 0."""
    if sp.issparse(rows):
        return np.flatnonzero(np.bincount(rows.indices, weights=rows.data != 0, minlength=rows.shape[1]))
    return np.flatnonzero(np.ptp(rows, axis=0) if centred else np.any(rows, axis=0))


def _thresholds(rows: Matrix, binarize: str | float) -> NDArray[np.float32] | None:
    if binarize == "none":
        return None
    if binarize != "auto":
        return np.full(rows.shape[1], float(binarize), dtype=np.float32)
    count, total, _ = _sums(rows)
    return (total / np.maximum(count, 1) / 2).astype(np.float32)


def _sums(rows: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Non-zero values, sum and sum of squares of each column, in float64, without densifying."""
    if not sp.issparse(rows):
        wide = rows.astype(np.float64)
        return np.count_nonzero(rows, axis=0).astype(np.float64), wide.sum(axis=0), (wide**2).sum(axis=0)
    width = rows.shape[1]
    data = rows.data.astype(np.float64)
    return (
        np.bincount(rows.indices, weights=data != 0, minlength=width).astype(np.float64),
        np.bincount(rows.indices, weights=data, minlength=width).astype(np.float64),
        np.bincount(rows.indices, weights=data**2, minlength=width).astype(np.float64),
    )


def _scales(values: Matrix, scaling: Scaling) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Centre, or None, and multiplier of each column."""
    n, m = values.shape
    count, total, squares = _sums(values)
    center = None
    if scaling == "standard":
        center = total / n
        # From the centred values: the difference of two large sums would lose a small spread around a large mean.
        squares = ((values - center) ** 2).sum(axis=0)
        scale = 1 / np.sqrt(squares / n)
    elif scaling == "firing":
        # Not the standard deviation: that of a feature on in one row of n is its value / sqrt(n), and dividing by it
        # lets rare features outweigh all others. Best inner macro F1, mean over surge toxicity, xstest and banking77,
        # max- and sum-pooled, bundled layer 3 SAE: .892 so, .889 unscaled, .873 by the standard deviation.
        scale = 1 / np.sqrt(squares / count)
    else:
        scale = np.ones(m)
    length = np.sqrt(np.sum(squares * scale**2) / n) if m else 1.0
    return center, scale * (ROW_LENGTH / length)


def _scaled(values: Matrix, scale: NDArray[np.float64]) -> Matrix:
    if not sp.issparse(values):
        return (values * scale).astype(np.float32)
    data = (values.data * scale[values.indices]).astype(np.float32)
    return sp.csr_matrix((data, values.indices, values.indptr), shape=values.shape)


def mean_difference(rows: Matrix, target: Target) -> NDArray[np.float64]:
    """Absolute standardized mean difference of each column, [m]: between a class and the rest, the largest over
    the classes (of a multi-label task, over the labels, on the rows that have them).

    The unit is the root of the mean of the two variances (Cohen's d with equal weights). A column that differs and
    has no variance on either side is at infinity; one that doesn't differ is at 0.
    """
    best = np.zeros(rows.shape[1])
    if target.kind == "multilabel":
        for answers in target.y.T:
            known = ~np.isnan(answers)
            among = rows[np.flatnonzero(known)]
            np.maximum(best, _difference(among, answers[known] == 1, _sums(among)), out=best)
        return best
    sums = _sums(rows)
    codes = [1] if target.kind == "binary" else range(len(target.classes))
    for code in codes:
        np.maximum(best, _difference(rows, target.y == code, sums), out=best)
    return best


def _difference(rows: Matrix, inside: NDArray[np.bool_], sums: Any) -> NDArray[np.float64]:
    """Between the rows inside and the others, from the sums over all of them."""
    n_in = int(inside.sum())
    n_out = len(inside) - n_in
    _, total, squares = sums
    _, total_in, squares_in = _sums(rows[np.flatnonzero(inside)])
    mean_in, mean_out = total_in / n_in, (total - total_in) / n_out
    variance = (squares_in / n_in - mean_in**2 + (squares - squares_in) / n_out - mean_out**2) / 2
    gap = np.abs(mean_in - mean_out)
    # Below this, variance and gap are what rounding leaves of zero.
    floor = 1e-12 * (squares / len(inside))
    spread = np.sqrt(np.where(variance > floor, variance, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap**2 > floor, gap / spread, 0.0)


def _largest(score: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Positions of the k largest scores, ascending; the earlier position wins a tie."""
    return np.sort(np.argsort(-score, kind="stable")[:k]).astype(np.int64)


def _with_weight(values: Matrix, target: Target, scaling: Scaling) -> NDArray[np.int64]:
    """Positions of the columns an L1 fit gives a weight; of none, the one with the largest mean difference."""
    center, scale = _scales(values, scaling)
    rows = _scaled(values, scale) if center is None else ((values - center) * scale).astype(np.float32)
    (model,) = fit_path(rows, target, [_SELECTION_C], penalty="l1")
    chosen = np.flatnonzero(np.any(model.weights != 0, axis=0))
    return chosen if len(chosen) else _largest(mean_difference(values, target), 1)
