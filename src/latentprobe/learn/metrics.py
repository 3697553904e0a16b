"""How good predictions are: one definition of each score, for binary, multi-class and multi-label tasks.

A score that has no meaning for a task, or no rows to be computed on, is None. Missing answers of a multi-label task are
left out everywhere. Knows nothing of models, or of how sure a score is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.corpus import Target

__all__ = [
    "accuracy",
    "average_precision",
    "brier",
    "confusion_matrix",
    "expected_calibration_error",
    "f1_of_counts",
    "indicators",
    "macro_f1",
    "macro_of_classes",
    "per_class",
    "recall_at_fpr",
    "roc_auc",
    "scores",
    "threshold_at_fpr",
]

_BINS = 15
_FPRS = (0.01, 0.05)


def scores(target: Target, predicted: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, Any]:
    """Every score of one set of predictions, by name; ``recall_at_fpr`` maps "0.01" and "0.05" to recalls.

    Args:
        target: the true labels of n rows.
        predicted: codes, [n]; multi-label: 0 or 1, [n, K].
        probabilities: [n, classes]; multi-label: of each label, [n, K].
    """
    recalls = None
    if target.kind == "binary":
        recalls = {str(rate): recall_at_fpr(probabilities[:, 1], target.y == 1, rate) for rate in _FPRS}
    return {
        "macro_f1": macro_f1(target, predicted),
        "accuracy": accuracy(target, predicted),
        "roc_auc": roc_auc(target, probabilities),
        "average_precision": average_precision(target, probabilities),
        "brier": brier(target, probabilities),
        "ece": expected_calibration_error(target, probabilities),
        "recall_at_fpr": recalls,
    }


def indicators(target: Target, predicted: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(is true, is predicted) of each row and class, [n, K] each; both False where an answer is missing."""
    if target.kind == "multilabel":
        known = ~np.isnan(target.y)
        return (target.y == 1) & known, (predicted == 1) & known
    codes = np.arange(len(target.classes))
    return target.y[:, None] == codes, predicted[:, None] == codes


def f1_of_counts(hits: NDArray[Any], predicted: NDArray[Any], true: NDArray[Any]) -> NDArray[np.float64]:
    """F1 of each class from its numbers of rows predicted right, predicted and true; nan where there are neither."""
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * hits / (predicted + true), dtype=np.float64)


def macro_of_classes(f1: NDArray[np.float64], *, axis: int = -1) -> NDArray[np.float64]:
    """The mean over the classes that have a true or a predicted row, which are those whose F1 is not nan."""
    there = ~np.isnan(f1)
    return np.asarray(np.where(there, f1, 0.0).sum(axis=axis) / np.maximum(there.sum(axis=axis), 1))


def macro_f1(target: Target, predicted: NDArray[Any]) -> float:
    """Mean F1 over the classes with a true or a predicted row, as scikit-learn's ``f1_score(average="macro")``.

    Of a multi-label task: the mean over its labels of the F1 of answering 1.

    >>> macro_f1(Target("binary", ("no", "yes"), np.array([0, 0, 1, 1])), np.array([0, 0, 1, 0]))
    0.7333333333333334
    """
    true, guess = indicators(target, predicted)
    return float(macro_of_classes(f1_of_counts((true & guess).sum(0), guess.sum(0), true.sum(0))))


def accuracy(target: Target, predicted: NDArray[Any]) -> float:
    """Share of rows predicted right; of a multi-label task, of rows with every known answer right."""
    right = predicted == target.y
    if target.kind == "multilabel":
        right = (right | np.isnan(target.y)).all(axis=1)
    return float(np.mean(right))


