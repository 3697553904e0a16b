"""Labelled texts, read from wherever they lie and checked before anything is computed on them.

    read_corpus     a `DataSpec` to a `Corpus`
    corpus_from     texts and labels in memory to a `Corpus`
    read_texts      the texts of a file without labels
    normalized      the key under which two texts count as the same

Knows nothing of tokens, models or probes.
"""

from __future__ import annotations

from latentprobe.corpus.corpus import Corpus
from latentprobe.corpus.read import corpus_from, read_corpus, read_texts
from latentprobe.corpus.target import Target
from latentprobe.corpus.texts import normalized

__all__ = ["Corpus", "Target", "corpus_from", "normalized", "read_corpus", "read_texts"]
