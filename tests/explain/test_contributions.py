from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from word_world import probe_with

from latentprobe.config import ProbeSpec
from latentprobe.corpus import Target
from latentprobe.explain import contributions, top_contributions
from latentprobe.learn import FittedProbe, Recipe, calibrate, choose, inner_folds


def some_probe(seed: int, classes: int, binarized: bool) -> tuple[FittedProbe, sp.csr_matrix]:
    rng = np.random.default_rng(seed)
    used = np.sort(rng.choice(40, 17, replace=False))
    probe = probe_with(
        used,
        rng.normal(size=(classes, 17)),
        rng.normal(size=classes),
        rng.uniform(0, 1, 17) if binarized else None,
    )
    rows = sp.random(6, 40, density=0.5, format="csr", dtype=np.float32, random_state=seed)
    return probe, rows


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.sampled_from([1, 3, 7]), binarized=st.booleans())
def test_contributions_and_intercept_sum_to_the_decision(seed: int, classes: int, binarized: bool) -> None:
    probe, rows = some_probe(seed, classes, binarized)
    for i in range(rows.shape[0]):
        parts = contributions(probe, rows[i])
        np.testing.assert_allclose(
            parts.contributions.sum(axis=1) + probe.intercept, probe.decision(rows[i])[0], rtol=0, atol=1e-9
        )


def test_a_row_without_features_contributes_nothing_and_decides_by_the_intercept() -> None:
    probe, _ = some_probe(1, 1, False)
    parts = contributions(probe, sp.csr_matrix((1, 40), dtype=np.float32))
    assert len(parts.features) == 0
    assert parts.contributions.shape == (1, 0)
    assert top_contributions(probe, sp.csr_matrix((1, 40), dtype=np.float32), 1, 5) == []


def test_a_binarized_probe_shows_pooled_values_but_adds_the_weight_alone() -> None:
    probe = probe_with([2, 5], [[0.5, -2.0]], thresholds=[1.0, 1.0])
    row = sp.csr_matrix(np.array([[0, 0, 3.0, 0, 0, 7.0]], np.float32))
    parts = contributions(probe, row)
    assert parts.values.tolist() == [3.0, 7.0]
    assert parts.contributions.tolist() == [[0.5, -2.0]]


def test_mistake_8_a_value_equal_to_the_threshold_is_off() -> None:
    probe = probe_with([0], [[1.0]], thresholds=[1.0])
    assert len(contributions(probe, sp.csr_matrix(np.array([[1.0]], np.float32))).features) == 0
    assert len(contributions(probe, sp.csr_matrix(np.array([[1.0001]], np.float32))).features) == 1


BINARY = probe_with([1, 3, 4], [[2.0, -3.0, 0.5]], 0.1)
ROW = sp.csr_matrix(np.array([[0, 1.0, 0, 1.0, 1.0]], np.float32))


def test_mistake_10_the_sign_of_a_binary_probe_is_for_its_second_class() -> None:
    for_second = {part.feature: part.contribution for part in top_contributions(BINARY, ROW, 1, 3)}
    assert for_second == {1: 2.0, 3: -3.0, 4: 0.5}
    assert sum(for_second.values()) + 0.1 == pytest.approx(BINARY.decision(ROW)[0, 0])


def test_mistake_10_the_sign_turns_for_the_first_class_of_a_binary_probe() -> None:
    first = top_contributions(BINARY, ROW, 0, 3)
    assert [(part.feature, part.weight, part.contribution) for part in first] == [
        (3, 3.0, 3.0),
        (1, -2.0, -2.0),
        (4, -0.5, -0.5),
    ]


def test_mistake_10_the_largest_contributions_are_shown_and_not_the_smallest() -> None:
    probe, rows = some_probe(3, 4, False)
    dense = rows.toarray()[0].astype(np.float64)
    for k in range(4):
        every = np.abs(dense[probe.features] * probe.weights[k])
        largest = probe.features[np.argsort(-every)[:5]]
        assert [part.feature for part in top_contributions(probe, rows[0], k, 5)] == largest.tolist()


def test_the_features_of_a_row_may_come_in_any_order() -> None:
    shuffled = sp.csr_matrix(
        (np.array([1.0, 2.0, 3.0], np.float32), np.array([4, 1, 3]), np.array([0, 3])), shape=(1, 5)
    )
    parts = contributions(BINARY, shuffled)
    assert dict(zip(parts.features.tolist(), parts.values.tolist(), strict=True)) == {1: 2.0, 3: 3.0, 4: 1.0}
    assert parts.contributions.sum() + 0.1 == pytest.approx(BINARY.decision(shuffled)[0, 0])


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("binarize", ["none", 0.5, "auto"])
@pytest.mark.parametrize("scaled", [True, False])
def test_the_sum_comes_out_on_a_thousand_random_rows_of_each_kind_of_probe(
    kind: str, binarize: str | float, scaled: bool
) -> None:
    """Of fitted probes; the scores they must sum to are numpy's, and their calibration does not change an order."""
    rng = np.random.default_rng(3)
    scale = 10.0 ** rng.integers(-3, 4, 25) if scaled else np.ones(25)
    drawn = rng.exponential(size=(1120, 25)) * (rng.random((1120, 25)) < 0.4) * scale
    fit, rows = (sp.csr_matrix(part.astype(np.float32)) for part in (drawn[:120], drawn[120:]))
    noisy = drawn[:120] / scale + rng.normal(size=(120, 25)) / 4
    codes = np.argmax(noisy[:, :3], axis=1)
    y = {"binary": (codes > 0) * 1, "multiclass": codes, "multilabel": (noisy[:, :3] > 0.3) * 1.0}[kind]
    target = Target(kind, ("a", "b", "c")[: 2 if kind == "binary" else 3], y)  # type: ignore[arg-type]
    folds = inner_folds(target, np.arange(120), 3, 0)
    found = choose(fit, target, folds, Recipe("sparse", binarize), ProbeSpec(C=(1.0,)))
    probe, calibration = found.probe, calibrate(found.out_of_fold, target)
    dense = rows.toarray()[:, probe.features].astype(np.float64)
    inputs = dense if probe.thresholds is None else 1.0 * (dense > probe.thresholds)
    scores = inputs @ probe.weights.T + probe.intercept
    sums = np.empty(scores.shape)
    for i in range(1000):
        for k in range(len(probe.intercept)):
            shown = top_contributions(probe, rows[i], 1 if kind == "binary" else k, 25)
            sums[i, k] = sum(part.contribution for part in shown) + probe.intercept[k]
            assert all(part.contribution * part.weight > 0 for part in shown)
    np.testing.assert_allclose(sums, scores, rtol=0, atol=1e-5)
    probabilities = calibration.probabilities(sums)
    if kind != "multiclass":
        order = np.argsort(sums[:, -1], kind="stable")
        assert np.all(np.diff(probabilities[order, -1]) >= 0)
    else:
        np.testing.assert_array_equal(np.argmax(probabilities, axis=1), np.argmax(sums, axis=1))
