"""Labelled rows as a finished classifier sees them: its classes, its features, its decisions.

Knows nothing of what is asked of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.config import DataSpec
from latentprobe.corpus import Corpus, Target, read_corpus
from latentprobe.deploy import Classifier
from latentprobe.deploy.encoding import encode_texts
from latentprobe.deploy.manifest import Manifest
from latentprobe.errors import CorpusError
from latentprobe.experiment.environment import Reporter
from latentprobe.learn import units_of

__all__ = ["Judged", "aligned", "part_of", "read_labelled", "seen_by"]

#: Rows that are encoded together: their tokens are in memory at once.
ROWS = 4096


@dataclass(frozen=True, eq=False)
class Judged:
    """Labelled rows and the features a classifier finds in them."""

    corpus: Corpus
    target: Target
    """Labels in the classifier's own classes."""
    units: NDArray[np.int64]
    """What stays together when rows are resampled or parted, [n]."""
    rows: sp.csr_matrix
    """Pooled features in the SAE's numbering, [n, width]."""


def read_labelled(data: DataSpec, manifest: Manifest, reporter: Reporter, *, folds: int = 2) -> tuple[Corpus, Target]:
    """The rows of a file, and their labels in the classes of a classifier.

    Raises:
        CorpusError: they cannot be read, are not what it reads, or have labels that it does not know.
    """
    corpus = read_corpus(data.model_copy(update={"test": 0.2}), folds=folds)
    for note in corpus.notes:
        reporter.say(f"note: {note}")
    reads = manifest.backbone.rows
    if reads != ("texts" if corpus.images is None else "images"):
        raise CorpusError(
            f"this classifier reads {reads}", got=f"{corpus.name}, of others", fix="name data of the kind it reads"
        )
    return corpus, aligned(corpus.target, manifest)


def aligned(target: Target, manifest: Manifest) -> Target:
    """The same labels in the order of a classifier's classes.

    Raises:
        CorpusError: there is a label that the classifier does not know; of several labels, one is missing.
    """
    several = manifest.kind == "multilabel"
    known, found = set(manifest.classes), set(target.classes)
    if several != (target.kind == "multilabel") or not found <= known or (several and found != known):
        raise CorpusError(
            "the labels of these rows must be classes of the classifier: "
            + ", ".join(repr(name) for name in manifest.classes[:8]),
            got=", ".join(repr(name) for name in target.classes[:8]),
            fix="name one --label for each of them" if several else "name the column with its labels by --label",
        )
    if several:
        order = [target.classes.index(name) for name in manifest.classes]
        return Target("multilabel", manifest.classes, target.y[:, order])
    codes = np.array([manifest.classes.index(name) for name in target.classes], dtype=np.int64)
    return Target(manifest.kind, manifest.classes, codes[target.y])


def seen_by(classifier: Classifier, corpus: Corpus, target: Target, reporter: Reporter) -> Judged:
    """Run the rows through the classifier's model and encoder."""
    return Judged(corpus, target, units_of(corpus), features_of(classifier, corpus.rows, reporter))


def features_of(classifier: Classifier, texts: Any, reporter: Reporter) -> sp.csr_matrix:
    """Pooled features of each text in the SAE's numbering, csr_matrix [n, width], in order."""
    backbone, bundle = classifier.backbone, classifier.bundle
    parts, order = [], []
    for start in range(0, len(texts), ROWS):
        for batch in encode_texts(texts[start : start + ROWS], backbone, bundle):
            parts.append(batch.pooled)
            order += [start + row for row in batch.rows]
            reporter.progress("encode", len(order), len(texts))
    return sp.csr_matrix(sp.vstack(parts, format="csr")[np.argsort(order)])


def part_of(judged: Judged, places: NDArray[np.int64]) -> Judged:
    """Some of the rows."""
    corpus = judged.corpus
    images = None if corpus.images is None else tuple(corpus.images[place] for place in places)
    own = replace(
        corpus,
        ids=tuple(corpus.ids[place] for place in places),
        texts=tuple(corpus.texts[place] for place in places),
        target=corpus.target.take(places),
        groups=None if corpus.groups is None else tuple(corpus.groups[place] for place in places),
        given_test=None,
        images=images,
        columns={name: tuple(values[place] for place in places) for name, values in corpus.columns.items()},
        near=None if corpus.near is None else tuple(corpus.near[place] for place in places),
    )
    return Judged(own, judged.target.take(places), judged.units[places], judged.rows[places])
