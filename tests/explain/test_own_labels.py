"""Labels made of words say where a feature fires, and their scores say how true they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import roc_auc_score

from latentprobe.errors import CorpusError
from latentprobe.explain.label_rules import Rule, rule_of
from latentprobe.explain.label_scores import area, better_than_chance, score_labels
from latentprobe.explain.own_labels import describe_features, label_excerpts
from latentprobe.explain.words import Excerpt, read_words
from latentprobe.store.token_activations import TokenActivations

FILLER = ["the", "a", "my", "red", "blue", "tall", "cat", "dog", "house", "road", "runs", "sleeps", "often", "never"]
Fires = Callable[[list[str], int], float]


def world(texts: list[list[str]], *features: Fires) -> tuple[list[str], TokenActivations]:
    """Texts of words, a token a word, and features that are functions of a text's words and a place in it."""
    text, start, end, rows = [], [], [], []
    for number, words in enumerate(texts):
        at = 0
        for place, word in enumerate(words):
            text.append(number)
            start.append(at)
            end.append(at + len(word))
            at += len(word) + 1
            rows.append([fires(words, place) for fires in features])
    places = (np.array(text, np.int64), np.array(start, np.int32), np.array(end, np.int32))
    return [" ".join(words) for words in texts], TokenActivations(*places, sp.csc_matrix(np.array(rows, np.float32)))


