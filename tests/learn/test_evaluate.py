"""The comparison as a whole: fair, honest, and the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from latentprobe.config import EvaluateSpec, ProbeSpec
from latentprobe.corpus import Corpus, Target
from latentprobe.errors import SpecError, StoreError
from latentprobe.learn import Evaluation, Representation, SideBySide, Split, evaluate, split
from latentprobe.learn.metrics import macro_f1

from .planted import labels, multilabel, sparse_rows

SETTINGS = EvaluateSpec(folds=3, bootstrap=200)


def _row(rows: Any, kind: str = "sae", features: str = "sparse", **more: Any) -> Representation:
    name = more.pop("name", features)
    return Representation(kind=kind, name=name, features=features, load=lambda: rows, source=str(id(rows)), **more)  # type: ignore[arg-type]


def _parts(n: int, share: float = 0.25) -> Split:
    order = np.random.default_rng(9).permutation(n)
    cut = int(n * share)
    return Split(train=np.sort(order[cut:]), test=np.sort(order[:cut]))


def _evaluate(rows: Sequence[Representation], target: Target, **more: Any) -> Evaluation:
    n = len(target)
    arguments = {"units": np.arange(n), "split": _parts(n), "probe": ProbeSpec(), "settings": SETTINGS, "jobs": 1}
    return evaluate(rows, target, **(arguments | more))


def _texts(target: Target, seed: int = 0) -> list[str]:
    """Texts with a weak hint of the class."""
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(50)]
    return [" ".join([*rng.choice(words, 8), f"hint{y if rng.random() < 0.7 else rng.integers(9)}"]) for y in target.y]


def _grid(target: Target) -> list[Representation]:
    rows = sparse_rows(target.y, seed=1)
    dense = (rows.toarray()[:, :60] @ np.random.default_rng(0).normal(size=(60, 20))).astype(np.float32)
    texts = _texts(target)
    return [
        _row(rows, columns={"binarize": "none"}),
        _row(rows, columns={"binarize": "auto"}, binarize="auto"),
        _row(rows, columns={"binarize": 1.0}, binarize=1.0, selection="top40"),
        _row(dense, "baseline", "dense"),
        *[_row(texts, "baseline", features) for features in ("words", "characters", "length", "majority")],
    ]


def test_a_planted_signal_is_found_and_the_other_rows_are_shown_beside_it() -> None:
    target = labels(400)
    grid = _grid(target)
    found = _evaluate(grid, target)
    assert [row["kind"] for row in found.rows] == ["sae"] * 3 + ["baseline"] * 5
    assert [row["name"] for row in found.rows] == [representation.name for representation in grid]
    selected = found.rows[found.selected]
    assert selected["macro_f1"] > 0.8
    assert found.rows[-1]["macro_f1"] < 0.4
    assert found.rows[-1]["C"] is None
    for row in found.rows:
        assert row["low"] <= row["macro_f1"] <= row["high"]
    comparison = found.comparisons[-1]
    assert (comparison.baseline, comparison.p_holm < 0.05) == (7, True)
    assert comparison.difference.value == selected["macro_f1"] - found.rows[7]["macro_f1"]


def test_the_correction_counts_one_baseline_of_a_family_the_one_inner_folds_prefer() -> None:
    target = labels(400)
    rows = sparse_rows(target.y, seed=1)
    weak, strong = (rows[:, start:].toarray() for start in (8, 4))
    grid = [
        _row(rows),
        _row(weak, "baseline", "dense", name="weak"),
        _row(strong, "baseline", "dense", name="strong"),
        _row(_texts(target), "baseline", "words"),
    ]
    found = _evaluate(grid, target)
    assert found.rows[2]["inner_macro_f1"] > found.rows[1]["inner_macro_f1"]
    tested = [comparison for comparison in found.comparisons if comparison.p_holm is not None]
    assert [comparison.baseline for comparison in tested] == [2, 3]
    low, high = sorted(comparison.difference.p for comparison in tested)
    expected = [max(2 * low, high) if c.difference.p == high else 2 * low for c in tested]
    assert [comparison.p_holm for comparison in tested] == pytest.approx([min(1.0, p) for p in expected])


def test_scores_are_those_of_the_predictions_that_are_handed_back() -> None:
    target = labels(300, 3)
    found = _evaluate(_grid(target), target)
    truth = target.take(_parts(300).test)
    assert set(found.details) == {found.selected, 3, 4, 5, 6, 7}
    for index, detail in found.details.items():
        assert found.rows[index]["macro_f1"] == macro_f1(truth, detail.predicted)
        np.testing.assert_allclose(detail.probabilities.sum(axis=1), 1)
        assert detail.confusion.sum() == len(truth)
        assert [one["class"] for one in detail.per_class] == list(target.classes)


def test_the_probe_handed_back_makes_the_predictions_of_the_selected_row() -> None:
    target = labels(300)
    grid = _grid(target)
    found = _evaluate(grid, target)
    rows = grid[found.selected].load()[_parts(300).test]
    detail = found.details[found.selected]
    assert np.array_equal(found.probe.predict(rows, "binary"), detail.predicted)
    np.testing.assert_array_equal(found.calibration.probabilities(found.probe.decision(rows)), detail.probabilities)
    above = detail.probabilities[:, 1] > found.calibration.thresholds[0]
    assert np.array_equal(above.astype(int), detail.predicted)
    assert found.out_of_fold.shape == (225, 1)


@pytest.mark.parametrize("seed", range(3))
def test_permuted_labels_score_at_chance(seed: int) -> None:
    target = labels(400)
    grid = _grid(target)
    order = np.random.default_rng(seed).permutation(400)
    found = _evaluate(grid, replace(target, y=target.y[order]))
    for row in found.rows[:-2]:  # length and majority answer one class alone, which is below the coin
        # A fair coin on even classes has macro F1 one half. Of many 95 % intervals some miss it: half as far again.
        slack = (row["high"] - row["low"]) / 4
        assert row["low"] - slack <= 0.5 <= row["high"] + slack
        assert 0.38 <= row["inner_macro_f1"] <= 0.62
    selected = found.rows[found.selected]
    assert selected["low"] <= 0.5 <= selected["high"]
    assert found.difference.low <= 0 <= found.difference.high


def test_mistake_6_test_labels_choose_nothing() -> None:
    target = labels(300)
    grid = _grid(target)
    before = _evaluate(grid, target)
    test = _parts(300).test
    y = target.y.copy()
    y[test] = np.random.default_rng(0).permutation(1 - y[test])
    after = _evaluate(grid, replace(target, y=y))
    chosen = ("C", "inner_macro_f1", "n_features", "selected", "converged")
    assert [[row[key] for key in chosen] for row in before.rows] == [[row[key] for key in chosen] for row in after.rows]
    assert before.best_baseline == after.best_baseline
    for name in ("features", "weights", "intercept"):
        assert np.array_equal(getattr(before.probe, name), getattr(after.probe, name))
    assert before.calibration == after.calibration
    assert before.rows[0]["macro_f1"] != after.rows[0]["macro_f1"]


def test_mistake_6_test_rows_choose_nothing() -> None:
    target = labels(300)
    rows = sparse_rows(target.y)
    loud = rows.copy()
    loud.data[np.isin(np.repeat(np.arange(300), np.diff(rows.indptr)), _parts(300).test)] *= 1000
    for selection, binarize in (("all", "none"), ("top30", "auto"), ("l1", "none")):
        first, second = (
            _evaluate([_row(matrix, selection=selection, binarize=binarize)], target) for matrix in (rows, loud)
        )
        assert np.array_equal(first.probe.features, second.probe.features)
        assert np.array_equal(first.probe.weights, second.probe.weights)
        if binarize == "auto":
            assert np.array_equal(first.probe.thresholds, second.probe.thresholds)


def test_mistake_6_the_selected_row_is_the_best_on_inner_folds_not_on_test() -> None:
    target = labels(300)
    parts = _parts(300)
    good = sparse_rows(target.y)
    # On training rows this one is noise, on test rows it gives the class away.
    cheat = sparse_rows(np.zeros(300, dtype=np.int64), planted=0).tolil()
    for row in parts.test:
        cheat[row, int(target.y[row])] = 9.0
    weak = np.zeros((300, 2), dtype=np.float32)
    weak[np.arange(300), np.where(np.random.default_rng(0).random(300) < 0.55, target.y, 1 - target.y)] = 1
    tests = weak.copy()
    tests[parts.test] = np.eye(2)[target.y[parts.test]]
    found = _evaluate([_row(sp.csr_matrix(tests)), _row(good), _row(cheat.tocsr())], target)
    assert found.rows[0]["macro_f1"] > found.rows[1]["macro_f1"]
    assert found.selected == 1
    assert [row["selected"] for row in found.rows] == [False, True, False]


def test_of_equal_inner_scores_fewer_features_then_the_earlier_row_is_selected() -> None:
    target = labels(120)
    few = sp.csr_matrix(np.eye(2, dtype=np.float32)[target.y])
    many = sp.hstack([few, few]).tocsr()
    found = _evaluate([_row(many), _row(few), _row(few.copy())], target)
    assert found.selected == 1


@pytest.mark.slow
def test_mistake_5_the_same_seed_gives_the_same_numbers_whatever_the_number_of_processes() -> None:
    target = labels(120, 3)
    grid = _grid(target)
    one, again, two = (_evaluate(grid, target, jobs=jobs) for jobs in (1, 1, 2))
    for other in (again, two):
        assert one.rows == other.rows
        assert one.comparisons == other.comparisons
        assert one.probe.weights.tobytes() == other.probe.weights.tobytes()
        assert one.probe.intercept.tobytes() == other.probe.intercept.tobytes()
        for index, detail in one.details.items():
            assert detail.probabilities.tobytes() == other.details[index].probabilities.tobytes()


def test_mistake_4_the_same_rows_score_the_same_as_features_and_as_a_baseline() -> None:
    target = labels(200)
    rows = sparse_rows(target.y)
    found = _evaluate([_row(rows, "sae"), _row(rows, "baseline")], target)
    labelling = ("kind", "selected")
    first, second = ({k: v for k, v in row.items() if k not in labelling} for row in found.rows)
    assert first == second
    assert (found.difference.value, found.difference.p) == (0.0, 1.0)


def test_a_source_is_loaded_once_and_in_this_process() -> None:
    target = labels(120)
    loads: list[str] = []

    def loader(name: str, rows: Any):
        def load() -> Any:
            loads.append(name)
            return rows

        return load

    rows, texts = sparse_rows(target.y), _texts(target)
    grid = [
        Representation("sae", "a", "sparse", loader("x", rows), "x"),
        Representation("baseline", "words", "words", loader("t", texts), "t"),
        Representation("sae", "b", "sparse", loader("x", rows), "x", binarize="auto"),
        Representation("baseline", "length", "length", loader("t", texts), "t"),
    ]
    for jobs in (1, 2):
        loads.clear()
        found = _evaluate(grid, target, jobs=jobs)
        assert sorted(loads) == ["t", "x"]
        assert [row["name"] for row in found.rows] == ["a", "words", "b", "length"]


def test_multi_label_tasks_go_all_the_way() -> None:
    target = multilabel(300)
    y = np.nan_to_num(target.y[:, 0]).astype(np.int64)
    names = tuple(str(i) for i in range(300))
    parts = split(Corpus("m", names, names, target, None, None, ()), test=0.25, seed=0)
    texts = [f"text {i}" for i in range(300)]
    grid = [_row(sparse_rows(y)), _row(texts, "baseline", "words"), _row(texts, "baseline", "majority")]
    found = _evaluate(grid, target, split=parts)
    assert found.rows[0]["macro_f1"] == macro_f1(target.take(parts.test), found.details[0].predicted)
    assert found.details[0].predicted.shape == (len(parts.test), 3)
    assert len(found.calibration.thresholds) == 3
    assert found.details[0].confusion is None


def test_groups_stay_whole_in_the_folds() -> None:
    """Rows of a group are copies of one another; a fold that held some of them out would recite the others."""
    groups = np.arange(300) // 6
    y = np.random.default_rng(0).integers(2, size=50)[groups]
    rows = sparse_rows(np.zeros(300, dtype=np.int64), planted=0)[groups * 6]
    target = Target("binary", ("no", "yes"), y.astype(np.int64))
    parts = Split(train=np.flatnonzero(groups < 40), test=np.flatnonzero(groups >= 40))
    honest = _evaluate([_row(rows)], target, units=groups, split=parts)
    fooled = _evaluate([_row(rows)], target, split=parts)
    assert honest.rows[0]["inner_macro_f1"] < 0.75 < 0.95 < fooled.rows[0]["inner_macro_f1"]
    width = [row["high"] - row["low"] for row in (honest.rows[0], fooled.rows[0])]
    assert width[0] > 1.5 * width[1]  # ten groups are less evidence than sixty rows


def test_rows_are_plain_values_that_json_can_hold() -> None:
    import json

    target = labels(120)
    found = _evaluate(_grid(target)[:5], target)
    assert json.loads(json.dumps(found.rows, allow_nan=False)) == list(found.rows)


def test_without_sae_rows_nothing_is_selected_and_without_baselines_nothing_compared() -> None:
    target = labels(120)
    rows = sparse_rows(target.y)
    bare = _evaluate([_row(rows, "baseline")], target)
    assert (bare.selected, bare.probe, bare.comparisons, bare.difference) == (None, None, (), None)
    alone = _evaluate([_row(rows)], target)
    assert (alone.selected, alone.best_baseline, alone.difference) == (0, None, None)


def test_progress_is_told_after_each_row() -> None:
    target = labels(120)
    lines: list[str] = []
    _evaluate(_grid(target)[:3], target, progress=lines.append)
    assert len(lines) == 3
    assert lines[-1].startswith("3/3 ")


def test_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(SpecError, match="nothing to evaluate"):
        _evaluate([], labels(60))


@pytest.mark.parametrize("jobs", [1, 2])
def test_mistake_7_a_row_too_few_is_refused(jobs: int) -> None:
    target = labels(60)
    rows = sparse_rows(target.y)
    with pytest.raises(StoreError, match="one row of finite numbers"):
        _evaluate([_row(rows), _row(rows[:59])], target, jobs=jobs)


def test_values_that_are_not_finite_are_refused() -> None:
    target = labels(60)
    rows = np.ones((60, 3), dtype=np.float32)
    rows[5, 1] = np.nan
    with pytest.raises(StoreError, match="finite"):
        _evaluate([_row(rows, features="dense")], target)


def test_sae_features_beside_hidden_states_are_shown_and_never_the_best_baseline() -> None:
    """What has SAE features itself is not what SAE features are measured against."""
    target = labels(200)
    rows = sparse_rows(target.y, planted=20)
    dense = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    grid = [_row(rows), _row(SideBySide(rows, dense), "both", "both", name="joint"), _row(dense, "baseline", "dense")]
    found = _evaluate(grid, target)
    joint = found.rows[1]
    assert (joint["kind"], joint["selected"]) == ("baseline", False)
    assert joint["inner_macro_f1"] > found.rows[2]["inner_macro_f1"] + 0.2
    assert (found.selected, found.best_baseline) == (0, 2)
    assert {comparison.baseline for comparison in found.comparisons} == {1, 2} and {0, 1, 2} == set(found.details)


@pytest.mark.parametrize("where", ["sparse", "dense"])
def test_a_value_that_is_no_number_is_refused_on_either_side(where: str) -> None:
    target = labels(60)
    rows, dense = sparse_rows(target.y), np.ones((60, 3), np.float32)
    (rows.data if where == "sparse" else dense[0])[0] = np.nan
    with pytest.raises(StoreError, match="finite"):
        _evaluate([_row(SideBySide(rows, dense), "both", "both")], target)
