"""Descriptions of an SAE's features that were imported, made or scored here: one Parquet file an SAE, offline.

    FOLDER/<key>.parquet    feature, and what ``FeatureLabel`` names; where the labels come from, as metadata

A table is one file, so that labels never part from their provenance. Knows nothing of SAEs, and of where labels were
read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from latentprobe.errors import StoreError
from latentprobe.files import FORMAT, atomic_path

__all__ = [
    "SCORES",
    "FeatureLabel",
    "LabelTable",
    "ShownLabel",
    "label_folder",
    "read_label_table",
    "shown_label",
    "write_label_table",
]

_METADATA = b"latentprobe"

#: The fields of a label that are numbers.
SCORES = ("score", "low", "high", "strongest", "strongest_low", "strongest_high")


class ShownLabel(TypedDict):
    """What stands beside a feature's number wherever it is shown."""

    label: str | None
    label_score: dict[str, float | None] | None
    """``SCORES`` of a :class:`FeatureLabel`; None where the label was not scored."""


class FeatureLabel(NamedTuple):
    """What is said of one feature."""

    label: str
    type: str | None = None
    """How it was made, as its source says: Neuronpedia's ``typeName``, or ``words``."""
    explainer: str | None = None
    """The model that wrote it."""
    score: float | None = None
    """How well it tells held-out places where the feature fires from others: area under the ROC curve, 0.5 is chance;
    None where that was not measured."""
    low: float | None = None
    high: float | None = None
    """95 % interval of the score."""
    strongest: float | None = None
    """The same among the strongest tenth of the places where the feature fires; None where that was not measured."""
    strongest_low: float | None = None
    strongest_high: float | None = None
    """95 % interval of that."""

    @property
    def shown(self) -> ShownLabel:
        """What stands beside the feature's number wherever it is shown."""
        scored = self.score is not None or self.strongest is not None
        return ShownLabel(label=self.label, label_score={n: getattr(self, n) for n in SCORES} if scored else None)


def shown_label(labels: Mapping[int, FeatureLabel], feature: int) -> ShownLabel:
    """The label of a feature and what it is worth; None for either where it is not known.

    >>> shown_label({3: FeatureLabel("refunds")}, 3)
    {'label': 'refunds', 'label_score': None}
    >>> shown_label({}, 3)
    {'label': None, 'label_score': None}
    """
    row = labels.get(feature)
    return ShownLabel(label=None, label_score=None) if row is None else row.shown


@dataclass(frozen=True)
class LabelTable:
    """The labels of one SAE.

    Attributes:
        features: feature -> what is said of it.
        provenance: source, sha256, made, model, source_id, width, scored_on: plain values, ready for JSON.
    """

    features: dict[int, FeatureLabel]
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> dict[int, str]:
        """Feature -> label."""
        return {feature: row.label for feature, row in self.features.items()}

    @property
    def scores(self) -> dict[int, float]:
        """Feature -> score, of those that have one."""
        return {feature: row.score for feature, row in self.features.items() if row.score is not None}


def label_folder() -> Path:
    """Where label tables are kept: ``$LATENTPROBE_LABELS``, else the user's data folder."""
    if named := os.environ.get("LATENTPROBE_LABELS"):
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "latentprobe" / "labels"


def write_label_table(key: str, table: LabelTable) -> Path:
    """Write the labels of an SAE, atomically, in place of those there were; returns the file.

    Raises:
        OutputError: the folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = sorted(table.features.items())
    columns: dict[str, Any] = {"feature": pa.array([feature for feature, _ in rows], pa.int32())}
    for name in FeatureLabel._fields:
        kind = pa.float64() if name in SCORES else pa.string()
        columns[name] = pa.array([getattr(row, name) for _, row in rows], kind)
    metadata = json.dumps({"format": FORMAT, **table.provenance}, ensure_ascii=False, allow_nan=False)
    path = label_folder() / f"{key}.parquet"
    with atomic_path(path) as temporary:
        pq.write_table(
            pa.table(columns).replace_schema_metadata({_METADATA: metadata.encode()}), temporary, compression="zstd"
        )
    return path


def read_label_table(key: str) -> LabelTable | None:
    """The labels of an SAE; None where there are none.

    Raises:
        StoreError: the file is damaged, or of a later format.
    """
    path = label_folder() / f"{key}.parquet"
    if not path.is_file():
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        provenance = json.loads(table.schema.metadata[_METADATA])
        added_later = set(SCORES[3:]) - set(table.column_names)
        columns = [
            [None] * len(table) if name in added_later else table.column(name).to_pylist()
            for name in ("feature", *FeatureLabel._fields)
        ]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowInvalid) as error:
        raise _damaged(path, str(error)) from error
    if provenance.pop("format", None) != FORMAT:
        raise _damaged(path, "another format")
    return LabelTable({row[0]: FeatureLabel(*row[1:]) for row in zip(*columns, strict=True)}, provenance)


def _damaged(path: Path, got: str) -> StoreError:
    return StoreError(
        "a table of labels that latentprobe wrote was expected",
        got=f"{path}: {got[:200]}",
        fix="remove the file, and import or make the labels again",
    )
