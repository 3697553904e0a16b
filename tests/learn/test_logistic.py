"""The path of logistic regressions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from latentprobe.corpus import Target
from latentprobe.learn import logistic
from latentprobe.learn.logistic import fit_path
from latentprobe.learn.transforms import fit_transform

from .planted import labels, multilabel, sparse_rows


def _scaled(target: Target, seed: int = 0) -> sp.csr_matrix:
    y = target.y if target.kind != "multilabel" else np.nan_to_num(target.y[:, 0]).astype(np.int64)
    return fit_transform(sparse_rows(y, seed=seed), target, scaling="firing")[0]


@pytest.mark.parametrize("class_weight", ["balanced", "none"])
@pytest.mark.parametrize("k", [2, 4])
def test_a_point_of_the_path_is_the_minimum_of_the_penalized_loss(k: int, class_weight: str) -> None:
    """Against thirty lines of scipy: sum of weighted log losses times C, plus half the squared weights."""
    y = np.minimum(labels(300, 7).y, k - 1)  # uneven classes
    target = Target("binary" if k == 2 else "multiclass", tuple("abcd"[:k]), y)
    rows = _scaled(target)[:, :20].toarray().astype(np.float64)
    weights = np.ones(300) if class_weight == "none" else (300 / (k * np.bincount(y)))[y]

    def loss(flat: np.ndarray) -> float:
        w = flat.reshape(k, 21)
        logits = rows @ w[:, :20].T + w[:, 20]
        own = logits[np.arange(300), y]
        penalty = 0.5 * np.sum(w[:, :20] ** 2)
        return 0.01 * np.sum(weights * (logsumexp(logits, axis=1) - own)) + penalty

    best = minimize(loss, np.zeros(k * 21), method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 10**6}).x
    w = best.reshape(k, 21)
    expected = rows @ w[:, :20].T + w[:, 20]
    if k == 2:
        # Two-column softmax with both columns penalized is the one-column model at twice the C.
        (_, model) = fit_path(rows.astype(np.float32), target, [0.001, 0.02], class_weight=class_weight)
        expected = (expected[:, 1] - expected[:, 0])[:, None]
    else:
        (_, model) = fit_path(rows.astype(np.float32), target, [0.001, 0.01], class_weight=class_weight)
        expected = expected - expected.mean(axis=1, keepdims=True)
    found = model.decision(rows)
    if k > 2:
        found = found - found.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9995


def test_the_path_agrees_with_separate_cold_fits_of_scikit_learn() -> None:
    target = labels(400, 3)
    rows = _scaled(target)
    for C, model in zip([0.001, 0.01, 0.1], fit_path(rows, target, [0.001, 0.01, 0.1]), strict=True):
        cold = LogisticRegression(C=C, class_weight="balanced", tol=1e-6, max_iter=5000).fit(rows, target.y)
        assert np.mean(model.decision(rows).argmax(1) == cold.predict(rows)) > 0.99
        np.testing.assert_allclose(model.decision(rows), cold.decision_function(rows), atol=0.15)


def test_mistake_10_a_feature_of_the_positive_class_has_a_positive_weight() -> None:
    target = labels(500)
    for penalty in ("l2", "l1"):
        (model,) = fit_path(_scaled(target), target, [0.1], penalty=penalty)
        assert model.weights.shape == (1, 200)
        assert model.weights[0, :5].mean() < 0 < model.weights[0, 5:10].mean()
        rows = sp.csr_matrix((np.ones(1, dtype=np.float32), ([0], [7])), shape=(1, 200))
        assert model.decision(rows)[0, 0] > model.intercept[0]


def test_stronger_regularization_gives_smaller_weights() -> None:
    target = labels(300, 3)
    sizes = [np.abs(model.weights).sum() for model in fit_path(_scaled(target), target, [0.001, 0.1, 10.0])]
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("k", [2, 3])
def test_l1_has_zeros_and_finds_what_is_planted(k: int) -> None:
    target = labels(1500, k)
    (model,) = fit_path(_scaled(target), target, [0.03], penalty="l1")
    assert model.weights.shape == (1 if k == 2 else k, 200)
    used = np.any(model.weights != 0, axis=0)
    assert used[: 5 * k].all()
    assert used.sum() < 120


def test_the_l1_intercept_is_hardly_penalized() -> None:
    y = (np.random.default_rng(0).random(2000) < 0.1).astype(np.int64)
    rows = sp.csr_matrix(np.random.default_rng(1).random((2000, 3)).astype(np.float32))
    target = Target("binary", ("no", "yes"), y)
    (model,) = fit_path(rows, target, [0.01], penalty="l1", class_weight="none")
    assert np.all(model.weights == 0)
    assert model.intercept[0] == pytest.approx(np.log(y.mean() / (1 - y.mean())), abs=0.3)


@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_multi_label_fits_each_label_on_the_rows_that_have_it(penalty: str) -> None:
    target = multilabel(300)
    rows = _scaled(target)
    (found,) = fit_path(rows, target, [0.01], penalty=penalty)
    for k, answers in enumerate(target.y.T):
        known = np.flatnonzero(~np.isnan(answers))
        one = Target("binary", ("0", "1"), answers[known].astype(np.int64))
        (expected,) = fit_path(rows[known], one, [0.01], penalty=penalty)
        np.testing.assert_allclose(found.weights[k], expected.weights[0])
        np.testing.assert_allclose(found.intercept[k], expected.intercept[0])


def test_a_fit_that_did_not_converge_says_so_and_warns_of_nothing(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    target = labels(300, 3)
    rows = _scaled(target)
    assert all(model.converged for model in fit_path(rows, target, [0.01, 1.0]))
    monkeypatch.setattr(logistic, "_MAX_ITER", 2)
    for penalty in ("l2", "l1"):
        assert not all(model.converged for model in fit_path(rows, target, [0.01, 1.0], penalty=penalty))
    assert not recwarn


def test_without_features_the_model_is_the_share_of_each_class() -> None:
    y = np.array([0] * 6 + [1] * 3 + [2] * 1)
    target = Target("multiclass", ("a", "b", "c"), y)
    (model,) = fit_path(np.zeros((10, 0), dtype=np.float32), target, [1.0], class_weight="none")
    shares = np.exp(model.intercept) / np.exp(model.intercept).sum()
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1])
    (balanced,) = fit_path(np.zeros((10, 0), dtype=np.float32), target, [1.0])
    assert np.ptp(balanced.intercept) == 0
