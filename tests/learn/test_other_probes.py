"""Trees, boosting, centroids and the L1 path beside the linear probe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.neighbors import NearestCentroid
from sklearn.tree import DecisionTreeClassifier

from latentprobe.config import EvaluateSpec, ProbeSpec
from latentprobe.corpus import Target
from latentprobe.learn import Representation, Split
from latentprobe.learn import other_probes as module
from latentprobe.learn.evaluate import task_of
from latentprobe.learn.metrics import macro_f1
from latentprobe.learn.other_probes import other_probes, work_out_other
from latentprobe.learn.outcome import Task
from latentprobe.learn.probes import Recipe
from latentprobe.store import OutcomeStore

from .planted import labels, multilabel, sparse_rows

KINDS = ("tree", "boosting", "centroid", "l1_path")


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROUNDS", 20)


def task(target: Target, **probe: Any) -> Task:
    n = len(target)
    order = np.random.default_rng(0).permutation(n)
    parts = Split(np.sort(order[n // 4 :]), np.sort(order[: n // 4]))
    return task_of(target, np.arange(n), parts, ProbeSpec(C=(0.1, 1.0), **probe), EvaluateSpec(folds=3))


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_signal_is_found_and_noise_is_at_chance(kind: Any) -> None:
    target = labels(320)
    rows = sparse_rows(target.y, width=60)
    values, arrays = work_out_other(kind, rows, Recipe("sparse"), task(target))
    assert values["macro_f1"] > 0.68 and values["inner_macro_f1"] > 0.68
    assert values["macro_f1"] == macro_f1(target.take(task(target).split.test), arrays["predicted"])
    shuffled = replace(target, y=np.random.default_rng(1).permutation(target.y))
    values, _ = work_out_other(kind, rows, Recipe("sparse"), task(shuffled))
    assert 0.3 <= values["macro_f1"] <= 0.66


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", [labels(240, 3), multilabel(240, 2)], ids=["classes", "labels"])
def test_every_task_goes_all_the_way(kind: Any, target: Target) -> None:
    y = target.y if target.y.ndim == 1 else np.nan_to_num(target.y[:, 0]).astype(np.int64)
    values, arrays = work_out_other(kind, sparse_rows(y, width=40), Recipe("sparse"), task(target))
    assert arrays["predicted"].shape == (60, *target.y.shape[1:])
    assert json.loads(json.dumps(values, allow_nan=False))["ece"] is not None


def test_the_tree_is_the_one_scikit_learn_fits_on_the_chosen_columns() -> None:
    target = labels(240)
    rows = sparse_rows(target.y, width=60)
    own = task(target)
    values, arrays = work_out_other("tree", rows, Recipe("sparse", binarize=0.0), own)
    dense = (rows.toarray() > 0).astype(np.float32)
    train, test = own.split.train, own.split.test
    tree = DecisionTreeClassifier(min_samples_leaf=2, class_weight="balanced", random_state=0, **values["setting"])
    expected = tree.fit(dense[train], target.y[train]).predict(dense[test])
    assert np.mean(expected == arrays["predicted"]) > 0.97  # a tie between equal columns may fall otherwise


def test_the_centroid_is_the_one_of_scikit_learn() -> None:
    target = labels(240, 3)
    rows = sparse_rows(target.y, width=40).toarray()
    own = task(target)
    values, arrays = work_out_other("centroid", rows, Recipe("dense"), own)
    fit = rows[own.split.train]
    scaled = (rows - fit.mean(0)) / fit.std(0)
    model = NearestCentroid(priors="uniform", **values["setting"]).fit(
        scaled[own.split.train], target.y[own.split.train]
    )
    expected = model.decision_function(scaled[own.split.test]).argmax(axis=1)  # its predict leaves the spread out
    assert np.mean(expected == arrays["predicted"]) > 0.99


def test_no_more_columns_become_dense_than_allowed_and_they_are_chosen_inside_the_fold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_COLUMNS", 10)
    target = labels(200)
    noise = sparse_rows(np.zeros(200, dtype=np.int64), width=3000, planted=0)
    values, _ = work_out_other("centroid", noise, Recipe("sparse"), task(target))
    assert values["n_features"] == 10
    assert 0.35 <= values["inner_macro_f1"] <= 0.65  # the best of 3,000 chosen outside the folds would be near .8


def test_a_smaller_selection_is_kept() -> None:
    target = labels(200)
    values, _ = work_out_other("centroid", sparse_rows(target.y), Recipe("sparse", selection="top7"), task(target))
    assert values["n_features"] == 7


def test_the_l1_path_counts_fewer_features_the_stronger_the_penalty() -> None:
    target = labels(240)
    values, _ = work_out_other("l1_path", sparse_rows(target.y), Recipe("sparse"), task(target))
    first, second = values["path"]
    assert (first["C"], second["C"]) == (0.1, 1.0)
    assert 0 < first["n_features"] < second["n_features"]
    chosen = next(one for one in values["path"] if one["C"] == values["setting"]["C"])
    assert values["n_features"] == chosen["n_features"]
    assert values["inner_macro_f1"] == chosen["inner_macro_f1"]


def test_probabilities_that_are_too_sure_are_better_calibrated_after_than_before() -> None:
    target = labels(600)
    values, _ = work_out_other("boosting", sparse_rows(target.y, width=40, planted=2), Recipe("sparse"), task(target))
    assert values["ece"] < values["ece_uncalibrated"]


@pytest.mark.parametrize("kind", KINDS)
def test_columns_that_say_it_all_or_nothing_are_no_error(kind: Any) -> None:
    target = labels(80)
    sure = sp.csr_matrix(np.eye(2, dtype=np.float32)[target.y])
    assert work_out_other(kind, sure, Recipe("sparse"), task(target))[0]["macro_f1"] == 1.0
    empty = sp.csr_matrix((80, 5), dtype=np.float32)
    assert work_out_other(kind, empty, Recipe("sparse"), task(target))[0]["macro_f1"] < 0.6


def _never() -> Any:
    raise AssertionError("rows were loaded")


def test_what_was_worked_out_is_known_again_and_comes_in_order(tmp_path: Path) -> None:
    target = labels(120)
    rows = sparse_rows(target.y, width=30)
    made = [
        Representation("sae", "a", "sparse", lambda: rows, "a"),
        Representation("baseline", "b", "dense", lambda: rows.toarray(), "b"),
    ]
    own, memory = task(target), OutcomeStore(tmp_path)
    more: dict[str, Any] = {"resamples": 100, "seed": 0, "jobs": 1, "memory": memory}
    first = other_probes(("tree", "centroid"), made, (1, 0), own, np.arange(120), **more)
    assert [(one["name"], one["probe"]) for one in first] == [
        ("b", "tree"), ("b", "centroid"), ("a", "tree"), ("a", "centroid"),
    ]  # fmt: skip
    assert all(one["low"] <= one["macro_f1"] <= one["high"] for one in first)
    kept = [replace(one, load=_never) for one in made]
    assert other_probes(("tree", "centroid"), kept, (1, 0), own, np.arange(120), **more) == first
    with pytest.raises(AssertionError, match="rows were loaded"):
        other_probes(("boosting",), kept, (0,), own, np.arange(120), **more)


def test_naming_other_classifiers_does_not_fit_the_linear_one_again() -> None:
    target = labels(80)
    assert task(target).digest == task(target, also=("tree",)).digest
    assert task(target).digest != task(target, penalty="l1").digest
