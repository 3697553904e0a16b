"""One decision taken apart: what each active feature adds to the score of each class.

The parts and the intercept sum to the probe's own decision, so nothing about a decision is left unsaid. Knows nothing
of labels, texts or tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

if TYPE_CHECKING:  # importing it for real would bring in scikit-learn, which nothing here needs
    from latentprobe.learn.probes import FittedProbe

__all__ = ["Contribution", "Contributions", "class_weights", "contributions", "top_contributions"]


class Contributions(NamedTuple):
    """The active features of one row and what they add; ``K`` is 1 for a binary probe, whose sign is for classes[1]."""

    features: NDArray[np.int64]
    """Feature numbers of the SAE, ``[a]``, in the order of the probe."""
    values: NDArray[np.float64]
    """Pooled values, ``[a]``, before any binarization."""
    weights: NDArray[np.float64]
    """``[K, a]``."""
    contributions: NDArray[np.float64]
    """``[K, a]``: weight times value, or the weight itself where the probe is binarized."""


@dataclass(frozen=True)
class Contribution:
    """What one feature adds to the score of one class; negative speaks against the class."""

    feature: int
    value: float
    weight: float
    contribution: float


def class_weights(probe: FittedProbe, class_index: int) -> NDArray[np.float64]:
    """The weights ``[m]`` as seen from one class: positive speaks for it.

    A binary probe has one row of weights, which points to classes[1]; seen from classes[0] its sign turns.
    """
    if len(probe.weights) == 1:
        weights = probe.weights[0]
        return np.asarray(weights if class_index == 1 else -weights)
    return np.asarray(probe.weights[class_index])


def contributions(probe: FittedProbe, x_row: sp.csr_matrix) -> Contributions:
    """What each active feature of one row adds to the decision.

    ``contributions.sum(axis=1) + probe.intercept`` is ``probe.decision(x_row)[0]``.

    Args:
        probe: the fitted probe.
        x_row: pooled features of one row, ``[1, width]``.

    Returns:
        The features that add something, with their values, weights and contributions.
    """
    inputs = probe.values(x_row).toarray()[0].astype(np.float64)
    active = np.flatnonzero(inputs)
    features = probe.features[active]
    values = x_row[:, features].toarray()[0].astype(np.float64)
    weights = probe.weights[:, active]
    return Contributions(features, values, weights, weights * inputs[active])


def top_contributions(probe: FittedProbe, x_row: sp.csr_matrix, class_index: int, k: int) -> list[Contribution]:
    """The ``k`` features that move the score of one class most, either way; the largest in absolute value first.

    Args:
        probe: the fitted probe.
        x_row: pooled features of one row, ``[1, width]``.
        class_index: position of the class in the target's classes; for a binary probe 0 or 1.
        k: how many at most.
    """
    parts = contributions(probe, x_row)
    sign = -1.0 if len(probe.weights) == 1 and class_index == 0 else 1.0
    row = 0 if len(probe.weights) == 1 else class_index
    added = sign * parts.contributions[row]
    order = np.argsort(-np.abs(added), kind="stable")[:k]
    return [
        Contribution(
            int(parts.features[i]), float(parts.values[i]), float(sign * parts.weights[row, i]), float(added[i])
        )
        for i in order
    ]
