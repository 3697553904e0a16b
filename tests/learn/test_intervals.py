"""Bootstrap intervals, paired differences, Holm."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from latentprobe.corpus import Target
from latentprobe.learn.intervals import bootstrap_macro_f1, effect_size, holm, interval, paired_difference
from latentprobe.learn.metrics import macro_f1

from .planted import labels, multilabel


def _noisy(target: Target, share_right: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wrong = rng.integers(len(target.classes), size=len(target))
    return np.where(rng.random(len(target)) < share_right, target.y, wrong)


def _draws(n_units: int, resamples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(n_units, size=(resamples, n_units))


def test_each_resample_is_scored_as_if_its_rows_had_been_copied_out() -> None:
    target = labels(60, 6)
    predictions = [_noisy(target, 0.5), _noisy(target, 0.8)]
    found = bootstrap_macro_f1(target, predictions, np.arange(60), resamples=50, seed=3)
    for b, rows in enumerate(_draws(60, 50, seed=3)):
        for c, predicted in enumerate(predictions):
            expected = f1_score(target.y[rows], predicted[rows], average="macro")
            assert found[c, b] == pytest.approx(expected, abs=1e-6)


def test_groups_are_drawn_whole() -> None:
    target = labels(90)
    predicted = _noisy(target, 0.7)
    units = np.sort(np.random.default_rng(0).integers(20, size=90))
    members = [np.flatnonzero(units == unit) for unit in np.unique(units)]
    found = bootstrap_macro_f1(target, [predicted], units, resamples=40, seed=5)
    for b, drawn in enumerate(_draws(len(members), 40, seed=5)):
        rows = np.concatenate([members[unit] for unit in drawn])
        assert found[0, b] == pytest.approx(f1_score(target.y[rows], predicted[rows], average="macro"), abs=1e-6)


def test_multi_label_resamples_leave_missing_answers_out() -> None:
    target = multilabel(80)
    predicted = np.random.default_rng(0).integers(2, size=(80, 3))
    found = bootstrap_macro_f1(target, [predicted], np.arange(80), resamples=30, seed=0)
    for b, rows in enumerate(_draws(80, 30, seed=0)):
        assert found[0, b] == pytest.approx(macro_f1(target.take(rows), predicted[rows]), abs=1e-6)


def test_the_number_of_resamples_at_a_time_changes_nothing_but_the_count() -> None:
    target = labels(50)
    found = bootstrap_macro_f1(target, [_noisy(target, 0.6)], np.arange(50), resamples=250, seed=1)
    assert found.shape == (1, 250)
    assert np.array_equal(
        found[:, :100], bootstrap_macro_f1(target, [_noisy(target, 0.6)], np.arange(50), resamples=100, seed=1)
    )


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    population = labels(200_000)
    predicted = _noisy(population, 0.6)
    truth = macro_f1(population, predicted)
    covered = 0
    for trial in range(200):
        rows = rng.choice(200_000, size=150, replace=False)
        resampled = bootstrap_macro_f1(population.take(rows), [predicted[rows]], rows, resamples=300, seed=trial)
        low, high = interval(resampled[0])
        covered += low <= truth <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    target = labels(400)
    first = _noisy(target, 0.6, seed=1)
    second = np.where(np.arange(400) % 10 == 0, target.y, first)  # never worse, better on some rows
    resampled = bootstrap_macro_f1(target, [second, first], np.arange(400), resamples=1000, seed=0)
    difference = paired_difference(macro_f1(target, second) - macro_f1(target, first), resampled[0], resampled[1])
    assert 0 < difference.low < difference.value < difference.high
    assert difference.p < 0.05
    assert interval(resampled[0])[0] < interval(resampled[1])[1]  # the two intervals overlap


def test_equal_predictions_differ_by_nothing_for_sure() -> None:
    same = np.random.default_rng(0).random(200)
    difference = paired_difference(0.0, same, same)
    assert (difference.value, difference.low, difference.high, difference.p) == (0.0, 0.0, 0.0, 1.0)


def test_p_of_a_difference_that_is_not_there_is_spread_evenly() -> None:
    rng = np.random.default_rng(0)
    target = labels(300)
    ps = []
    for trial in range(100):
        predictions = [_noisy(target, 0.5, seed=int(rng.integers(1 << 30))) for _ in range(2)]
        resampled = bootstrap_macro_f1(target, predictions, np.arange(300), resamples=200, seed=trial)
        ps.append(paired_difference(0.0, resampled[0], resampled[1]).p)
    assert np.mean(np.array(ps) < 0.05) <= 0.12
    assert 0.35 <= np.mean(ps) <= 0.65


def test_holm_is_the_textbook_procedure() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 7):
        p = rng.random(size) ** 3
        expected = np.empty(size)
        largest = 0.0
        for rank, index in enumerate(np.argsort(p)):
            largest = max(largest, min(1.0, (size - rank) * p[index]))
            expected[index] = largest
        assert holm(list(p)) == pytest.approx(list(expected))
    assert holm([]) == []


def test_a_hundred_configurations_take_seconds() -> None:
    target = labels(3000, 77)
    predictions = [_noisy(target, 0.8, seed) for seed in range(100)]
    start = time.process_time()
    bootstrap_macro_f1(target, predictions, np.arange(3000), resamples=100, seed=0)
    assert time.process_time() - start < 3  # a tenth of the resamples; ten times that is still seconds


def test_the_effect_size_counts_the_rows_on_which_one_alone_is_right() -> None:
    target = Target("binary", ("no", "yes"), np.array([0] * 10))
    first, second = np.array([0] * 8 + [1, 1]), np.array([0] * 4 + [1] * 5 + [0])
    found = effect_size(target, first, second, np.arange(10))
    assert (found.wins, found.losses) == (4, 1)  # row 8 is wrong in both
    share = binomtest(4, 5)
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx(
        (share.proportion_ci(0.95).low - 0.5, share.proportion_ci(0.95).high - 0.5)
    )


def test_a_group_is_won_once_however_many_rows_it_has() -> None:
    target = Target("binary", ("no", "yes"), np.array([0] * 12))
    first, second = np.array([0] * 10 + [1, 1]), np.array([1] * 10 + [0, 1])
    units = np.array([0] * 10 + [1, 1])
    found = effect_size(target, first, second, units)
    assert (found.wins, found.losses, found.value) == (1, 1, 0.0)


def test_several_labels_count_each_answer_and_missing_ones_not() -> None:
    target = Target("multilabel", ("a", "b", "c"), np.array([[1, 0, np.nan], [0, 0, 1]]))
    first, second = np.array([[1, 0, 1], [1, 1, 1]]), np.array([[1, 1, 0], [0, 1, 1]])
    found = effect_size(target, first, second, np.arange(2))
    assert (found.wins, found.losses) == (1, 1)


def test_the_effect_of_equal_predictions_is_undefined() -> None:
    target = labels(20)
    found = effect_size(target, target.y, target.y, np.arange(20))
    assert (found.wins, found.losses, found.value, found.low) == (0, 0, None, None)
