"""Charts of what stands beside the table: along each choice, with few features, in hard conditions, and calibration.

Each is None where the run has no such block. Words, rounds and counts what is there. Knows nothing of HTML beyond the
pictures of ``charts``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentprobe.report import wording
from latentprobe.report.charts import Mark, Point, Series, axis, plot, scale_for, track

__all__ = ["calibration", "choices", "regimes", "sparse"]

Section = dict[str, Any]

_AXES = {"layer": "Layer", "width": "Width of the SAE", "pooling": "Pooling", "binarize": "Binarization"}
_REGIMES = {
    "rows": "few training rows",
    "imbalance": "one class rare",
    "noise": "wrong labels",
    "shift": "another source",
}
FEW = 5
"""Rows that a bin of the calibration chart must have to be drawn."""


def choices(results: Section) -> Section | None:
    """Along each setting, the row that inner folds prefer at each value: inner and test score."""
    curves = results.get("curves") or {}
    found = {name: curves[name] for name in _AXES if curves.get(name)}
    if not found:
        return None
    points = [point["best"] for line in found.values() for point in line]
    scale = scale_for(one[key] for one in points for key in ("inner_macro_f1", "macro_f1", "low", "high"))
    return {
        "groups": [
            {"title": _AXES[name], "lines": [_choice(point, scale) for point in line]} for name, line in found.items()
        ],
        "axis": axis(scale),
    }


def _choice(point: Section, scale: Any) -> Section:
    best = point["best"]
    inner, test = wording.number(best["inner_macro_f1"], 3), wording.number(best["macro_f1"], 3)
    marks = [Mark(best["macro_f1"], "test", best["low"], best["high"]), Mark(best["inner_macro_f1"], "inner")]
    title = f"{point['value']}: inner macro F1 {inner}, test {test}"
    return {
        "value": point["value"],
        "rows": point["rows"],
        "svg": track(scale, marks, title=title),
        "inner": inner,
        "test": test,
    }


def sparse(results: Section) -> Section | None:
    """Test score against the number of features, a chart a rule, a line a representation; and the same as a table."""
    found = (results.get("curves") or {}).get("k_sparse")
    if not found:
        return None
    scale = scale_for(one[key] for one in found for key in ("macro_f1", "low", "high"))
    rules = list(dict.fromkeys(one["rule"] for one in found))
    names = list(dict.fromkeys(one["representation"] for one in found))
    kinds = {one["representation"]: one["kind"] for one in found}
    return {
        "plots": [{"rule": rule, "svg": _sparse_plot(rule, names, kinds, found, scale)} for rule in rules],
        "legend": [
            {"name": name, "class": _line_class(name, names, kinds), "kind": _kind(kinds[name])} for name in names
        ],
        "lines": [
            {
                "name": one["representation"],
                "rule": one["rule"],
                "k": one["k"],
                "inner": wording.number(one["inner_macro_f1"], 3),
                "inner_value": one["inner_macro_f1"],
                "score": wording.number(one["macro_f1"], 3),
                "score_value": one["macro_f1"],
                "interval": wording.interval(one["low"], one["high"], 3),
            }
            for one in found
        ],
    }


def _sparse_plot(
    rule: str, names: Sequence[str], kinds: Mapping[str, str], found: Sequence[Section], scale: Any
) -> Any:
    counts = sorted({one["k"] for one in found})
    series, told = [], []
    for name in names:
        own = {one["k"]: one for one in found if one["representation"] == name and one["rule"] == rule}
        points = [
            Point(counts.index(k), one["macro_f1"], one["low"], one["high"])
            for k, one in sorted(own.items())
            if one["macro_f1"] is not None
        ]
        told.append(f"{name}: " + ", ".join(f"{counts[int(p.x)]} features {wording.number(p.y)}" for p in points))
        series.append(Series(points, _kind(kinds[name]), _line_class(name, names, kinds)))
    return plot(
        [str(k) for k in counts], scale, series, title=f"Test macro F1 by number of features, {rule}. {'; '.join(told)}"
    )


def _kind(kind: str) -> Any:
    return "selected" if kind == "sae" else "baseline"


def _line_class(name: str, names: Sequence[str], kinds: Mapping[str, str]) -> str:
    """Lines of one kind are told apart by their dashes."""
    return f"l-{_kind(kinds[name])} l-{[other for other in names if kinds[other] == kinds[name]].index(name) % 3}"


def regimes(results: Section) -> Section | None:
    """What it gains to have SAE rows among the choices, in each condition and over each regime."""
    block = results.get("regimes")
    if not block or not block["conditions"]:
        return None
    told = block["conditions"]
    scale = scale_for([0.0, *(one["gain"][key] for one in told for key in ("low", "high"))], bounds=(-1, 1))
    return {
        "groups": [
            {
                "title": _REGIMES.get(regime, regime).capitalize(),
                "lines": [_condition(one, scale) for one in told if one["regime"] == regime],
            }
            for regime in dict.fromkeys(one["regime"] for one in told)
        ],
        "axis": axis(scale, signed=True),
        "left_out": block.get("left_out") or [],
    }


def _condition(one: Section, scale: Any) -> Section:
    gain = one["gain"]
    value, between = wording.signed(gain["value"], 3), wording.interval(gain["low"], gain["high"], 3, plus=True)
    kind: Any = "selected" if gain["low"] > 0 else "baseline" if gain["high"] < 0 else "test"
    level = one["level"]
    return {
        "level": "all levels" if level is None else f"{level:g}" if isinstance(level, float) else str(level),
        "rows": None if one["n_train"] is None else wording.counted(one["n_train"], "training row"),
        "svg": track(
            scale,
            [Mark(gain["value"], kind, gain["low"], gain["high"])],
            title=f"gain {value} {between}",
            reference=0.0,
        ),
        "value": value,
        "interval": between,
        "beside": f"{wording.number(one['baseline'], 3)} → {wording.number(one['all'], 3)}",
        "whole": level is None,
    }


def calibration(results: Section, predictions: Mapping[str, Sequence[Any]]) -> Section | None:
    """How often the selected row is right beside how sure it said it was, on test rows in ten bins.

    None for several labels, where a row is not simply right or wrong.
    """
    columns = [predictions.get(f"selected/p/{name}") for name in results["classes"]]
    true, given = predictions.get("true"), predictions.get("selected/label")
    if results.get("target") == "multilabel" or true is None or given is None or any(one is None for one in columns):
        return None
    place = {name: i for i, name in enumerate(results["classes"])}
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(10)]
    for row, (answer, said) in enumerate(zip(true, given, strict=True)):
        sure = float(columns[place[said]][row])  # type: ignore[index]
        bins[min(9, int(10 * sure))].append((sure, answer == said))
    points = [
        (sum(sure for sure, _ in own) / len(own), sum(right for _, right in own) / len(own), len(own))
        for own in bins
        if len(own) >= FEW
    ]
    told = "; ".join(
        f"said {wording.percent(sure)}, was right in {wording.percent(share)} of {n}" for sure, share, n in points
    )
    ticks = ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]
    series = [
        Series([Point(0, 0.0), Point(5, 1.0)], None, "l-even"),
        Series([Point(5 * sure, share) for sure, share, _ in points], "selected", "l-selected"),
    ]
    ece = results["selected"].get("ece")
    return {
        "svg": plot(ticks, scale_for([0.0, 1.0]), series, title=f"Calibration on test rows. {told}"),
        "ece": wording.number(ece, 3),
        "lines": [(wording.percent(sure), wording.percent(share), n) for sure, share, n in points],
    }
