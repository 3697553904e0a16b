"""Scores of each group of rows, and the gaps between groups, with intervals.

A classifier may be right as often as another and still be wrong about some people more often than about others
(debiaSAE, Sasse and others 2024, arXiv 2410.13146). Groups are the values of a column; all are scored on the same
resamples of the test part. Knows nothing of models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.corpus import Target
from latentprobe.learn.intervals import interval, resampled_weights
from latentprobe.learn.metrics import f1_of_counts, indicators, macro_of_classes

__all__ = ["by_value", "gap_changes"]

_FEWEST = 20
"""Test rows from which on a value gets scores of its own, and rows of one class from which on it gets a rate."""

Scores = dict[str, NDArray[np.float64] | None]
"""Measure -> one value a resample; None where the rows do not define it."""


def by_value(
    target: Target,
    predicted: Mapping[Any, NDArray[Any]],
    values: Sequence[str],
    units: NDArray[Any],
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Scores of each value of a column, for several classifiers, and the widest gap of each score.

    Macro F1 is over the classes that the value's rows have or are given; where they have one class only there is none.
    A binary task also has ``recall`` (of the positive class) and ``fpr`` (negatives that are flagged). Values with
    fewer than 20 test rows, and the empty value, are left out; so is a rate over fewer than 20 rows.

    Args:
        target: true labels of the n test rows.
        predicted: classifier -> predicted labels, as `metrics.macro_f1` takes them.
        values: the column on the test rows, [n].
        units: unit of each row, [n]; resampled whole.
        resamples, seed: of the bootstrap.

    Returns:
        Plain values: ``values`` (those scored, most rows first), ``left_out`` (``values`` and ``rows`` not scored) and
        ``scores``: classifier -> ``values`` (value -> ``n`` and, for each measure, ``value``, ``low``, ``high`` or
        None) and ``gaps`` (measure -> ``value``, ``low``, ``high``, ``highest``, ``lowest``). A gap is between the
        two values that lie farthest apart on the test part, and its interval that of their difference: it can reach
        below 0, which a largest gap of each resample could not.
    """
    counts = Counter(value for value in values if value)
    shown = [value for value, n in counts.most_common() if n >= _FEWEST]
    column = np.array(values, dtype=object)
    places = {value: np.flatnonzero(column == value) for value in shown}
    everything = np.ones((len(target), 1), dtype=np.float32)
    found = {index: _scored(target, one, places, [everything]) for index, one in predicted.items()}
    blocks = list(resampled_weights(units, resamples=resamples, seed=seed)) if shown else []
    resampled = {index: _scored(target, one, places, blocks) for index, one in predicted.items()} if shown else found
    return {
        "values": shown,
        "left_out": {
            "values": len({value for value in values if value not in places}),
            "rows": sum(value not in places for value in values),
        },
        "scores": {
            index: {
                "values": {
                    value: {"n": len(places[value])} | _with_intervals(found[index][value], resampled[index][value])
                    for value in shown
                },
                "gaps": _gaps(found[index], resampled[index]),
            }
            for index in predicted
        },
    }


def gap_changes(
    target: Target,
    before: NDArray[Any],
    after: NDArray[Any],
    values: Sequence[str],
    units: NDArray[Any],
    *,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Any] | None]:
    """What happened to the gaps between values when one classifier took the place of another, paired.

    Args:
        target, values, units, resamples, seed: as in `by_value`.
        before, after: predicted labels of both classifiers.

    Returns:
        Measure -> ``same``: the two values that were farthest apart before (``highest``, ``lowest``) with their
        difference ``before``, ``after`` and its ``change`` (``value``, ``low``, ``high``); and ``widest``: the same of
        the widest gap, whichever values it is between. A resample's widest gap is too wide by chance, before and after
        alike; so only the change of it has an interval. None where fewer than two values have the score.
    """
    counts = Counter(value for value in values if value)
    column = np.array(values, dtype=object)
    places = {value: np.flatnonzero(column == value) for value, n in counts.most_common() if n >= _FEWEST}
    if len(places) < 2:
        return {}
    everything = [np.ones((len(target), 1), dtype=np.float32)]
    blocks = list(resampled_weights(units, resamples=resamples, seed=seed))
    pair = (before, after)
    exact = [_scored(target, one, places, everything) for one in pair]
    drawn = [_scored(target, one, places, blocks) for one in pair]
    return {name: _change(exact, drawn, name) for name in next(iter(exact[0].values()))}


