"""The probe, and the choice of its C on inner folds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import f1_score

from latentprobe.config import ProbeSpec
from latentprobe.corpus import Target
from latentprobe.learn import Chosen, FittedProbe, Recipe, choose, inner_folds
from latentprobe.learn.metrics import macro_f1
from latentprobe.learn.transforms import mean_difference

from .planted import labels, multilabel, sparse_rows


def _choose(rows: object, target: Target, recipe: Recipe | None = None, **spec: object) -> Chosen:
    folds = inner_folds(target, np.arange(len(target)), 5, seed=0)
    return choose(rows, target, folds, recipe or Recipe("sparse"), ProbeSpec(**spec))


@pytest.mark.parametrize("features", ["sparse", "dense"])
def test_an_empty_row_gets_the_intercept(features: str) -> None:
    target = labels(100)
    rows = sparse_rows(target.y)
    probe = _choose(rows if features == "sparse" else rows.toarray() + 1, target, Recipe(features)).probe
    empty = np.zeros((1, 200), dtype=np.float32)
    assert probe.decision(sp.csr_matrix(empty))[0] == pytest.approx(probe.intercept)
    assert probe.decision(empty)[0] == pytest.approx(probe.intercept)


def test_scales_folded_into_the_weights_give_the_decisions_that_were_fitted() -> None:
    """The held-out decisions of the folds go through the scaled rows, those of the probe through its own weights."""
    target = labels(150, 3)
    rows = sparse_rows(target.y).toarray() * np.random.default_rng(0).lognormal(0, 3, 200).astype(np.float32)
    everything = np.arange(150)
    for recipe, matrix in ((Recipe("sparse"), sp.csr_matrix(rows)), (Recipe("dense"), rows + 5)):
        same = [(everything, everything), (everything, everything)]  # each "fold" is fitted and judged on all rows
        chosen = choose(matrix, target, same, recipe, ProbeSpec(C=(0.1,)))
        np.testing.assert_allclose(chosen.probe.decision(matrix), chosen.out_of_fold, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_mistake_10_a_positive_weight_speaks_for_the_second_class(penalty: str) -> None:
    target = labels(600)
    probe = _choose(sparse_rows(target.y), target, penalty=penalty).probe
    weight = dict(zip(probe.features.tolist(), probe.weights[0], strict=True))
    assert all(weight[feature] < 0 for feature in range(5))
    assert all(weight[feature] > 0 for feature in range(5, 10))
    row = sp.csr_matrix((np.full(1, 9.0, dtype=np.float32), ([0], [7])), shape=(1, 200))
    assert probe.predict(row, "binary").tolist() == [1]
    assert probe.predict_proba(row, "binary")[0, 1] > 0.5


def test_l1_keeps_only_features_with_a_weight() -> None:
    target = labels(600, 3)
    probe = _choose(sparse_rows(target.y), target, penalty="l1", C=(0.01,)).probe
    assert len(probe.features) < 100
    assert np.all(np.any(probe.weights != 0, axis=0))


def test_c_is_the_best_of_the_grid_by_pooled_out_of_fold_macro_f1() -> None:
    target = labels(300)
    rows = sparse_rows(target.y)
    chosen = _choose(rows, target)
    grid, scores = zip(*chosen.inner, strict=True)
    assert grid == tuple(sorted(ProbeSpec().C))
    assert chosen.inner_macro_f1 == max(scores)
    assert grid[scores.index(max(scores))] == chosen.probe.C
    assert chosen.inner_macro_f1 == macro_f1(target, (chosen.out_of_fold[:, 0] > 0).astype(int))


def test_of_equal_scores_the_strongest_regularization_wins() -> None:
    target = labels(60)
    rows = sp.csr_matrix(np.eye(2, dtype=np.float32)[target.y])  # perfect at every C
    assert _choose(rows, target, C=(1.0, 0.01, 0.1)).probe.C == 0.01


def test_the_order_of_the_grid_does_not_matter() -> None:
    target = labels(100)
    rows = sparse_rows(target.y)
    first, second = (_choose(rows, target, C=grid) for grid in ((0.01, 1.0, 0.1), (1.0, 0.1, 0.01)))
    assert np.array_equal(first.probe.weights, second.probe.weights)


@pytest.mark.parametrize("recipe", [Recipe("sparse", "auto", "top50"), Recipe("sparse", "none", "l1")])
def test_what_is_selected_and_binarized_is_learned_inside_the_folds(recipe: Recipe) -> None:
    """Mistake 6: on noise, features chosen on all rows look good on folds of the same rows."""
    target = labels(200)
    noise = sparse_rows(np.zeros(200, dtype=np.int64), width=20_000, planted=0)
    assert 0.35 < _choose(noise, target, recipe).inner_macro_f1 < 0.65
    if recipe.selection == "top50":
        leaked = np.sort(np.argsort(-mean_difference(noise, target))[:50])
        assert _choose(noise[:, leaked], target, Recipe("sparse", "auto")).inner_macro_f1 > 0.85


def test_held_out_rows_do_not_change_what_a_fold_learns() -> None:
    target = labels(100)
    rows = sparse_rows(target.y)
    (fit, held), *_ = inner_folds(target, np.arange(100), 5, seed=0)
    folds, recipe, spec = [(fit, held), (held, fit)], Recipe("sparse", "auto", "top20"), ProbeSpec(C=(0.1,))
    before = choose(rows, target, folds, recipe, spec)
    changed, same = held[:10], held[10:]
    y, loud = target.y.copy(), rows.tolil()
    y[held] = 1 - y[held]
    loud[changed] = 50 * loud[changed].toarray() + 3
    after = choose(loud.tocsr(), Target("binary", target.classes, y), folds, recipe, spec)
    assert np.array_equal(before.out_of_fold[same], after.out_of_fold[same])
    assert not np.array_equal(before.out_of_fold[changed], after.out_of_fold[changed])


def test_multi_label_probes_answer_each_label() -> None:
    target = multilabel(300)
    first = np.nan_to_num(target.y[:, 0]).astype(np.int64)
    probe = _choose(sparse_rows(first), target).probe
    assert probe.weights.shape[0] == 3
    answers = probe.predict(sparse_rows(first), "multilabel")
    known = ~np.isnan(target.y[:, 0])
    assert np.mean(answers[known, 0] == target.y[known, 0]) > 0.8
    assert probe.predict_proba(sparse_rows(first), "multilabel").shape == (300, 3)


def test_rows_without_a_single_active_feature_give_the_shares_of_the_classes() -> None:
    target = labels(40)
    chosen = _choose(sp.csr_matrix((40, 10), dtype=np.float32), target)
    assert chosen.probe.C is None
    assert len(chosen.probe.features) == 0
    assert chosen.probe.decision(sp.csr_matrix((2, 10), dtype=np.float32)).shape == (2, 1)


def test_values_at_a_threshold_are_off_in_use_as_in_training() -> None:
    """Mistake 8: > in one script and >= in the other."""
    probe = FittedProbe(np.array([0]), np.array([1.0], np.float32), np.array([[1.0]]), np.zeros(1), 1.0, True)
    rows = np.array([[1.0], [1.0001]], dtype=np.float32)
    assert probe.decision(rows)[:, 0].tolist() == [0.0, 1.0]
    assert probe.decision(sp.csr_matrix(rows))[:, 0].tolist() == [0.0, 1.0]
    assert probe.predict(rows, "binary").tolist() == [0, 1]


@pytest.mark.parametrize("k", [2, 3])
def test_scores_of_the_classes_decide_as_they_are_and_learn_nothing_from_labels(k: int) -> None:
    """The zero-shot row: the same decisions whatever the labels, and the largest score wins."""
    target = labels(60, k)
    scores = np.random.default_rng(0).normal(size=(60, k)).astype(np.float32)
    folds = inner_folds(target, np.arange(60), 3, 0)
    found = choose(scores, target, folds, Recipe("scores"), ProbeSpec())
    other = choose(scores, labels(60, k, seed=1), folds, Recipe("scores"), ProbeSpec())
    np.testing.assert_array_equal(found.out_of_fold, other.out_of_fold)
    np.testing.assert_array_equal(found.out_of_fold, found.decision(scores))
    np.testing.assert_array_equal(found.probe.predict(scores, target.kind), scores.argmax(axis=1))
    assert found.probe.C is None
    assert found.inner_macro_f1 == pytest.approx(f1_score(target.y, scores.argmax(axis=1), average="macro"))
