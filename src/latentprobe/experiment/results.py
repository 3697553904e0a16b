"""An evaluation as the files of a run directory describe it. Computes nothing: it names and arranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from latentprobe.config import ExperimentSpec
from latentprobe.corpus import Corpus, Target
from latentprobe.experiment.representations import COLUMNS
from latentprobe.learn import Detail, Evaluation, Split

__all__ = ["METRICS", "predictions_table", "results_of"]

#: Scores of a row that go into the bundle and the details beside the table.
METRICS = ("macro_f1", "low", "high", "accuracy", "roc_auc", "average_precision", "brier", "ece", "inner_macro_f1")

#: Scores that stand beside the per-class ones of the two rows that matter.
DETAILED = ("roc_auc", "average_precision", "brier", "ece", "ece_uncalibrated", "recall_at_fpr")


def results_of(spec: ExperimentSpec, corpus: Corpus, parts: Split, evaluation: Evaluation) -> dict[str, Any]:
    """The content of results.json, as the design page describes it, with details of the two rows that matter."""
    assert evaluation.selected is not None and evaluation.best_baseline is not None
    difference = evaluation.difference
    assert difference is not None
    rows = [dict.fromkeys(COLUMNS) | row for row in evaluation.rows]
    return {
        "name": spec.name,
        "metric": spec.evaluate.metric,
        "target": corpus.target.kind,
        "n_rows": len(corpus),
        "n_train": len(parts.train),
        "n_test": len(parts.test),
        "classes": list(corpus.target.classes),
        "notes": list(corpus.notes),
        "selected": rows[evaluation.selected],
        "best_baseline": rows[evaluation.best_baseline],
        "difference": _difference(difference),
        "differences": [
            {
                "baseline": rows[comparison.baseline]["name"],
                **_difference(comparison.difference),
                "p_holm": comparison.p_holm,
                "effect": asdict(comparison.effect) | {"measure": "Cohen's g"},
            }
            for comparison in evaluation.comparisons
        ],
        "selected_details": _details(rows[evaluation.selected], evaluation.details[evaluation.selected]),
        "best_baseline_details": _details(rows[evaluation.best_baseline], evaluation.details[evaluation.best_baseline]),
        "rows": rows,
    }


def _difference(difference: Any) -> dict[str, float]:
    return {"value": difference.value, "low": difference.low, "high": difference.high, "p": difference.p}


def _details(row: Mapping[str, Any], detail: Detail) -> dict[str, Any]:
    return {
        "per_class": detail.per_class,
        "confusion": None if detail.confusion is None else detail.confusion.tolist(),
        **{score: row[score] for score in DETAILED},
    }


def predictions_table(corpus: Corpus, parts: Split, evaluation: Evaluation) -> pa.Table:
    """predictions.parquet: a row a test row; ``id``, ``true``, and of the selected row and each baseline the predicted
    label and the probabilities, under ``NAME/label`` and ``NAME/p/CLASS``."""
    target = corpus.target
    columns: dict[str, Any] = {
        "id": pa.array([corpus.ids[row] for row in parts.test]),
        "true": _names(target, target.take(parts.test).y),
    }
    for index, detail in evaluation.details.items():
        name = "selected" if index == evaluation.selected else evaluation.rows[index]["name"]
        columns[f"{name}/label"] = _names(target, detail.predicted)
        for code, label in enumerate(target.classes):
            columns[f"{name}/p/{label}"] = pa.array(detail.probabilities[:, code])
    return pa.table(columns)


def _names(target: Target, codes: Any) -> pa.Array:
    """Class names; lists of them for a multi-label task."""
    if target.kind != "multilabel":
        return pa.array([target.classes[code] for code in codes], pa.string())
    return pa.array([_on(target.classes, row) for row in np.asarray(codes)], pa.list_(pa.string()))


def _on(classes: Sequence[str], row: Any) -> list[str]:
    return [name for name, value in zip(classes, row, strict=True) if value == 1]
