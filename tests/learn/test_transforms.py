"""Binarization, feature selection and scaling."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from latentprobe.corpus import Target
from latentprobe.learn.transforms import ROW_LENGTH, binarized, fit_transform, mean_difference

from .planted import labels, multilabel, sparse_rows


def _dense(rows: object) -> np.ndarray:
    return rows.toarray() if sp.issparse(rows) else np.asarray(rows)


def test_mistake_8_a_value_at_the_threshold_counts_zero_in_sparse_and_dense_rows_alike() -> None:
    rows = np.array([[0.5, 1.0, 1.5, 0.0]], dtype=np.float32)
    threshold = np.full(4, 1.0, dtype=np.float32)
    assert binarized(rows, threshold).tolist() == [[0, 0, 1, 0]]
    sparse = binarized(sp.csr_matrix(rows), threshold)
    assert sparse.toarray().tolist() == [[0, 0, 1, 0]]
    assert sparse.nnz == 1


def test_binarization_leaves_its_input_alone() -> None:
    rows = sparse_rows(labels(50).y)
    before = rows.copy()
    binarized(rows, np.full(rows.shape[1], 0.5, dtype=np.float32))
    assert (rows != before).nnz == 0


def test_the_automatic_threshold_is_half_the_mean_of_a_features_non_zero_values() -> None:
    target = labels(100)
    rows = sparse_rows(target.y)
    _, transform = fit_transform(rows, target, scaling="firing", binarize="auto")
    dense = rows.toarray()
    for feature, threshold in zip(transform.features, transform.thresholds, strict=True):
        values = dense[:, feature]
        assert threshold == pytest.approx(values[values > 0].mean() / 2, rel=1e-6)


def test_the_automatic_threshold_does_not_depend_on_the_unit_of_a_feature() -> None:
    target = labels(100)
    rows = sparse_rows(target.y)
    units = sp.diags(np.random.default_rng(0).lognormal(0, 2, rows.shape[1]).astype(np.float32))
    first, _ = fit_transform(rows, target, scaling="firing", binarize="auto")
    other, _ = fit_transform((rows @ units).tocsr(), target, scaling="firing", binarize="auto")
    assert np.mean(_dense(first) != _dense(other)) < 1e-3  # but for values that rounding puts across


@pytest.mark.parametrize("binarize", ["none", 0.8, "auto"])
def test_every_representation_gets_rows_of_the_same_length(binarize: str | float) -> None:
    """Mistake 4, in part: with one grid of C, longer rows would be a weaker penalty."""
    target = labels(200, 3)
    sparse = sparse_rows(target.y)
    hidden = np.random.default_rng(0).normal(3, 2, size=(200, 40)).astype(np.float32)
    scaled = [fit_transform(sparse, target, scaling="firing", binarize=binarize)[0]]
    scaled += [fit_transform(hidden, target, scaling="standard")[0], fit_transform(sparse, target, scaling="none")[0]]
    for rows in scaled:
        assert rows.dtype == np.float32
        assert np.sqrt(np.mean(np.sum(_dense(rows) ** 2, axis=1))) == pytest.approx(ROW_LENGTH, rel=1e-4)


def test_a_rare_feature_counts_no_more_than_a_common_one_where_it_fires() -> None:
    rows = sp.csr_matrix(np.array([[1.0] * 500 + [0.0] * 500, [5.0] + [0.0] * 999], dtype=np.float32).T)
    target = labels(1000)
    scaled, _ = fit_transform(rows, target, scaling="firing")
    common, rare = scaled[1, 0], scaled[0, 1]
    assert rare == pytest.approx(common)
    # The standard deviation of the rare one would make it count 16 times as much.
    spread = rows.toarray().std(axis=0)
    assert (5 / spread[1]) / (1 / spread[0]) > 15


def test_sparse_rows_stay_sparse_and_dense_ones_are_standardized() -> None:
    target = labels(80)
    sparse, _ = fit_transform(sparse_rows(target.y), target, scaling="firing")
    assert sp.issparse(sparse)
    hidden = np.random.default_rng(0).normal(1000, 0.1, size=(80, 10)).astype(np.float32)
    dense, transform = fit_transform(hidden, target, scaling="standard")
    np.testing.assert_allclose(dense.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(dense.std(axis=0), ROW_LENGTH / np.sqrt(10), rtol=1e-4)
    np.testing.assert_allclose(transform.apply(hidden), dense, rtol=1e-6)


def test_columns_without_anything_to_learn_are_left_out() -> None:
    rows = np.zeros((20, 4), dtype=np.float32)
    rows[:, 1] = np.arange(20)
    rows[:, 2] = 0.5
    target = labels(20)
    _, firing = fit_transform(sp.csr_matrix(rows), target, scaling="firing")
    _, binary = fit_transform(sp.csr_matrix(rows), target, scaling="firing", binarize=1.0)
    _, standard = fit_transform(rows, target, scaling="standard")
    assert firing.features.tolist() == [1, 2]  # a feature that is always on still has a value for a new row
    assert binary.features.tolist() == [1]
    assert standard.features.tolist() == [1]


def test_what_was_learned_applies_to_other_rows() -> None:
    target = labels(120)
    rows = sparse_rows(target.y)
    scaled, transform = fit_transform(
        rows[:80], target.take(slice(80)), scaling="firing", binarize="auto", selection="top20"
    )
    assert np.array_equal(_dense(transform.apply(rows[:80])), _dense(scaled))
    expected = (rows[80:].toarray()[:, transform.features] > transform.thresholds) * transform.scale
    np.testing.assert_allclose(_dense(transform.apply(rows[80:])), expected, rtol=1e-6)


@pytest.mark.parametrize("k", [2, 4])
def test_the_mean_difference_is_cohens_d_of_the_class_that_stands_out_most(k: int) -> None:
    target = labels(150, k)
    rows = sparse_rows(target.y, width=60)
    dense = rows.toarray().astype(np.float64)
    expected = np.zeros(60)
    for c in range(k):
        inside, outside = dense[target.y == c], dense[target.y != c]
        spread = np.sqrt((inside.var(axis=0) + outside.var(axis=0)) / 2)
        gap = np.abs(inside.mean(axis=0) - outside.mean(axis=0))
        expected = np.maximum(expected, np.divide(gap, spread, out=np.zeros(60), where=spread > 0))
    np.testing.assert_allclose(mean_difference(rows, target), expected, rtol=1e-6)
    np.testing.assert_allclose(mean_difference(rows.toarray(), target), expected, rtol=1e-6)


def test_the_mean_difference_of_a_multi_label_task_leaves_missing_answers_out() -> None:
    target = multilabel(100, k=2)
    rows = sparse_rows(np.zeros(100, dtype=np.int64), width=30)
    each = []
    for answers in target.y.T:
        known = np.flatnonzero(~np.isnan(answers))
        one = Target("binary", ("0", "1"), answers[known].astype(np.int64))
        each.append(mean_difference(rows[known], one))
    np.testing.assert_allclose(mean_difference(rows, target), np.maximum(*each))


def test_constant_columns_have_no_difference_and_perfect_ones_all() -> None:
    y = np.array([0, 0, 1, 1])
    rows = np.array([[7.1, 7.1, 7.1, 7.1], [0, 0, 1, 1]], dtype=np.float32).T
    assert mean_difference(rows, Target("binary", ("a", "b"), y)).tolist() == [0.0, np.inf]


@pytest.mark.parametrize("selection", ["top10", "l1top10", "weight10", "l1"])
def test_selection_finds_the_planted_features(selection: str) -> None:
    target = labels(2000)
    rows = sparse_rows(target.y)
    _, transform = fit_transform(rows, target, scaling="firing", selection=selection)
    assert set(range(10)) <= set(transform.features.tolist())
    if selection != "l1":
        assert len(transform.features) == 10


def test_l1_selection_without_any_signal_keeps_a_feature() -> None:
    target = labels(30)
    rows = np.tile(np.array([[1.0], [2.0]], dtype=np.float32), (15, 3)) * 1e-3
    rows = np.sort(rows, axis=0)[np.argsort(np.argsort(target.y % 1, kind="stable"))]
    _, transform = fit_transform(sp.csr_matrix(rows), target, scaling="firing", selection="l1")
    assert len(transform.features) >= 1


def test_asking_for_more_features_than_there_are_keeps_all() -> None:
    target = labels(60)
    rows = sparse_rows(target.y, width=30)
    _, transform = fit_transform(rows, target, scaling="firing", selection="top999")
    assert len(transform.features) == 30
