"""Labelled texts and images, read from wherever they lie and checked before anything is computed on them.

    read_corpus     a `DataSpec` to a `Corpus`
    corpus_from     texts and labels in memory to a `Corpus`
    read_texts      the texts of a file without labels
    read_images     the images of a folder or table without labels
    normalized      the key under which two texts count as the same

Knows nothing of tokens, models or probes.
"""

from __future__ import annotations

from latentprobe.corpus.corpus import Corpus, Rows
from latentprobe.corpus.image_rows import read_images
from latentprobe.corpus.images import ImageFile
from latentprobe.corpus.read import corpus_from, read_corpus, read_texts
from latentprobe.corpus.target import Target
from latentprobe.corpus.texts import normalized

__all__ = [
    "Corpus",
    "ImageFile",
    "Rows",
    "Target",
    "corpus_from",
    "normalized",
    "read_corpus",
    "read_images",
    "read_texts",
]
