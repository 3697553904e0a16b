"""The classes on the page: what lights them, how well each is told, what it is mistaken for.

Sorts, counts and words what the files of the run say. Knows nothing of HTML beyond the pictures of ``charts``.
"""

from __future__ import annotations

from typing import Any

from latentprobe.label_wording import MEANING, worth
from latentprobe.report import wording
from latentprobe.report.charts import bar

__all__ = ["confusion", "example", "features", "measures", "per_class"]

Section = dict[str, Any]

MATRIX = 20
"""Classes up to which the confusion matrix is drawn whole."""
PAIRS = 20
"""Most confused pairs that are listed instead."""

_MEASURES = (
    ("macro_f1", "Macro F1", "mean of the classes' F1: every class counts the same"),
    ("accuracy", "Accuracy", "share of test rows that are right; of several labels, all of them"),
    ("roc_auc", "ROC-AUC", "how often a row of the class scores above one that is not; 0.5 is guessing"),
    ("average_precision", "Average precision", "precision over all thresholds; sterner than ROC-AUC for rare classes"),
    (
        "recall_at_fpr_1",
        "Recall at 1 % false alarms",
        "share of the positive class caught when 1 % of the rest is flagged",
    ),
    (
        "recall_at_fpr_5",
        "Recall at 5 % false alarms",
        "share of the positive class caught when 5 % of the rest is flagged",
    ),
    ("brier", "Brier score", "squared error of the probabilities; lower is better"),
    ("ece", "Calibration error (ECE)", "how far stated probabilities are from observed shares; lower is better"),
    ("ece_uncalibrated", "ECE before calibration", "the same, had the probabilities been left as they came"),
)


def features(evidence: Section, results: Section) -> Section:
    """The top features of each class with their texts; fewer of each where there are many classes."""
    classes = evidence.get("classes") or []
    many = len(classes) > MATRIX
    most, texts = (6, 2) if many else (12, 4)
    return {
        "binarize": evidence.get("binarize"),
        "pooling": wording.pooled(evidence.get("pooling")),
        "sae": evidence.get("sae"),
        "layer": evidence.get("layer"),
        "model": evidence.get("model"),
        "folded": len(classes) > 4,
        "shortened": many,
        "meaning": MEANING
        if any(worth(one.get("label_score")) for each in classes for one in each["features"])
        else None,
        "classes": [
            {
                "class": one["class"],
                "n_train": one["n_train"],
                "features": _features(one, most, texts, multiclass=results.get("target") == "multiclass"),
            }
            for one in classes
        ],
    }


def _features(one: Section, most: int, texts: int, *, multiclass: bool) -> list[Section]:
    shown = one["features"][:most]
    heaviest = max((feature["mean_contribution"] for feature in shown), default=0) or 1
    return [
        {
            "feature": feature["feature"],
            "label": feature["label"],
            "label_score": feature.get("label_score"),
            "weight": wording.signed(feature["weight"], 2),
            "contribution": wording.signed(feature["mean_contribution"], 2),
            "contribution_bar": bar(
                feature["mean_contribution"] / heaviest,
                title=f"adds {wording.signed(feature['mean_contribution'], 2)} to the score on average",
            ),
            **_rates(feature, one["class"], multiclass=multiclass),
            "examples": [example(text, one["class"]) for text in feature["examples"][:texts]],
        }
        for feature in shown
    ]


def _rates(feature: Section, name: str, *, multiclass: bool) -> Section:
    """How often the feature is on: here, elsewhere, and in the class that has it most among the others."""
    rates = feature["rate"]
    here, elsewhere = rates.get(name), feature.get("rate_others")
    others = [(share, other) for other, share in rates.items() if other != name]
    next_share, next_name = max(others, key=lambda pair: pair[0], default=(0.0, None))
    if elsewhere is None and len(others) == 1:
        elsewhere = next_share
    return {
        "here": wording.percent(here),
        "here_bar": bar(here or 0, title=f"on in {wording.percent(here)} of this class", kind="here"),
        "elsewhere": wording.percent(elsewhere),
        "elsewhere_bar": bar(elsewhere or 0, title=f"on in {wording.percent(elsewhere)} of the others", kind="other"),
        "next": next_name if multiclass and next_share > 0 else None,
        "next_share": wording.percent(next_share),
    }


