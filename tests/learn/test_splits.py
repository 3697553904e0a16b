"""Which rows train and test."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentprobe.corpus import Corpus, Target, corpus_from
from latentprobe.errors import CorpusError
from latentprobe.learn import inner_folds, split, units_of
from latentprobe.learn.splits import outer_folds

from .planted import labels, multilabel


def test_the_split_is_the_documented_hash_rule_that_other_programs_can_follow() -> None:
    texts = [f"  Text   NUMBER {i}" for i in range(200)]
    parts = split(corpus_from(texts, ["a", "b"] * 100), test=0.3, seed=7)
    expected = []
    for label in (0, 1):
        rows = [i for i in range(200) if i % 2 == label]
        place = {i: int.from_bytes(hashlib.sha256(f"7:text number {i}".encode()).digest()[:8], "big") for i in rows}
        expected += sorted(rows, key=place.__getitem__)[:30]
    assert parts.test.tolist() == sorted(expected)
    assert sorted([*parts.train, *parts.test]) == list(range(200))


def test_mistake_5_row_order_does_not_decide_what_is_tested_on() -> None:
    texts, classes = [f"text {i}" for i in range(100)], [f"c{i % 3}" for i in range(100)]
    order = np.random.default_rng(0).permutation(100)
    first = split(corpus_from(texts, classes), test=0.2, seed=0)
    other = split(corpus_from([texts[i] for i in order], [classes[i] for i in order]), test=0.2, seed=0)
    assert {texts[i] for i in first.test} == {texts[order[i]] for i in other.test}


def test_another_seed_draws_another_test_part() -> None:
    corpus = corpus_from([f"text {i}" for i in range(100)], ["a", "b"] * 50)
    assert split(corpus, test=0.2, seed=0).test.tolist() != split(corpus, test=0.2, seed=1).test.tolist()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_copies_and_groups_never_stand_on_both_sides(data: st.DataObject) -> None:
    n = data.draw(st.integers(30, 80))
    texts = data.draw(st.lists(st.sampled_from([f"Text {i}" for i in range(40)]), min_size=n, max_size=n))
    spaced = [text.upper() + " " if data.draw(st.booleans()) else text for text in texts]
    groups = data.draw(st.none() | st.lists(st.sampled_from([f"g{i}" for i in range(25)]), min_size=n, max_size=n))
    y = [i % 2 for i in range(n)]
    corpus = corpus_from(spaced, y, groups=groups)
    try:
        parts = split(corpus, test=0.25, seed=0)
    except CorpusError:
        return  # everything hangs together: said, not split
    for keys in (texts, groups or texts):
        assert not {keys[i] for i in parts.train} & {keys[i] for i in parts.test}
    units = units_of(corpus)
    assert not set(units[parts.train]) & set(units[parts.test])


def test_groups_that_share_a_text_are_one_unit() -> None:
    corpus = corpus_from(["x", "X ", "y", "z", "w", "v"], [0, 1] * 3, groups=["a", "b", "b", "c", "d", "e"])
    units = units_of(corpus)
    assert units[0] == units[1] == units[2]
    assert len(set(units)) == 4


def test_every_class_keeps_its_share_and_a_class_of_two_has_one_on_each_side() -> None:
    classes = ["common"] * 100 + ["less"] * 40 + ["rare"] * 2
    corpus = corpus_from([f"t{i}" for i in range(142)], classes)
    parts = split(corpus, test=0.2, seed=0)
    assert corpus.target.counts(parts.test) == {"common": 20, "less": 8, "rare": 1}


def test_a_class_with_one_text_is_refused_by_name_and_count() -> None:
    corpus = corpus_from([f"t{i}" for i in range(40)] + ["same", "same"], ["a", "b"] * 20 + ["alone"] * 2)
    with pytest.raises(CorpusError) as error:
        split(corpus, test=0.2, seed=0)
    assert "'alone'" in error.value.got
    assert "2 of 2 rows" in error.value.got


def test_one_huge_group_does_not_take_the_test_part_over() -> None:
    groups = ["huge"] * 60 + [f"g{i}" for i in range(40)]
    corpus = corpus_from([f"t{i}" for i in range(100)], [0, 1] * 50, groups=groups)
    for seed in range(10):
        assert 10 <= len(split(corpus, test=0.2, seed=seed).test) <= 30


def _given(y: list[int], test: list[bool]) -> Corpus:
    names = tuple(f"r{i}" for i in range(len(y)))
    target = Target("binary", ("no", "yes"), np.array(y))
    return Corpus("given", names, names, target, None, np.array(test), ())


def test_a_given_test_part_is_used_as_it_is() -> None:
    parts = split(_given([0, 1, 0, 1, 0], [False, False, True, True, False]), test=0.5, seed=3)
    assert parts.test.tolist() == [2, 3]
    assert parts.train.tolist() == [0, 1, 4]


def test_a_given_split_without_training_rows_of_a_class_is_refused() -> None:
    with pytest.raises(CorpusError, match="training row") as error:
        split(_given([0, 0, 1, 0], [False, False, True, True]), test=0.5, seed=0)
    assert "'yes'" in error.value.got


def test_multi_label_answers_keep_their_shares_where_most_mixtures_are_rare() -> None:
    target = multilabel(400, k=6, missing=0.3)
    names = tuple(f"r{i}" for i in range(400))
    parts = split(Corpus("m", names, names, target, None, None, ()), test=0.25, seed=0)
    assert abs(len(parts.test) - 100) <= 10
    share = np.nanmean(target.y[parts.test], axis=0)
    assert np.abs(share - np.nanmean(target.y, axis=0)).max() < 0.12


def test_inner_folds_hold_each_row_out_once_and_keep_units_and_shares() -> None:
    target = labels(300, 3)
    units = np.arange(300) // 2
    folds = inner_folds(target, units, 5, seed=0)
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(300))
    for fit, held in folds:
        assert not set(units[fit]) & set(units[held])
        assert min(np.bincount(target.y[held])) >= 12


def test_inner_folds_of_the_same_seed_are_the_same() -> None:
    target = labels(60)
    first, second, other = (inner_folds(target, np.arange(60), 3, seed) for seed in (4, 4, 5))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True))


def test_a_fold_without_a_class_to_fit_is_refused_by_name() -> None:
    target = Target("multiclass", ("a", "b", "lonely"), np.array([0, 1] * 10 + [2]))
    with pytest.raises(CorpusError) as error:
        inner_folds(target, np.arange(21), 5, seed=0)
    assert "'lonely'" in error.value.got
    assert "1 training rows" in error.value.got


def test_fewer_units_than_folds_are_refused() -> None:
    with pytest.raises(CorpusError, match="different texts or groups"):
        inner_folds(labels(20), np.arange(20) // 10, 5, seed=0)


def test_inner_folds_of_a_multi_label_task_have_every_answer_to_fit(recwarn: pytest.WarningsRecorder) -> None:
    target = multilabel(120, k=4)
    for fit, _ in inner_folds(target, np.arange(120), 5, seed=0):
        assert min(target.counts(fit).values()) > 0
    assert not recwarn


def _with_near_copies(n: int = 200, every: int = 10, groups: list[str] | None = None) -> tuple[Corpus, Corpus]:
    """The same corpus without and with near-copies known: each tenth row is near the row before it."""
    plain = corpus_from([f"text {i}" for i in range(n)], ["a", "b"] * (n // 2), groups=groups)
    near = tuple(f"text {i - 1 if i % every == 1 else i}" for i in range(n))
    return plain, replace(plain, near=near)


def test_near_copies_are_one_unit() -> None:
    plain, near = _with_near_copies()
    assert len(set(units_of(plain))) == 200 and len(set(units_of(near))) == 180
    assert units_of(near)[10] == units_of(near)[11] != units_of(near)[12]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("grouped", [False, True])
def test_near_copies_on_both_sides_go_to_train_and_the_test_part_stays_a_subset(seed: int, grouped: bool) -> None:
    plain, near = _with_near_copies(groups=[f"g{i // 3}" for i in range(200)] if grouped else None)
    drawn, kept = split(plain, test=0.3, seed=seed), split(near, test=0.3, seed=seed)
    assert set(kept.test) < set(drawn.test)
    assert kept.moved == len(drawn.test) - len(kept.test) > 0
    units = units_of(near)
    assert not set(units[kept.train]) & set(units[kept.test])
    # Nothing is moved without need: what left the test part has a near-copy that was never in it.
    for row in set(drawn.test) - set(kept.test):
        assert set(np.flatnonzero(units == units[row])) & set(drawn.train)


def test_near_copies_that_leave_a_class_untested_are_refused_with_the_way_out() -> None:
    plain = corpus_from([f"text {i}" for i in range(100)], ["a", "b"] * 50)
    one = replace(plain, near=tuple("b" if i % 2 else f"text {i}" for i in range(100)))
    with pytest.raises(CorpusError, match="'b'") as error:
        split(one, test=0.2, seed=0)
    assert "near_duplicates: null" in error.value.fix


def test_outer_folds_test_each_row_once_and_keep_units_whole() -> None:
    _, near = _with_near_copies()
    units = units_of(near)
    parts = outer_folds(near, units, folds=4, seed=0)
    assert sorted(np.concatenate([one.test for one in parts])) == list(range(200))
    for one in parts:
        assert sorted([*one.train, *one.test]) == list(range(200))
        assert not set(units[one.train]) & set(units[one.test])
