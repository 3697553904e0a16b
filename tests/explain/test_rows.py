"""Test rows with their decisions, and features by themselves, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike
from sklearn.metrics.pairwise import cosine_similarity
from word_world import features_of, probe_with, word_world

from latentprobe.corpus import Target
from latentprobe.explain.profiles import feature_profiles
from latentprobe.explain.rows import decided_rows
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
TARGET = Target("binary", ("calm", "hostile"), np.array([0, 0, 0, 1, 1, 0]))
PROBE = probe_with(range(5), [[-2.0, 0.3, 0.1, 3.0, -0.5]])
LABELS = {0: FeatureLabel("money back"), 3: FeatureLabel("insults", score=0.55, low=0.5, high=0.6)}


def decided(predicted: ArrayLike, **changes: object) -> list[dict]:
    codes = np.asarray(predicted)
    arguments = {
        "features": word_world(TEXTS, WORDS),
        "pooling": "max",
        "probe": PROBE,
        "target": TARGET,
        "texts": TEXTS,
        "rows": np.arange(6),
        "predicted": codes,
        "probabilities": np.stack([0.9 - 0.8 * codes, 0.1 + 0.8 * codes], axis=-1),
        "labels": LABELS,
    } | changes
    return decided_rows(**arguments)  # type: ignore[arg-type]


def test_a_row_says_what_was_given_and_which_tokens_spoke_for_it() -> None:
    rows = decided([0, 0, 0, 1, 0, 0])
    assert [row["right"] for row in rows] == [True, True, True, True, False, True]
    insult, wrong = rows[3], rows[4]
    assert (insult["id"], insult["true"], insult["predicted"], insult["towards"]) == (
        "r3",
        ["hostile"],
        ["hostile"],
        "hostile",
    )
    assert insult["score"] == pytest.approx(0.9)
    first = insult["features"][0]
    assert (first["feature"], first["label"], first["token"]) == (3, "insults", "stupid")
    assert first["label_score"]["score"] == 0.55 and first["label_score"]["strongest"] is None
    assert first["contribution"] == pytest.approx(3.0)
    assert wrong["towards"] == "calm" and wrong["features"][0]["contribution"] == pytest.approx(-3.0)


def test_what_features_add_and_the_intercept_is_the_decision_for_the_class_given() -> None:
    features = word_world(TEXTS, WORDS)
    for row, decision in zip(decided([0, 1, 0, 1, 0, 1]), PROBE.decision(features.csr("max"))[:, 0], strict=True):
        sign = 1 if row["towards"] == "hostile" else -1
        assert sum(part["contribution"] for part in row["features"]) == pytest.approx(sign * decision)


def test_a_long_row_is_cut_around_its_strongest_token_and_places_move_along() -> None:
    text = "word " * 300 + "stupid" + " word" * 300 + " hello"
    features = features_of([[(2, 1.0, len(text) - 5, len(text)), (3, 2.0, 1500, 1506)]])
    target = Target("binary", ("calm", "hostile"), np.array([1]))
    (row,) = decided([1], features=features, texts=[text], target=target, rows=np.arange(1))
    strongest, far = row["features"]
    assert len(row["text"]) <= 600 and row["cut_before"] and row["cut_after"]
    assert row["text"][strongest["start"] : strongest["end"]] == "stupid" == strongest["token"]
    assert (far["start"], far["end"], far["token"]) == (-1, -1, "hello")


def test_of_too_many_rows_errors_are_kept_first() -> None:
    rows = decided([1, 0, 0, 1, 0, 0], most=3)
    assert [row["id"] for row in rows if not row["right"]] == ["r0", "r4"]
    assert len(rows) == 3


def test_an_unknown_label_of_several_makes_no_row_wrong() -> None:
    target = Target("multilabel", ("a", "b"), np.array([[1, -1], [0, 1], [1, 0], [0, 0], [1, 1], [0, 1]]))
    probe = probe_with(range(5), [[1.0] * 5, [-1.0] * 5])
    given = np.array([[1, 1], [0, 1], [0, 0], [0, 0], [1, 1], [0, 1]])
    rows = decided(given, target=target, probe=probe, probabilities=np.tile([0.2, 0.7], (6, 1)))
    assert [row["right"] for row in rows] == [True, True, False, True, True, True]
    assert rows[0]["predicted"] == ["a", "b"] and rows[0]["true"] == ["a"] and rows[0]["towards"] == "b"


def profiles(**changes: object) -> list[dict]:
    arguments = {
        "features": word_world(TEXTS, WORDS),
        "pooling": "max",
        "probe": PROBE,
        "target": TARGET,
        "rows": np.arange(6),
        "numbers": [0, 3],
        "labels": LABELS,
    } | changes
    return feature_profiles(**arguments)  # type: ignore[arg-type]


def test_a_feature_s_profile_has_a_weight_for_each_class_and_counts_every_row_it_is_on_in() -> None:
    refund, insult = profiles()
    assert refund["weights"] == {"calm": 2.0, "hostile": -2.0} and insult["weights"]["hostile"] == 3.0
    assert (refund["rate"], insult["rate"]) == (0.5, round(2 / 6, 4))
    histogram = refund["histogram"]
    assert histogram["class"] == "calm" and histogram["edges"][-1] == 3.0
    assert (sum(histogram["inside"]), sum(histogram["outside"])) == (3, 0)
    assert histogram["inside"][-1] == 1 and histogram["inside"][4] == 1  # values 3 and 1 of bins a quarter wide


def test_neighbours_are_those_that_fire_together_by_the_cosine_of_scikit_learn() -> None:
    dense = word_world(TEXTS, WORDS).csr("max").toarray()
    expected = cosine_similarity(dense.T)
    for told in profiles(numbers=list(range(5))):
        own = told["feature"]
        assert own not in [other["feature"] for other in told["neighbours"]]
        for other in told["neighbours"]:
            assert other["similarity"] == pytest.approx(expected[own, other["feature"]], abs=1e-4)
        likest = max((expected[own, other] for other in range(5) if other != own), default=0)
        assert told["neighbours"][0]["similarity"] == pytest.approx(likest, abs=1e-4)
