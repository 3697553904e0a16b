"""Scores, against scikit-learn or ten lines of numpy."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from latentprobe.corpus import Target
from latentprobe.learn import metrics

from .planted import labels, multilabel


def _guess(target: Target, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and probabilities a little better than chance."""
    rng = np.random.default_rng(seed)
    k = len(target.classes)
    if target.kind == "multilabel":
        p = np.clip(rng.random((len(target), k)) * 0.8 + 0.2 * np.nan_to_num(target.y), 0, 1)
        return (p > 0.5).astype(int), p
    p = rng.dirichlet(np.ones(k), len(target)) + 0.4 * np.eye(k)[target.y]
    p /= p.sum(axis=1, keepdims=True)
    return p.argmax(axis=1), p


@pytest.mark.parametrize("k", [2, 5])
def test_scores_are_those_of_scikit_learn(k: int) -> None:
    target = labels(300, k)
    predicted, p = _guess(target)
    found = metrics.scores(target, predicted, p)
    one_hot = np.eye(k)[target.y]
    assert found["macro_f1"] == pytest.approx(sk.f1_score(target.y, predicted, average="macro"))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(target.y, predicted))
    expected_auc = sk.roc_auc_score(target.y, p[:, 1] if k == 2 else p, multi_class="ovr")
    assert found["roc_auc"] == pytest.approx(expected_auc)
    expected_ap = sk.average_precision_score(*((target.y, p[:, 1]) if k == 2 else (one_hot, p)))
    assert found["average_precision"] == pytest.approx(expected_ap)
    brier = sk.brier_score_loss(target.y, p[:, 1]) if k == 2 else np.mean(((p - one_hot) ** 2).sum(axis=1))
    assert found["brier"] == pytest.approx(brier)
    np.testing.assert_array_equal(metrics.confusion_matrix(target, predicted), sk.confusion_matrix(target.y, predicted))


def test_scores_with_ties_are_those_of_scikit_learn() -> None:
    target = labels(200)
    _, p = _guess(target)
    p = np.round(p, 1)
    assert metrics.roc_auc(target, p) == pytest.approx(sk.roc_auc_score(target.y, p[:, 1]))
    assert metrics.average_precision(target, p) == pytest.approx(sk.average_precision_score(target.y, p[:, 1]))


def test_macro_f1_leaves_out_classes_that_are_neither_true_nor_predicted() -> None:
    target = Target("multiclass", ("a", "b", "c", "d"), np.array([0, 0, 1, 1]))
    predicted = np.array([0, 1, 1, 3])
    assert metrics.macro_f1(target, predicted) == pytest.approx(sk.f1_score(target.y, predicted, average="macro"))


def test_macro_f1_of_two_classes_is_not_the_f1_of_the_positive_one() -> None:
    """Mistake 11: one table mixed the two."""
    target = Target("binary", ("no", "yes"), np.array([0, 0, 0, 1]))
    predicted = np.array([0, 0, 1, 1])
    assert metrics.macro_f1(target, predicted) == pytest.approx((0.8 + 2 / 3) / 2)


def test_per_class_scores_are_those_of_scikit_learn() -> None:
    target = labels(300, 4)
    predicted, _ = _guess(target)
    expected = sk.precision_recall_fscore_support(target.y, predicted)
    for k, row in enumerate(metrics.per_class(target, predicted)):
        assert row["class"] == target.classes[k]
        found = [row["precision"], row["recall"], row["f1"], row["support"]]
        assert found == pytest.approx([column[k] for column in expected])


def test_multi_label_scores_are_label_by_label_on_the_rows_that_have_the_label() -> None:
    target = multilabel(200, 3)
    predicted, p = _guess(target)
    known = ~np.isnan(target.y)
    columns = [(target.y[known[:, k], k], predicted[known[:, k], k], p[known[:, k], k]) for k in range(3)]
    found = metrics.scores(target, predicted, p)
    assert found["macro_f1"] == pytest.approx(np.mean([sk.f1_score(y, guess) for y, guess, _ in columns]))
    assert found["roc_auc"] == pytest.approx(np.mean([sk.roc_auc_score(y, score) for y, _, score in columns]))
    expected = np.mean([sk.average_precision_score(y, score) for y, _, score in columns])
    assert found["average_precision"] == pytest.approx(expected)
    assert found["brier"] == pytest.approx(np.mean([sk.brier_score_loss(y, score) for y, _, score in columns]))
    right = ((predicted == target.y) | ~known).all(axis=1)
    assert found["accuracy"] == pytest.approx(right.mean())
    assert found["recall_at_fpr"] is None
    assert metrics.confusion_matrix(target, predicted) is None


def test_calibration_error_is_the_definition_of_guo_et_al() -> None:
    target = labels(500, 3)
    _, p = _guess(target)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == target.y
    expected = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert metrics.expected_calibration_error(target, p) == pytest.approx(expected)


def test_a_confidence_on_the_edge_belongs_to_the_bin_below() -> None:
    target = Target("binary", ("no", "yes"), np.array([0, 1]))
    edge = 9 / 15
    p = np.array([[edge, 1 - edge], [edge + 0.01, 0.39]])  # one right, one wrong: in one bin they would make up
    assert metrics.expected_calibration_error(target, p) == pytest.approx((1 - edge + edge + 0.01) / 2)


def test_calibration_error_of_a_sure_and_right_model_is_none_and_of_a_sure_and_wrong_one_is_all() -> None:
    target = labels(40, 2)
    sure = np.eye(2)[target.y]
    assert metrics.expected_calibration_error(target, sure) == 0.0
    assert metrics.expected_calibration_error(target, 1 - sure) == 1.0


def test_what_has_no_meaning_is_none() -> None:
    one_sided = Target("binary", ("no", "yes"), np.zeros(5, dtype=np.int64))
    found = metrics.scores(one_sided, np.zeros(5, dtype=int), np.tile([0.9, 0.1], (5, 1)))
    assert found["roc_auc"] is None
    assert found["average_precision"] is None
    assert found["recall_at_fpr"] == {"0.01": None, "0.05": None}
    yes = metrics.per_class(one_sided, np.zeros(5, dtype=int))[1]
    assert (yes["precision"], yes["recall"], yes["f1"], yes["support"]) == (None, None, None, 0)


@pytest.mark.parametrize("fpr", [0.0, 0.01, 0.05, 0.5])
def test_the_threshold_at_a_false_positive_rate_is_the_lowest_that_keeps_it(fpr: float) -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(400) < 0.4
    score = np.round(rng.normal(size=400) + positive, 1)  # with ties
    threshold = metrics.threshold_at_fpr(score, positive, fpr)
    assert np.mean(score[~positive] > threshold) <= fpr
    lower = score[score < threshold].max()
    assert np.mean(score[~positive] > lower) > fpr
    assert metrics.recall_at_fpr(score, positive, fpr) == np.mean(score[positive] > threshold)
