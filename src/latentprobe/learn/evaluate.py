"""Every representation on the same rows: chosen on inner folds, judged once on the test part, with intervals.

A worker gets one representation at a time and returns plain numbers; what is selected is selected from inner scores
alone, before any test score is looked at. Knows nothing of how representations are made or stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import EvaluateSpec, ProbeSpec
from latentprobe.corpus import Target
from latentprobe.errors import SpecError
from latentprobe.learn.baselines import Features
from latentprobe.learn.calibration import Calibration
from latentprobe.learn.intervals import (
    Difference,
    Effect,
    bootstrap_macro_f1,
    effect_size,
    holm,
    interval,
    paired_difference,
)
from latentprobe.learn.outcome import Detail, Outcome, Task, work_out
from latentprobe.learn.probes import FittedProbe, Recipe
from latentprobe.learn.splits import Split, inner_folds
from latentprobe.learn.workers import in_workers, loaded
from latentprobe.store import OutcomeStore

__all__ = [
    "Comparison",
    "Evaluation",
    "Representation",
    "Table",
    "compare",
    "evaluate",
    "loaded_rows",
    "recipe_of",
    "task_of",
]


@dataclass(frozen=True)
class Representation:
    """One way to turn the rows of a corpus into columns: a line of the table."""

    kind: Literal["sae", "baseline", "both"]
    """``both``, SAE features beside hidden states, is shown as a baseline and is never the best of them: what is
    compared with SAE features has none itself."""
    name: str
    features: Features
    """What the columns are: see `Features`."""
    load: Callable[[], Any]
    """All rows in corpus order: float32 csr_matrix, array or `SideBySide`, [n, d]; or the list of texts. Called in
    this process, possibly by another thread, once for each run of representations with the same ``source``."""
    source: str
    """Key of what ``load`` returns; representations with the same key share it."""
    binarize: str | float = "none"
    selection: str = "all"
    family: str = ""
    """Baselines of one family differ in settings alone. Default: each kind of ``features`` is a family."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """What identifies it in the table: model, layer, sae, width, tokens, pooling, binarize, selection."""


@dataclass(frozen=True)
class Comparison:
    """The selected SAE row minus a baseline."""

    baseline: int
    """Position of the baseline in the rows."""
    difference: Difference
    """In macro F1 on the test part, paired."""
    p_holm: float | None
    """Its p corrected for the comparisons with the baselines that inner folds prefer, one of each family; None for all
    other baselines."""
    effect: Effect
    """How often one is right where the other is wrong."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came out. Positions are those of the representations that went in."""

    rows: tuple[dict[str, Any], ...]
    """One a representation: ``kind``, ``name``, its columns, ``C``, the scores with ``low`` and ``high`` of macro F1,
    ``inner_macro_f1``, ``n_features``, ``converged`` and ``selected``. Plain values; None where one does not apply."""
    selected: int | None
    """The SAE row with the best inner macro F1 (of equals: fewer features, then the earlier); None without SAE rows."""
    best_baseline: int | None
    """The baseline with the best inner macro F1; None without baselines."""
    comparisons: tuple[Comparison, ...]
    """The selected row against each baseline, in order; empty if there is no selected row."""
    details: Mapping[int, Detail]
    """Of the selected row and of each baseline."""
    probe: FittedProbe | None
    """Of the selected row."""
    out_of_fold: NDArray[np.float64] | None
    """Decision values of the selected row on the training rows, each from the fold that held it out, [n_train, K]."""
    calibration: Calibration | None
    """Of the selected row, fitted on ``out_of_fold``."""

    @property
    def difference(self) -> Difference | None:
        """The selected row minus the best baseline; None where one is missing."""
        found = [c.difference for c in self.comparisons if c.baseline == self.best_baseline]
        return found[0] if found else None


@dataclass(frozen=True, eq=False)
class _Result:
    """An outcome and the position of its representation."""

    index: int
    outcome: Outcome

    @property
    def rank(self) -> tuple[float, int, int]:
        """Smaller is better."""
        return (-self.outcome.inner_macro_f1, len(self.outcome.probe.features), self.index)