def per_class(target: Target, predicted: NDArray[Any]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and number of true rows (``support``) of each class, in the order of the classes."""
    true, guess = indicators(target, predicted)
    hits, guesses, support = (true & guess).sum(0), guess.sum(0), true.sum(0)
    f1 = f1_of_counts(hits, guesses, support)
    return [
        {
            "class": name,
            "precision": float(hits[k] / guesses[k]) if guesses[k] else None,
            "recall": float(hits[k] / support[k]) if support[k] else None,
            "f1": None if np.isnan(f1[k]) else float(f1[k]),
            "support": int(support[k]),
        }
        for k, name in enumerate(target.classes)
    ]


def confusion_matrix(target: Target, predicted: NDArray[Any]) -> NDArray[np.int64] | None:
    """Rows of true class i predicted as class j, [K, K]; None for a multi-label task."""
    if target.kind == "multilabel":
        return None
    k = len(target.classes)
    return np.bincount(target.y * k + predicted, minlength=k * k).reshape(k, k).astype(np.int64)


def _questions(target: Target, probabilities: NDArray[Any]) -> list[tuple[NDArray[np.bool_], NDArray[Any]]]:
    """(is positive, score) of each yes-or-no question with rows on both sides: one for a binary task, one a class or
    a label for others."""
    if target.kind == "binary":
        asked = [(target.y == 1, probabilities[:, 1])]
    elif target.kind == "multiclass":
        asked = [(target.y == k, probabilities[:, k]) for k in range(len(target.classes))]
    else:
        known = ~np.isnan(target.y)
        asked = [(target.y[known[:, k], k] == 1, probabilities[known[:, k], k]) for k in range(len(target.classes))]
    return [(positive, score) for positive, score in asked if 0 < positive.sum() < len(positive)]


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def roc_auc(target: Target, probabilities: NDArray[Any]) -> float | None:
    """Area under the ROC curve; one class against the rest (or label by label), then the mean."""
    return _mean([_auc(positive, score) for positive, score in _questions(target, probabilities)])


def _auc(positive: NDArray[np.bool_], score: NDArray[Any]) -> float:
    """The share of (positive, negative) pairs in the right order, ties counting half (Mann-Whitney)."""
    from scipy.stats import rankdata

    n = int(positive.sum())
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def average_precision(target: Target, probabilities: NDArray[Any]) -> float | None:
    """Average precision; one class against the rest (or label by label), then the mean."""
    return _mean([_average_precision(positive, score) for positive, score in _questions(target, probabilities)])


def _average_precision(positive: NDArray[np.bool_], score: NDArray[Any]) -> float:
    """Sum over the distinct scores, from the highest, of the recall gained times the precision there."""
    order = np.argsort(-score, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(positive[order])[last_of_ties]
    gained = np.diff(hits, prepend=0) / positive.sum()
    return float(np.sum(gained * hits / (last_of_ties + 1)))


def brier(target: Target, probabilities: NDArray[Any]) -> float | None:
    """Mean squared error of the probabilities: of the positive class for a binary task, summed over the classes for a
    multi-class one, the mean over the labels for a multi-label one."""
    if target.kind == "binary":
        return float(np.mean((probabilities[:, 1] - target.y) ** 2))
    if target.kind == "multiclass":
        wrong = probabilities - (target.y[:, None] == np.arange(len(target.classes)))
        return float(np.mean(np.sum(wrong**2, axis=1)))
    return _mean([float(np.mean((p - y) ** 2)) for y, p in _labelled(target, probabilities)])


def expected_calibration_error(target: Target, probabilities: NDArray[Any], *, bins: int = _BINS) -> float | None:
    """Mean gap between confidence and accuracy over bins of equal width, weighted by their rows.

    Confidence is the probability of the likeliest class (Guo et al. 2017, arXiv 1706.04599, eq. 3); of a multi-label
    task that of the likelier answer, and the mean over the labels.
    """
    if target.kind != "multilabel":
        right = probabilities.argmax(axis=1) == target.y
        return _calibration_gap(probabilities.max(axis=1), right, bins)
    pairs = _labelled(target, probabilities)
    return _mean([_calibration_gap(np.maximum(p, 1 - p), (p > 0.5) == (y == 1), bins) for y, p in pairs])


def _labelled(target: Target, probabilities: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """(answers, probabilities) of each label on the rows that have it."""
    known = ~np.isnan(target.y)
    columns = [(target.y[known[:, k], k], probabilities[known[:, k], k]) for k in range(known.shape[1])]
    return [(y, p) for y, p in columns if len(y)]


def _calibration_gap(confidence: NDArray[Any], right: NDArray[np.bool_], bins: int) -> float:
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def threshold_at_fpr(score: NDArray[Any], positive: NDArray[Any], fpr: float) -> float:
    """The lowest threshold at which at most a share ``fpr`` of the negatives lies strictly above it.

    Args:
        score: [n]; probabilities or decision values.
        positive: truth, [n]; there must be a negative.
        fpr: at least 0 and below 1.

    >>> threshold_at_fpr(np.array([0.1, 0.2, 0.3, 0.9]), np.array([0, 0, 0, 1]), 0.0)
    0.3
    """
    negatives = np.sort(score[~np.asarray(positive, dtype=bool)])[::-1]
    allowed = int(fpr * len(negatives) + 1e-9)
    return float(negatives[allowed])


def recall_at_fpr(score: NDArray[Any], positive: NDArray[Any], fpr: float) -> float | None:
    """Share of the positives above `threshold_at_fpr`; None without positives or negatives."""
    positive = np.asarray(positive, dtype=bool)
    if not 0 < positive.sum() < len(positive):
        return None
    return float(np.mean(score[positive] > threshold_at_fpr(score, positive, fpr)))
