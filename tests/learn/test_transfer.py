"""Train here, test there, on planted features: what is shared transfers, what is not does not, and nothing leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import f1_score

from latentprobe.config import ProbeSpec, TransferEvaluateSpec
from latentprobe.corpus import Target
from latentprobe.learn import Representation
from latentprobe.learn import transfer as room
from latentprobe.learn.cells import cells, explored_means, kinds_of, mean_differences
from latentprobe.learn.probes import Recipe, choose
from latentprobe.learn.splits import inner_folds
from latentprobe.learn.transfer import Domains, Transfer, transfer
from latentprobe.store import OutcomeStore

EACH, WIDTH = 60, 30
PROBE = ProbeSpec(C=(1.0,))
SETTINGS = TransferEvaluateSpec(outer_folds=3, folds=2, bootstrap=100)


def three_domains(*, noise: bool = False, seed: int = 0) -> tuple[Domains, sp.csr_matrix]:
    """Domains a and b share the feature of their second class; that of c is another one. Rows 7 of all are one unit."""
    rng = np.random.default_rng(seed)
    y = np.tile([0, 1], EACH * 3 // 2)
    domain = np.repeat([0, 1, 2], EACH)
    rows = rng.gamma(1.0, 1.0, (EACH * 3, WIDTH)) * (rng.random((EACH * 3, WIDTH)) < 0.3)
    if not noise:
        rows[(y == 1) & (domain < 2), 0] += 8
        rows[(y == 1) & (domain == 2), 1] += 8
    units = np.tile(np.arange(EACH), 3)
    target = Target("binary", ("no", "yes"), y)
    return Domains(("a", "b", "c"), target, domain, units, None, (0, 1, 2), (0, 1, 2)), sp.csr_matrix(
        rows.astype(np.float32)
    )


def representations(rows: sp.csr_matrix) -> list[Representation]:
    dense = rows.toarray()[:, ::-1].copy()
    return [
        Representation("sae", "raw", "sparse", lambda: rows, "rows"),
        Representation("sae", "binarized", "sparse", lambda: rows, "rows", binarize="auto"),
        Representation("baseline", "hidden", "dense", lambda: dense, "dense"),
        Representation("baseline", "majority", "majority", lambda: ["x"] * len(dense), "texts"),
    ]


FAMILIES = ("sae", "sae", "hidden", "majority")


def run(folder: Path, *, noise: bool = False, jobs: int = 1, **changes: Any) -> tuple[Transfer, Domains, sp.csr_matrix]:
    domains, rows = three_domains(noise=noise)
    domains = replace(domains, **changes)
    return (
        transfer(representations(rows), FAMILIES, domains, PROBE, SETTINGS, memory=OutcomeStore(folder), jobs=jobs),
        domains,
        rows,
    )


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("memory")


@pytest.fixture(scope="module")
def found(memory: Path) -> tuple[Transfer, Domains, sp.csr_matrix]:
    return run(memory)


def scores(result: Transfer, domains: Domains, family: str = "sae") -> dict[tuple[str, str], float]:
    return {
        (result.sets[cell.training_set].name, domains.names[cell.domain]): cell.scores[family][0]
        for cell in cells(result, domains, resamples=100, seed=0)
    }


def test_a_shared_feature_transfers_and_another_one_does_not(found: Any) -> None:
    result, domains, _ = found
    for family in ("sae", "hidden"):
        score = scores(result, domains, family)
        assert min(score["a", "a"], score["b", "b"], score["c", "c"], score["a", "b"], score["b", "a"]) > 0.8
        assert max(score["a", "c"], score["c", "a"], score["all but c", "c"]) < 0.7
        assert min(score["all", name] for name in "abc") > 0.75
    assert {one.name for one in result.sets} == {"a", "b", "c", "all", "all but a", "all but b", "all but c"}


def test_every_score_is_scikit_learns_macro_f1_of_the_pooled_folds(found: Any) -> None:
    result, domains, _ = found
    score = scores(result, domains)
    for at, one in enumerate(result.sets[:3]):
        for code, name in enumerate(domains.names):
            rows = domains.domain == code
            expected = f1_score(domains.target.y[rows], result.predicted[at, "sae"][rows], average="macro")
            assert score[one.name, name] == pytest.approx(expected)


def test_every_row_is_tested_once_by_each_domain_and_its_own_domain_alone_when_left_out(found: Any) -> None:
    result, domains, _ = found
    for at, one in enumerate(result.sets):
        tested = result.predicted[at, "sae"] >= 0
        assert np.array_equal(tested, np.isin(domains.domain, one.tests))
        assert np.array_equal(tested, ~np.isnan(result.probabilities[at, "sae"]).any(axis=1))
    assert [one.tests for one in result.sets if one.kind == "leave_one_out"] == [(0,), (1,), (2,)]


def test_native_and_transferred_scores_come_from_as_many_training_rows(found: Any) -> None:
    result, domains, _ = found
    for one in range(3):
        sizes = [cell.n_train for cell in cells(result, domains, resamples=100, seed=0) if cell.training_set == one]
        assert len(set(sizes)) == 1 and sizes[0] == EACH * 2 // 3


def test_a_unit_is_never_trained_on_in_one_domain_and_tested_in_another(found: Any) -> None:
    result, domains, _ = found
    for own in result.train:
        for train in own:
            held_out = np.setdiff1d(np.unique(domains.units), domains.units[train])
            assert len(held_out) == EACH // 3
    parts = [sorted(np.setdiff1d(np.arange(EACH), domains.units[own[0]])) for own in result.train]
    assert parts[0] == parts[1] == parts[2]


def test_the_choice_of_a_domain_is_made_on_its_own_inner_folds(found: Any) -> None:
    """By hand, for one domain and fold: the choice is the one that `choose` makes on its training rows alone."""
    result, domains, rows = found
    train = result.train[1][2]
    target = domains.target.take(train)
    folds = inner_folds(target, domains.units[train], SETTINGS.folds, SETTINGS.seed)
    by_hand = [
        choose(rows[train], target, folds, Recipe("sparse", binarize), PROBE).inner_macro_f1
        for binarize in ("none", "auto")
    ]
    (choice,) = [c for c in result.choices if (c.training_set, c.fold, c.family) == (1, 2, "sae")]
    assert result.inner[:2, 1, 2].tolist() == by_hand
    assert choice.inner_macro_f1 == max(by_hand)
    assert choice.representation == int(np.argmax(by_hand))


def test_noise_is_at_chance_in_every_cell(tmp_path: Path) -> None:
    result, domains, _ = run(tmp_path, noise=True)
    for family in ("sae", "baseline", "hidden"):
        score = scores(result, domains, family)
        assert np.mean(list(score.values())) == pytest.approx(0.5, abs=0.08)
        assert max(score.values()) < 0.75


def test_what_is_in_memory_is_not_fitted_again(found: Any, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, domains, _ = found
    monkeypatch.setattr(room, "work_out", None)
    second, _, _ = run(memory)
    assert scores(first, domains) == scores(second, domains)


@pytest.mark.slow
def test_workers_give_the_same_numbers(found: Any, tmp_path: Path) -> None:
    result, domains, _ = found
    other, _, _ = run(tmp_path, jobs=2)
    assert scores(other, domains) == scores(result, domains)
    assert other.choices == result.choices


def test_domains_that_are_not_trained_on_are_tested(tmp_path: Path) -> None:
    result, domains, _ = run(tmp_path, trained=(0,))
    assert [one.name for one in result.sets] == ["a"]
    assert set(scores(result, domains)) == {("a", "a"), ("a", "b"), ("a", "c")}
    found = cells(result, domains, resamples=100, seed=0)
    assert [cell.to_native for cell in found] == [None] * 3


def test_a_translation_is_tested_and_never_trained_on(tmp_path: Path) -> None:
    result, domains, _ = run(tmp_path, trained=(0, 1), source=(0, 1, 1))
    assert [one.name for one in result.sets] == ["a", "b", "all"]
    assert all(not np.any(domains.domain[train] == 2) for own in result.train for train in own)


def test_a_given_test_part_is_one_round(tmp_path: Path) -> None:
    given = np.tile(np.arange(EACH) >= 40, 3)
    result, domains, _ = run(tmp_path, given_test=given)
    assert result.inner.shape[2] == 1
    assert np.array_equal(result.predicted[0, "sae"] >= 0, given)
    assert all(np.all(~given[train]) for own in result.train for train in own)
    assert scores(result, domains)["a", "b"] > 0.8


def test_explored_scores_are_those_of_each_representation(found: Any) -> None:
    result, domains, _ = found
    means = explored_means(result, domains)
    assert [set(one) for one in means] == [{"inner_macro_f1", "native_macro_f1", "transfer_macro_f1"}] * 4
    assert means[0]["native_macro_f1"] > means[3]["native_macro_f1"]
    assert means[3]["native_macro_f1"] == pytest.approx(1 / 3, abs=0.02)


def test_the_mean_difference_is_that_of_the_cells_and_its_interval_that_of_a_bootstrap_over_all_units(
    found: Any,
) -> None:
    result, domains, _ = found
    gap = mean_differences(result, domains, resamples=400, seed=0)["transfer"]["hidden"]
    scored = {family: scores(result, domains, family) for family in ("sae", "hidden")}
    names = [(result.sets[one].name, domains.names[at]) for one, at in kinds_of(result, domains)["transfer"]]
    assert len(names) == 6
    assert gap.value == pytest.approx(np.mean([scored["sae"][name] - scored["hidden"][name] for name in names]))
    rng, drawn = np.random.default_rng(1), []
    rows_of = {unit: np.flatnonzero(domains.units == unit) for unit in np.unique(domains.units)}
    for _ in range(400):
        rows = np.concatenate([rows_of[unit] for unit in rng.choice(list(rows_of), len(rows_of))])
        differences = []
        for one, at in kinds_of(result, domains)["transfer"]:
            own = rows[domains.domain[rows] == at]
            of = [result.predicted[one, family][own] for family in ("sae", "hidden")]
            truth = domains.target.y[own]
            differences.append(f1_score(truth, of[0], average="macro") - f1_score(truth, of[1], average="macro"))
        drawn.append(np.mean(differences))
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx([gap.low, gap.high], abs=0.01)


def test_every_cell_is_of_one_kind(found: Any, tmp_path: Path) -> None:
    result, domains, _ = found
    kinds = kinds_of(result, domains)
    assert {kind: len(own) for kind, own in kinds.items()} == {
        "native": 3, "transfer": 6, "all": 3, "leave_one_out": 3
    }  # fmt: skip
    assert sorted(cell for own in kinds.values() for cell in own) == sorted(
        (cell.training_set, cell.domain) for cell in cells(result, domains, resamples=100, seed=0)
    )


def test_a_clear_difference_stays_clear_when_it_is_corrected_for_all_cells(tmp_path: Path) -> None:
    domains, rows = three_domains()
    some = [one for one in representations(rows) if one.name != "hidden"]
    result = transfer(some, ("sae", "sae", "majority"), domains, PROBE, SETTINGS, memory=OutcomeStore(tmp_path), jobs=1)
    found = {(cell.training_set, cell.domain): cell for cell in cells(result, domains, resamples=100, seed=0)}
    assert len(found) == 15
    assert found[0, 0].difference.low > 0 and found[0, 0].p_holm < 0.05
