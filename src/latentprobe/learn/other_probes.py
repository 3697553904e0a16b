"""Other classifiers beside the linear probe, on the rows that were chosen: trees, boosting, centroids, the L1 path.

Each meets the same training rows, folds and test rows; its setting is chosen on the inner folds, its probabilities are
calibrated on what they held out. scikit-learn's models take dense columns, so of many columns only those with the
largest mean difference on the rows of the fit are shown to them. Knows nothing of how rows are made or stored.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from latentprobe.config import ProbeSpec
from latentprobe.corpus import Target
from latentprobe.files import sha256_json
from latentprobe.learn.baselines import Extractor, extractor_for, scaling_for
from latentprobe.learn.calibration import Calibration, calibrate
from latentprobe.learn.decisions import labels_of
from latentprobe.learn.evaluate import Representation, loaded_rows, recipe_of
from latentprobe.learn.intervals import bootstrap_macro_f1, interval
from latentprobe.learn.logistic import Matrix, fit_path
from latentprobe.learn.metrics import expected_calibration_error, macro_f1, scores
from latentprobe.learn.outcome import Task
from latentprobe.learn.probes import Recipe, choose, take_rows
from latentprobe.learn.transforms import Transform, fit_transform
from latentprobe.learn.workers import in_workers
from latentprobe.store import OutcomeStore

__all__ = ["Kind", "other_probes", "work_out_other"]

Kind = Literal["tree", "boosting", "centroid", "l1_path"]

#: Raised when the same inputs would give other outcomes than before.
OTHER_VERSION = 1

_MOST_COLUMNS = 512
"""Columns that become dense: all of a hidden state, the best of an SAE or of TF-IDF."""
_MOST_TREES = 1000
"""Trees of one boosted model: a class needs one of its own in each round, so many classes get fewer rounds."""
_ROUNDS = 100
_BINS = 63
"""Of each column, where a tree may split it: a quarter of scikit-learn's, and four times as fast on a thousand rows."""
_SURE = 1e-6
"""Probabilities of 0 and 1, as trees give them, count as this far from it."""

_GRIDS: Mapping[str, Sequence[dict[str, Any]]] = {
    "tree": [{"max_depth": depth} for depth in (2, 4, 8, 16)],
    "boosting": [{"learning_rate": rate} for rate in (0.05, 0.2)],
    "centroid": [{"shrink_threshold": shrink} for shrink in (2.0, 1.0, 0.5, None)],
}
"""Settings to choose from, the simplest first: it wins a tie."""


def other_probes(
    kinds: Sequence[Kind],
    representations: Sequence[Representation],
    chosen: Sequence[int],
    task: Task,
    units: NDArray[Any],
    *,
    resamples: int,
    seed: int,
    jobs: int | None = None,
    memory: OutcomeStore | None = None,
) -> list[dict[str, Any]]:
    """Every kind of classifier on every chosen row.

    Args:
        kinds: which ones.
        representations: the rows of the table.
        chosen: positions of the rows to try them on.
        task: labels, split, folds, and class weights.
        units: unit of each row of the corpus, [n], for the intervals.
        resamples, seed: of the bootstrap.
        jobs, memory: as of `evaluate`.

    Returns:
        Plain values, in the order of ``chosen`` and then of ``kinds``: ``name`` of the row, ``probe``, ``setting``,
        ``inner_macro_f1``, ``macro_f1`` with ``low`` and ``high``, the other scores of the test part, ``n_features``
        the classifier was shown, and of ``l1_path`` the ``path``: C, inner macro F1 and features with a weight.
    """
    wanted = [(index, kind) for index in chosen for kind in kinds]
    found: dict[tuple[int, str], tuple[dict[str, Any], dict[str, NDArray[Any]]]] = {}
    for index, kind in wanted:
        kept = None if memory is None else memory.read(_key(kind, representations[index], task))
        if kept is not None:
            found[index, kind] = kept
    missing = [pair for pair in wanted if pair not in found]
    arguments = _arguments(representations, missing, task)
    for index, kind, values, arrays in in_workers(_run, arguments, len(missing), jobs):
        found[index, kind] = values, arrays
        if memory is not None:
            memory.write(_key(kind, representations[index], task), values, arrays)
    truth, test_units = task.target.take(task.split.test), units[task.split.test]
    predicted = [found[pair][1]["predicted"] for pair in wanted]
    resampled = bootstrap_macro_f1(truth, predicted, test_units, resamples=resamples, seed=seed)
    return [
        {"name": representations[index].name, "probe": kind}
        | found[index, kind][0]
        | dict(zip(("low", "high"), interval(resampled[place]), strict=True))
        for place, (index, kind) in enumerate(wanted)
    ]


