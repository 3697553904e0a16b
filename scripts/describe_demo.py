"""Print the figures in the card of the demonstration messages: counts, lengths, and how far shallow models get.

    python scripts/describe_demo.py            counts, lengths and words, at once
    python scripts/describe_demo.py --scores   how far length and word counts get, too: a minute or two

A shallow score is the macro F1 of rows held out in turn (5 folds over all 432 rows, C chosen on those same folds, so
that it flatters a little); the models are the baselines of every experiment.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from latentprobe.config import DataSpec, ProbeSpec
from latentprobe.corpus import Corpus, read_corpus
from latentprobe.experiment.demo import messages_path
from latentprobe.learn import Recipe, choose, inner_folds, units_of
from latentprobe.learn.baselines import Features, words_of
from render_reference import table

LABELS = ("hostile", "intent")
LANGUAGES = {"en": "English", "es": "Spanish", "de": "German", "fr": "French"}
SHALLOW: dict[str, Features] = {
    "majority": "majority",
    "length": "length",
    "TF-IDF of words": "words",
    "TF-IDF of characters": "characters",
}

#: Words that one would look for, and the words that speak to the reader.
RUDE = frozenset(
    {"brain", "clown", "damn", "fool", "garbage", "hate", "idiot"}
    | {"joke", "kill", "pathetic", "shame", "stupid", "threaten", "useless"}
)
YOU = frozenset({"you", "your", "yours", "yourself", "ur", "u"})


def messages(language: str, label: str) -> Corpus:
    """The packaged messages of one language, under one of their two labels."""
    return read_corpus(DataSpec(path=str(messages_path(language)), label=label, id="id"))


def lengths() -> str:
    """Rows and words of the English messages by class, as a Markdown table."""
    rows = [row for label in LABELS for row in _lengths(messages("en", label), label)]
    heads = ["class", "rows", "words: mean", "median", "shortest", "longest"]
    return table(heads, rows, right=(1, 2, 3, 4, 5))


def _lengths(corpus: Corpus, label: str) -> Iterator[list[str]]:
    words = np.array([len(words_of(text)) for text in corpus.texts])
    for code, name in enumerate(corpus.target.classes):
        own = words[corpus.target.y == code]
        counts = [len(own), f"{own.mean():.1f}", f"{np.median(own):g}", own.min(), own.max()]
        yield [f"{label}: {name}", *map(str, counts)]


def words() -> str:
    """Rows of each class of `hostile` that hold a rude word, and that speak to the reader, as a Markdown table."""
    corpus = messages("en", "hostile")
    own = [{word.casefold() for word in words_of(text)} for text in corpus.texts]
    rows = []
    for name, wanted in ((f"one of {', '.join(sorted(RUDE))}", RUDE), ("you, your, yours, yourself, ur or u", YOU)):
        holds = np.array([bool(found & wanted) for found in own])
        shares = [holds[corpus.target.y == code].mean() for code in range(len(corpus.target.classes))]
        rows.append([name, *(f"{100 * share:.0f} %" for share in shares)])
    return table(["rows with", *(f"hostile: {name}" for name in corpus.target.classes)], rows, right=(1, 2))


def scores() -> str:
    """Macro F1 of shallow models on both labels in each language, as a Markdown table."""
    heads = ["label", "model", *LANGUAGES.values()]
    rows = [
        [label, name, *(f"{score(messages(language, label), features):.2f}" for language in LANGUAGES)]
        for label in LABELS
        for name, features in SHALLOW.items()
    ]
    return table(heads, rows, right=(2, 3, 4, 5))


def score(corpus: Corpus, features: Features) -> float:
    """Out-of-fold macro F1 of one model."""
    folds = inner_folds(corpus.target, units_of(corpus), 5, 0)
    return choose(corpus.texts, corpus.target, folds, Recipe(features), ProbeSpec()).inner_macro_f1


if __name__ == "__main__":
    print(lengths())
    print(words())
    if "--scores" in sys.argv[1:]:
        print(scores())
