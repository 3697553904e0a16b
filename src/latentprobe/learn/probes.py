"""The probe: a linear model that acts on pooled features, and how its regularization is chosen on inner folds.

`choose` does the whole of learning for one representation, on training rows alone: everything that can be learned
(words, thresholds, selected features, scales, weights) is learned anew in each fold. Knows nothing of test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import ProbeSpec
from latentprobe.corpus import Target
from latentprobe.learn.baselines import Extractor, Features, extractor_for, scaling_for
from latentprobe.learn.decisions import Kind, labels_of, probabilities_of
from latentprobe.learn.logistic import Linear, Matrix, fit_path
from latentprobe.learn.metrics import macro_f1
from latentprobe.learn.splits import Folds
from latentprobe.learn.transforms import Transform, binarized, columns_of, fit_transform

__all__ = ["Chosen", "FittedProbe", "Recipe", "choose", "refit", "take_rows"]


@dataclass(frozen=True, eq=False)
class FittedProbe:
    """A linear model on pooled values as they come: scales are folded into the weights.

    The decision on a row is ``weights @ values + intercept`` over its ``features``, so that each feature's share of a
    decision is its weight times its value, and a row with no active feature gets the intercept.
    """

    features: NDArray[np.int64]
    """Columns used, ascending, [m]."""
    thresholds: NDArray[np.float32] | None
    """Where features are binarized: a value strictly above this counts 1, else 0, [m]."""
    weights: NDArray[np.float64]
    """[K, m]; K = 1 for a binary task, where a positive weight speaks for ``classes[1]``."""
    intercept: NDArray[np.float64]
    """[K]."""
    C: float | None
    """Inverse regularization strength it was fitted with; None for a model without features."""
    converged: bool
    """Whether the solver met its tolerance."""

    def values(self, rows: Matrix) -> Matrix:
        """The used columns of the rows, binarized where the probe is, [n, m]; sparse stays sparse."""
        return binarized(columns_of(rows, self.features), self.thresholds)

    def decision(self, rows: Matrix) -> NDArray[np.float64]:
        """Decision values, [n, K].

        Args:
            rows: pooled features, csr_matrix or array, [n, width].

        >>> probe = FittedProbe(np.array([0, 2]), None, np.array([[2.0, -1.0]]), np.array([0.5]), 1.0, True)
        >>> probe.decision(np.array([[1.0, 9.0, 1.0], [0.0, 0.0, 0.0]]))
        array([[1.5],
               [0.5]])
        """
        return np.asarray(self.values(rows) @ self.weights.T + self.intercept, dtype=np.float64)

    def predict(self, rows: Matrix, kind: Kind) -> NDArray[np.int64]:
        """Predicted codes, [n]; multi-label: 0 or 1, [n, K]."""
        return labels_of(self.decision(rows), kind)

    def predict_proba(self, rows: Matrix, kind: Kind) -> NDArray[np.float64]:
        """Probabilities before calibration, [n, classes]; multi-label: of each label, [n, K]."""
        return probabilities_of(self.decision(rows), kind)


@dataclass(frozen=True)
class Recipe:
    """What is done to a representation before the linear model."""

    features: Features
    """What the columns are: see `Features`."""
    binarize: str | float = "none"
    """``none``, a threshold, or ``auto``."""
    selection: str = "all"
    """``all``, ``top{K}`` or ``l1``."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """A probe fitted on all training rows with the C that did best on the inner folds."""

    probe: FittedProbe
    """The model; acts on ``extractor.transform(rows)``."""
    extractor: Extractor
    """From raw rows (texts, or a matrix that passes through) to the probe's columns; fitted on all training rows."""
    inner_macro_f1: float
    """Macro F1 over the pooled out-of-fold predictions, at the chosen C."""
    inner: tuple[tuple[float | None, float], ...]
    """(C, macro F1) of the whole grid, C ascending."""
    out_of_fold: NDArray[np.float64]
    """Decision values of the training rows, each from the fold that held it out, [n_train, K]."""

    def decision(self, rows: Any) -> NDArray[np.float64]:
        """Decision values of raw rows, [n, K]."""
        return self.probe.decision(self.extractor.transform(rows))


