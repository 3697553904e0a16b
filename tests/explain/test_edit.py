"""A probe without some of its features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.learn.planted import labels, sparse_rows

from latentprobe.config import ProbeSpec
from latentprobe.errors import SpecError
from latentprobe.explain.edit import refitted, without
from latentprobe.learn import FittedProbe, Recipe, choose, inner_folds


def probe(binarized: bool = False, outputs: int = 3) -> FittedProbe:
    rng = np.random.default_rng(0)
    features = np.arange(5, 45, 2)
    thresholds = rng.uniform(0, 1, len(features)).astype(np.float32) if binarized else None
    return FittedProbe(features, thresholds, rng.normal(size=(outputs, 20)), rng.normal(size=outputs), 0.1, True)


@pytest.mark.parametrize("binarized", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_probe_without_features_decides_as_it_did_with_them_off(binarized: bool, outputs: int) -> None:
    one = probe(binarized, outputs)
    rows = sparse_rows(labels(200).y, width=50)
    drop = [5, 21, 43]
    off = rows.toarray()
    off[:, drop] = 0
    np.testing.assert_allclose(without(one, drop).decision(rows), one.decision(sp.csr_matrix(off)), atol=1e-5)


@pytest.mark.parametrize("drop", [[6], [5, 999], [], list(range(5, 45, 2))])
def test_what_is_not_used_cannot_be_dropped_nor_can_everything(drop: list[int]) -> None:
    with pytest.raises(SpecError):
        without(probe(), drop)


def test_a_refit_is_the_fit_that_never_saw_the_dropped_features() -> None:
    target = labels(240)
    rows, units = sparse_rows(target.y, width=60), np.arange(240)
    folds = inner_folds(target, units, 5, 0)
    first = choose(rows, target, folds, Recipe("sparse"), ProbeSpec(C=(0.1,))).probe
    drop = [0, 6, 33]
    again = refitted(rows, target, units, first, drop, binarize="none").chosen.probe
    left = [feature for feature in range(60) if feature not in drop]
    alone = choose(rows[:, left], target, folds, Recipe("sparse"), ProbeSpec(C=(0.1,))).probe
    assert again.features.tolist() == left
    np.testing.assert_allclose(again.weights, alone.weights)
    np.testing.assert_allclose(again.decision(rows), alone.decision(rows[:, left]))


def test_a_probe_without_a_c_is_refitted_with_one_of_the_default_grid() -> None:
    target = labels(120)
    rows, units = sparse_rows(target.y, width=60), np.arange(120)
    folds = inner_folds(target, units, 3, 0)
    first = choose(rows, target, folds, Recipe("sparse"), ProbeSpec(C=(0.1,))).probe
    again = refitted(rows, target, units, replace(first, C=None), [0], binarize="none", folds=3).chosen
    assert [C for C, _ in again.inner] == list(ProbeSpec().C) and again.probe.C in ProbeSpec().C
