"""How the score moves along one choice: the number of features, the layer, the width, the pooling, the binarization.

The curves along a setting are read off the rows of a comparison; the k-sparse ones are rows of their own, made here
from representations that are compared anyway. Knows nothing of how representations are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from latentprobe.learn.evaluate import Representation

__all__ = ["RULES", "along", "k_sparse_representations"]

#: Rules by which the best k features are found, and how a selection spells them.
RULES: Mapping[str, str] = {"mean difference": "top", "L1 path": "l1top", "weight": "weight"}

AXES = ("layer", "width", "pooling", "binarize")
MANY_CLASSES = 10
"""With more classes than this the L1 path, one fit a class and step, is left out."""


def k_sparse_representations(
    chosen: Sequence[Representation], counts: Sequence[int], *, n_classes: int
) -> tuple[list[Representation], list[dict[str, Any]]]:
    """Each representation with only its best k features, by each rule; and what each of them is.

    Args:
        chosen: what to thin out; their own selection is not kept.
        counts: the values of k.
        n_classes: of the task.

    Returns:
        Representations for :func:`latentprobe.learn.evaluate`, and for each ``{"representation", "rule", "k"}``.
    """
    rules = {name: spelt for name, spelt in RULES.items() if spelt != "l1top" or n_classes <= MANY_CLASSES}
    made, told = [], []
    for representation in chosen:
        for rule, spelt in rules.items():
            for k in sorted(counts):
                selection = f"{spelt}{k}"
                columns = {**representation.columns, "selection": selection}
                name = f"{representation.name} {selection}"
                made.append(replace(representation, name=name, selection=selection, columns=columns))
                told.append({"representation": representation.name, "rule": rule, "k": k})
    return made, told


def along(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """For layer, width, pooling and binarization, what the SAE rows of each value scored.

    Args:
        rows: the table of a comparison.

    Returns:
        Axis -> a point a value, in order: ``value``, ``rows`` (how many), ``inner`` (mean inner macro F1 over them),
        ``best`` (name, inner and test macro F1 with its interval, of the row that is best on inner folds). An axis
        with a single value is left out.

    >>> one = {"kind": "sae", "name": "a", "layer": 1, "inner_macro_f1": 0.7, "macro_f1": 0.6, "low": 0.5, "high": 0.7}
    >>> points = along([one, one | {"layer": 3, "inner_macro_f1": 0.9}])["layer"]
    >>> [(point["value"], point["inner"]) for point in points]
    [(1, 0.7), (3, 0.9)]
    """
    curves = {}
    for axis in AXES:
        values: dict[Any, list[Mapping[str, Any]]] = {}
        for row in rows:
            if row["kind"] == "sae" and row.get(axis) is not None:
                values.setdefault(row[axis], []).append(row)
        if len(values) > 1:
            curves[axis] = [_point(value, values[value]) for value in sorted(values, key=_order)]
    return curves


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then names."""
    return (1, 0.0, value) if isinstance(value, str) else (0, float(value), "")


def _point(value: Any, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    best = max(rows, key=lambda row: row["inner_macro_f1"])
    return {
        "value": value,
        "rows": len(rows),
        "inner": sum(row["inner_macro_f1"] for row in rows) / len(rows),
        "best": {key: best[key] for key in ("name", "inner_macro_f1", "macro_f1", "low", "high")},
    }
