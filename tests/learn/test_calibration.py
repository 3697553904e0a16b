"""Probabilities that mean what they say, and labels that stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

from latentprobe.corpus import Target
from latentprobe.learn import calibrate
from latentprobe.learn.decisions import labels_of, probabilities_of

from .planted import labels, multilabel


def _decisions(target: Target, sureness: float = 5.0, shift: float = 0.0) -> np.ndarray:
    """Decisions that are too sure by the factor ``sureness``."""
    rng = np.random.default_rng(0)
    if target.kind == "multiclass":
        return sureness * (
            np.eye(len(target.classes))[target.y] * 1.5 + rng.normal(size=(len(target), len(target.classes)))
        )
    answers = np.nan_to_num(target.y).reshape(len(target), -1)
    return sureness * (2 * answers - 1 + rng.normal(scale=1.4, size=answers.shape)) + shift


TARGETS = [labels(800), labels(800, 5), multilabel(800)]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.kind)
def test_calibration_repairs_overconfidence(target: Target) -> None:
    calibration = calibrate(_decisions(target), target)
    assert calibration.ece_before > 0.1
    assert calibration.ece_after < 0.05
    assert calibration.ece_after < calibration.ece_before / 3


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.kind)
@pytest.mark.parametrize("sureness", [5.0, -1.0, 0.0])
def test_calibration_changes_no_label(target: Target, sureness: float) -> None:
    """Not even of a model that is worse than chance, whose order Platt scaling would turn around."""
    decision = _decisions(target, sureness, shift=0.7)
    calibration = calibrate(decision, target)
    p = calibration.probabilities(decision)
    before = labels_of(decision, target.kind)
    if target.kind == "multiclass":
        after = p.argmax(axis=1)
    elif target.kind == "binary":
        after = (p[:, 1] > calibration.thresholds[0]).astype(int)
    else:
        after = (p > np.array(calibration.thresholds)).astype(int)
    assert np.array_equal(before, after)


def test_platt_scaling_is_the_minimum_of_the_smoothed_log_loss() -> None:
    target = labels(400)
    decision = _decisions(target)[:, 0]
    n = np.bincount(target.y)
    wanted = np.where(target.y == 1, (n[1] + 1) / (n[1] + 2), 1 / (n[0] + 2))

    def loss(parameters: np.ndarray) -> float:
        p = expit(parameters[0] * decision + parameters[1])
        return float(-np.mean(wanted * np.log(p) + (1 - wanted) * np.log1p(-p)))

    expected = minimize(loss, [0.1, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12}).x
    found = calibrate(decision[:, None], target)
    assert (found.slope[0], found.offset[0]) == pytest.approx(tuple(expected), abs=1e-3)


def test_the_temperature_is_the_one_of_least_log_loss() -> None:
    target = labels(400, 4)
    decision = _decisions(target)
    slopes = np.geomspace(0.01, 2, 4000)
    losses = [-np.mean(log_softmax(s * decision, axis=1)[np.arange(400), target.y]) for s in slopes]
    assert calibrate(decision, target).slope[0] == pytest.approx(slopes[np.argmin(losses)], rel=5e-3)


def test_decisions_that_separate_perfectly_give_finite_numbers() -> None:
    target = labels(50)
    found = calibrate((2.0 * target.y - 1)[:, None] * 100, target)
    assert np.isfinite([*found.slope, *found.offset]).all()
    assert found.probabilities(np.array([[100.0]]))[0, 1] > 0.9


def test_plain_decisions_become_the_usual_probabilities() -> None:
    decision = np.random.default_rng(0).normal(size=(10, 3))
    np.testing.assert_allclose(probabilities_of(decision, "multiclass"), np.exp(log_softmax(decision, axis=1)))
    np.testing.assert_allclose(probabilities_of(decision[:, :1], "binary")[:, 1], 1 / (1 + np.exp(-decision[:, 0])))
    np.testing.assert_allclose(probabilities_of(decision, "multilabel"), 1 / (1 + np.exp(-decision)))
