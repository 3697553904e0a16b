"""From the decision values of a linear model to labels and probabilities.

A binary model has one decision value, positive for ``classes[1]``; a multi-class model one a class, of which the
largest wins; a multi-label model one a label, each a binary decision of its own. Knows nothing of how the values came
about.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

__all__ = ["Kind", "labels_of", "probabilities_of"]

Kind = Literal["binary", "multiclass", "multilabel"]


def labels_of(decision: NDArray[Any], kind: Kind) -> NDArray[np.int64]:
    """Predicted codes, [n]; for a multi-label task 0 or 1 for each label, [n, K].

    Args:
        decision: [n, K], with K = 1 for a binary task. Positive is strictly above 0, here and everywhere.

    >>> labels_of(np.array([[-1.0], [0.0], [2.0]]), "binary")
    array([0, 0, 1])
    """
    if kind == "multiclass":
        return np.asarray(np.argmax(decision, axis=1), dtype=np.int64)
    answers: NDArray[np.int64] = (decision > 0).astype(np.int64)
    return answers[:, 0] if kind == "binary" else answers


def probabilities_of(decision: NDArray[Any], kind: Kind) -> NDArray[np.float64]:
    """Probabilities, [n, classes]; for a multi-label task the probability of 1 for each label, [n, K].

    >>> probabilities_of(np.array([[0.0]]), "binary")
    array([[0.5, 0.5]])
    """
    decision = np.asarray(decision, dtype=np.float64)
    if kind == "multiclass":
        return np.asarray(softmax(decision, axis=1))
    positive = np.asarray(expit(decision))
    return np.hstack([expit(-decision), positive]) if kind == "binary" else positive
