"""When an answer is right."""

from __future__ import annotations

import doctest
import re
import string

import numpy as np
import pytest

import latentprobe.learn.grading
from latentprobe.learn.grading import confidence, graded, likeliest, normalized_answer


def squad(s: str) -> str:
    """The function of SQuAD's own evaluation script."""

    def remove_articles(text: str) -> str:
        return re.sub(r"\b(a|an|the)\b", " ", text)

    def remove_punc(text: str) -> str:
        return "".join(ch for ch in text if ch not in set(string.punctuation))

    return " ".join(remove_articles(remove_punc(s.lower())).split())


@pytest.mark.parametrize(
    "text", ["The Beatles!", "an  apple a day", "U.S.A.", "theatre", "", "Ça, c'est\tbon", "A-the"]
)
def test_answers_are_normalized_as_squad_does(text: str) -> None:
    assert normalized_answer(text) == squad(text)


@pytest.mark.parametrize(
    ("said", "rule", "right"),
    [
        ("the Eiffel tower.", "exact", True),
        ("It is the Eiffel Tower", "exact", False),
        ("It is the Eiffel Tower", "contains", True),
        ("Eiffel Towers", "contains", False),
        ("Eiffel Tower, in Paris", "starts", True),
        ("In the Eiffel Tower", "starts", False),
        ("la tour eiffel", "exact", True),
        ("", "contains", False),
    ],
)
def test_free_text_is_right_by_the_rule_that_is_named(said: str, rule: str, right: bool) -> None:
    assert graded(said, ["Eiffel Tower", "La tour Eiffel"], rule) is right


def test_an_expected_answer_of_which_nothing_is_left_is_never_found() -> None:
    assert not any(graded(said, ["The", "?"], rule) for said in ("", "the", "what") for rule in ("exact", "contains"))


def test_the_likeliest_answer_and_its_share_are_those_of_a_softmax() -> None:
    scores = np.array([-5.0, -1.5, -700.0, -1.5])
    weights = np.exp(scores - scores.max())
    assert likeliest(list(scores)) == 1
    assert confidence(list(scores)) == pytest.approx((weights / weights.sum()).max())


def test_the_examples_run() -> None:
    assert doctest.testmod(latentprobe.learn.grading).failed == 0
