"""Little data, imbalance, noise and shift: what is drawn, and what is left alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from pydantic import ValidationError

from latentprobe.config import RegimesSpec, ShiftSpec
from latentprobe.corpus import Target
from latentprobe.errors import SpecError
from latentprobe.learn import Condition, Split, conditions

from .planted import labels, multilabel

ALL = np.arange(400)
PARTS = Split(train=ALL[:300], test=ALL[300:])


def made(target: Target, **spec: object) -> tuple[list[Condition], list[str]]:
    nothing = {"rows": (), "imbalance": (), "noise": (), "repeats": 2}
    return conditions(RegimesSpec.model_validate(nothing | spec), target, PARTS, {}, seed=0)


def shares(condition: Condition) -> Sequence[float]:
    codes = condition.target.y[condition.split.train]
    return [float(np.mean(codes == code)) for code in range(len(condition.target.classes))]


def test_little_data_has_the_shares_of_the_whole_and_comes_from_the_training_part() -> None:
    y = np.random.default_rng(1).permutation(np.repeat([0, 1], [300, 100]))
    target = Target("binary", ("no", "yes"), y)
    found, left_out = made(target, rows=(8, 40, 100))
    assert [(one.level, one.repeat) for one in found] == [(8, 0), (40, 0), (100, 0), (8, 1), (40, 1), (100, 1)]
    for one in found:
        assert len(np.unique(one.split.train)) == one.level
        assert np.isin(one.split.train, PARTS.train).all()
        assert np.array_equal(one.split.test, PARTS.test)
        assert np.array_equal(one.target.y, y)
        assert abs(shares(one)[1] - y[:300].mean()) <= 1 / one.level
    assert not np.array_equal(found[1].split.train, found[4].split.train)
    assert left_out == []


def test_every_class_keeps_two_rows_or_the_level_is_left_out_with_the_reason() -> None:
    found, left_out = made(labels(400, 7), rows=(8, 14, 300))
    assert {one.level for one in found} == {14}
    assert set(np.bincount(found[0].target.y[found[0].split.train])) == {2}
    assert left_out == ["8 training rows: fewer than two for some of 7 classes", "300 training rows: there are 300"]


def test_imbalance_moves_the_share_and_not_the_number_of_rows() -> None:
    levels = (0.05, 0.25, 0.5, 0.95)
    found, _ = made(labels(400), imbalance=levels, repeats=1)
    assert len({len(one.split.train) for one in found}) == 1
    for one in found:
        assert shares(one)[1] == pytest.approx(one.level, abs=0.01)
        assert np.array_equal(one.split.test, PARTS.test)


def test_of_several_classes_the_most_frequent_one_is_moved_and_the_others_keep_their_proportions() -> None:
    y = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [60, 240, 100]))
    found, _ = made(Target("multiclass", ("a", "b", "c"), y), imbalance=(0.25, 0.75), repeats=1)
    there = np.bincount(y[:300])
    for one in found:
        drawn = np.bincount(one.target.y[one.split.train])
        assert drawn[1] / drawn.sum() == pytest.approx(one.level, abs=0.01)
        assert drawn[0] / drawn[2] == pytest.approx(there[0] / there[2], rel=0.1)


@pytest.mark.parametrize("k", [2, 4])
def test_noise_changes_that_share_of_training_labels_and_no_test_label(k: int) -> None:
    target = labels(400, k)
    found, _ = made(target, noise=(0.0, 0.3))
    for one in found:
        changed = one.target.y != target.y
        assert changed.sum() == round(float(one.level) * 300)
        assert not changed[PARTS.test].any()
        assert one.split is PARTS
    wrong = found[1].target.y[found[1].target.y != target.y]
    assert len(np.unique(wrong)) == k  # spread over all other classes


def test_noise_turns_answers_of_several_labels_and_leaves_missing_ones_missing() -> None:
    target = multilabel(400)
    found, _ = made(target, noise=(0.25,), imbalance=(0.5,), repeats=1)
    (one,) = found
    assert np.array_equal(np.isnan(one.target.y), np.isnan(target.y))
    changed = (one.target.y != target.y) & ~np.isnan(target.y)
    assert changed[PARTS.train].mean() == pytest.approx(0.25 * 0.8, abs=0.03)
    assert not changed[PARTS.test].any()


def test_a_condition_is_the_same_whichever_others_are_asked_for() -> None:
    alone, _ = made(labels(400), rows=(64,), repeats=1)
    among, _ = made(labels(400), rows=(8, 64), noise=(0.1,), repeats=3)
    (same,) = [one for one in among if (one.level, one.repeat) == (64, 0)]
    assert np.array_equal(alone[0].split.train, same.split.train)


def test_a_shift_trains_on_one_source_and_tests_on_another() -> None:
    source = ["web", "mail"] * 200
    spec = RegimesSpec(rows=(), imbalance=(), noise=(), shift=ShiftSpec(column="source", train="web", test="mail"))
    ((one,), _) = conditions(spec, labels(400), PARTS, {"source": source}, seed=0)
    assert one.level == "web → mail"
    assert np.array_equal(one.split.train, ALL[::2]) and np.array_equal(one.split.test, ALL[1::2])


def test_a_shift_may_join_several_sources_on_either_side() -> None:
    source = ["web", "mail", "chat", "print"] * 100
    shift = ShiftSpec(column="source", train=("web", "chat"), test="print")
    ((one,), _) = conditions(
        RegimesSpec(rows=(), imbalance=(), noise=(), shift=shift), labels(400), PARTS, {"source": source}, seed=0
    )
    assert one.level == "web and 1 more → print"
    assert np.array_equal(one.split.train, ALL[::2]) and np.array_equal(one.split.test, ALL[3::4])


def test_a_source_is_not_trained_and_tested_on() -> None:
    with pytest.raises(ValidationError, match="not both: mail"):
        ShiftSpec(column="source", train=("web", "mail"), test="mail")


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        ({"column": "sauce", "train": "web", "test": "mail"}, "must be listed in `data.by`"),
        ({"column": "source", "train": "web", "test": "male"}, "no row has 'male'"),
    ],
)
def test_a_shift_that_cannot_be_is_refused(shift: dict[str, str], words: str) -> None:
    spec = RegimesSpec(shift=ShiftSpec(**shift))
    with pytest.raises(SpecError, match=words):
        conditions(spec, labels(400), PARTS, {"source": ["web", "mail"] * 200}, seed=0)
