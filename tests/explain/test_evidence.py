from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from word_world import features_of, probe_with, word_world

from latentprobe.config import ProbeSpec
from latentprobe.corpus import Target
from latentprobe.explain import class_evidence
from latentprobe.explain.evidence import excerpt
from latentprobe.learn import Recipe, choose, inner_folds
from latentprobe.store.labels import FeatureLabel

WORDS = ["refund", "late", "hello", "stupid", "thanks"]
TEXTS = [
    "hello, a refund please",
    "where is my refund!!",
    "so late, refund me!",
    "hello you stupid thing",
    "stupid, stupid, late",
    "thanks, and hello",
]
LABELS = {0: FeatureLabel("money back"), 3: FeatureLabel("insults", score=0.55, low=0.5, high=0.6)}


def binary_evidence(**changes: object) -> list[dict]:
    probe = probe_with(range(5), [[-2.0, 0.3, 0.1, 3.0, -0.5]])
    target = Target("binary", ("calm", "hostile"), np.array([0, 0, 0, 1, 1, 0]))
    arguments = {
        "features": word_world(TEXTS, WORDS),
        "pooling": "max",
        "probe": probe,
        "target": target,
        "texts": TEXTS,
        "rows": np.arange(6),
        "labels": LABELS,
    } | changes
    return class_evidence(**arguments)  # type: ignore[arg-type]


def names(found: dict) -> list[int]:
    return [feature["feature"] for feature in found["features"]]


def test_mistake_10_each_class_of_a_binary_probe_shows_the_features_that_speak_for_it() -> None:
    calm, hostile = binary_evidence()
    assert (calm["class"], hostile["class"]) == ("calm", "hostile")
    assert names(hostile)[0] == 3
    assert names(calm) == [0, 4]
    assert all(feature["weight"] > 0 for found in (calm, hostile) for feature in found["features"])
    assert calm["features"][0]["weight"] == 2.0


def test_the_ranking_is_the_difference_of_mean_contributions() -> None:
    calm, _ = binary_evidence()
    refund = calm["features"][0]
    # refund is on in three of four calm rows with values 1, 3, 2, and in no hostile one
    assert refund["mean_contribution"] == pytest.approx(2.0 * (1 + 3 + 2) / 4)
    assert refund["rate"] == {"calm": 0.75, "hostile": 0.0}
    assert refund["rate_others"] == 0.0
    assert refund["label"] == "money back" and refund["label_score"] is None


def test_a_feature_that_helps_only_by_its_absence_is_not_shown() -> None:
    """Its weight times the difference of means is positive for both classes; it belongs where it is on."""
    calm, hostile = binary_evidence()
    assert 3 not in names(calm)
    assert 0 not in names(hostile)


def test_examples_are_the_strongest_first_with_the_token_marked() -> None:
    refund = binary_evidence()[0]["features"][0]
    assert [example["id"] for example in refund["examples"]] == ["r1", "r2", "r0"]
    assert [example["value"] for example in refund["examples"]] == [3.0, 2.0, 1.0]
    assert all(example["text"][example["start"] : example["end"]] == "refund" for example in refund["examples"])
    assert {example["true"] for example in refund["examples"]} == {"calm"}


def test_only_training_rows_are_counted_and_shown() -> None:
    calm, hostile = binary_evidence(rows=np.array([0, 3, 5]))
    assert (calm["n_train"], hostile["n_train"]) == (2, 1)
    shown = {example["id"] for found in (calm, hostile) for f in found["features"] for example in f["examples"]}
    assert shown <= {"r0", "r3", "r5"}


def test_the_same_text_twice_is_one_example() -> None:
    texts = ["Refund now", "refund  NOW", "a refund", "no"]
    lit = [[(0, 3.0, 0, 6)], [(0, 3.0, 0, 6)], [(0, 1.0, 2, 8)], []]
    found = class_evidence(
        features_of(lit),
        "max",
        probe_with([0], [[1.0]]),
        Target("binary", ("no", "yes"), np.array([1, 1, 1, 0])),
        texts,
        np.arange(4),
        {},
    )
    assert [example["id"] for example in found[1]["features"][0]["examples"]] == ["r0", "r2"]


def test_the_last_example_is_a_typical_one_where_there_are_many() -> None:
    texts = [f"word {i}" for i in range(20)]
    lit = [[(0, float(20 - i), 0, 4)] if i < 16 else [] for i in range(20)]
    found = class_evidence(
        features_of(lit),
        "max",
        probe_with([0], [[1.0]]),
        Target("binary", ("no", "yes"), (np.arange(20) < 16).astype(np.int64)),
        texts,
        np.arange(20),
        {},
    )
    examples = found[1]["features"][0]["examples"]
    assert [example["id"] for example in examples] == ["r0", "r1", "r2", "r8"]
    assert [example["typical"] for example in examples] == [False, False, False, True]


def test_a_binarized_probe_is_on_above_its_threshold_only() -> None:
    probe = probe_with(range(5), [[-2.0, 0, 0, 1, 0]], thresholds=np.ones(5))
    calm, _ = binary_evidence(probe=probe)
    refund = calm["features"][0]
    assert refund["rate"] == {"calm": 0.5, "hostile": 0.0}
    assert [example["id"] for example in refund["examples"]] == ["r1", "r2"]
    assert refund["mean_contribution"] == pytest.approx(2.0 * 0.5)


