"""What is removed, and what is made of what it cost."""

from __future__ import annotations

import numpy as np
import pytest

from latentprobe.explain.faithfulness import compared, means, pick, promise, verdict

RNG = np.random.default_rng


def test_the_named_parts_are_those_that_add_most_and_none_that_speaks_against() -> None:
    picked = pick(np.array([0.1, -3.0, 2.0, 0.5]), np.zeros(4), most=3, draws=1, rng=RNG(0))
    assert picked.named.tolist() == [2, 3, 0]
    assert pick(np.array([-1.0, 0.0]), np.zeros(2), most=2, draws=1, rng=RNG(0)).named.tolist() == []


def test_random_parts_are_others_each_like_the_named_one_and_drawn_once() -> None:
    added = np.concatenate([[9.0, 8.0], np.zeros(40)])
    likeness = np.concatenate([[0.0, 10.0], np.zeros(20), np.full(20, 10.0)])
    picked = pick(added, likeness, most=2, draws=50, rng=RNG(0))
    for drawn in picked.random:
        assert likeness[drawn].tolist() == [0.0, 10.0]
        assert not set(drawn) & {0, 1}
    assert len({tuple(drawn) for drawn in picked.random}) > 5


def test_where_there_are_too_few_others_as_many_as_there_are_come_back() -> None:
    picked = pick(np.array([3.0, 2.0, 1.0, -1.0]), np.zeros(4), most=8, draws=2, rng=RNG(0))
    assert [drawn.tolist() for drawn in picked.random] == [[3], [3]]


def test_means_and_their_intervals_are_those_of_a_plain_bootstrap_over_rows() -> None:
    values = np.column_stack([RNG(1).normal(0.3, 1, 80), RNG(2).normal(0, 1, 80)])
    values[:30, 1] = np.nan
    first, second = means(values, np.arange(80), resamples=4000, seed=0)
    assert (first["n"], second["n"]) == (80, 50)
    assert first["value"] == pytest.approx(values[:, 0].mean())
    drawn = RNG(3).integers(80, size=(4000, 80))
    for found, column in ((first, values[:, 0]), (second, values[:, 1])):
        low, high = np.quantile(np.nanmean(column[drawn], axis=1), [0.025, 0.975])
        assert (found["low"], found["high"]) == (pytest.approx(low, abs=0.03), pytest.approx(high, abs=0.03))


def test_rows_of_one_unit_are_drawn_together() -> None:
    values = np.repeat(RNG(1).normal(size=10), 20)[:, None]
    (alone,) = means(values, np.arange(200), resamples=500, seed=0)
    (grouped,) = means(values, np.repeat(np.arange(10), 20), resamples=500, seed=0)
    assert grouped["high"] - grouped["low"] > 2 * (alone["high"] - alone["low"])  # type: ignore[operator]


def test_the_gap_is_paired_over_the_rows_that_have_both() -> None:
    level = RNG(0).normal(size=(50, 1)) * 10
    named, random = level + np.array([[0.2, 0.4]]), np.broadcast_to(level, (50, 2)).copy()
    random[:10, 1] = np.nan
    found = compared([1, 2], named, random, np.arange(50), resamples=200, seed=0)
    assert [point["gap"]["value"] for point in found["curve"]] == pytest.approx([0.2, 0.4])
    assert [point["gap"]["n"] for point in found["curve"]] == [50, 40]
    assert found["mean"]["value"] == pytest.approx((10 * 0.2 + 40 * 0.3) / 50)
    assert 0.2 < found["mean"]["low"] < found["mean"]["high"] < 0.3
    turned = compared([1, 2], named, random, np.arange(50), resamples=200, seed=0, smaller_is_better=True)
    assert turned["mean"]["value"] == pytest.approx(-found["mean"]["value"])


def test_a_promise_is_measured_by_its_error_where_something_was_removed() -> None:
    kept = promise(np.array([[1.0, 2.0], [4.0, np.nan]]), np.array([[1.0, 2.5], [4.0, np.nan]]))
    assert kept["n"] == 3 and kept["median_relative_error"] == 0 and kept["largest_error"] == 0.5
    assert promise(np.array([np.nan]), np.array([np.nan]))["median_relative_error"] is None


GOOD = {"value": 0.2, "low": 0.1, "high": 0.3, "p": 0.01, "n": 50}
NONE = {"value": 0.01, "low": -0.02, "high": 0.04, "p": 0.5, "n": 50}
KEPT = {"median_relative_error": 0.0}


def test_explanations_hold_where_every_gap_is_clear() -> None:
    found = verdict(KEPT, {"features": GOOD, "tokens": GOOD})
    assert found["faithful"] and found["failed"] == []
    assert "features and tokens" in found["says"]
    assert "tokens" not in verdict(KEPT, {"features": GOOD, "tokens": None})["says"]


@pytest.mark.parametrize(
    ("promised", "gaps", "why"),
    [
        (KEPT, {"features": NONE, "tokens": GOOD}, "named features changes decisions no more"),
        (KEPT, {"features": GOOD, "tokens": NONE}, "named tokens changes decisions no more"),
        ({"median_relative_error": 0.4}, {"features": GOOD, "tokens": GOOD}, "40%"),
        ({"median_relative_error": None}, {"features": dict.fromkeys(GOOD) | {"n": 0}, "tokens": None}, "No decision"),
        (KEPT, {"features": GOOD, "tokens": dict.fromkeys(GOOD) | {"n": 0}}, "No row has tokens enough"),
    ],
)
def test_explanations_are_said_to_fail_where_a_test_fails(promised: dict, gaps: dict, why: str) -> None:
    found = verdict(promised, gaps)
    assert not found["faithful"] and len(found["failed"]) == 1
    assert why in found["says"] and "fail" in found["says"]
