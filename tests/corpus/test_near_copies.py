"""Texts that are nearly the same are found, and stand on one side."""

from __future__ import annotations

import csv
import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from latentprobe.config import ColumnTest, DataSpec
from latentprobe.corpus import normalized, read_corpus
from latentprobe.corpus.near_copies import clusters_of, grams, jaccard
from latentprobe.errors import CorpusError

WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima"]
WORDS += ["mike", "november", "oscar", "papa"]


def sentences(n: int, seed: int = 0) -> list[str]:
    """Random sentences, each followed by up to two versions with a word exchanged or a sign added."""
    rng = np.random.default_rng(seed)
    made: list[str] = []
    while len(made) < n:
        words = list(rng.choice(WORDS, rng.integers(4, 20)))
        made.append(" ".join(words))
        for _ in range(rng.integers(3)):
            other = list(words)
            other[rng.integers(len(other))] = str(rng.choice(WORDS))
            made.append(" ".join(other) + "!" * int(rng.integers(3)))
    return made[:n]


def by_brute_force(texts: list[str], threshold: float) -> list[set[str]]:
    """Connected components over all pairs."""
    clusters = [{text} for text in dict.fromkeys(texts)]
    for one, other in itertools.combinations(dict.fromkeys(texts), 2):
        if jaccard(grams(one), grams(other)) >= threshold:
            first, second = (next(cluster for cluster in clusters if text in cluster) for text in (one, other))
            if first is not second:
                clusters.remove(second)
                first |= second
    return clusters


@pytest.mark.parametrize("threshold", [0.6, 0.8, 1.0])
def test_near_copies_are_those_that_all_pairs_would_give(threshold: float) -> None:
    texts = sentences(300)
    found: dict[str, set[str]] = {}
    for text, name in zip(texts, clusters_of(texts, threshold), strict=True):
        found.setdefault(name, set()).add(text)
    expected = by_brute_force(texts, threshold)
    assert max(map(len, expected)) > (1 if threshold < 1 else 0)
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, expected))
    assert all(name == min(cluster) for name, cluster in found.items())


def test_grams_are_all_runs_of_five_characters() -> None:
    assert grams("hello") == {"hello"} and grams("hi") == {"hi"}
    assert grams("a b c d") == {"a b c", " b c ", "b c d"}


def test_empty_texts_are_near_nothing_and_short_ones_only_to_themselves() -> None:
    assert clusters_of(["", "ok", "", "no", "ok"], 0.5) == ["", "ok", "", "no", "ok"]


def test_order_does_not_decide_the_clusters() -> None:
    texts = sentences(200, seed=1)
    order = np.random.default_rng(0).permutation(200)
    names = clusters_of(texts, 0.7)
    assert clusters_of([texts[place] for place in order], 0.7) == [names[place] for place in order]


@pytest.fixture
def leaky(tmp_path: Path) -> DataSpec:
    """Row 5, on the test side, is nearly row 0."""
    texts = ["this is my favourite sentence of all", "one fish", "two fish", "red fish", "blue fish"]
    rows = [*texts, texts[0] + "!", "another text", "the last text"]
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [["text", "label", "part"], *([text, i % 2, "test" if i > 4 else ""] for i, text in enumerate(rows))]
        )
    return DataSpec(path=str(tmp_path / "rows.csv"), test=ColumnTest(column="part"))


def test_a_near_copy_on_both_sides_of_a_given_split_is_refused_with_two_ways_out(leaky: DataSpec) -> None:
    with pytest.raises(CorpusError, match="the same near-copy stands on both sides") as caught:
        read_corpus(leaky)
    assert "'0'" in caught.value.got
    assert "on_leak: move" in caught.value.fix and "near_duplicates: null" in caught.value.fix


def test_a_near_copy_on_both_sides_of_a_given_split_is_moved_where_asked(leaky: DataSpec) -> None:
    corpus = read_corpus(leaky.model_copy(update={"on_leak": "move"}))
    assert corpus.given_test is not None
    assert np.flatnonzero(corpus.given_test).tolist() == [0, 5, 6, 7]
    assert corpus.moved_to_test == 1
    assert corpus.notes == ("1 training row moved to the test side, where the same near-copy stands.",)


def test_near_copies_stand_where_they_are_if_nobody_looks_for_them(leaky: DataSpec) -> None:
    corpus = read_corpus(leaky.model_copy(update={"near_duplicates": None}))
    assert corpus.given_test is not None
    assert (corpus.near, int(corpus.given_test.sum()), corpus.notes) == (None, 3, ())


@pytest.mark.slow
@pytest.mark.shared
def test_the_near_copies_of_twenty_five_thousand_tweets_take_seconds(shared_data: Path) -> None:
    with (shared_data / "davidson/labeled_data.csv").open(encoding="utf-8", newline="") as file:
        keys = [normalized(row["tweet"]) for row in csv.DictReader(file)]
    start = time.process_time()
    names = clusters_of(keys, 0.8)
    assert time.process_time() - start < 20  # 4 s on a quiet core
    clusters: dict[str, set[str]] = {}
    for key, name in zip(keys, names, strict=True):
        clusters.setdefault(name, set()).add(key)
    assert 60 <= sum(len(cluster) > 1 for cluster in clusters.values()) <= 100