def _key(kind: Kind, representation: Representation, task: Task) -> str:
    linear = task.key(representation.source, recipe_of(representation))
    return sha256_json({"version": OTHER_VERSION, "probe": kind, "beside": linear})


def _arguments(
    representations: Sequence[Representation], pairs: Sequence[tuple[int, Kind]], task: Task
) -> Iterator[tuple[int, Kind, Any, Recipe, Task]]:
    indices = list(dict.fromkeys(index for index, _ in pairs))
    for index, rows, recipe in loaded_rows(representations, indices, len(task.target)):
        for kind in (kind for other, kind in pairs if other == index):
            yield index, kind, rows, recipe, task


def _run(index: int, kind: Kind, rows: Any, recipe: Recipe, task: Task) -> tuple[int, Kind, Any, Any]:
    return index, kind, *work_out_other(kind, rows, recipe, task)


def work_out_other(
    kind: Kind, rows: Any, recipe: Recipe, task: Task
) -> tuple[dict[str, Any], dict[str, NDArray[np.int64]]]:
    """One kind of classifier on one representation, from training rows to test scores.

    Args:
        kind: which one.
        rows: all rows of the corpus: float32 csr_matrix or array, [n, d]; or the texts.
        recipe: what is done to them first.
        task: labels, split, folds and class weights.

    Returns:
        Plain values as `other_probes` describes them, and ``predicted`` labels of the test part.
    """
    train, test = task.target.take(task.split.train), task.target.take(task.split.test)
    rows_train, rows_test = take_rows(rows, task.split.train), take_rows(rows, task.split.test)
    with threadpool_limits(limits=1):  # as the linear probe: other sums would give other last digits
        if kind == "l1_path":
            values, out_of_fold, decision = _l1_path(rows_train, rows_test, train, recipe, task)
        else:
            values, out_of_fold, decision = _dense_model(kind, rows_train, rows_test, train, recipe, task)
        calibration = calibrate(out_of_fold, train)
        predicted = labels_of(decision, test.kind)
        plain = Calibration(test.kind, (1.0,), (0.0,), None, None).probabilities(decision)
        values |= scores(test, predicted, calibration.probabilities(decision))
        values["ece_uncalibrated"] = expected_calibration_error(test, plain)
    return values, {"predicted": predicted}


Fitted = tuple[dict[str, Any], NDArray[np.float64], NDArray[np.float64]]
"""Values, out-of-fold decisions of the training rows, decisions on the test rows."""


def _l1_path(rows: Any, rows_test: Any, target: Target, recipe: Recipe, task: Task) -> Fitted:
    """The linear probe with an L1 penalty: how few features will do."""
    spec = task.probe.model_copy(update={"penalty": "l1"})
    chosen = choose(rows, target, task.folds, recipe, spec)
    prepared = _prepared(rows, target, recipe, recipe.selection)
    models = fit_path(prepared.columns, target, sorted(spec.C), penalty="l1", class_weight=spec.class_weight)
    path = [
        {"C": C, "inner_macro_f1": score, "n_features": int(np.any(model.weights != 0, axis=0).sum())}
        for (C, score), model in zip(chosen.inner, models, strict=False)
    ]
    values = {
        "setting": {"C": chosen.probe.C},
        "inner_macro_f1": chosen.inner_macro_f1,
        "n_features": len(chosen.probe.features),
        "path": path,
    }
    return values, chosen.out_of_fold, chosen.decision(rows_test)


def _dense_model(kind: Kind, rows: Any, rows_test: Any, target: Target, recipe: Recipe, task: Task) -> Fitted:
    """A model of scikit-learn on dense columns; of equal inner scores the simpler setting wins."""
    grid, selection = _GRIDS[kind], _bounded(recipe.selection)
    width = 1 if target.kind == "binary" else len(target.classes)
    out_of_fold = [np.empty((len(target), width)) for _ in grid]
    for fit_rows, held_out in task.folds:
        own = target.take(fit_rows)
        prepared = _prepared(take_rows(rows, fit_rows), own, recipe, selection)
        held = prepared.apply(take_rows(rows, held_out))
        for place, setting in enumerate(grid):
            out_of_fold[place][held_out] = _decisions(kind, setting, prepared.columns, own, held, task.probe)
    inner = [macro_f1(target, labels_of(values, target.kind)) for values in out_of_fold]
    best = int(np.argmax(inner))
    prepared = _prepared(rows, target, recipe, selection)
    decision = _decisions(kind, grid[best], prepared.columns, target, prepared.apply(rows_test), task.probe)
    values = {
        "setting": dict(grid[best]),
        "inner_macro_f1": inner[best],
        "n_features": prepared.columns.shape[1],
        "path": None,
    }
    return values, out_of_fold[best], decision


