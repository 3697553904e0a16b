"""What a run says to do, in plain words with its numbers: use SAE features at all? Which layer, width, pooling?

Every sentence follows from the files of the run by rules that stand here; "they don't, here" is one of the answers.
Computes nothing that could be called a new result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from latentprobe.report import wording
from latentprobe.report.wording import Row

__all__ = ["recommendation"]

Answer = Literal["yes", "no", "level"]

SIGNIFICANT = 0.05
_AXES = {"layer": "layer", "width": "width", "pooling": "pooling", "binarize": "binarization"}
_CHEAPER_IS_LESS = ("layer", "width")
_REGIMES = {"rows": "little data", "imbalance": "imbalance", "noise": "label noise", "shift": "another source"}


def recommendation(results: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
    """Advice from a finished run.

    Args:
        results: content of results.json.
        environment: content of environment.json.

    Returns:
        ``{"name", "helps": "yes" | "no" | "level", "setting": {axis: value}, "sentences": [str, ...]}``. ``helps`` is
        about hidden states: ``yes`` and ``no`` where the interval of the paired difference leaves out zero and p stays
        below 0.05 after Holm's correction; ``level`` where the test rows cannot tell.
    """
    answer, first = _over_hidden(results)
    setting, why = _setting(results)
    sentences = [first, *_over_others(results), *_conditions(results), *why, *_costs(results, environment)]
    return {"name": results["name"], "helps": answer, "setting": setting, "sentences": sentences}


def _over_hidden(results: Mapping[str, Any]) -> tuple[Answer, str]:
    """Do SAE features score more than hidden states of the same tokens?"""
    best = _best(results, "hidden")
    if best is None:
        return "level", "Whether SAE features beat hidden states is not known: add `hidden` to the baselines."
    gap = _gap(results, best)
    told = f"{_size(gap)} macro F1 against {wording.representation(best)}"
    answer = _answer(gap)
    if answer == "yes":
        return answer, f"Use SAE features: they help here, by {told}."
    if answer == "no":
        return answer, f"Don't use SAE features for their score: they don't help here, {told}."
    return answer, (
        f"For the score alone SAE features aren't needed: {told} is no clear difference. With {results['n_test']:,} "
        f"test rows one below about {_detectable(results, gap):.2f} can't be told from none. What they give is a "
        "decision that can be read."
    )


def _over_others(results: Mapping[str, Any]) -> Iterator[str]:
    """Is something cheaper as good? Word counts and length need no language model."""
    for family, what in (("tfidf", "Word counts"), ("length", "Lengths of texts")):
        best = _best(results, family)
        if best is None:
            continue
        gap = _gap(results, best)
        if _answer(gap) == "no":
            yield f"{what} do better, without a language model: SAE features {_size(gap)}."
        elif _answer(gap) == "level":
            yield f"{what} do as well as can be told, without a language model: SAE features {_size(gap)}."
        else:
            yield f"{what} do worse: SAE features {_size(gap)}."


def _conditions(results: Mapping[str, Any]) -> Iterator[str]:
    """Does having SAE rows among the choices help in the four regimes?"""
    for row in (results.get("regimes") or {}).get("conditions", ()):
        if row["level"] is not None:
            continue
        gain = row["gain"]
        clear = "helps" if gain["low"] > 0 else "hurts" if gain["high"] < 0 else "makes no clear difference"
        yield (
            f"With {_REGIMES[row['regime']]}, having SAE features among the choices {clear}: "
            f"{wording.signed(gain['value'], 3)} {wording.interval(gain['low'], gain['high'], 3, plus=True)}, "
            f"and they are chosen in {wording.percent(row['sae_chosen'])} of the draws."
        )


def _setting(results: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Layer, width, pooling and binarization: the best on inner folds; of layers and widths the cheapest one that is
    within one standard error of it (Breiman and others 1984)."""
    chosen = results["selected"]
    error = _standard_error(results)
    setting: dict[str, Any] = {}
    sentences = []
    for axis, name in _AXES.items():
        points = (results.get("curves") or {}).get(axis)
        if not points:
            if chosen.get(axis) is not None:
                setting[axis] = chosen[axis]
            continue
        best = max(points, key=lambda point: point["best"]["inner_macro_f1"])
        near = [point for point in points if point["best"]["inner_macro_f1"] >= best["best"]["inner_macro_f1"] - error]
        advised = min(near, key=lambda point: point["value"]) if axis in _CHEAPER_IS_LESS else best
        setting[axis] = advised["value"]
        sentences.append(_why(name, best, advised, near, points))
    return setting, sentences


def _why(name: str, best: Row, advised: Row, near: Sequence[Row], points: Sequence[Row]) -> str:
    scores = ", ".join(f"{point['value']} {point['best']['inner_macro_f1']:.3f}" for point in points)
    said = f"{name.capitalize()}: {advised['value']} (best macro F1 on inner folds: {scores})"
    if advised is not best:
        return f"{said}; {best['value']} is ahead by less than one standard error, and costs more."
    if len(near) > 1:
        others = ", ".join(str(point["value"]) for point in near if point is not best)
        return f"{said}; within one standard error of it: {others}."
    return f"{said}; all others are more than one standard error behind."


def _costs(results: Mapping[str, Any], environment: Mapping[str, Any]) -> Iterator[str]:
    """What the recommended classifier asks of a machine."""
    chosen = results["selected"]
    yield (
        f"The chosen classifier runs {chosen['model']} up to layer {chosen['layer']} and reads "
        f"{wording.counted(chosen['n_features'], 'feature')} of the SAE's {chosen['width']:,}."
    )
    extracting = (environment.get("seconds") or {}).get("extract")
    rows = results.get("n_rows") or results["n_train"] + results["n_test"]
    if extracting and extracting > 1:
        yield (
            f"All features of the run took {wording.seconds(extracting)} for {rows:,} rows on "
            f"{wording.counted(environment.get('cpu_count') or 1, 'core')}, where they were not stored already."
        )


def _best(results: Mapping[str, Any], family: str) -> Row | None:
    rows = [row for row in results["rows"] if row["kind"] == "baseline" and wording.family(row) == family]
    return wording.best_by_inner(rows) if rows else None


def _gap(results: Mapping[str, Any], row: Row) -> Mapping[str, float]:
    """The selected row minus a baseline, as the run compared them."""
    found: Mapping[str, float] = next(gap for gap in results["differences"] if gap["baseline"] == row["name"])
    return found


def _answer(gap: Mapping[str, float]) -> Answer:
    if gap["low"] <= 0 <= gap["high"] or gap["p_holm"] >= SIGNIFICANT:
        return "level"
    return "yes" if gap["value"] > 0 else "no"


def _size(gap: Mapping[str, float]) -> str:
    return f"{wording.signed(gap['value'], 3)} {wording.interval(gap['low'], gap['high'], 3, plus=True)}"


def _detectable(results: Mapping[str, Any], gap: Mapping[str, float]) -> float:
    """The smallest difference these test rows can tell: as the run says, or else half the interval's width."""
    power = results.get("power") or {}
    known = power.get("minimal_difference")
    return float(known) if known is not None else (gap["high"] - gap["low"]) / 2


def _standard_error(results: Mapping[str, Any]) -> float:
    """Of an inner macro F1: that of the chosen row on test, scaled to the number of training rows."""
    chosen = results["selected"]
    return float((chosen["high"] - chosen["low"]) / (2 * 1.96) * math.sqrt(results["n_test"] / results["n_train"]))
