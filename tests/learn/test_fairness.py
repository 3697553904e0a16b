"""Scores of each group, and gaps between them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from latentprobe.corpus import Target
from latentprobe.learn.fairness import by_value

from .planted import labels, multilabel


def predictions(target: Target, share_right: float = 0.8, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(
        rng.random(len(target)) < share_right, target.y, rng.integers(len(target.classes), size=len(target))
    )


def column(n: int, names: str = "ABC", seed: int = 2) -> list[str]:
    return [str(name) for name in np.random.default_rng(seed).choice(list(names), n)]


def test_each_value_is_scored_as_if_its_rows_were_alone() -> None:
    target, values = labels(300), column(300)
    guess = predictions(target)
    found = by_value(target, {7: guess}, values, np.arange(300), resamples=100, seed=0)["scores"][7]["values"]
    for value in "ABC":
        own = np.array(values) == value
        y, p = target.y[own], guess[own]
        (tn, fp), (fn, tp) = confusion_matrix(y, p)
        one = found[value]
        assert one["n"] == own.sum()
        assert one["macro_f1"]["value"] == pytest.approx(f1_score(y, p, average="macro"), abs=1e-6)
        assert one["accuracy"]["value"] == pytest.approx(accuracy_score(y, p), abs=1e-6)
        assert one["recall"]["value"] == pytest.approx(tp / (tp + fn), abs=1e-6)
        assert one["fpr"]["value"] == pytest.approx(fp / (fp + tn), abs=1e-6)


def test_intervals_are_those_of_resampling_all_rows_and_scoring_the_ones_of_the_value() -> None:
    target, values = labels(120), column(120, "AB")
    guess, units = predictions(target), np.arange(120) // 2
    found = by_value(target, {0: guess}, values, units, resamples=60, seed=3)["scores"][0]
    draws = np.random.default_rng(3).integers(60, size=(60, 60))
    scores: dict[str, list[float]] = {"A": [], "B": []}
    for drawn in draws:
        rows = np.concatenate([[2 * unit, 2 * unit + 1] for unit in drawn])
        for value, own in scores.items():
            mine = rows[np.array(values)[rows] == value]
            own.append(f1_score(target.y[mine], guess[mine], average="macro"))
    for value, own in scores.items():
        one = found["values"][value]["macro_f1"]
        assert (one["low"], one["high"]) == pytest.approx(tuple(np.quantile(own, [0.025, 0.975])), abs=1e-6)
    gap = found["gaps"]["macro_f1"]
    differences = np.array(scores[gap["highest"]]) - np.array(scores[gap["lowest"]])
    assert (gap["low"], gap["high"]) == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])), abs=1e-6)


def test_a_planted_gap_is_found_and_one_that_is_not_there_reaches_below_none() -> None:
    target, values = labels(600), column(600, "AB")
    fair = predictions(target, 0.8)
    flagged = (np.array(values) == "B") & (np.random.default_rng(0).random(600) < 0.4)
    unfair = np.where(flagged, 1, fair)
    found = by_value(target, {0: fair, 1: unfair}, values, np.arange(600), resamples=200, seed=0)["scores"]
    gap = found[1]["gaps"]["fpr"]
    assert (gap["highest"], gap["lowest"]) == ("B", "A")
    assert gap["value"] > 0.2 and gap["low"] > 0
    assert found[0]["gaps"]["fpr"]["low"] < 0 < found[0]["gaps"]["fpr"]["value"]


def test_few_rows_and_no_value_get_no_scores_and_are_counted() -> None:
    target = labels(100)
    values = ["big"] * 60 + ["also big"] * 25 + ["few"] * 10 + [""] * 5
    found = by_value(target, {0: predictions(target)}, values, np.arange(100), resamples=100, seed=0)
    assert found["values"] == ["big", "also big"]
    assert found["left_out"] == {"values": 2, "rows": 15}
    assert found["scores"][0]["values"]["also big"]["recall"] is None  # a rate over a dozen rows
    assert found["scores"][0]["gaps"]["fpr"] is None


def test_a_value_with_one_class_has_an_accuracy_but_no_macro_f1() -> None:
    target = labels(100)
    values = ["yes" if y else "no" for y in target.y]
    found = by_value(target, {0: predictions(target)}, values, np.arange(100), resamples=100, seed=0)["scores"][0]
    for name, rate in (("yes", "recall"), ("no", "fpr")):
        one = found["values"][name]
        assert one["macro_f1"] is None and one["accuracy"] is not None and one[rate] is not None
    assert found["gaps"]["macro_f1"] is None and found["gaps"]["accuracy"] is not None


@pytest.mark.parametrize("target", [labels(200, 4), multilabel(200)], ids=["classes", "labels"])
def test_other_tasks_have_no_rates_and_are_plain_values(target: Target) -> None:
    guess = np.random.default_rng(0).integers(2, size=target.y.shape)
    found = by_value(target, {3: guess}, column(200), np.arange(200), resamples=100, seed=0)
    assert set(found["scores"][3]["gaps"]) == {"macro_f1", "accuracy"}
    assert json.loads(json.dumps(found, allow_nan=False))["values"] == found["values"]


def test_without_a_value_of_enough_rows_there_is_nothing_to_score() -> None:
    target = labels(60)
    found = by_value(
        target, {0: predictions(target)}, [str(i) for i in range(60)], np.arange(60), resamples=100, seed=0
    )
    assert found == {"values": [], "left_out": {"values": 60, "rows": 60}, "scores": {0: {"values": {}, "gaps": {}}}}