def test_each_class_of_several_has_its_own_row_of_weights() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.random((60, 6)) < 0.4) * rng.uniform(0.5, 3, (60, 6))
    lit = [[(j, float(dense[i, j]), 0, 1) for j in np.flatnonzero(dense[i])] for i in range(60)]
    y, weights = rng.integers(0, 3, 60), rng.normal(size=(3, 6))
    target = Target("multiclass", ("a", "b", "c"), y)
    probe = probe_with(range(6), weights)
    found = class_evidence(features_of(lit), "max", probe, target, [f"t{i}" for i in range(60)], np.arange(60), {})
    for k in range(3):
        gap = weights[k] * (dense[y == k].mean(axis=0) - dense[y != k].mean(axis=0))
        expected = [j for j in np.argsort(-gap) if gap[j] > 0 and weights[k, j] > 0]
        assert names(found[k]) == expected
        for feature in found[k]["features"]:
            j = feature["feature"]
            assert feature["mean_contribution"] == pytest.approx(gap[j], rel=1e-6)
            assert feature["rate_others"] == pytest.approx((dense[y != k, j] > 0).mean(), abs=1e-4)


def test_unlabelled_rows_of_a_label_column_count_on_neither_side() -> None:
    target = Target("multilabel", ("x", "y"), np.array([[1, 0], [0, 1], [np.nan, 1], [1, np.nan]]))
    lit = [[(0, 1.0, 0, 1)], [], [(0, 1.0, 0, 1)], [(0, 1.0, 0, 1)]]
    probe = probe_with([0], [[1.0], [-1.0]])
    x, y = class_evidence(features_of(lit), "max", probe, target, ["a", "b", "c", "d"], np.arange(4), {})
    assert x["n_train"] == 2
    assert x["features"][0]["rate"] == {"x": 1.0, "y": 0.5}
    assert x["features"][0]["rate_others"] == 0.0
    assert [example["true"] for example in x["features"][0]["examples"]] == ["x", "y", "x"]
    assert y["features"] == []


def test_the_evidence_is_plain_json() -> None:
    assert json.loads(json.dumps(binary_evidence(), allow_nan=False)) == binary_evidence()


@given(
    words=st.lists(st.text(alphabet="abcé漢 \n", min_size=1, max_size=60), min_size=1, max_size=20),
    at=st.floats(0, 1),
    length=st.integers(0, 40),
    limit=st.integers(20, 240),
)
def test_an_excerpt_keeps_its_token_and_its_limit(words: list[str], at: float, length: int, limit: int) -> None:
    text = " ".join(words)
    start = int(at * len(text))
    end = min(len(text), start + length)
    cut = excerpt(text, start, end, limit=limit)
    assert len(cut["text"]) <= limit
    assert cut["text"] in text
    assert cut["text"][cut["start"] : cut["end"]] == text[start : min(end, start + limit)]
    assert cut["cut_before"] or text.startswith(cut["text"])
    assert cut["cut_after"] or text.endswith(cut["text"])


def test_an_excerpt_cuts_at_word_borders() -> None:
    text = " ".join(f"word{i}" for i in range(200))
    at = text.index("word100")
    cut = excerpt(text, at, at + 7)
    assert cut["cut_before"] and cut["cut_after"]
    assert set(cut["text"].split(" ")) <= set(text.split(" "))
    assert 200 < len(cut["text"]) <= 240


def test_a_script_without_spaces_is_cut_at_the_limit() -> None:
    cut = excerpt("漢" * 1000, 500, 502)
    assert len(cut["text"]) == 240
    assert 100 < cut["start"] < 140


def test_a_token_longer_than_the_limit_is_clipped() -> None:
    cut = excerpt("x" * 1000, 0, 1000)
    assert (cut["start"], cut["end"], len(cut["text"])) == (0, 240, 240)


@pytest.mark.parametrize("binarize", ["none", 1.0, "auto"])
def test_a_fitted_probe_is_explained_by_the_words_that_make_the_classes(binarize: str | float) -> None:
    """From texts to evidence with a real fit: the word that was planted in a class leads that class."""
    rng = np.random.default_rng(0)
    planted = {"calm": "thanks", "angry": "stupid", "lost": "refund"}
    classes = tuple(sorted(planted))
    y = rng.integers(0, 3, 120)
    texts = [
        " ".join([*(word for word in ("hello", "late") if rng.random() < 0.5), planted[classes[k]] + "!" * 4, str(i)])
        for i, k in enumerate(y)
    ]
    features = word_world(texts, WORDS)
    target = Target("multiclass", classes, y)
    folds = inner_folds(target, np.arange(120), 3, 0)
    probe = choose(features.csr("max"), target, folds, Recipe("sparse", binarize), ProbeSpec()).probe
    found = class_evidence(features, "max", probe, target, texts, np.arange(120), {})
    assert {one["class"]: WORDS[names(one)[0]] for one in found} == planted
    assert all(one["features"][0]["rate"][one["class"]] == 1.0 for one in found)
    assert all(one["features"][0]["rate_others"] == 0.0 for one in found)


def test_texts_are_also_shown_at_quantiles_of_the_values_and_not_only_at_the_maximum() -> None:
    texts = [f"refund {i} " + "!" * i for i in range(41)]
    probe = probe_with([0], [[1.0]])
    target = Target("binary", ("no", "yes"), np.array([0] + [1] * 40))
    found = class_evidence(word_world(texts, WORDS), "max", probe, target, texts, np.arange(41), {})
    feature = found[1]["features"][0]
    assert [one["quantile"] for one in feature["spread"]] == [0.9, 0.75, 0.5, 0.25, 0.1]
    values = np.arange(1.0, 42.0)
    assert [one["value"] for one in feature["spread"]] == np.quantile(values, [0.9, 0.75, 0.5, 0.25, 0.1]).tolist()
    assert all(one["text"][one["start"] : one["end"]] == "refund" for one in feature["spread"])
