"""What SAE features are compared with: word and character counts, text length, no features at all, and hidden states as
they are, reduced to a few dimensions, or beside the SAE features themselves.

Each is an extractor, learned on the training rows of a fold and nothing else, so that it meets the same grid, folds and
rows as the features it stands beside. Knows nothing of folds or models. No language is assumed: no stop words, no
stemming, and scripts written without spaces come apart into characters.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.learn.logistic import Matrix
from latentprobe.learn.transforms import Scaling, scaled_rows

__all__ = ["Extractor", "Features", "SideBySide", "extractor_for", "scaling_for", "words_of"]

Features = str
"""What a representation is made of: stored rows, ``sparse``, ``dense``, or ``both`` beside each other (`SideBySide`);
``pca{K}``, the first K principal components of dense ones; ``scores``, one column a class that is its decision already;
or ``words``, ``characters``, ``length`` or ``majority`` of
the texts."""

_MAX_TERMS = 50_000
"""Words (with pairs of words) or character sequences kept: the most frequent ones in the training texts."""

_EXACT_WIDTH = 1024
"""Dimensions up to which every principal component is computed to have the first ones."""


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Sparse and dense columns of the same n rows."""

    sparse: sp.csr_matrix
    """float32 [n, width]."""
    dense: NDArray[np.float32]
    """[n, d]."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and columns of both together."""
        return len(self.dense), self.sparse.shape[1] + self.dense.shape[1]

    def __getitem__(self, positions: Any) -> SideBySide:
        return SideBySide(self.sparse[positions], self.dense[positions])


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
    if features.startswith("pca"):
        return _Components(int(features.removeprefix("pca")))
    extractors: dict[str, Callable[[], Extractor]] = {
        "length": _Length,
        "majority": _Nothing,
        "both": _Both,
        "sparse": _Stored,
        "dense": _Stored,
        "scores": _Stored,
    }
    return extractors[features]()


def scaling_for(features: Features) -> Scaling:
    """How the columns of an extractor are brought to one scale."""
    if features in ("words", "characters"):
        return "none"  # TF-IDF has weighed the terms already, and its rows have one length
    if features == "both" or features.startswith("pca"):
        return "none"  # scaled in the extractor, where it is known which column is what
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


class _Both:
    """Sparse and dense columns, each scaled as they are alone."""

    def fit_transform(self, rows: SideBySide) -> Matrix:
        self._blocks = [scaled_rows(rows.sparse, "firing")[1], scaled_rows(rows.dense, "standard")[1]]
        return self.transform(rows)

    def transform(self, rows: SideBySide) -> Matrix:
        sparse, dense = self._blocks
        return sp.hstack([sparse.apply(rows.sparse), sp.csr_matrix(dense.apply(rows.dense))], format="csr")


class _Components:
    """The first principal components of standardized columns, in the lengths they have."""

    def __init__(self, k: int) -> None:
        self._k = k

    def fit_transform(self, rows: Matrix) -> Matrix:
        # Standardized before, since hidden states have a few directions hundreds of times as long as the others; and
        # not after: of 256 components most are noise, which whitening makes as loud as the rest. Best inner macro F1,
        # mean over surge toxicity and xstest, layers 3 and 5, mean- and max-pooled, for 64 and for 256 components:
        # .854 and .858 so, .850 and .851 not standardized, .855 and .799 whitened; .858 all 384 dimensions.
        scaled, self._scaling = scaled_rows(rows, "standard")
        k = min(self._k, *scaled.shape)
        # Exact where that is cheap; a wide model's few components come from random projections with a fixed seed.
        solver = "covariance_eigh" if scaled.shape[1] <= _EXACT_WIDTH else "auto"
        from sklearn.decomposition import PCA

        pca = PCA(k, svd_solver=solver, random_state=0) if k else None
        self._components = pca and pca.fit(scaled.astype(np.float64))
        return self.transform(rows)

    def transform(self, rows: Matrix) -> Matrix:
        if self._components is None:
            return np.zeros((len(rows), 0), np.float32)
        return self._components.transform(self._scaling.apply(rows).astype(np.float64)).astype(np.float32)


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
