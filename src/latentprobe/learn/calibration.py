"""From decision values to probabilities that mean what they say, without changing a single label.

Fitted on out-of-fold decisions of the training part: Platt scaling for a binary task and for each label of a
multi-label one, a temperature for a multi-class one. Knows nothing of the model behind the decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from latentprobe.corpus import Target
from latentprobe.learn.decisions import Kind, probabilities_of
from latentprobe.learn.metrics import expected_calibration_error

__all__ = ["Calibration", "calibrate"]

_SLOPES = (1e-3, 1e3)
"""Bounds of the slope: above 0, so that the order of decisions, and with it every label, stays as it is."""


@dataclass(frozen=True)
class Calibration:
    """Calibrated decision = slope * decision + offset; plain numbers."""

    kind: Kind
    """The task."""
    slope: tuple[float, ...]
    """One number; multi-label: one a label. For a multi-class task 1 / temperature."""
    offset: tuple[float, ...]
    """As many numbers; 0 for a multi-class task."""
    ece_before: float | None
    """Expected calibration error of the uncalibrated probabilities on the out-of-fold decisions."""
    ece_after: float | None
    """The same after calibration."""

    def probabilities(self, decision: NDArray[Any]) -> NDArray[np.float64]:
        """Calibrated probabilities of decision values [n, K]: [n, classes]; multi-label: of each label, [n, K].

        >>> Calibration("binary", (2.0,), (-1.0,), None, None).probabilities(np.array([[0.5]]))
        array([[0.5, 0.5]])
        """
        return probabilities_of(np.asarray(decision) * np.array(self.slope) + np.array(self.offset), self.kind)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The calibrated probability at which the raw decision is 0, one for a binary task, one a label for a
        multi-label one, none for a multi-class one: strictly above it is positive, so labels are the uncalibrated
        ones."""
        return () if self.kind == "multiclass" else tuple(float(expit(offset)) for offset in self.offset)


def calibrate(decision: NDArray[Any], target: Target) -> Calibration:
    """Fit the calibration of a task on out-of-fold decision values.

    Args:
        decision: [n, K], each from a model that did not see the row.
        target: true labels of those rows.
    """
    decision = np.asarray(decision, dtype=np.float64)
    if target.kind == "multiclass":
        fitted = [(_inverse_temperature(decision, target.y), 0.0)]
    elif target.kind == "binary":
        fitted = [_platt(decision[:, 0], target.y)]
    else:
        known = ~np.isnan(target.y)
        fitted = [_platt(decision[known[:, k], k], target.y[known[:, k], k]) for k in range(known.shape[1])]
    slope, offset = zip(*fitted, strict=True)
    before = expected_calibration_error(target, probabilities_of(decision, target.kind))
    plain = Calibration(target.kind, slope, offset, before, None)
    after = expected_calibration_error(target, plain.probabilities(decision))
    return Calibration(target.kind, slope, offset, before, after)


def _platt(decision: NDArray[np.float64], answer: NDArray[Any]) -> tuple[float, float]:
    """Slope and offset of least log loss, towards Platt's smoothed targets, which keep both finite."""
    from scipy.optimize import minimize

    positive = answer == 1
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    wanted = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    unit = float(np.sqrt(np.mean(decision**2))) or 1.0  # decisions near 1, whatever their scale: one step size fits
    inputs = decision / unit

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = parameters[0] * inputs + parameters[1]
        wrong = expit(logits) - wanted
        value = np.mean(np.logaddexp(0, logits) - wanted * logits)
        return float(value), np.array([np.mean(wrong * inputs), np.mean(wrong)])

    bounds = [(_SLOPES[0] * unit, _SLOPES[1] * unit), (None, None)]
    start = [unit, np.log((n_positive + 1) / (n_negative + 1))]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": 1e-8}).x
    return float(found[0] / unit), float(found[1])


def _inverse_temperature(decision: NDArray[np.float64], codes: NDArray[Any]) -> float:
    """1 / T of least log loss (Guo et al. 2017, section 4.2), by a bounded search on its logarithm."""
    from scipy.optimize import minimize_scalar

    shifted = decision - decision.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(codes)), codes]

    def loss(log_slope: float) -> float:
        slope = np.exp(log_slope)
        return float(np.mean(logsumexp(slope * shifted, axis=1) - slope * own))

    return float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(_SLOPES)), method="bounded").x))
