"""The whole procedure on further splits: how much of a difference is the luck of one test part.

On each split everything is chosen anew on its training part: the SAE row, the baseline, C. Splits that share rows are
no independent experiments, and a plain t test on them finds differences where there are none; Nadeau and Bengio (2003,
Machine Learning 52, section 3) correct its variance for that. Knows nothing of how features are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from latentprobe.config import EvaluateSpec, ProbeSpec
from latentprobe.corpus import Corpus, Target
from latentprobe.learn.evaluate import Representation, compare, task_of
from latentprobe.learn.intervals import bootstrap_macro_f1, interval, paired_difference
from latentprobe.learn.metrics import macro_f1
from latentprobe.learn.splits import Split, outer_folds, split
from latentprobe.store import OutcomeStore

__all__ = ["Trial", "corrected_t", "repeated", "trials_of"]


@dataclass(frozen=True, eq=False)
class Trial:
    """One split to do everything on."""

    seed: int
    """Of its draw and of its inner folds."""
    fold: int | None
    """Which outer fold is the test part, from 0; None where the test part is drawn."""
    split: Split


def trials_of(
    corpus: Corpus, units: NDArray[Any], probe: ProbeSpec, settings: EvaluateSpec, *, test: float
) -> list[Trial]:
    """The splits that ``scheme`` and ``repeats`` ask for; none where they ask for one test part only.

    Args:
        corpus: the rows.
        units: of `units_of`.
        probe, settings: of the experiment.
        test: share of rows in a test part that is drawn.

    Raises:
        CorpusError: one of the splits, or an inner fold of one, would have to do without a class.
    """
    seeds = range(settings.seed, settings.seed + settings.repeats)
    if settings.scheme == "nested":
        trials = [
            Trial(seed, fold, parts)
            for seed in seeds
            for fold, parts in enumerate(outer_folds(corpus, units, folds=settings.folds, seed=seed))
        ]
    elif settings.repeats > 1:
        trials = [Trial(seed, None, split(corpus, test=test, seed=seed)) for seed in seeds]
    else:
        return []
    for trial in trials:  # what cannot be folded is refused here, before hours of work
        task_of(corpus.target, units, trial.split, probe, _at(settings, trial))
    return trials


def _at(settings: EvaluateSpec, trial: Trial) -> EvaluateSpec:
    return settings.model_copy(update={"seed": trial.seed})


def repeated(
    representations: Sequence[Representation],
    target: Target,
    units: NDArray[Any],
    trials: Sequence[Trial],
    probe: ProbeSpec,
    settings: EvaluateSpec,
    *,
    jobs: int | None = None,
    memory: OutcomeStore | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> dict[str, Any]:
    """The chosen SAE row and the best baseline of each split, their means, and the difference with its interval.

    Args:
        representations, target, units, probe, settings, jobs, memory: as of `evaluate`; there must be SAE rows and
            baselines.
        trials: of `trials_of`.
        progress: gets the number of the split, from 0, and a line after each representation.

    Returns:
        Plain values: ``scheme``, ``splits`` (one a trial), ``selected`` and ``best_baseline`` (``mean``, ``sd``, and
        how often which row was chosen), ``difference`` (``mean``, ``sd``, ``low``, ``high``, ``p``), and of nested
        folds ``pooled``: macro F1 of each over the predictions of all folds together, with bootstrap intervals.
    """
    splits: list[dict[str, Any]] = []
    predicted: dict[int, dict[str, NDArray[np.int64]]] = {}
    for place, trial in enumerate(trials):
        found = compare(
            representations,
            task_of(target, units, trial.split, probe, _at(settings, trial)),
            jobs=jobs,
            memory=memory,
            progress=None if progress is None else lambda line, place=place: progress(place, line),  # type: ignore[misc]
        )
        best = {kind: found.best(kind) for kind in ("sae", "baseline")}
        for kind, one in best.items():
            assert one is not None, "there are rows of both kinds"
            whole = predicted.setdefault(trial.seed, {})
            if kind not in whole:
                whole[kind] = np.zeros(target.y.shape, dtype=np.int64)
            whole[kind][trial.split.test] = one[1]
        splits.append(_summary(trial, *(one[0] for one in best.values() if one is not None)))
    differences = np.array([one["difference"] for one in splits])
    ratio = float(np.mean([one["n_test"] / one["n_train"] for one in splits]))
    return {
        "scheme": settings.scheme,
        "repeats": settings.repeats,
        "splits": splits,
        "selected": _spread(splits, "selected", "macro_f1"),
        "best_baseline": _spread(splits, "best_baseline", "baseline_macro_f1"),
        "difference": corrected_t(differences, ratio),
        "pooled": _pooled(target, units, list(predicted.values()), settings) if settings.scheme == "nested" else None,
    }


def _summary(trial: Trial, ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    return {
        "seed": trial.seed,
        "fold": trial.fold,
        "n_train": len(trial.split.train),
        "n_test": len(trial.split.test),
        "selected": ours["name"],
        "inner_macro_f1": ours["inner_macro_f1"],
        "macro_f1": ours["macro_f1"],
        "best_baseline": theirs["name"],
        "baseline_inner_macro_f1": theirs["inner_macro_f1"],
        "baseline_macro_f1": theirs["macro_f1"],
        "difference": ours["macro_f1"] - theirs["macro_f1"],
    }


def _spread(splits: Sequence[dict[str, Any]], name: str, score: str) -> dict[str, Any]:
    """Mean and standard deviation of a score over the splits, and how often which row was chosen, most often first."""
    values = [one[score] for one in splits]
    names = [one[name] for one in splits]
    counts = {one: names.count(one) for one in dict.fromkeys(names)}
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)),
        "chosen": dict(sorted(counts.items(), key=lambda item: -item[1])),
    }


def corrected_t(differences: NDArray[Any], ratio: float, *, level: float = 0.95) -> dict[str, float]:
    """Mean difference over splits that share rows, with the corrected resampled t interval (Nadeau and Bengio 2003).

    Their section 3: the variance of the mean over J splits is (1/J + n_test/n_train) times that of the differences.

    Args:
        differences: one a split, [J], J at least 2.
        ratio: rows tested on for each row trained on.

    >>> found = corrected_t(np.array([0.02, 0.04, 0.03, 0.03]), 0.25)
    >>> round(found["mean"], 3), found["low"] < 0 < found["high"]
    (0.03, False)
    """
    n = len(differences)
    mean, sd = float(np.mean(differences)), float(np.std(differences, ddof=1))
    error = sd * float(np.sqrt(1 / n + ratio))
    reach = float(student.ppf((1 + level) / 2, n - 1)) * error
    certain = 1.0 if mean == 0 else 0.0
    p = float(2 * student.sf(abs(mean) / error, n - 1)) if error else certain
    return {"mean": mean, "sd": sd, "low": mean - reach, "high": mean + reach, "p": p}


def _pooled(
    target: Target, units: NDArray[Any], predicted: Sequence[dict[str, NDArray[np.int64]]], settings: EvaluateSpec
) -> dict[str, Any]:
    """Macro F1 over all rows, each predicted from the folds that held it out; the mean of it over the repeats."""
    kinds = ("sae", "baseline")
    flat = [whole[kind] for whole in predicted for kind in kinds]
    resampled = bootstrap_macro_f1(target, flat, units, resamples=settings.bootstrap, seed=settings.seed)
    values = np.array([macro_f1(target, one) for one in flat]).reshape(-1, 2).mean(axis=0)
    ours, theirs = resampled.reshape(-1, 2, settings.bootstrap).mean(axis=0)
    difference = paired_difference(float(values[0] - values[1]), ours, theirs)
    scores = {
        name: dict(zip(("value", "low", "high"), (float(value), *interval(one)), strict=True))
        for name, value, one in zip(("selected", "best_baseline"), values, (ours, theirs), strict=True)
    }
    found = {"value": difference.value, "low": difference.low, "high": difference.high, "p": difference.p}
    return {**scores, "difference": found, "n": len(target)}