def choose(rows: Any, target: Target, folds: Folds, recipe: Recipe, spec: ProbeSpec) -> Chosen:
    """Choose C on inner folds by pooled out-of-fold macro F1 and refit on all rows.

    Of equal scores the smallest C, the strongest regularization, wins. Fits run along the grid from strong to weak, in
    the folds and in the refit alike, so that the refitted model is the one that was chosen.

    Args:
        rows: training rows: csr_matrix or array [n, d], or n texts.
        target: their labels.
        folds: of `inner_folds`, the same for every representation.
        recipe: what is done before the linear model.
        spec: penalty, grid and class weights.
    """
    if recipe.features == "scores":
        return _as_they_are(np.asarray(rows, np.float64), target)
    grid = sorted(spec.C) if recipe.features != "majority" else [1.0]
    decisions: list[NDArray[np.float64]] | None = None
    for fit_rows, held_out in folds:
        learned = _learn(take_rows(rows, fit_rows), target.take(fit_rows), recipe, spec, grid)
        held = learned.transform.apply(learned.extractor.transform(take_rows(rows, held_out)))
        for position, model in enumerate(learned.models):
            values = model.decision(held)
            if decisions is None:
                decisions = [np.empty((len(target), values.shape[1])) for _ in grid]
            decisions[position][held_out] = values
    assert decisions is not None, "there are at least two folds"
    scores = [macro_f1(target, labels_of(values, target.kind)) for values in decisions]
    best = int(np.argmax(scores))  # the first of equals: the strongest regularization
    learned = _learn(rows, target, recipe, spec, grid[: best + 1])
    has_columns = len(learned.transform.features) > 0
    shown = [C if has_columns else None for C in grid]
    return Chosen(
        probe=_folded(learned.transform, learned.models[-1], shown[best], dropping=spec.penalty == "l1"),
        extractor=learned.extractor,
        inner_macro_f1=scores[best],
        inner=tuple(zip(shown, scores, strict=True)),
        out_of_fold=decisions[best],
    )


def refit(rows: Any, target: Target, recipe: Recipe, spec: ProbeSpec, C: float) -> FittedProbe:
    """The probe of other training rows, with everything learned anew but the C, which is given.

    Args:
        rows, target, recipe, spec: as of `choose`.
        C: of the grid.
    """
    grid = [strength for strength in sorted(spec.C) if strength <= C]
    learned = _learn(rows, target, recipe, spec, grid)
    return _folded(learned.transform, learned.models[-1], C, dropping=spec.penalty == "l1")


def _as_they_are(scores: NDArray[np.float64], target: Target) -> Chosen:
    """Scores of the classes, [n, classes], as a model that learned nothing: the largest wins, of equals the first."""
    classes = scores.shape[1]
    weights = np.array([[-1.0, 1.0]]) if target.kind == "binary" else np.eye(classes)
    probe = FittedProbe(np.arange(classes), None, weights, np.zeros(len(weights)), None, True)
    decision = probe.decision(scores)
    score = macro_f1(target, labels_of(decision, target.kind))
    return Chosen(probe, extractor_for("scores"), score, ((None, score),), decision)


@dataclass(frozen=True, eq=False)
class _Learned:
    """All that one set of training rows teaches."""

    extractor: Extractor
    transform: Transform
    models: list[Linear]


def _learn(rows: Any, target: Target, recipe: Recipe, spec: ProbeSpec, grid: Sequence[float]) -> _Learned:
    extractor = extractor_for(recipe.features)
    scaled, transform = fit_transform(
        extractor.fit_transform(rows),
        target,
        scaling=scaling_for(recipe.features),
        binarize=recipe.binarize,
        selection=recipe.selection,
    )
    # The majority baseline is the share of the classes; weighing them alike would leave it nothing to say.
    weight = "none" if recipe.features == "majority" else spec.class_weight
    return _Learned(extractor, transform, fit_path(scaled, target, grid, penalty=spec.penalty, class_weight=weight))


def _folded(transform: Transform, model: Linear, C: float | None, *, dropping: bool) -> FittedProbe:
    """The model on values as they come; with L1, without the features it gives no weight."""
    weights, intercept = transform.fold_in(model.weights, model.intercept)
    used = np.any(weights != 0, axis=0) if dropping else np.ones(weights.shape[1], dtype=bool)
    return FittedProbe(
        features=transform.features[used],
        thresholds=None if transform.thresholds is None else transform.thresholds[used],
        weights=np.ascontiguousarray(weights[:, used]),
        intercept=intercept,
        C=C,
        converged=model.converged,
    )


def take_rows(rows: Any, positions: NDArray[np.int64]) -> Any:
    """Some rows of a matrix, or some of a list of texts."""
    if hasattr(rows, "shape"):
        return rows[positions]
    return [rows[position] for position in positions]