def sentences(n: int, *inserted: Sequence[str], seed: int = 0) -> list[list[str]]:
    """Sentences of filler; each of the insertions stands in every third one, at a place of its own."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(n):
        words = list(random.choice(FILLER, size=12))
        for which, phrase in enumerate(inserted):
            if (number + which) % 3 == 0:
                at = int(random.integers(1, 10))
                words[at : at + 1] = phrase
        made.append(words)
    return made


def on(word: str) -> Fires:
    return lambda words, place: 2.0 * (words[place] == word)


def before(word: str, after: str) -> Fires:
    return lambda words, place: 2.0 * (words[place] == word and words[place + 1 : place + 2] == [after])


def test_a_feature_is_called_by_the_word_it_fires_on_and_by_its_neighbour_where_that_is_part_of_it() -> None:
    texts = sentences(120, ["refund"], *(["it", verb] for verb in ("works", "failed", "stops", "fell")))
    labels = describe_features(*world(texts, on("refund"), before("it", "works"), on("nowhere")), range(3))
    assert labels.keys() == {0, 1} and labels[0] == '"refund"' and labels[1].startswith('"it works"')


def test_two_features_on_the_same_word_are_told_apart_by_what_stands_around() -> None:
    texts = sentences(150, ["it", "works"], ["it", "failed"], ["it"])
    labels = describe_features(*world(texts, on("it"), before("it", "failed")), range(2))
    assert labels[0] != labels[1] and "failed" in labels[1]


def test_a_piece_inside_words_is_named_as_such() -> None:
    stems = [one + vowel + other for vowel in "aeiou" for one in "bdkl" for other in "mt"]
    texts = [[*FILLER[:5], stem, "x"] for stem in stems for _ in range(4)]
    strings = [" ".join(words).replace(" x", "ing") for words in texts]
    _, tokens = world(texts, lambda words, place: 1.0 * (words[place] == "x"))
    moved = np.array([string.index("ing", string.rindex(" ")) for string in strings], np.int32)
    is_piece = tokens.end - tokens.start == 1
    is_piece &= np.append(tokens.text[1:] != tokens.text[:-1], True)
    start, end = tokens.start.copy(), tokens.end.copy()
    start[is_piece], end[is_piece] = moved, moved + 3
    labels = describe_features(strings, TokenActivations(tokens.text, start, end, tokens.latents), [0])
    assert labels[0].startswith('"-ing" in words such as ') and rule_of(labels[0]) == Rule(piece="ing")


def test_the_kind_of_text_is_told_where_a_common_word_lights_a_feature_in_one_kind_alone() -> None:
    texts = sentences(200)
    groups = ["tweets" if number % 2 else "books" for number in range(200)]
    number_of = {id(words): number for number, words in enumerate(texts)}
    fires: Fires = lambda words, place: 1.0 * (words[place] == "the" and groups[number_of[id(words)]] == "tweets")  # noqa: E731
    assert describe_features(*world(texts, fires), [0], groups=groups)[0].endswith(" in tweets")
    assert "tweets" not in describe_features(*world(texts, fires), [0])[0]


def test_excerpts_show_where_a_feature_fires_and_where_it_does_not() -> None:
    strings, tokens = world(sentences(60, ["refund"]), on("refund"))
    ((fires, silent),) = label_excerpts(strings, tokens, [0], each=5).values()
    assert len(fires) == len(silent) == 5 and all("<<refund>>" in place.marked() for place in fires)
    assert not any("<<refund>>" in place.marked() for place in silent)


def test_texts_without_a_word_are_refused() -> None:
    _, tokens = world([["x"]], on("x"))
    with pytest.raises(CorpusError, match="texts with words"):
        describe_features(["  "], tokens, [0])


@pytest.mark.parametrize(
    ("label", "rule"),
    [
        ('"a", "b c"', Rule(words=("a", "b c"))),
        ('\'"\', "-"', Rule(words=('"', "-"))),
        ('mixed: "a"', Rule(words=("a",))),
        ('"a" after "b", "c"', Rule(words=("a",), relation="after", around=("b", "c"))),
        ('"a" in tweets not in English', Rule(words=("a",))),
        ('"a" first in a text', Rule(words=("a",), first=True)),
        ('near "b"', Rule(relation="near", around=("b",))),
        ('common words near "b"', Rule(relation="near", around=("b",))),
        ('common words in role-play: "a", "b"', Rule(words=("a", "b"))),
        ("first word of a text", Rule(first=True)),
        ('"-ing" inside words', Rule(piece="ing")),
        ("mixed", Rule(silent=True)),
        ("words about money", None),
        ('the word "a"', None),
        ("", None),
    ],
)
def test_a_label_of_words_is_a_rule_and_any_other_is_none(label: str, rule: Rule | None) -> None:
    assert rule_of(label) == rule


def test_rules_apply_where_a_plain_reading_of_the_texts_says() -> None:
    texts = sentences(80, ["refund", "now"], ["it", "works"])
    strings, tokens = world(texts, on("refund"))
    words = read_words(strings, tokens)
    index = {name: kind for kind, name in enumerate(words.names)}
    flat = [(row, place) for row in texts for place in range(len(row))]
    plain: dict[str, Callable[[list[str], int], bool]] = {
        '"refund", "cat"': lambda row, i: row[i] in ("refund", "cat"),
        '"it works"': lambda row, i: row[i : i + 2] == ["it", "works"] or row[max(i - 1, 0) : i + 1] == ["it", "works"],
        '"the" before "cat"': lambda row, i: row[i : i + 2] == ["the", "cat"],
        'after "it"': lambda row, i: i > 0 and row[i - 1] == "it",
        'near "works"': lambda row, i: "works" in row[max(0, i - 6) : i] + row[i + 1 : i + 7],
        "first word of a text": lambda row, i: i == 0,
        '"-un" inside words': lambda row, i: "un" in row[i],
        '"absent"': lambda row, i: False,
        "never seen on": lambda row, i: False,
    }
    for label, fits in plain.items():
        rule = rule_of(label)
        assert rule is not None
        said = rule.applies(np.arange(len(words.kind)), words, index)
        assert said.tolist() == [fits(row, place) for row, place in flat], label


def test_the_score_is_the_area_under_the_curve_and_of_a_rule_its_balanced_accuracy() -> None:
    random = np.random.default_rng(0)
    here, elsewhere = random.normal(0.5, 1, 60).round(1), random.normal(0, 1, 50).round(1)
    truth = np.repeat([1, 0], [60, 50])
    assert area(here, elsewhere).score == pytest.approx(roc_auc_score(truth, np.concatenate([here, elsewhere])))
    yes, no = here > 0.4, elsewhere > 0.4
    assert area(yes, no).score == pytest.approx((yes.mean() + 1 - no.mean()) / 2)


def test_the_interval_holds_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(1)
    truth, held = 0.6382, 0  # of normals half a standard deviation apart: Phi(0.5 / sqrt 2)
    for _ in range(400):
        score = area(random.normal(0.5, 1, 60), random.normal(0, 1, 60))
        held += score.low <= truth <= score.high
    assert 0.92 <= held / 400 <= 0.985


def test_a_perfect_score_has_an_interval_and_a_silent_label_is_chance() -> None:
    perfect = area(np.ones(20), np.zeros(20))
    assert perfect.score == 1 and 0.8 < perfect.low < 0.99 and perfect.p < 1e-6
    silent = area(np.zeros(20), np.zeros(20))
    assert (silent.score, silent.p) == (0.5, 1.0) and silent.low <= 0.5 <= silent.high


def test_true_labels_score_well_and_those_of_another_feature_do_not() -> None:
    strings, tokens = world(sentences(200, ["refund"], ["it", "works"]), on("refund"), on("works"), on("cat"))
    right = score_labels(strings, tokens, {0: '"refund"', 1: '"works"', 2: '"cat", "dog"'}).everywhere
    assert right[0].score == right[1].score == 1 and right[0].recall == right[0].precision == 1
    assert right[2].recall == 1 and right[2].precision == pytest.approx(0.5, abs=0.1)
    wrong = score_labels(strings, tokens, {0: '"works"', 1: '"refund"', 2: '"absent"'}).everywhere
    assert max(score.score for score in wrong.values()) < 0.55 and wrong[2].precision is None
    assert better_than_chance(right) == {0, 1, 2} and better_than_chance(wrong) == set() == better_than_chance({})


def test_a_feature_that_is_seldom_on_is_not_scored_nor_a_phrase_without_a_judge() -> None:
    strings, tokens = world(sentences(24, ["refund"]), on("refund"), on("cat"))
    assert score_labels(strings, tokens, {0: '"refund"', 1: "animals"}) == ({}, {})


def test_a_judge_sees_marked_places_in_an_order_that_tells_nothing() -> None:
    strings, tokens = world(sentences(200, ["refund"]), on("refund"))
    seen: list[bool] = []

    def judge(label: str, places: Sequence[Excerpt]) -> list[float]:
        assert label == "money back"
        assert all(re.search(r"<<\w+>>", place.marked()) for place in places)
        seen.extend("<<refund>>" in place.marked() for place in places)
        return [float("<<refund>>" in place.marked()) for place in places]

    score = score_labels(strings, tokens, {0: "money back"}, judge=judge).everywhere[0]
    assert score.score == 1 and score.recall is None and len(seen) == 2 * score.places
    assert 0 < sum(seen[: len(seen) // 2]) < sum(seen)
    halves = score_labels(strings, tokens, {0: "money back"}, judge=lambda _, p: np.arange(len(p)) < len(p) / 2)
    assert 0.3 < halves.everywhere[0].score < 0.7


def graded(words: list[str], place: int) -> float:
    """Bright on "refund", dim on three other words."""
    return {"refund": 5.0, "cat": 0.5, "dog": 0.4, "house": 0.3}.get(words[place], 0.0)


def test_a_label_that_names_only_the_strongest_words_is_right_about_those_and_near_chance_on_all() -> None:
    strings, tokens = world(sentences(900, ["refund"]), graded, graded)
    told = score_labels(strings, tokens, {0: '"refund"', 1: '"cat", "dog", "house"'})
    values = tokens.latents.toarray()[:, 0]
    bright = np.sort(values[values > 0])[-int(0.1 * (values > 0).sum()) :]
    assert (bright == 5).all() and told.strongest[0].score == told.strongest[0].recall == 1
    assert told.everywhere[0].score < 0.65 and told.everywhere[0].precision == told.strongest[0].precision == 1
    assert told.strongest[1].score == 0.5 and told.strongest[1].recall == 0 and told.everywhere[1].score > 0.9


def test_the_strongest_places_are_scored_only_where_they_stand_in_ten_texts() -> None:
    strings, tokens = world(sentences(60, ["refund"]), graded)
    told = score_labels(strings, tokens, {0: '"refund"'})
    assert len(tokens.column(0)[0]) > 100 and 0 in told.everywhere and 0 in told.strongest
    strings, tokens = world(sentences(24, ["refund"]), graded)
    told = score_labels(strings, tokens, {0: '"refund"'})
    assert len(tokens.column(0)[0]) < 100 and 0 in told.everywhere and told.strongest == {}


def test_a_judge_is_asked_about_each_place_once_for_both_scores() -> None:
    strings, tokens = world(sentences(900, ["refund"]), graded)
    asked: list[Excerpt] = []

    def judge(label: str, places: Sequence[Excerpt]) -> list[float]:
        asked.extend(places)
        return [float("<<refund>>" in place.marked()) for place in places]

    told = score_labels(strings, tokens, {0: "money back"}, judge=judge)
    assert told.strongest[0].score == 1 > told.everywhere[0].score
    assert 200 < len(asked) <= 300 and told.everywhere[0].places == told.strongest[0].places == 100
