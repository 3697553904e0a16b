"""What one representation gives on one split: worked out once, and known again by the content of what went in.

The unit of work of a comparison. An outcome is plain numbers, so it can be kept in a store: an interrupted comparison
goes on where it stopped, and one more representation costs only itself. Knows nothing of the other representations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from latentprobe.config import ProbeSpec
from latentprobe.corpus import Target
from latentprobe.files import sha256_json
from latentprobe.learn.calibration import Calibration, calibrate
from latentprobe.learn.decisions import Kind, labels_of
from latentprobe.learn.metrics import confusion_matrix, expected_calibration_error, per_class, scores
from latentprobe.learn.probes import FittedProbe, Recipe, choose, take_rows
from latentprobe.learn.splits import Folds, Split

__all__ = ["Detail", "Outcome", "Task", "work_out"]

#: Raised when the same inputs would give other outcomes than before.
LEARN_VERSION = 1


@dataclass(frozen=True, eq=False)
class Detail:
    """Test predictions of one representation."""

    predicted: NDArray[np.int64]
    """Codes, [n_test]; multi-label: 0 or 1, [n_test, K]."""
    probabilities: NDArray[np.float64]
    """Calibrated, [n_test, classes]; multi-label: of each label, [n_test, K]. A binary label is the sign of the
    decision, so a positive row may have a probability below one half: see ``Calibration.thresholds``."""
    per_class: list[dict[str, Any]]
    """Precision, recall, F1 and support of each class."""
    confusion: NDArray[np.int64] | None
    """Rows of class i predicted as j, [K, K]; None for a multi-label task."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is the same for every representation."""

    target: Target
    """Labels of all rows."""
    split: Split
    """Which rows train and which test."""
    folds: Folds
    """Inner folds of the training rows."""
    probe: ProbeSpec
    """The linear model and its grid."""

    @cached_property
    def digest(self) -> str:
        """Content hash of labels, split, folds and grid."""
        content = hashlib.sha256()
        for array in (
            self.target.y,
            self.split.train,
            self.split.test,
            *(rows for fold in self.folds for rows in fold),
        ):
            content.update(f"{array.dtype.str}{array.shape}".encode())
            content.update(np.ascontiguousarray(array).tobytes())
        return sha256_json(
            {
                "arrays": content.hexdigest(),
                "kind": self.target.kind,
                "classes": self.target.classes,
                # What stands beside the linear model changes nothing about it.
                "probe": self.probe.model_dump(mode="json", exclude={"also"}),
            }
        )

    def key(self, source: str, recipe: Recipe) -> str:
        """Content hash of all that determines an outcome. ``source`` must be one of the rows' content."""
        return sha256_json(
            {
                "learn": LEARN_VERSION,
                "task": self.digest,
                "source": source,
                "recipe": asdict(recipe),
                "libraries": {name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
            }
        )


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came out for one representation."""

    scores: dict[str, Any]
    """Of the test part, as :func:`latentprobe.learn.metrics.scores` names them."""
    inner_macro_f1: float
    """Of the pooled out-of-fold predictions, at the chosen C: the only score that chooses anything."""
    detail: Detail
    """Test predictions."""
    probe: FittedProbe
    """Fitted on all training rows."""
    out_of_fold: NDArray[np.float64]
    """Decision values of the training rows, [n_train, K]."""
    calibration: Calibration
    """Fitted on ``out_of_fold``."""

    def values(self) -> dict[str, Any]:
        """Everything but the arrays, ready for JSON."""
        calibration = self.calibration
        return {
            "scores": self.scores,
            "inner_macro_f1": self.inner_macro_f1,
            "per_class": self.detail.per_class,
            "C": self.probe.C,
            "converged": self.probe.converged,
            "slope": calibration.slope,
            "offset": calibration.offset,
            "ece": [calibration.ece_before, calibration.ece_after],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        arrays = {
            "predicted": self.detail.predicted,
            "probabilities": self.detail.probabilities,
            "features": self.probe.features,
            "weights": self.probe.weights,
            "intercept": self.probe.intercept,
            "out_of_fold": self.out_of_fold,
        }
        optional = {"confusion": self.detail.confusion, "thresholds": self.probe.thresholds}
        return arrays | {name: array for name, array in optional.items() if array is not None}

    @classmethod
    def restored(cls, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], kind: Kind) -> Outcome:
        """The outcome that gave these values and arrays."""
        return cls(
            scores=values["scores"],
            inner_macro_f1=values["inner_macro_f1"],
            detail=Detail(arrays["predicted"], arrays["probabilities"], values["per_class"], arrays.get("confusion")),
            probe=FittedProbe(
                arrays["features"],
                arrays.get("thresholds"),
                arrays["weights"],
                arrays["intercept"],
                values["C"],
                values["converged"],
            ),
            out_of_fold=arrays["out_of_fold"],
            calibration=Calibration(kind, tuple(values["slope"]), tuple(values["offset"]), *values["ece"]),
        )


def work_out(rows: Any, recipe: Recipe, task: Task) -> Outcome:
    """One representation, from training rows to test scores.

    Args:
        rows: all rows of the corpus: float32 csr_matrix or array, [n, d]; or the texts.
        recipe: what is done to them before the linear model.
        task: labels, split, folds and grid.
    """
    # One thread of BLAS in every worker, and here too: sums in another order would give other last digits.
    with threadpool_limits(limits=1):
        train = task.target.take(task.split.train)
        test = task.target.take(task.split.test)
        chosen = choose(take_rows(rows, task.split.train), train, task.folds, recipe, task.probe)
        calibration = calibrate(chosen.out_of_fold, train)
        decision = chosen.decision(take_rows(rows, task.split.test))
        predicted = labels_of(decision, test.kind)
        probabilities = calibration.probabilities(decision)
        uncalibrated = Calibration(test.kind, (1.0,), (0.0,), None, None).probabilities(decision)
        return Outcome(
            scores={
                **scores(test, predicted, probabilities),
                "ece_uncalibrated": expected_calibration_error(test, uncalibrated),
            },
            inner_macro_f1=chosen.inner_macro_f1,
            detail=Detail(predicted, probabilities, per_class(test, predicted), confusion_matrix(test, predicted)),
            probe=chosen.probe,
            out_of_fold=chosen.out_of_fold,
            calibration=calibration,
        )
