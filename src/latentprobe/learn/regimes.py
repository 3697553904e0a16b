"""Does it help to have SAE rows among the choices? With little data, imbalance, label noise, and on another source.

The quiver test of Kantamneni, Engels and others 2025 (arXiv 2502.16681): in each condition a representation is chosen
on inner folds, once among the baselines alone and once with the SAE rows beside them; the gain is what the second
choice scores more on test. Knows nothing of how representations or conditions are made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import EvaluateSpec, ProbeSpec
from latentprobe.corpus import Target
from latentprobe.errors import CorpusError
from latentprobe.learn.conditions import Condition
from latentprobe.learn.evaluate import Evaluation, Representation, evaluate
from latentprobe.learn.intervals import bootstrap_macro_f1, interval
from latentprobe.learn.splits import Split
from latentprobe.store import OutcomeStore

__all__ = ["quiver"]


def quiver(
    representations: Sequence[Representation],
    made: Sequence[Condition],
    units: NDArray[Any],
    probe: ProbeSpec,
    settings: EvaluateSpec,
    *,
    jobs: int | None = None,
    memory: OutcomeStore | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """The gain of having SAE rows among the choices, in each condition and over each regime.

    Args:
        representations: SAE rows and baselines to choose among; at least one of each.
        made: of :func:`conditions`.
        units: unit of each row, [n]; rows of one unit are held out and resampled together.
        probe: the linear model and its grid.
        settings: folds (fewer where a class has fewer rows), resamples and seed.
        jobs, memory: as `evaluate` takes them.
        progress: gets (done, total).

    Returns:
        A dict a condition (its repeats together) and one a regime with level None: ``regime``, ``level``, ``n_train``,
        ``n_test``, ``repeats``; mean macro F1 on test of the choice among baselines (``baseline``), among all (``all``)
        and among SAE rows alone (``sae``); ``sae_chosen``, the share of repeats in which the choice among all was an
        SAE row; and ``gain``: ``{"value", "low", "high"}`` of ``all`` minus ``baseline``, its 95 % bootstrap interval
        over test units and repeats. And sentences on the conditions that cannot be judged: no inner folds can be made,
        or hardly a test row of a shift is new.
    """
    judged: dict[tuple[str, float | str], list[_Judged]] = {}
    left_out: list[str] = []
    for done, condition in enumerate(made):
        try:
            result = _judge(representations, condition, units, probe, settings, jobs, memory)
        except CorpusError as error:
            left_out.append(f"{condition.regime} {condition.level}, draw {condition.repeat}: {error.problem}")
        else:
            judged.setdefault((condition.regime, condition.level), []).append(result)
        if progress is not None:
            progress(done + 1, len(made))
    return _told(judged, settings.seed), left_out


_FEWEST = 10
"""Test rows of a class from which on hardly a resample (e ** -10 of them) is without any."""


@dataclass(frozen=True, eq=False)
class _Judged:
    """Both choices in one condition."""

    n_train: int
    n_test: int
    sae_chosen: bool
    scores: tuple[float, float, float]
    """Macro F1 on test of the choice among baselines, among all, among SAE rows."""
    gains: NDArray[np.float64]
    """All minus baselines on each resample, [B]."""


def _judge(
    representations: Sequence[Representation],
    condition: Condition,
    units: NDArray[Any],
    probe: ProbeSpec,
    settings: EvaluateSpec,
    jobs: int | None,
    memory: OutcomeStore | None,
) -> _Judged:
    split = _without_copies(condition.split, units)
    if condition.regime == "shift":
        _require_test_rows(condition, split)
    folds = _folds(condition.target.take(split.train), settings.folds)
    evaluation = evaluate(
        representations,
        condition.target,
        units,
        split,
        probe,
        settings.model_copy(update={"folds": folds, "bootstrap": 100}),
        jobs=jobs,
        memory=memory,
    )
    assert evaluation.selected is not None and evaluation.best_baseline is not None
    inner = [evaluation.rows[index]["inner_macro_f1"] for index in (evaluation.best_baseline, evaluation.selected)]
    sae_chosen = inner[1] > inner[0]  # of equals, the baseline: it is the cheaper one
    scores, resampled = _scored(evaluation, condition.target.take(split.test), units[split.test], settings)
    gains = resampled[1] - resampled[0] if sae_chosen else np.zeros(settings.bootstrap)
    return _Judged(len(split.train), len(split.test), sae_chosen, (scores[0], scores[sae_chosen], scores[1]), gains)


def _scored(
    evaluation: Evaluation, truth: Target, units: NDArray[Any], settings: EvaluateSpec
) -> tuple[list[float], NDArray[np.float64]]:
    """Test macro F1 of the best baseline and of the selected SAE row, plain and resampled."""
    assert evaluation.selected is not None and evaluation.best_baseline is not None
    pair = (evaluation.best_baseline, evaluation.selected)
    predicted = [evaluation.details[index].predicted for index in pair]
    resampled = bootstrap_macro_f1(truth, predicted, units, resamples=settings.bootstrap, seed=settings.seed)
    return [evaluation.rows[index]["macro_f1"] for index in pair], resampled


def _without_copies(split: Split, units: NDArray[Any]) -> Split:
    """Test rows that have no copy, and no row of their group, among the training rows."""
    return replace(split, test=split.test[~np.isin(units[split.test], units[split.train])])


def _require_test_rows(condition: Condition, split: Split) -> None:
    """Refuse a shift to rows that are nearly all copies of the training rows, or of their groups."""
    target = condition.target
    if target.kind == "multilabel":
        fewest = len(split.test)
    else:
        fewest = int(np.bincount(target.y[split.test], minlength=len(target.classes)).min())
    if fewest < _FEWEST:
        raise CorpusError(
            f"{_FEWEST} test rows of each class are needed that are no copy of a training row and of no group of one; "
            f"of {len(condition.split.test):,} test rows {len(split.test):,} are, {fewest:,} of the rarest class",
            got=str(condition.level),
            fix="shift to a source that shares no groups",
        )


def _folds(train: Target, folds: int) -> int:
    """As many folds as asked for, or as the rarest class has rows."""
    if train.kind == "multilabel":
        return folds
    return max(2, min(folds, int(np.bincount(train.y, minlength=len(train.classes)).min())))


def _told(judged: Mapping[tuple[str, float | str], Sequence[_Judged]], seed: int) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    by_regime: dict[str, list[tuple[NDArray[np.float64], dict[str, Any]]]] = {}
    for (regime, level), results in judged.items():
        gains = _over_repeats(np.array([result.gains for result in results]), seed)
        row = {"regime": regime, "level": level, **_means(results), "gain": None}
        row["gain"] = _gain(row["all"] - row["baseline"], gains)
        told.append(row)
        by_regime.setdefault(regime, []).append((gains, row))
    for regime, parts in by_regime.items():
        rows = [row for _, row in parts]
        keys = ("baseline", "all", "sae", "sae_chosen")
        means: dict[str, Any] = {key: float(np.mean([row[key] for row in rows])) for key in keys}
        gain = _gain(means["all"] - means["baseline"], np.mean([gains for gains, _ in parts], axis=0))
        repeats = max(row["repeats"] for row in rows)
        told.append(
            {
                "regime": regime,
                "level": None,
                "n_train": None,
                "n_test": None,
                "repeats": repeats,
                **means,
                "gain": gain,
            }
        )
    return told


def _over_repeats(gains: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The mean over repeats drawn anew for each resample, [B], from the gains of each repeat, [R, B]."""
    repeats, resamples = gains.shape
    drawn = np.random.default_rng(seed).integers(repeats, size=(repeats, resamples))
    return np.asarray(np.take_along_axis(gains, drawn, axis=0).mean(axis=0))


def _means(results: Sequence[_Judged]) -> dict[str, Any]:
    baseline, chosen, sae = np.mean([result.scores for result in results], axis=0)
    return {
        "n_train": int(np.mean([result.n_train for result in results])),
        "n_test": int(np.mean([result.n_test for result in results])),
        "repeats": len(results),
        "baseline": float(baseline),
        "all": float(chosen),
        "sae": float(sae),
        "sae_chosen": float(np.mean([result.sae_chosen for result in results])),
    }


def _gain(value: float, resampled: NDArray[np.float64]) -> dict[str, float]:
    low, high = interval(resampled)
    return {"value": float(value), "low": low, "high": high}
