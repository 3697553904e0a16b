"""The quiver test on planted data: the gain is there when it is there, and only then."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from latentprobe.config import EvaluateSpec, ProbeSpec, RegimesSpec
from latentprobe.learn import Representation, Split, conditions, quiver

from .planted import labels, sparse_rows

N = 300
PARTS = Split(train=np.arange(200), test=np.arange(200, N))
TARGET = labels(N)
INFORMED = sparse_rows(TARGET.y, width=60, planted=20)
NOISE = sparse_rows(np.zeros(N, dtype=np.int64), width=60, seed=5)


def row(rows: sp.csr_matrix, kind: str) -> Representation:
    return Representation(kind=kind, name=kind, features="sparse", load=lambda: rows, source=str(id(rows)))  # type: ignore[arg-type]


def gains(sae: sp.csr_matrix, baseline: sp.csr_matrix, **spec: Any) -> tuple[list[dict[str, Any]], list[str]]:
    made, _ = conditions(RegimesSpec.model_validate({"imbalance": (), "noise": ()} | spec), TARGET, PARTS, {}, seed=0)
    settings = EvaluateSpec(folds=3, bootstrap=200)
    choices = [row(sae, "sae"), row(baseline, "baseline")]
    return quiver(choices, made, np.arange(N), ProbeSpec(C=(0.1,)), settings, jobs=1)


def test_sae_rows_that_know_more_are_chosen_and_the_gain_is_clear() -> None:
    told, left_out = gains(INFORMED, NOISE, rows=(64, 128), repeats=2)
    assert [(one["regime"], one["level"], one["repeats"]) for one in told] == [
        ("rows", 64, 2),
        ("rows", 128, 2),
        ("rows", None, 2),
    ]
    for one in told:
        assert one["sae_chosen"] == 1.0
        assert one["all"] == one["sae"] > one["baseline"]
        assert np.isclose(one["gain"]["value"], one["all"] - one["baseline"])
        assert 0 < one["gain"]["low"] < one["gain"]["value"] < one["gain"]["high"]
    means = np.mean([told[0]["gain"]["value"], told[1]["gain"]["value"]])
    assert np.isclose(told[2]["gain"]["value"], means)
    assert left_out == []


def test_sae_rows_that_know_less_are_not_chosen_and_nothing_is_gained_or_lost() -> None:
    told, _ = gains(NOISE, INFORMED, rows=(128,), repeats=2)
    for one in told:
        assert one["sae_chosen"] == 0.0
        assert one["gain"] == {"value": 0.0, "low": 0.0, "high": 0.0}
        assert one["all"] == one["baseline"] > one["sae"]


def test_of_equals_the_baseline_is_chosen() -> None:
    told, _ = gains(INFORMED, INFORMED, rows=(64,), repeats=1)
    assert told[0]["sae_chosen"] == 0.0


def test_a_draw_whose_folds_cannot_be_made_is_left_out_with_the_reason() -> None:
    made, _ = conditions(RegimesSpec(rows=(8,), imbalance=(), noise=(), repeats=1), TARGET, PARTS, {}, seed=0)
    units = np.where(TARGET.y == 1, 0, np.arange(N))  # all rows of a class are copies of each other
    choices = [row(INFORMED, "sae"), row(NOISE, "baseline")]
    told, left_out = quiver(choices, made, units, ProbeSpec(C=(0.1,)), EvaluateSpec(folds=3, bootstrap=100), jobs=1)
    assert told == []
    assert len(left_out) == 1 and left_out[0].startswith("rows 8, draw 0: every inner fold")


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert gains(INFORMED, NOISE, rows=(64,), repeats=2) == gains(INFORMED, NOISE, rows=(64,), repeats=2)


def test_a_shift_is_judged_on_rows_of_groups_that_are_not_trained_on_and_needs_ten_of_each_class() -> None:
    source = np.where(np.arange(N) < 200, "web", "mail")
    shift = {"column": "source", "train": "web", "test": "mail"}
    spec = RegimesSpec.model_validate({"rows": (), "imbalance": (), "noise": (), "shift": shift})
    made, _ = conditions(spec, TARGET, PARTS, {"source": source.tolist()}, seed=0)
    choices = [row(INFORMED, "sae"), row(NOISE, "baseline")]

    def judged(n_shared: int) -> tuple[list[dict[str, Any]], list[str]]:
        units = np.arange(N)
        units[200 : 200 + n_shared] = 0  # of the group of the first training row
        return quiver(choices, made, units, ProbeSpec(C=(0.1,)), EvaluateSpec(folds=3, bootstrap=200), jobs=1)

    told, left_out = judged(40)
    assert (told[0]["n_train"], told[0]["n_test"], left_out) == (200, 60, [])
    told, left_out = judged(99)
    assert told == []
    assert "of 100 test rows 1 are, 0 of the rarest class" in left_out[0]
