"""Features matched between two sides whose truth is known, and probes carried over."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest
import scipy.sparse as sp

import latentprobe.learn.matching
from latentprobe.config import ProbeSpec
from latentprobe.learn.matching import carry, match
from latentprobe.learn.metrics import macro_f1
from latentprobe.learn.probes import FittedProbe, Recipe, choose
from latentprobe.learn.splits import inner_folds
from tests.learn.planted import labels, sparse_rows

N, WIDTH = 240, 60
ORDER = np.random.default_rng(3).permutation(WIDTH)
SCALES = np.random.default_rng(4).uniform(0.2, 5.0, WIDTH)


def planted() -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """A side, and the same features under other numbers and in other scales."""
    rows = sparse_rows(labels(N).y, width=WIDTH)
    return rows, sp.csr_matrix(rows[:, ORDER].multiply(SCALES))


def test_features_under_other_numbers_and_scales_are_found_again() -> None:
    first, second = planted()
    found = match(first, second, features=WIDTH, permutations=19, seed=0)
    for partners in (found.best, found.only):
        assert (ORDER[found.second.columns[partners]] == found.first.columns).all()
    np.testing.assert_allclose(found.correlation, 1, atol=1e-5)
    np.testing.assert_allclose(found.only_correlation, 1, atol=1e-5)
    assert found.matched.all() and found.matched_alone.all()
    assert found.null.max() < 0.9 and found.null_correlation < 0.4


def test_correlations_are_those_of_numpy_and_the_assignment_is_the_best_there_is() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((30, 5)), rng.random((30, 6))
    found = match(first, second, features=10, permutations=3, seed=0)
    table = np.corrcoef(first.T, second.T)[:5, 5:]
    np.testing.assert_allclose(found.correlation, table.max(1), atol=1e-6)
    np.testing.assert_array_equal(found.best, table.argmax(1))
    best = max(sum(table[np.arange(5), list(some)]) for some in itertools.permutations(range(6), 5))
    assert found.only_correlation.sum() == pytest.approx(best, abs=1e-5)
    assert len(set(found.only)) == 5


def test_of_features_that_have_nothing_in_common_as_many_match_as_chance_says() -> None:
    rng = np.random.default_rng(1)
    sides = [sparse_rows(labels(N, seed=s).y, width=400, planted=0, seed=s) for s in (1, 2)]
    found = match(*sides, features=400, permutations=19, seed=int(rng.integers(100)))
    assert 0 < found.matched.mean() < 0.12  # 1 in 20 by chance


def test_several_features_may_have_one_partner_but_not_one_to_one() -> None:
    rows = np.random.default_rng(0).random((100, 4))
    split = np.column_stack([rows, rows[:, 0] + 0.1 * np.random.default_rng(1).random(100)])
    found = match(split, rows, features=10, permutations=5, seed=0)
    assert found.best[0] == found.best[4] == 0
    assert sorted(found.only) == [-1, 0, 1, 2, 3]
    assert found.only_correlation[found.only == -1] == 0


def test_only_the_features_that_are_on_most_take_part_and_constant_ones_never() -> None:
    rows = np.zeros((40, 4))
    rows[:30, 1], rows[:20, 2], rows[:10, 3], rows[:, 0] = 1, 1, 1, 1
    found = match(rows, rows, features=2, permutations=1, seed=0)
    assert list(found.first.columns) == [1, 2]


@pytest.mark.parametrize("one_to_one", [False, True])
def test_a_probe_carried_to_the_same_features_in_other_places_decides_the_same(one_to_one: bool) -> None:
    first, second = planted()
    target = labels(N)
    folds = inner_folds(target, np.arange(N), 3, 0)
    probe = choose(first, target, folds, Recipe("sparse"), ProbeSpec(C=(0.1,))).probe
    found = match(first, second, features=WIDTH, permutations=9, seed=0)
    carried = carry(probe, found, one_to_one=one_to_one)
    np.testing.assert_allclose(carried.decision(second), probe.decision(first), atol=1e-3)
    assert macro_f1(target, carried.predict(second, "binary")) == macro_f1(target, probe.predict(first, "binary"))


def test_a_probe_carried_through_features_that_have_nothing_in_common_knows_nothing() -> None:
    target = labels(N)
    first = sparse_rows(target.y, width=WIDTH)
    noise = sparse_rows(labels(N, seed=9).y, width=WIDTH, planted=0, seed=9)
    folds = inner_folds(target, np.arange(N), 3, 0)
    probe = choose(first, target, folds, Recipe("sparse"), ProbeSpec(C=(0.1,))).probe
    carried = carry(probe, match(first, noise, features=WIDTH, permutations=9, seed=0), one_to_one=False)
    assert macro_f1(target, probe.predict(first, "binary")) > 0.8
    assert macro_f1(target, carried.predict(noise, "binary")) < 0.65


def test_an_unmatched_feature_stands_at_its_mean() -> None:
    rows = np.random.default_rng(0).random((60, 2)) + 1
    other = np.column_stack([3 * rows[:, 0], np.random.default_rng(1).random(60)])
    found = match(rows, other, features=5, permutations=40, seed=0)
    assert list(found.matched) == [True, False]
    probe = FittedProbe(np.array([0, 1]), None, np.array([[2.0, 5.0]]), np.array([-1.0]), 1.0, True)
    expected = 2 * rows[:, 0] + 5 * rows[:, 1].mean() - 1
    np.testing.assert_allclose(carry(probe, found, one_to_one=False).decision(other)[:, 0], expected, atol=1e-5)


def test_the_examples_run() -> None:
    assert doctest.testmod(latentprobe.learn.matching).failed == 0
