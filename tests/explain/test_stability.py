"""Features that matter, groups that fire together, and what a probe is without them: beside numpy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import f1_score, jaccard_score
from word_world import probe_with

from latentprobe.config import ProbeSpec
from latentprobe.corpus import Target
from latentprobe.explain import top_contributions
from latentprobe.explain.redundancy import redundancy_groups, without_features
from latentprobe.explain.stability import importance, stability
from latentprobe.learn import FittedProbe, Recipe, choose, inner_folds
from latentprobe.learn.probes import refit

CAUSES = [3, 8, 15, 22, 31]


def planted(n: int, seed: int) -> tuple[sp.csr_matrix, Target]:
    """Rows of 40 features, of which five make the class, and every tenth is seen by many rows and makes nothing."""
    rng = np.random.default_rng(seed)
    rows = rng.exponential(size=(n, 40)) * (rng.random((n, 40)) < np.where(np.arange(40) % 10 == 0, 0.9, 0.3))
    score = rows[:, CAUSES] @ np.array([2.0, -2.0, 2.0, -2.0, 2.0]) - 0.6
    y = (score + rng.normal(size=n) / 4 > 0).astype(np.int64)
    return sp.csr_matrix(rows.astype(np.float32)), Target("binary", ("no", "yes"), y)


def fitted(rows: sp.csr_matrix, target: Target) -> FittedProbe:
    folds = inner_folds(target, np.arange(len(target)), 3, 0)
    return choose(rows, target, folds, Recipe("sparse"), ProbeSpec(C=(0.01, 0.1))).probe


def test_on_planted_data_the_features_found_are_the_causes() -> None:
    """Precision and recall of the five that matter most, and of those named first in decisions on other rows."""
    rows, target = planted(1000, 0)
    probe = fitted(rows, target)
    best = set(np.argsort(-importance(probe, rows))[:5].tolist())
    assert best == set(CAUSES)
    others, _ = planted(200, 1)
    named = []
    for row in others:
        decided = int(probe.decision(row)[0, 0] > 0)
        found = [part.feature for part in top_contributions(probe, row, decided, 2) if part.contribution > 0]
        named += found[:1] if set(row.indices) & set(CAUSES) else []
    assert np.mean([feature in CAUSES for feature in named]) > 0.9
    assert set(named) >= set(CAUSES)


def test_importance_is_the_spread_of_what_a_feature_adds() -> None:
    rows, _ = planted(50, 2)
    probe = probe_with([0, 3, 9], [[1.0, -2.0, 0.0], [0.5, 1.0, 0.0]])
    dense = rows.toarray().astype(float)[:, [0, 3, 9]]
    expected = np.abs(probe.weights).sum(0) * dense.std(0)
    np.testing.assert_allclose(importance(probe, rows), expected, rtol=1e-6)


def test_probes_of_other_rows_agree_on_causes_and_not_on_noise() -> None:
    rows, target = planted(1000, 3)
    probes = []
    for seed in range(3):
        some = np.sort(np.random.default_rng(seed).choice(1000, 700, replace=False))
        probes.append(refit(rows[some], target.take(some), Recipe("sparse"), ProbeSpec(C=(0.01, 0.1)), 0.1))
    found = stability(probes, rows, top=5)
    assert (found["jaccard"], found["always"], found["probes"]) == (1.0, CAUSES, 3)
    assert found["chance"] == pytest.approx((5 / 40) / (2 - 5 / 40))
    noise = [probe_with(np.arange(40), np.random.default_rng(seed).normal(size=(1, 40))) for seed in range(8)]
    assert stability(noise, rows, top=5)["jaccard"] < 0.35


def test_a_refit_with_the_chosen_c_on_the_same_rows_is_the_probe_that_was_chosen() -> None:
    rows, target = planted(300, 4)
    probe = fitted(rows, target)
    assert probe.C is not None
    again = refit(rows, target, Recipe("sparse"), ProbeSpec(C=(0.01, 0.1)), probe.C)
    np.testing.assert_array_equal(again.weights, probe.weights)


def test_a_group_is_made_of_features_whose_values_rise_and_fall_together() -> None:
    rng = np.random.default_rng(5)
    dense = rng.exponential(size=(300, 8)) * (rng.random((300, 8)) < 0.4)
    dense[:, 2] = dense[:, 1] * 3
    dense[:, 5] = dense[:, 1] + 0.4 * dense[:, 5]
    dense[:, 7] = np.where(dense[:, 6] > 0, 0, dense[:, 7])  # on where the other is off
    rows = sp.csr_matrix(dense.astype(np.float32))
    probe = probe_with(range(8), [[1.0, 1.0, -1.0, 1.0, 0.0, 0.1, 1.0, 1.0]])
    (group,) = redundancy_groups(probe, rows)
    assert group["features"] == [2, 1, 5]
    pairs = [(1, 2), (1, 5), (2, 5)]
    r = np.corrcoef(dense.T)
    assert group["correlation"] == pytest.approx(np.mean([r[pair] for pair in pairs]), abs=1e-5)
    assert group["lowest"] == pytest.approx(min(r[pair] for pair in pairs), abs=1e-5)
    alike = [jaccard_score(dense[:, a] > 0, dense[:, b] > 0) for a, b in pairs]
    assert group["jaccard"] == pytest.approx(np.mean(alike), abs=1e-5)
    assert redundancy_groups(probe, rows, bound=1.01) == []


@pytest.mark.parametrize("binarized", [False, True])
def test_without_features_is_the_macro_f1_of_rows_that_lack_them(binarized: bool) -> None:
    rows, target = planted(200, 6)
    probe = fitted(rows, target)
    if binarized:
        probe = probe_with(probe.features, probe.weights, 0.3, np.full(len(probe.features), 0.5))
    lacking = rows.toarray()
    lacking[:, CAUSES[:2]] = 0
    whole, left = (probe.decision(x)[:, 0] > 0 for x in (rows.toarray(), lacking))
    expected = f1_score(target.y, left, average="macro")
    removed, nothing = without_features(probe, rows, target, np.arange(200), [CAUSES[:2], []], resamples=200, seed=0)
    assert removed["macro_f1"] == pytest.approx(expected)
    assert removed["difference"]["value"] == pytest.approx(expected - f1_score(target.y, whole, average="macro"))
    assert removed["flipped"] == int((whole != left).sum()) > 0
    assert removed["low"] < removed["macro_f1"] < removed["high"]
    assert nothing["flipped"] == 0 and nothing["difference"]["value"] == 0
