"""When an answer is right: the likeliest of some choices, or free text beside the expected one. Knows no model."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["GRADES", "confidence", "graded", "likeliest", "normalized_answer"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized_answer(text: str) -> str:
    """Lower case, without punctuation, English articles and extra white space: SQuAD's rule (Rajpurkar et al. 2016).

    >>> normalized_answer("The  Eiffel Tower!")
    'eiffel tower'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _starts(said: str, expected: str) -> bool:
    return said == expected or said.startswith(expected + " ")


def _contains(said: str, expected: str) -> bool:
    return f" {expected} " in f" {said} "


#: Name of a rule -> whether what was said is right, both normalized.
GRADES: Mapping[str, Callable[[str, str], bool]] = {
    "exact": lambda said, expected: said == expected,
    "contains": _contains,
    "starts": _starts,
}


def graded(said: str, expected: Sequence[str], rule: str) -> bool:
    """Whether free text is right by a rule of ``GRADES``: beside any of the expected answers.

    An expected answer of which nothing is left, such as "The", is never found.

    >>> graded("It was Paris, I think.", ["Paris"], "contains"), graded("Parish", ["Paris"], "starts")
    (True, False)
    """
    mine = normalized_answer(said)
    wanted = [answer for answer in map(normalized_answer, expected) if answer]
    return any(GRADES[rule](mine, answer) for answer in wanted)


def likeliest(scores: Sequence[float]) -> int:
    """Position of the largest score; of equals the first."""
    return int(np.argmax(scores))


def confidence(scores: Sequence[float]) -> float:
    """Share of the likeliest answer when scores are taken for logarithms of weights.

    >>> round(confidence([0.0, 0.0]), 2)
    0.5
    """
    values: NDArray[np.float64] = np.asarray(scores, np.float64)
    return float(1 / np.exp(values - values.max()).sum())
