"""Overlap of chosen features: the statistics are the field's, and chance is really chance."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import spearmanr

from latentprobe.learn.overlap import Weights, jaccard, overlap, top_features, weights_of
from latentprobe.learn.probes import FittedProbe


def weights(values: NDArray[np.float64], rate: NDArray[np.float64] | None = None) -> Weights:
    values = np.atleast_2d(values)
    return Weights(values, np.full(values.shape[1], 0.5) if rate is None else rate)


def test_a_standardized_weight_is_the_weight_times_the_standard_deviation() -> None:
    rng = np.random.default_rng(0)
    rows = rng.gamma(1, 1, (40, 6)) * (rng.random((40, 6)) < 0.5)
    probes = [
        FittedProbe(np.array([0, 2, 5]), None, rng.normal(size=(1, 3)), np.zeros(1), 1.0, True),
        FittedProbe(np.array([2, 3]), np.array([1.0, 1.0], np.float32), rng.normal(size=(1, 2)), np.zeros(1), 1, True),
    ]
    train = [np.arange(30), np.arange(10, 40)]
    found = weights_of(sp.csr_matrix(rows), probes, train)
    expected = np.zeros(6)
    expected[[0, 2, 5]] += probes[0].weights[0] * rows[:30][:, [0, 2, 5]].std(axis=0) / 2
    expected[[2, 3]] += probes[1].weights[0] * (rows[10:][:, [2, 3]] > 1).std(axis=0) / 2
    np.testing.assert_allclose(found.standardized[0], expected, atol=1e-12)
    assert found.rate[0] == pytest.approx((rows[:30, 0] != 0).mean() / 2)


def test_top_features_are_those_of_the_largest_absolute_weight_over_the_classes() -> None:
    assert top_features(weights(np.array([[0.1, -3.0, 0.0, 2.0], [0.2, 0.0, 0.0, -2.5]])), 2).tolist() == [1, 3]
    assert top_features(weights(np.zeros(4)), 2).tolist() == []


def test_the_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 50))
    _, ranks = overlap(weights(first), weights(second), k=5, permutations=100, seed=0)
    assert ranks.value == pytest.approx(spearmanr(first, second).statistic)


def test_the_same_choice_is_far_from_chance() -> None:
    values = np.random.default_rng(2).normal(size=200)
    shares, ranks = overlap(weights(values), weights(values), k=20, permutations=199, seed=0)
    assert shares.value == ranks.value == 1.0
    assert shares.p == ranks.p == 1 / 200
    assert shares.mean < 0.1 and abs(ranks.mean) < 0.05


def test_choices_made_blindly_are_within_chance() -> None:
    rng = np.random.default_rng(3)
    p = []
    for seed in range(40):
        first, second = rng.normal(size=(2, 100))
        shares, ranks = overlap(weights(first), weights(second), k=20, permutations=99, seed=seed)
        p.append((shares.p, ranks.p))
    assert np.mean(np.array(p) <= 0.05, axis=0).max() <= 0.15
    assert 0.35 < np.mean([ranks for _, ranks in p]) < 0.65


def test_what_is_shared_only_because_it_is_frequent_is_within_chance() -> None:
    """Both choose among the 20 frequent features of 400, blindly: far above a null that forgets how often they fire."""
    rng = np.random.default_rng(4)
    rate = np.where(np.arange(400) < 20, 0.9, 0.01)
    values = [np.where(np.arange(400) < 20, rng.normal(size=400) * 10, rng.normal(size=400) * 0.01) for _ in "ab"]
    aware, _ = overlap(*(weights(one, rate) for one in values), k=10, permutations=199, seed=0)
    blind, _ = overlap(*(weights(one) for one in values), k=10, permutations=199, seed=0)
    assert aware.mean > 5 * blind.mean
    assert aware.p > 0.05 >= blind.p


def test_jaccard_of_nothing_is_nothing() -> None:
    assert jaccard(np.array([], dtype=np.int64), np.array([], dtype=np.int64)) == 0.0
