"""A fit that was worked out once is known again, by content and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from latentprobe.config import EvaluateSpec, ProbeSpec
from latentprobe.corpus import Target
from latentprobe.learn import Evaluation, Representation, Split, evaluate
from latentprobe.store import OutcomeStore

from .planted import labels, multilabel, sparse_rows


def parts(n: int, seed: int = 0) -> Split:
    order = np.random.default_rng(seed).permutation(n)
    return Split(np.sort(order[n // 4 :]), np.sort(order[: n // 4]))


def grid(target: Target, load: Any = None) -> list[Representation]:
    """Two SAE rows and three baselines."""
    y = target.y if target.y.ndim == 1 else np.nan_to_num(target.y[:, 0]).astype(np.int64)
    rows = sparse_rows(y)
    texts = [f"word{value} word{row % 7}" for row, value in enumerate(y)]
    return [
        Representation("sae", "a", "sparse", load or (lambda: rows), "rows"),
        Representation("sae", "b", "sparse", load or (lambda: rows), "rows", binarize="auto", selection="top40"),
        Representation("baseline", "w", "words", load or (lambda: texts), "texts"),
        Representation("baseline", "m", "majority", load or (lambda: texts), "texts"),
    ]


def run(target: Target, representations: list[Representation], memory: OutcomeStore | None, **more: Any) -> Evaluation:
    n = len(target)
    arguments: dict[str, Any] = {
        "split": parts(n),
        "probe": ProbeSpec(C=(0.1, 1.0)),
        "settings": EvaluateSpec(folds=3, bootstrap=100),
        "jobs": 1,
    }
    return evaluate(representations, target, np.arange(n), **(arguments | more), memory=memory)


def same(a: Evaluation, b: Evaluation) -> None:
    assert a.rows == b.rows
    assert (a.selected, a.best_baseline, a.comparisons, a.calibration) == (
        b.selected, b.best_baseline, b.comparisons, b.calibration,
    )  # fmt: skip
    assert a.probe is not None and b.probe is not None
    for name in ("features", "thresholds", "weights", "intercept"):
        np.testing.assert_array_equal(getattr(a.probe, name), getattr(b.probe, name))
    np.testing.assert_array_equal(a.out_of_fold, b.out_of_fold)
    for index, detail in a.details.items():
        np.testing.assert_array_equal(detail.probabilities, b.details[index].probabilities)
        np.testing.assert_array_equal(detail.predicted, b.details[index].predicted)
        assert detail.per_class == b.details[index].per_class


def never(*_: Any) -> NoReturn:
    raise AssertionError("features were loaded")


@pytest.mark.parametrize("target", [labels(120), labels(150, 3), multilabel(160)], ids=["two", "three", "labels"])
def test_a_second_comparison_fits_nothing_and_says_the_same(tmp_path: Path, target: Target) -> None:
    memory = OutcomeStore(tmp_path)
    first = run(target, grid(target), memory)
    same(first, run(target, grid(target, load=never), memory))
    same(first, run(target, grid(target), None))


def test_an_interrupted_comparison_keeps_what_was_done(tmp_path: Path) -> None:
    target, memory = labels(120), OutcomeStore(tmp_path)
    broken = grid(target)
    broken[2] = replace(broken[2], load=never)
    with pytest.raises(AssertionError, match="features were loaded"):
        run(target, broken, memory)
    rest = [replace(row, load=never) if index < 2 else row for index, row in enumerate(grid(target))]
    same(run(target, rest, memory), run(target, grid(target), None))


@pytest.mark.parametrize("change", ["label", "split", "grid", "folds", "seed", "source", "binarize", "class_weight"])
def test_any_change_of_what_goes_in_is_worked_out_anew(tmp_path: Path, change: str) -> None:
    target, memory = labels(120), OutcomeStore(tmp_path)
    run(target, grid(target), memory)
    other = grid(target, load=never)[:1]
    more: dict[str, Any] = {}
    if change == "label":
        y = target.y.copy()
        y[[0, np.flatnonzero(y != y[0])[0]]] = y[[np.flatnonzero(y != y[0])[0], 0]]
        target = replace(target, y=y)
    elif change == "split":
        more["split"] = parts(120, seed=1)
    elif change == "grid":
        more["probe"] = ProbeSpec(C=(0.1, 2.0))
    elif change == "class_weight":
        more["probe"] = ProbeSpec(C=(0.1, 1.0), class_weight="none")
    elif change == "folds":
        more["settings"] = EvaluateSpec(folds=4, bootstrap=100)
    elif change == "seed":
        more["settings"] = EvaluateSpec(folds=3, bootstrap=100, seed=5)
    elif change == "source":
        other = [replace(other[0], source="other rows")]
    elif change == "binarize":
        other = [replace(other[0], binarize=0.5)]
    with pytest.raises(AssertionError, match="features were loaded"):
        run(target, other, memory, **more)


def test_more_resamples_need_no_new_fit(tmp_path: Path) -> None:
    target, memory = labels(120), OutcomeStore(tmp_path)
    run(target, grid(target), memory)
    run(target, grid(target, load=never), memory, settings=EvaluateSpec(folds=3, bootstrap=300))