def evaluate(
    representations: Sequence[Representation],
    target: Target,
    units: NDArray[Any],
    split: Split,
    probe: ProbeSpec,
    settings: EvaluateSpec,
    *,
    jobs: int | None = None,
    memory: OutcomeStore | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Choose, fit and score every representation on the same split, folds and resamples.

    Args:
        representations: the rows of the table, in order.
        target: labels of all n rows.
        units: unit of each row, [n], of `units_of`; inner folds and resamples keep units whole.
        split: which rows train and which test.
        probe: the linear model and its grid.
        settings: folds, seed and resamples.
        jobs: processes; None: as many as there are cores and representations. The numbers don't depend on it.
        memory: where outcomes are kept as they come, and found again; the ``source`` of each representation must then
            be a hash of its rows' content.
        progress: gets a line after each representation.

    Raises:
        SpecError: there is nothing to evaluate.
        CorpusError: a class cannot be in every fold.
        StoreError: ``load`` returned another number of rows, or values that are not finite.
    """
    task = task_of(target, units, split, probe, settings)
    table = compare(representations, task, jobs=jobs, memory=memory, progress=progress)
    truth = target.take(split.test)
    resampled = bootstrap_macro_f1(
        truth, table.predicted(), units[split.test], resamples=settings.bootstrap, seed=settings.seed
    )
    return table.finished(resampled, truth, units[split.test])


def task_of(target: Target, units: NDArray[Any], split: Split, probe: ProbeSpec, settings: EvaluateSpec) -> Task:
    """What is the same for every representation on one split.

    Raises:
        CorpusError: a class cannot be in every fold.
    """
    folds = inner_folds(target.take(split.train), units[split.train], settings.folds, settings.seed)
    return Task(target, split, folds, probe)


def compare(
    representations: Sequence[Representation],
    task: Task,
    *,
    jobs: int | None = None,
    memory: OutcomeStore | None = None,
    progress: Callable[[str], None] | None = None,
) -> Table:
    """Every representation fitted and scored, without intervals; arguments as of `evaluate`."""
    if not representations:
        raise SpecError(
            "there is nothing to evaluate",
            got="no SAE row and no baseline",
            fix="name an SAE, or a baseline such as tfidf",
        )
    table = Table(representations, progress)
    for result in _results(representations, task, jobs, memory):
        table.add(result)
    return table


class Table:
    """Results as they arrive; keeps the probe of the best SAE row only, which may be large."""

    def __init__(self, representations: Sequence[Representation], progress: Callable[[str], None] | None) -> None:
        self._representations = representations
        self._progress = progress
        self._results: dict[int, _Result] = {}
        self._predicted: dict[int, NDArray[np.int64]] = {}
        self._best: dict[str, _Result] = {}
        self._rows: dict[int, dict[str, Any]] = {}

    def best(self, kind: str) -> tuple[dict[str, Any], NDArray[np.int64]] | None:
        """Row, and predictions on the test part, of the row of a kind that inner folds prefer; None without one."""
        result = self._best.get(kind)
        return None if result is None else (self._rows[result.index], self._predicted[result.index])

    def add(self, result: _Result) -> None:
        representation = self._representations[result.index]
        kind = representation.kind
        self._predicted[result.index] = result.outcome.detail.predicted
        self._rows[result.index] = _row(representation, result)
        if kind not in self._best or result.rank < self._best[kind].rank:
            self._best[kind] = result
        if kind != "sae":
            self._results[result.index] = result
        if self._progress is not None:
            self._progress(
                f"{len(self._rows)}/{len(self._representations)} {_label(representation)}: "
                f"macro F1 {result.outcome.inner_macro_f1:.3f} on inner folds"
            )

    def predicted(self) -> list[NDArray[np.int64]]:
        return [self._predicted[index] for index in range(len(self._representations))]

    def finished(self, resampled: NDArray[np.float64], truth: Target, units: NDArray[Any]) -> Evaluation:
        """The evaluation, with the bootstrapped macro F1 of each row, [rows, resamples], and labels and units of the
        test part."""
        best, best_baseline = self._best.get("sae"), self._best.get("baseline")
        details = {index: result.outcome.detail for index, result in sorted(self._results.items())}
        if best is not None:
            details[best.index] = best.outcome.detail
        selected = None if best is None else best.index
        for index, row in self._rows.items():
            row["low"], row["high"] = interval(resampled[index])
            row["selected"] = index == selected
        return Evaluation(
            rows=tuple(self._rows[index] for index in range(len(self._rows))),
            selected=selected,
            best_baseline=None if best_baseline is None else best_baseline.index,
            comparisons=() if selected is None else self._comparisons(selected, resampled, truth, units),
            details=details,
            probe=None if best is None else best.outcome.probe,
            out_of_fold=None if best is None else best.outcome.out_of_fold,
            calibration=None if best is None else best.outcome.calibration,
        )

    def _comparisons(
        self, selected: int, resampled: NDArray[np.float64], truth: Target, units: NDArray[Any]
    ) -> tuple[Comparison, ...]:
        baselines = sorted(self._results)
        differences = [
            paired_difference(
                self._rows[selected]["macro_f1"] - self._rows[index]["macro_f1"], resampled[selected], resampled[index]
            )
            for index in baselines
        ]
        corrected = self._corrected(dict(zip(baselines, (difference.p for difference in differences), strict=True)))
        chosen = self._predicted[selected]
        return tuple(
            Comparison(
                index, difference, corrected.get(index), effect_size(truth, chosen, self._predicted[index], units)
            )
            for index, difference in zip(baselines, differences, strict=True)
        )

    def _corrected(self, p: Mapping[int, float]) -> dict[int, float]:
        """Holm's p of one baseline a family, the one inner folds prefer: settings that were not chosen are no tests."""
        best: dict[str, int] = {}
        for index in p:
            family = self._representations[index].family or self._representations[index].features
            if family not in best or self._results[index].rank < self._results[best[family]].rank:
                best[family] = index
        tested = sorted(best.values())
        return dict(zip(tested, holm([p[index] for index in tested]), strict=True))


def _label(representation: Representation) -> str:
    parts = [representation.columns.get(key) for key in ("layer", "sae", "pooling", "binarize", "selection")]
    return " ".join([representation.name, *(str(part) for part in parts if part is not None)])


def _row(representation: Representation, result: _Result) -> dict[str, Any]:
    return {
        "kind": "sae" if representation.kind == "sae" else "baseline",
        "name": representation.name,
        **representation.columns,
        "C": result.outcome.probe.C,
        "macro_f1": result.outcome.scores["macro_f1"],
        "low": None,
        "high": None,
        **{name: value for name, value in result.outcome.scores.items() if name != "macro_f1"},
        "inner_macro_f1": result.outcome.inner_macro_f1,
        "n_features": len(result.outcome.probe.features),
        "converged": result.outcome.probe.converged,
        "selected": False,
    }


def _results(
    representations: Sequence[Representation], task: Task, jobs: int | None, memory: OutcomeStore | None
) -> Iterator[_Result]:
    """Results in any order: those in memory first, then the others as they are worked out, and kept."""
    keys = {
        index: task.key(one.source, recipe_of(one)) for index, one in enumerate(representations) if memory is not None
    }
    missing = []
    for index in range(len(representations)):
        found = None if memory is None else memory.read(keys[index])
        if found is None:
            missing.append(index)
        else:
            yield _Result(index, Outcome.restored(*found, task.target.kind))
    for result in _worked_out(representations, missing, task, jobs):
        if memory is not None:
            memory.write(keys[result.index], result.outcome.values(), result.outcome.arrays())
        yield result


def _worked_out(
    representations: Sequence[Representation], indices: Sequence[int], task: Task, jobs: int | None
) -> Iterator[_Result]:
    """The outcomes of some representations in any order, worked out here or in worker processes."""
    rows_of = loaded_rows(representations, indices, len(task.target))
    calls = ((index, rows, recipe, task) for index, rows, recipe in rows_of)
    yield from in_workers(_run, calls, len(indices), jobs)


def _run(index: int, rows: Any, recipe: Recipe, task: Task) -> _Result:
    return _Result(index, work_out(rows, recipe, task))


def recipe_of(representation: Representation) -> Recipe:
    """What is done to the rows of a representation."""
    return Recipe(representation.features, representation.binarize, representation.selection)


def loaded_rows(
    representations: Sequence[Representation], indices: Sequence[int], n: int
) -> Iterator[tuple[int, Any, Recipe]]:
    """(position, rows, recipe) of some representations, those of one source together, so that it is loaded once."""
    wanted = [representations[index] for index in indices]
    for position, rows in loaded(wanted, n):
        yield indices[position], rows, recipe_of(wanted[position])
