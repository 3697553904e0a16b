"""What SAE features are compared with: word and character counts, text length, and no features at all.

Each is an extractor, learned on the training rows of a fold and nothing else, so that it meets the same grid, folds and
rows as the features it stands beside. Knows nothing of folds or models. No language is assumed: no stop words, no
stemming, and scripts written without spaces come apart into characters.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np

from latentprobe.learn.logistic import Matrix
from latentprobe.learn.transforms import Scaling

__all__ = ["Extractor", "Features", "extractor_for", "scaling_for", "words_of"]

Features = Literal["sparse", "dense", "words", "characters", "length", "majority"]
"""What a representation is made of: stored sparse or dense rows, or something counted in the texts."""

_MAX_TERMS = 50_000
"""Words (with pairs of words) or character sequences kept: the most frequent ones in the training texts."""


class Extractor(Protocol):
    """Rows in, matrix out; ``fit_transform`` learns from training rows, ``transform`` only applies."""

    def fit_transform(self, rows: Any) -> Matrix:
        """Learn from the rows and return their matrix, [n, d]."""

    def transform(self, rows: Any) -> Matrix:
        """The matrix of any rows, [n, d]."""


def extractor_for(features: Features) -> Extractor:
    """A fresh, unfitted extractor.

    >>> extractor_for("length").fit_transform(["", "two words"]).shape
    (2, 2)
    """
    if features == "words":
        return _tfidf(tokenizer=words_of, token_pattern=None, ngram_range=(1, 2))
    if features == "characters":
        return _tfidf(analyzer="char_wb", ngram_range=(2, 5))
    if features == "length":
        return _Length()
    return _Nothing() if features == "majority" else _Stored()


def scaling_for(features: Features) -> Scaling:
    """How the columns of an extractor are brought to one scale."""
    if features in ("words", "characters"):
        return "none"  # TF-IDF has weighed the terms already, and its rows have one length
    return "firing" if features == "sparse" else "standard"


def _tfidf(**settings: Any) -> Extractor:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return _Tfidf(TfidfVectorizer(sublinear_tf=True, max_features=_MAX_TERMS, dtype=np.float32, **settings))


class _Tfidf:
    """TF-IDF that also takes texts without a single term."""

    def __init__(self, vectorizer: Any) -> None:
        self._vectorizer = vectorizer
        self._empty = False

    def fit_transform(self, rows: Sequence[str]) -> Matrix:
        # scikit-learn refuses an empty vocabulary; texts of nothing but punctuation are poor data, not an error.
        analyze = self._vectorizer.build_analyzer()
        self._empty = not any(analyze(text) for text in rows)
        return np.zeros((len(rows), 0), np.float32) if self._empty else self._vectorizer.fit_transform(rows)

    def transform(self, rows: Sequence[str]) -> Matrix:
        return np.zeros((len(rows), 0), np.float32) if self._empty else self._vectorizer.transform(rows)


class _Stored:
    """Rows that are a matrix already."""

    def fit_transform(self, rows: Matrix) -> Matrix:
        return rows

    def transform(self, rows: Matrix) -> Matrix:
        return rows


class _Length:
    """Logarithms of the number of characters and of words, each plus 1."""

    def fit_transform(self, rows: Sequence[str]) -> Matrix:
        return self.transform(rows)

    def transform(self, rows: Sequence[str]) -> Matrix:
        counts = np.array([(len(text), len(words_of(text))) for text in rows], dtype=np.float64)
        return np.log1p(counts.reshape(len(rows), 2)).astype(np.float32)


class _Nothing:
    """No columns: what is left is the share of each class."""

    def fit_transform(self, rows: Sequence[Any]) -> Matrix:
        return self.transform(rows)

    def transform(self, rows: Sequence[Any]) -> Matrix:
        n = rows.shape[0] if hasattr(rows, "shape") else len(rows)
        return np.zeros((n, 0), dtype=np.float32)


def words_of(text: str) -> list[str]:
    """The words of a text in any language, one-letter ones too, and its emoji, in the case they come in.

    A run of letters, digits and combining marks is a word, so that Hindi or Arabic vowel signs don't cut words apart.
    Han characters, Kana, Thai, Lao, Khmer and Burmese are written without spaces: each character is a word, and pairs
    of them come from the 2-grams.

    >>> words_of("I don't know: 我不知道")
    ['I', 'don', 't', 'know', '我', '不', '知', '道']
    """
    return _pattern().findall(text)


@cache
def _pattern() -> re.Pattern[str]:
    # Python's \w has no combining marks: without them "हिन्दी" would be three fragments.
    marks = "".join(char for char in map(chr, range(0x300, 0x10000)) if unicodedata.category(char)[0] == "M")
    unspaced = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    unspaced += f"\U00020000-{chr(min(0x3FFFF, sys.maxunicode))}"
    letter = rf"[^\W{unspaced}{re.escape(marks)}]"
    emoji = "\u2600-\u27bf\U0001f000-\U0001faff"
    return re.compile(rf"[{unspaced}][{re.escape(marks)}]*|{letter}(?:{letter}|[{re.escape(marks)}])*|[{emoji}]")
