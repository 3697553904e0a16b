"""Two classifiers on the same rows: both scores, their difference, and the rows on which they decide differently.

Everything is scored on the same resamples, so that differences are paired. Knows nothing of what the classifiers are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.corpus import Target
from latentprobe.learn.fairness import by_value, gap_changes
from latentprobe.learn.intervals import interval, paired_difference, resampled_weights
from latentprobe.learn.metrics import f1_of_counts, indicators, macro_of_classes

__all__ = ["RESAMPLES", "class_names", "paired_scores", "rows_right"]

#: Resamples behind every interval here.
RESAMPLES = 1000


def paired_scores(
    target: Target,
    before: NDArray[Any],
    after: NDArray[Any],
    units: NDArray[Any],
    *,
    ids: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores of two classifiers on the same rows, each with a 95 % interval, and their paired differences.

    Args:
        target: true labels of n rows.
        before, after: predicted labels of each classifier, as ``metrics.macro_f1`` takes them.
        units: unit of each row, [n]; resampled whole.
        ids: names of the rows.
        columns: name -> the value of each row, where scores by value and the gaps between values are asked for.
        resamples, seed: of the bootstrap.

    Returns:
        Plain values, ready for JSON: ``n_rows``; ``macro_f1`` and ``accuracy``, each ``before`` and ``after``
        (``value``, ``low``, ``high``) and ``change`` (these and ``p``); ``per_class``: of each class ``class``,
        ``support`` and the same of its F1, left out where it has no row; ``flipped``: ``n``, ``to_right``,
        ``to_wrong``, ``share`` and ``net`` (share turned right minus share turned wrong), and ``rows`` (``id``,
        ``true``, ``before``, ``after``, ``outcome``: right, wrong or neither); ``by``: column -> what
        ``fairness.by_value`` gives for "before" and "after", and ``changes`` of ``fairness.gap_changes``.
    """
    pair = (before, after)
    exact = _scored(target, pair, [np.ones((len(target), 1), np.float32)])
    blocks = list(resampled_weights(units, resamples=resamples, seed=seed))
    drawn = _scored(target, pair, blocks)
    right = [rows_right(target, predicted) for predicted in pair]
    flipped = differs(target, before, after)
    net = right[1].astype(np.float64) - right[0]
    return {
        "n_rows": len(target),
        "macro_f1": _three(macro_of_classes(exact["f1"], axis=1), macro_of_classes(drawn["f1"], axis=1)),
        "accuracy": _three(exact["accuracy"], drawn["accuracy"]),
        "per_class": [
            {"class": name, "support": int(n)} | (_three(exact["f1"][:, k], drawn["f1"][:, k]) or {})
            for k, (name, n) in enumerate(zip(target.classes, indicators(target, before)[0].sum(axis=0), strict=True))
        ],
        "flipped": {
            "n": int(flipped.sum()),
            "to_right": int((net > 0).sum()),
            "to_wrong": int((net < 0).sum()),
            "share": _share(flipped.astype(np.float64), blocks),
            "net": _share(net, blocks),
            "rows": _flips(target, pair, right, flipped, ids),
        },
        "by": {
            name: by_value(target, {"before": before, "after": after}, values, units, resamples=resamples, seed=seed)
            | {"changes": gap_changes(target, before, after, values, units, resamples=resamples, seed=seed)}
            for name, values in columns.items()
        },
    }


def rows_right(target: Target, predicted: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each row is predicted right, [n]; of a multi-label task, whether every known answer is."""
    right = np.asarray(predicted == target.y)
    return np.asarray((right | np.isnan(target.y)).all(axis=1) if target.kind == "multilabel" else right)


def differs(target: Target, one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether two classifiers say different things of each row, [n]."""
    different = np.asarray(one != other)
    return np.asarray(different.any(axis=1) if target.kind == "multilabel" else different)


def class_names(target: Target, code: Any) -> str | list[str] | None:
    """A code as the name of its class; 0 and 1 of several labels as the names of those that are set."""
    if target.kind != "multilabel":
        return target.classes[int(code)]
    return [name for name, value in zip(target.classes, code, strict=True) if value == 1]


def _scored(
    target: Target, pair: Sequence[NDArray[Any]], blocks: Sequence[NDArray[np.float32]]
) -> dict[str, NDArray[np.float64]]:
    """F1 of each class, [2, K, b], and accuracy, [2, b], under each column of weights."""
    f1, accuracy = [], []
    for predicted in pair:
        true, guess = indicators(target, predicted)
        counts = [[part.T.astype(np.float32) @ weights for part in (true & guess, guess, true)] for weights in blocks]
        f1.append(np.hstack([f1_of_counts(*count) for count in counts]))
        right = rows_right(target, predicted).astype(np.float32)
        accuracy.append(np.concatenate([right @ weights / weights.sum(axis=0) for weights in blocks]))
    return {"f1": np.stack(f1), "accuracy": np.stack(accuracy).astype(np.float64)}


def _three(values: NDArray[np.float64], drawn: NDArray[np.float64]) -> dict[str, Any] | None:
    """Both values and their difference with intervals; None where one of them is not defined."""
    if np.isnan(values).any():
        return None
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    value = float(values[1, 0] - values[0, 0])
    change = paired_difference(value, drawn[1], drawn[0])
    sides = {
        side: {"value": float(values[place, 0]), **_ends(drawn[place])}
        for place, side in enumerate(("before", "after"))
    }
    return {**sides, "change": {"value": value, "low": change.low, "high": change.high, "p": change.p}}


def _share(of_rows: NDArray[np.float64], blocks: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    drawn = np.concatenate([of_rows @ weights / weights.sum(axis=0) for weights in blocks])
    return {"value": float(of_rows.mean()), **_ends(drawn)}


def _ends(drawn: NDArray[np.float64]) -> dict[str, float]:
    low, high = interval(drawn)
    return {"low": low, "high": high}


def _flips(
    target: Target,
    pair: Sequence[NDArray[Any]],
    right: Sequence[NDArray[np.bool_]],
    flipped: NDArray[np.bool_],
    ids: Sequence[str],
) -> list[dict[str, Any]]:
    outcomes = {(False, True): "right", (True, False): "wrong"}
    return [
        {
            "id": ids[row],
            "true": class_names(target, target.y[row]),
            "before": class_names(target, pair[0][row]),
            "after": class_names(target, pair[1][row]),
            "outcome": outcomes.get((bool(right[0][row]), bool(right[1][row])), "neither"),
        }
        for row in np.flatnonzero(flipped).tolist()
    ]
