"""Two classifiers on the same rows: scores, differences, flips."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score

from latentprobe.corpus import Target
from latentprobe.learn.fairness import by_value, gap_changes
from latentprobe.learn.paired import paired_scores

from .planted import labels, multilabel


def said(target: Target, share_right: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wrong = rng.random(target.y.shape) > share_right
    return np.where(wrong, rng.integers(len(target.classes), size=target.y.shape), target.y).astype(np.int64)


def names(n: int) -> list[str]:
    return [f"row {i}" for i in range(n)]


def test_scores_and_changes_are_scikit_learn_s_on_the_same_resamples() -> None:
    target = labels(150, k=3)
    before, after, units = said(target, 0.6, 1), said(target, 0.8, 2), np.arange(150) // 3
    found = paired_scores(target, before, after, units, ids=names(150), columns={}, resamples=80, seed=5)
    one = [f1_score(target.y, guess, average="macro") for guess in (before, after)]
    assert found["macro_f1"]["before"]["value"] == pytest.approx(one[0], abs=1e-6)
    assert found["macro_f1"]["change"]["value"] == pytest.approx(one[1] - one[0], abs=1e-6)
    changes = []
    for drawn in np.random.default_rng(5).integers(50, size=(80, 50)):
        rows = np.concatenate([np.arange(3 * unit, 3 * unit + 3) for unit in drawn])
        first, second = (f1_score(target.y[rows], guess[rows], average="macro") for guess in (before, after))
        changes.append(second - first)
    change = found["macro_f1"]["change"]
    assert (change["low"], change["high"]) == pytest.approx(tuple(np.quantile(changes, [0.025, 0.975])), abs=1e-5)
    each = f1_score(target.y, after, average=None)
    assert [one["after"]["value"] for one in found["per_class"]] == pytest.approx(list(each), abs=1e-6)


def test_flipped_rows_are_named_with_what_became_of_them() -> None:
    target = Target("multiclass", ("a", "b", "c"), np.array([0, 1, 2, 0]))
    before, after = np.array([0, 0, 0, 1]), np.array([1, 1, 1, 1])
    flipped = paired_scores(target, before, after, np.arange(4), ids=list("wxyz"), columns={}, resamples=50)["flipped"]
    assert flipped["rows"] == [
        {"id": "w", "true": "a", "before": "a", "after": "b", "outcome": "wrong"},
        {"id": "x", "true": "b", "before": "a", "after": "b", "outcome": "right"},
        {"id": "y", "true": "c", "before": "a", "after": "b", "outcome": "neither"},
    ]
    assert (flipped["n"], flipped["to_right"], flipped["to_wrong"]) == (3, 1, 1)
    assert (flipped["share"]["value"], flipped["net"]["value"]) == (0.75, 0.0)


def test_the_same_classifier_twice_flips_nothing_and_changes_nothing() -> None:
    target = multilabel(90)
    guess = (np.random.default_rng(0).random((90, 3)) < 0.5).astype(np.int64)
    columns = {"who": ["ann", "bob", "cy"] * 30}
    found = paired_scores(target, guess, guess, np.arange(90), ids=names(90), columns=columns, resamples=40)
    assert found["flipped"]["rows"] == []
    assert found["macro_f1"]["change"] == {"value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
    assert found["by"]["who"]["changes"]["macro_f1"]["widest"]["change"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    json.dumps(found, allow_nan=False)


def test_a_gap_that_is_closed_is_said_to_be_narrower_and_by_how_much() -> None:
    target, values = labels(900), ["A", "B", "C"] * 300
    fair = said(target, 0.9, 3)
    unfair = np.where((np.array(values) == "B") & (np.random.default_rng(0).random(900) < 0.4), 1, fair)
    found = gap_changes(target, unfair, fair, values, np.arange(900), resamples=200, seed=0)["fpr"]
    assert found is not None
    gaps = by_value(target, {0: unfair, 1: fair}, values, np.arange(900), resamples=200, seed=0)["scores"]
    assert found["widest"]["before"] == pytest.approx(gaps[0]["gaps"]["fpr"]["value"])
    assert found["widest"]["after"] == pytest.approx(gaps[1]["gaps"]["fpr"]["value"])
    assert found["same"]["highest"] == "B"
    for one in (found["same"], found["widest"]):
        assert one["change"]["low"] < one["change"]["value"] == one["after"] - one["before"] < one["change"]["high"] < 0
