"""The search for features that close a gap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from latentprobe.corpus import Target
from latentprobe.errors import CorpusError, SpecError
from latentprobe.explain.edit import without
from latentprobe.explain.gaps import closing, gap_of, require_measure
from latentprobe.learn import FittedProbe, inner_folds
from latentprobe.learn.decisions import labels_of, probabilities_of
from latentprobe.learn.fairness import by_value

WIDTH = 30
MEASURES = {
    "binary": ("fpr", "recall", "accuracy", "macro_f1"),
    "multiclass": ("accuracy", "macro_f1"),
    "multilabel": ("macro_f1",),
}


def world(kind: str = "binary", n: int = 600) -> tuple[FittedProbe, sp.csr_matrix, Target, list[str]]:
    """Features 0 to 9 tell the class; 20 and 21 fire in rows of group B only, and speak for the last class."""
    rng = np.random.default_rng(0)
    k = 2 if kind == "binary" else 3
    y = rng.integers(k, size=n)
    values = np.where(rng.random(n) < 0.5, "A", "B")
    on = rng.random((n, WIDTH)) < 0.2
    for code in range(k):
        on[:, 3 * code : 3 * code + 3] |= (y == code)[:, None] & (rng.random((n, 3)) < 0.4)
    on[:, 20:22] = (values == "B")[:, None] & (rng.random((n, 2)) < 0.6)
    rows = sp.csr_matrix((on * rng.uniform(0.5, 1.5, on.shape)).astype(np.float32))
    weights = rng.normal(size=(k, WIDTH)) / 10
    for code in range(k):
        weights[code, 3 * code : 3 * code + 3] += 1.5
    weights[-1, 20:22] += 1.5
    if kind == "binary":
        weights = weights[1:] - weights[:1]
    probe = FittedProbe(np.arange(WIDTH), None, weights, np.zeros(len(weights)), 0.1, True)
    answers = np.eye(3)[y] if kind == "multilabel" else y
    if kind == "multilabel":
        answers[rng.random(answers.shape) < 0.1] = np.nan
        probe = replace(probe, intercept=np.full(3, -1.0))
    return probe, rows, Target(kind, tuple("abc"[:k]), answers), list(values)  # type: ignore[arg-type]


def test_the_features_that_only_tell_the_group_are_proposed_and_the_gap_closes_on_other_rows() -> None:
    probe, rows, target, values = world(n=2000)
    half, held = np.arange(1000), np.arange(1000, 2000)
    found = closing(probe, rows[half], target.take(half), values[:1000], half, measure="fpr")
    assert len(found.order) > 2, "features that close the gap of these rows only are there to be taken for causes"
    proposed = found.order[: found.proposed]
    assert set(proposed) == {20, 21}
    gaps = [
        gap_of(target.take(held), labels_of(one.decision(rows[held]), target.kind), values[1000:], "fpr")
        for one in (probe, without(probe, proposed))
    ]
    assert gaps[1] < 0.25 * gaps[0]


def test_a_gap_by_chance_is_searched_but_hardly_ever_is_anything_proposed() -> None:
    """Values drawn by lot: each search finds features that close the gap of its own rows, none that close any other."""
    probe, rows, target, _ = world(n=1000)
    probe = replace(probe, weights=np.where(np.arange(WIDTH) < 6, probe.weights, 0.2 * probe.weights))
    lots = [np.random.default_rng(seed).choice(["A", "B"], 1000, p=[0.8, 0.2]) for seed in range(10)]
    found = [closing(probe, rows, target, list(values), np.arange(1000), measure="fpr") for values in lots]
    assert sum(bool(one.order) for one in found) >= 8
    assert sum(one.proposed > 0 for one in found) <= 2


def test_every_further_step_is_the_first_of_the_probe_that_is_left() -> None:
    """The search keeps count of what changed; a search that starts anew after each step has to count everything."""
    probe, rows, target, values = world("multiclass", 300)
    order = closing(probe, rows, target, values, np.arange(300), measure="accuracy", most=4).order
    left, anew = probe, []
    for _ in order:
        anew += closing(left, rows, target, values, np.arange(300), measure="accuracy", most=1).order
        left = without(probe, anew)
    assert len(order) == 4 and anew == order


def test_how_far_to_go_is_judged_on_rows_that_the_search_had_not_seen() -> None:
    probe, rows, target, values = world(n=400)
    units = np.arange(400) // 2
    found = closing(probe, rows, target, values, units, measure="recall", most=4, slope=(0.7,), folds=4, seed=3)
    soft = np.empty((5, 400))
    folds = inner_folds(target, units, 4, 3)
    for fit, held in folds:
        own = [values[row] for row in fit]
        order = closing(probe, rows[fit], target.take(fit), own, units[fit], measure="recall", most=4, slope=0.7).order
        for step in range(5):
            left = without(probe, order[:step]) if step else probe
            soft[step, held] = 1 / (1 + np.exp(-0.7 * left.decision(rows[held])[:, 0]))

    def worth(step: int, seen: np.ndarray) -> float:
        s, y, v = soft[step, seen], target.y[seen], np.array(values)[seen]
        recall = [s[(v == value) & (y == 1)].mean() for value in "AB"]
        f1 = [2 * (p * t).sum() / (p.sum() + t.sum()) for p, t in ((s, y), (1 - s, 1 - y))]
        return float(max(recall) - min(recall) - np.mean(f1))

    change = [worth(step, np.arange(400)) - worth(0, np.arange(400)) for step in range(5)]
    np.testing.assert_allclose(found.change, change, atol=1e-9)
    left_out = np.array([[worth(step, fit) - worth(0, fit) for step in range(5)] for fit, _ in folds])
    np.testing.assert_allclose(found.error, left_out.std(axis=0) * np.sqrt(3), atol=1e-9)


@pytest.mark.parametrize(("kind", "measure"), [(kind, name) for kind, names in MEASURES.items() for name in names])
def test_each_step_is_the_best_of_dropping_every_feature_in_turn(kind: str, measure: str) -> None:
    """A second opinion that computes every score anew, from loops and shares of classes."""
    probe, rows, target, values = world(kind, 300)
    (first,) = closing(probe, rows, target, values, np.arange(300), measure=measure, most=1, slope=(0.7,)).order  # type: ignore[arg-type]

    def f1(soft: np.ndarray, truth: np.ndarray, known: np.ndarray) -> float:
        scores = [2 * (soft * truth)[:, c].sum() / (soft[:, c].sum() + truth[:, c].sum()) for c in range(soft.shape[1])]
        return float(np.mean(scores))

    def worth(feature: int) -> float:
        soft = probabilities_of(0.7 * without(probe, [feature]).decision(rows), target.kind)
        if kind == "multilabel":
            known, truth = ~np.isnan(target.y), np.nan_to_num(target.y)
        else:
            known, truth = np.ones_like(soft), np.eye(len(target.classes))[target.y]
        soft = soft * known
        scores = []
        for value in "AB":
            own = np.array(values) == value
            s, t = soft[own], truth[own]
            scores.append(
                {
                    "fpr": lambda s=s, t=t: s[t[:, 0] == 1, 1].mean(),
                    "recall": lambda s=s, t=t: s[t[:, 1] == 1, 1].mean(),
                    "accuracy": lambda s=s, t=t: (s * t).sum() / len(s),
                    "macro_f1": lambda s=s, t=t: f1(s, t, known),
                }[measure]()
            )
        return float(max(scores) - min(scores) - f1(soft, truth, known))

    assert first == min(range(WIDTH), key=worth)


@pytest.mark.parametrize("measure", MEASURES["binary"])
def test_the_gap_is_the_one_that_is_reported(measure: str) -> None:
    probe, rows, target, values = world()
    said = labels_of(probe.decision(rows), "binary")
    found = by_value(target, {0: said}, values, np.arange(600), resamples=10, seed=0)["scores"][0]["gaps"][measure]
    assert gap_of(target, said, values, measure) == pytest.approx(found["value"], abs=1e-6)  # type: ignore[arg-type]


def test_a_probe_without_a_gap_is_left_alone_and_rows_without_a_value_are_in_no_gap() -> None:
    probe, rows, target, values = world()
    fair = replace(probe, weights=np.where(np.arange(WIDTH) < 6, 50.0 * np.sign(probe.weights), 0.0))
    same = ["A", "B"] * 300
    target = replace(target, y=labels_of(fair.decision(rows), "binary"))
    assert closing(fair, rows, target, same, np.arange(600), measure="accuracy").order == []
    said = labels_of(probe.decision(rows), "binary")
    some = np.array([value == "A" for value in values])
    with_third = [value if keep or i % 2 else "" for i, (value, keep) in enumerate(zip(values, some, strict=True))]
    left = np.array([bool(value) for value in with_third])
    assert gap_of(target, said, with_third, "accuracy") == pytest.approx(
        gap_of(target.take(left), said[left], [value for value in with_third if value], "accuracy")
    )


def test_a_gap_that_cannot_be_is_refused() -> None:
    probe, rows, target, _ = world(n=100)
    with pytest.raises(CorpusError, match="two values"):
        closing(probe, rows, target, ["A"] * 95 + ["B"] * 5, np.arange(100), measure="accuracy")
    for kind, wrong in (("multiclass", "fpr"), ("multilabel", "accuracy"), ("binary", "beauty")):
        with pytest.raises(SpecError):
            require_measure(kind, wrong)