def _bounded(selection: str) -> str:
    """A selection that leaves no more columns than may become dense."""
    if selection.startswith("top") and int(selection.removeprefix("top")) <= _MOST_COLUMNS:
        return selection
    return f"top{_MOST_COLUMNS}"


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Scaled columns of the rows of a fit, and how others get the same."""

    columns: Matrix
    extractor: Extractor
    transform: Transform

    def apply(self, rows: Any) -> Matrix:
        return self.transform.apply(self.extractor.transform(rows))


def _prepared(rows: Any, target: Target, recipe: Recipe, selection: str) -> _Prepared:
    extractor = extractor_for(recipe.features)
    columns, transform = fit_transform(
        extractor.fit_transform(rows),
        target,
        scaling=scaling_for(recipe.features),
        binarize=recipe.binarize,
        selection=selection,
    )
    return _Prepared(columns, extractor, transform)


def _decisions(
    kind: Kind, setting: Mapping[str, Any], columns: Matrix, target: Target, other: Matrix, spec: ProbeSpec
) -> NDArray[np.float64]:
    """Decision values on other rows, [n, K], of a model fitted on these."""
    fit, held = _dense(columns), _dense(other)
    if target.kind == "multilabel":
        answers = []
        for label in target.y.T:
            known = ~np.isnan(label)
            answers.append(_decision(kind, setting, fit[known], label[known].astype(np.int64), held, spec))
        return np.hstack(answers)
    return _decision(kind, setting, fit, target.y, held, spec)


def _dense(rows: Matrix) -> NDArray[np.float32]:
    return np.asarray(rows.toarray() if sp.issparse(rows) else rows, dtype=np.float32)


def _decision(
    kind: Kind, setting: Mapping[str, Any], fit: Any, codes: NDArray[np.int64], held: Any, spec: ProbeSpec
) -> NDArray[np.float64]:
    """Decision values, [n, K] with K = 1 for two classes; of a model without any, the logarithms of its probabilities,
    or their odds."""
    model = _model(kind, setting, int(codes.max()) + 1, spec) if fit.shape[1] else DummyClassifier(strategy="prior")
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # A column without spread inside the classes is what one hopes for, not what one warns of.
        warnings.filterwarnings("ignore", message="self.within_class_std_dev_", category=UserWarning)
        model.fit(fit, codes)
    if kind == "centroid" and not np.isfinite(getattr(model, "centroids_", 0)).all():
        # Where most columns have no spread inside the classes, there is no unit to shrink by.
        return _decision(kind, {"shrink_threshold": None}, fit, codes, held, spec)
    if hasattr(model, "decision_function"):
        values = np.asarray(model.decision_function(held), dtype=np.float64)
        return values.reshape(len(held), -1)
    logs = np.log(np.clip(np.asarray(model.predict_proba(held), dtype=np.float64), _SURE, 1 - _SURE))
    return logs[:, 1:] - logs[:, :1] if logs.shape[1] == 2 else logs


def _model(kind: Kind, setting: Mapping[str, Any], n_classes: int, spec: ProbeSpec) -> Any:
    """A fresh model in which classes weigh as they do in the linear one."""
    balanced = spec.class_weight == "balanced"
    weight = "balanced" if balanced else None
    if kind == "tree":
        return DecisionTreeClassifier(min_samples_leaf=2, class_weight=weight, random_state=0, **setting)
    if kind == "boosting":
        rounds = max(10, min(_ROUNDS, _MOST_TREES // (1 if n_classes == 2 else n_classes)))
        return HistGradientBoostingClassifier(
            max_iter=rounds,
            max_leaf_nodes=15,
            max_bins=_BINS,
            early_stopping=False,
            class_weight=weight,
            random_state=0,
            **setting,
        )
    return NearestCentroid(priors="uniform" if balanced else "empirical", **setting)