def example(one: Section, name: str) -> Section:
    """An example cut in three at its token, before anything in it is replaced, so that the cut stays in place."""
    text, start, end = one["text"], one["start"], one["end"]
    return {
        "before": text[:start],
        "token": text[start:end],
        "after": text[end:],
        "cut_before": one.get("cut_before", False),
        "cut_after": one.get("cut_after", False),
        "value": wording.number(one["value"], 2),
        "typical": one.get("typical", False),
        "true": one["true"],
        "elsewhere": not one.get("own", one["true"] == name),
        "id": one["id"],
    }


def per_class(results: Section) -> Section | None:
    """Precision, recall and F1 of each class, beside the best baseline's F1."""
    details = (results.get("selected_details") or {}).get("per_class") or []
    if not details:
        return None
    other = {one["class"]: one for one in (results.get("best_baseline_details") or {}).get("per_class") or []}
    lines = []
    for one in details:
        beside = other.get(one["class"], {}).get("f1")
        gap = None if beside is None or one["f1"] is None else one["f1"] - beside
        lines.append(
            {
                "class": one["class"],
                "support": one["support"],
                "precision": one["precision"],
                "recall": one["recall"],
                "f1": one["f1"],
                "svg": bar(one["f1"] or 0, title=f"F1 {wording.number(one['f1'], 2)}"),
                "baseline": beside,
                "gap": gap,
            }
        )
    return {"lines": lines, "folded": len(lines) > MATRIX, "beside": bool(other)}


def measures(results: Section) -> list[Section]:
    """Every measure of the chosen row, beside that of the best baseline."""
    ours = _measured(results["selected"], results.get("selected_details"))
    theirs = _measured(results["best_baseline"], results.get("best_baseline_details"))
    return [
        {"name": name, "hint": hint, "ours": wording.number(ours[key], 3), "theirs": wording.number(theirs.get(key), 3)}
        for key, name, hint in _MEASURES
        if ours.get(key) is not None
    ]


def _measured(row: Section | None, details: Section | None) -> Section:
    """The measures of a row, whether they stand in the row itself or in its details."""
    measured = {**(details or {}), **(row or {})}
    recall = measured.get("recall_at_fpr") or {}
    return measured | {f"recall_at_fpr_{100 * float(rate):g}": value for rate, value in recall.items()}


def confusion(results: Section) -> Section | None:
    """The confusion matrix of the chosen row; for many classes only the pairs that are confused most."""
    matrix = (results.get("selected_details") or {}).get("confusion")
    if not matrix:
        return None
    names = results["classes"]
    if len(names) > MATRIX:
        return {"pairs": _pairs(matrix, names)}
    return {
        "names": names,
        "upright": len(names) > 6,
        "lines": [
            {"name": name, "total": sum(counts), "cells": [_cell(count, sum(counts)) for count in counts], "row": i}
            for i, (name, counts) in enumerate(zip(names, matrix, strict=True))
        ],
    }


def _cell(count: int, total: int) -> Section:
    share = count / total if total else 0.0
    level = 0 if not count else max(1, round(10 * share))
    return {"count": count, "share": wording.percent(share), "level": level}


def _pairs(matrix: list[list[int]], names: list[str]) -> list[Section]:
    found = [(count, i, j) for i, counts in enumerate(matrix) for j, count in enumerate(counts) if i != j and count > 0]
    found.sort(key=lambda one: (-one[0], one[1], one[2]))
    return [
        {
            "true": names[i],
            "predicted": names[j],
            "count": count,
            "share": wording.percent(count / sum(matrix[i])),
            "svg": bar(count / sum(matrix[i]), title=f"{wording.percent(count / sum(matrix[i]))} of that class"),
        }
        for count, i, j in found[:PAIRS]
    ]