def _change(exact: Sequence[dict[str, Scores]], drawn: Sequence[dict[str, Scores]], name: str) -> dict[str, Any] | None:
    """One measure of `gap_changes`."""
    there = [value for value, own in exact[0].items() if own[name] is not None]
    if len(there) < 2:
        return None
    ends = (max, min)
    highest, lowest = (pick(there, key=lambda value: exact[0][value][name][0]) for pick in ends)  # type: ignore[index]
    at = [np.array([one[value][name] for value in there]) for one in (*exact, *drawn)]  # [values, 1], then [values, b]
    top, bottom = there.index(highest), there.index(lowest)

    def both(differences: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
        first, second = (float(values[0]) for values in differences[:2])
        return {"before": first, "after": second} | {
            "change": {"value": second - first, **_ends(differences[3] - differences[2])}
        }

    return {
        "same": {"highest": highest, "lowest": lowest, **both([values[top] - values[bottom] for values in at])},
        "widest": both([values.max(axis=0) - values.min(axis=0) for values in at]),
    }


def _scored(
    target: Target,
    predicted: NDArray[Any],
    places: Mapping[str, NDArray[np.int64]],
    blocks: Sequence[NDArray[np.float32]],
) -> dict[str, Scores]:
    """Value -> measure -> score on each column of the weights."""
    found: dict[str, Scores] = {}
    for value, rows in places.items():
        own, guess = target.take(rows), predicted[rows]
        parts = [_measures(own, guess, weights[rows]) for weights in blocks]
        found[value] = {
            name: None if parts[0][name] is None else np.concatenate([part[name] for part in parts])
            for name in parts[0]
        }
    return found


def _measures(target: Target, predicted: NDArray[Any], weights: NDArray[np.float32]) -> Scores:
    """Scores of some rows under each column of weights, [n, b]; nan where a resample has no rows to score."""
    true, guess = indicators(target, predicted)
    hits, guesses, trues = ((part.T.astype(np.float32)) @ weights for part in (true & guess, guess, true))
    right = predicted == target.y
    if target.kind == "multilabel":
        right = (right | np.isnan(target.y)).all(axis=1)
    several = target.kind == "multilabel" or (true.any(axis=0).sum() > 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Scores = {
            "macro_f1": macro_of_classes(f1_of_counts(hits, guesses, trues), axis=0) if several else None,
            "accuracy": np.asarray(right.astype(np.float32) @ weights / weights.sum(axis=0), dtype=np.float64),
        }
        if target.kind == "binary":
            n_negative, n_positive = true.sum(axis=0)
            found["recall"] = np.asarray(hits[1] / trues[1], np.float64) if n_positive >= _FEWEST else None
            found["fpr"] = np.asarray((guesses - hits)[1] / trues[0], np.float64) if n_negative >= _FEWEST else None
    return found


def _with_intervals(scores: Scores, resampled: Scores) -> dict[str, dict[str, float] | None]:
    return {
        name: None if value is None else {"value": float(value[0]), **_ends(resampled[name])}
        for name, value in scores.items()
    }


def _ends(values: NDArray[np.float64] | None) -> dict[str, float]:
    assert values is not None
    low, high = interval(values[~np.isnan(values)])
    return {"low": low, "high": high}


def _gaps(scores: Mapping[str, Scores], resampled: Mapping[str, Scores]) -> dict[str, dict[str, Any] | None]:
    """For each measure the values that lie farthest apart, their difference and its interval."""
    gaps: dict[str, dict[str, Any] | None] = {}
    for name in dict.fromkeys(name for own in scores.values() for name in own):
        there = {value: one for value, own in scores.items() if (one := own[name]) is not None}
        gaps[name] = None
        if len(there) > 1:
            highest, lowest = (pick(there, key=lambda value: there[value][0]) for pick in (max, min))
            difference = resampled[highest][name] - resampled[lowest][name]  # type: ignore[operator]
            gaps[name] = {
                "value": float(there[highest][0] - there[lowest][0]),
                **_ends(difference),
                "highest": highest,
                "lowest": lowest,
            }
    return gaps
