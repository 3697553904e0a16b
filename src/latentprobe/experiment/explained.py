"""What a run writes so that its classifier can be read: evidence.json and decisions.parquet. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from latentprobe.corpus import Corpus
from latentprobe.encode.formats.references import on_hub
from latentprobe.explain.profiles import feature_profiles
from latentprobe.explain.rows import decided_rows
from latentprobe.learn import Evaluation, Split
from latentprobe.store import SparseFeatures
from latentprobe.store.labels import SCORES, FeatureLabel

__all__ = ["decisions_table", "neuronpedia", "profiles_of"]

_LIT = pa.struct(
    [
        ("feature", pa.int32()),
        ("label", pa.string()),
        ("label_score", pa.struct([(name, pa.float32()) for name in SCORES])),
        ("contribution", pa.float32()),
        ("value", pa.float32()),
        ("token", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
    ]
)
_DECIDED = pa.schema(
    [
        ("id", pa.string()),
        ("true", pa.list_(pa.string())),
        ("predicted", pa.list_(pa.string())),
        ("right", pa.bool_()),
        ("towards", pa.string()),
        ("score", pa.float32()),
        ("text", pa.string()),
        ("cut_before", pa.bool_()),
        ("cut_after", pa.bool_()),
        ("features", pa.list_(_LIT)),
    ]
)


def profiles_of(
    classes: Sequence[Mapping[str, Any]],
    corpus: Corpus,
    parts: Split,
    evaluation: Evaluation,
    features: SparseFeatures,
    labels: Mapping[int, FeatureLabel],
    row: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The content of ``profiles`` in evidence.json: each feature that a class is shown with, by itself, on training
    rows."""
    assert evaluation.probe is not None
    numbers = sorted({feature["feature"] for one in classes for feature in one["features"]})
    return feature_profiles(features, row["pooling"], evaluation.probe, corpus.target, parts.train, numbers, labels)


def decisions_table(
    corpus: Corpus,
    parts: Split,
    evaluation: Evaluation,
    features: SparseFeatures,
    labels: Mapping[int, FeatureLabel],
    pooling: str,
) -> pa.Table:
    """decisions.parquet: what the selected row decides on test rows and why, as ``explain.rows`` tells it."""
    assert evaluation.probe is not None and evaluation.selected is not None
    detail = evaluation.details[evaluation.selected]
    told = decided_rows(
        features,
        pooling,
        evaluation.probe,
        corpus.target,
        _texts(corpus),
        parts.test,
        detail.predicted,
        detail.probabilities,
        labels,
        images=corpus.images is not None,
    )
    return pa.Table.from_pylist(told, schema=_DECIDED)


def neuronpedia(reference: str) -> str | None:
    """Name of an SAE on Neuronpedia, where a published table tells it."""
    where = on_hub(reference)
    return None if where is None or where.entry is None else where.entry.neuronpedia


def _texts(corpus: Corpus) -> list[str]:
    """The texts; of images their names."""
    return list(corpus.texts) if corpus.images is None else [image.name for image in corpus.images]
