"""The whole procedure on further splits, and the interval that knows they share rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from latentprobe.config import EvaluateSpec, ProbeSpec
from latentprobe.corpus import Corpus, corpus_from
from latentprobe.errors import CorpusError
from latentprobe.learn import Representation, evaluate, split, units_of
from latentprobe.learn.metrics import macro_f1
from latentprobe.learn.repeats import Trial, corrected_t, repeated, trials_of
from latentprobe.store import OutcomeStore

from .planted import labels, sparse_rows

PROBE = ProbeSpec(C=(0.1,))


def world(n: int = 120) -> tuple[Corpus, list[Representation]]:
    target = labels(n)
    corpus = corpus_from([f"row {i}" for i in range(n)], target.y.tolist())
    good, poor = sparse_rows(target.y, width=60), sparse_rows(target.y, width=60, planted=1, seed=5)
    rows = [
        Representation("sae", "good", "sparse", lambda: good, "good"),
        Representation("sae", "poor", "sparse", lambda: poor, "poor"),
        Representation("baseline", "plain", "dense", lambda: poor.toarray(), "plain"),
        Representation("baseline", "majority", "majority", lambda: list(corpus.texts), "texts"),
    ]
    return corpus, rows


def run(settings: EvaluateSpec, memory: OutcomeStore | None = None) -> tuple[dict[str, Any], list[Trial]]:
    corpus, rows = world()
    units = units_of(corpus)
    trials = trials_of(corpus, units, PROBE, settings, test=0.25)
    return repeated(rows, corpus.target, units, trials, PROBE, settings, jobs=1, memory=memory), trials


def test_the_corrected_interval_is_the_formula_of_nadeau_and_bengio() -> None:
    differences = np.array([0.03, -0.01, 0.02, 0.05, 0.00])
    found = corrected_t(differences, 0.25)
    variance = (1 / 5 + 0.25) * differences.var(ddof=1)
    low, high = stats.t(4, loc=differences.mean(), scale=variance**0.5).interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert found["p"] == pytest.approx(2 * stats.t(4).sf(differences.mean() / variance**0.5))


def test_without_shared_rows_it_is_the_ordinary_t_test() -> None:
    differences = np.random.default_rng(0).normal(0.1, 1, 12)
    expected = stats.ttest_1samp(differences, 0)
    found = corrected_t(differences, 0.0)
    assert found["p"] == pytest.approx(expected.pvalue)
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected.confidence_interval()))


def test_on_resampled_test_parts_the_correction_keeps_the_false_alarms_down() -> None:
    """Differences of repeated holdouts share rows: the plain t test rings far too often, the corrected one does not."""
    rng = np.random.default_rng(0)
    alarms = {0.0: 0, 0.25: 0}
    for _ in range(200):
        gain = rng.normal(0, 1, 100)  # what one classifier wins on each row; nothing on average
        holdouts = np.array([gain[rng.permutation(100)[:20]].mean() for _ in range(15)])
        for ratio in alarms:
            alarms[ratio] += corrected_t(holdouts, ratio)["p"] < 0.05
    assert alarms[0.25] / 200 < 0.12 < 0.25 < alarms[0.0] / 200


def test_equal_differences_are_certain() -> None:
    assert corrected_t(np.zeros(3), 0.25)["p"] == 1.0
    assert corrected_t(np.full(3, 0.5), 0.25)["p"] == 0.0


def test_repeats_draw_the_test_parts_of_the_next_seeds_and_begin_with_the_main_one(tmp_path: Path) -> None:
    corpus, rows = world()
    settings = EvaluateSpec(folds=3, bootstrap=100, repeats=3, seed=4)
    memory = OutcomeStore(tmp_path)
    found, trials = run(settings, memory)
    assert [(trial.seed, trial.fold) for trial in trials] == [(4, None), (5, None), (6, None)]
    for trial in trials:
        assert np.array_equal(trial.split.test, split(corpus, test=0.25, seed=trial.seed).test)
    for one, trial in zip(found["splits"], trials, strict=True):
        main = evaluate(
            rows, corpus.target, units_of(corpus), trial.split, PROBE,
            settings.model_copy(update={"seed": trial.seed}), jobs=1, memory=memory,
        )  # fmt: skip
        ours, theirs = main.rows[main.selected], main.rows[main.best_baseline]
        assert (one["selected"], one["macro_f1"]) == (ours["name"], ours["macro_f1"])
        assert (one["best_baseline"], one["baseline_macro_f1"]) == (theirs["name"], theirs["macro_f1"])
    assert found["selected"]["chosen"] == {"good": 3}
    assert found["selected"]["mean"] == pytest.approx(np.mean([one["macro_f1"] for one in found["splits"]]))
    assert found["difference"]["mean"] > 0
    assert found["pooled"] is None


def test_nested_folds_test_every_row_once_and_pool_what_was_held_out() -> None:
    corpus, rows = world()
    settings = EvaluateSpec(folds=3, bootstrap=100, scheme="nested")
    found, trials = run(settings)
    assert [(trial.seed, trial.fold) for trial in trials] == [(0, 0), (0, 1), (0, 2)]
    assert sorted(np.concatenate([trial.split.test for trial in trials])) == list(range(120))
    predicted = np.empty(120, dtype=np.int64)
    for trial in trials:
        main = evaluate(rows, corpus.target, units_of(corpus), trial.split, PROBE, settings, jobs=1)
        predicted[trial.split.test] = main.details[main.selected].predicted
    pooled = found["pooled"]
    assert pooled["selected"]["value"] == macro_f1(corpus.target, predicted)
    assert pooled["selected"]["low"] < pooled["selected"]["value"] < pooled["selected"]["high"]
    assert pooled["difference"]["value"] == pytest.approx(
        pooled["selected"]["value"] - pooled["best_baseline"]["value"]
    )


def test_repeated_nested_folds_pool_each_set_and_take_the_mean() -> None:
    found, trials = run(EvaluateSpec(folds=2, bootstrap=100, scheme="nested", repeats=2))
    assert [(trial.seed, trial.fold) for trial in trials] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    once, _ = run(EvaluateSpec(folds=2, bootstrap=100, scheme="nested"))
    again, _ = run(EvaluateSpec(folds=2, bootstrap=100, scheme="nested", seed=1))
    values = [one["pooled"]["selected"]["value"] for one in (once, again)]
    assert found["pooled"]["selected"]["value"] == pytest.approx(np.mean(values))


def test_one_test_part_needs_no_further_splits() -> None:
    corpus, _ = world()
    assert trials_of(corpus, units_of(corpus), PROBE, EvaluateSpec(), test=0.25) == []


def test_a_class_too_small_for_folds_within_folds_is_refused_before_anything_is_fitted() -> None:
    corpus = corpus_from([f"row {i}" for i in range(42)], ["a", "b"] * 20 + ["rare"] * 2)
    units = units_of(corpus)
    with pytest.raises(CorpusError, match="every inner fold"):
        trials_of(corpus, units, PROBE, EvaluateSpec(scheme="nested", folds=3), test=0.25)
