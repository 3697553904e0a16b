"""Numbers and rows of results as words. Pure functions; knows nothing of HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from latentprobe.visible import shortened

__all__ = [
    "Row",
    "Verdict",
    "best_by_inner",
    "counted",
    "family",
    "headline",
    "interval",
    "kind_of",
    "main_rows",
    "number",
    "percent",
    "pooled",
    "probability",
    "representation",
    "sae_name",
    "seconds",
    "setting",
    "signed",
    "temptation",
    "verdict",
    "warning",
]

Row = Mapping[str, Any]
Verdict = Literal["ahead", "level", "behind", "alone"]

_POOLED = {
    "max": "max-pooled",
    "mean": "mean-pooled",
    "sum": "summed over tokens",
    "last": "at the last token",
    "count": "counted over tokens",
    "rate": "as share of tokens",
}
_BASELINES = {
    "majority": "always the most frequent class",
    "length": "text length alone",
    "hidden": "hidden states",
    "prompted": "hidden states after the question",
    "pca": "principal components of hidden states",
    "both": "SAE features and hidden states together",
    "zero-shot": "what the model answers when asked",
    "random": "features of an untrained SAE",
}


def number(value: float | None, decimals: int = 2) -> str:
    """A number with fixed decimals and a real minus sign; an en dash where there is none.

    >>> number(-0.125, 3), number(None), number(-0.001)
    ('−0.125', '–', '0.00')
    """
    if value is None:
        return "–"
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def signed(value: float | None, decimals: int = 2) -> str:
    """A difference: like ``number``, with a plus sign on what is above zero.

    >>> signed(0.031), signed(-0.02), signed(0.0001)
    ('+0.03', '−0.02', '0.00')
    """
    text = number(value, decimals)
    return f"+{text}" if value is not None and float(f"{value:.{decimals}f}") > 0 else text


def interval(low: float | None, high: float | None, decimals: int = 2, *, plus: bool = False) -> str:
    """``[low, high]``; empty where there is no interval."""
    if low is None or high is None:
        return ""
    write = signed if plus else number
    return f"[{write(low, decimals)}, {write(high, decimals)}]"


def percent(share: float | None) -> str:
    """A share as whole per cent; small ones are not rounded to nothing.

    >>> percent(0.824), percent(0.001), percent(0)
    ('82 %', '< 1 %', '0 %')
    """
    if share is None:
        return "–"
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def probability(value: float | None) -> str:
    """A p value with the digits that matter.

    >>> probability(0.0004), probability(0.034), probability(0.5)
    ('< 0.001', '0.034', '0.50')
    """
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else number(value, 3 if value < 0.1 else 2)


def counted(count: int, noun: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"


def seconds(value: float) -> str:
    """A duration in the unit people would use.

    >>> seconds(0.04), seconds(42), seconds(150)
    ('0.04 s', '42 s', '2 min 30 s')
    """
    if value < 10:
        return f"{value:.2g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def family(row: Row) -> str:
    """What kind of thing a row is: ``sae``; of a layer, ``hidden``, ``prompted``, ``pca``, ``both`` or ``random``; else
    the first word of its name.

    >>> family({"kind": "baseline", "name": "tfidf words", "layer": None})
    'tfidf'
    """
    if row["kind"] == "sae":
        return "sae"
    if row.get("layer") is None:
        return str(row["name"]).split(" ")[0]
    if row.get("sae") is not None:
        return "random" if str(row["sae"]).startswith("random:") else "both"
    if str(row.get("selection")).startswith("pca"):
        return "pca"
    return "prompted" if "prompted hidden" in str(row["name"]) else "hidden"


def pooled(pooling: str | None) -> str:
    """A pooling in words."""
    if pooling is None:
        return ""
    match = re.fullmatch(r"(top|rollmax)(\d+)", pooling)
    if match is None:
        return _POOLED.get(pooling, pooling)
    kind, size = match.groups()
    return f"counted among the top {size} of a token" if kind == "top" else f"largest mean over {size} tokens"


def kind_of(row: Row) -> str:
    """What a row reads, without layer and pooling: ``hidden states``, ``TF-IDF words``."""
    kind = family(row)
    if kind == "sae":
        return "SAE features"
    if kind == "tfidf":
        return shortened(str(row["name"]).replace("tfidf", "TF-IDF"), 60)
    return _BASELINES.get(kind, shortened(str(row["name"]), 60))


def sae_name(row: Row) -> str:
    """The SAE of a row as short as it is clear."""
    return shortened(str(row["sae"]).removeprefix("random:").removeprefix("bundled:"), 80)


def setting(row: Row) -> str:
    """The rest of it: layer, pooling, binarization, selection.

    >>> setting({"kind": "baseline", "name": "layer 3 hidden mean", "layer": 3, "pooling": "mean"})
    'layer 3, mean-pooled'
    """
    parts = [] if row.get("layer") is None else [f"layer {row['layer']}"]
    parts.append(pooled(row.get("pooling")))
    if row.get("binarize") not in (None, "none"):
        learned = row["binarize"] == "auto"
        parts.append("binarized at learned thresholds" if learned else f"binarized at {float(row['binarize']):g}")
    if row.get("selection") not in (None, "all"):
        parts.append(_selected(str(row["selection"])))
    return ", ".join(part for part in parts if part)


def _selected(selection: str) -> str:
    if selection.startswith("pca"):
        return f"{selection.removeprefix('pca')} of them"
    return "chosen by L1" if selection == "l1" else f"the best {selection.removeprefix('top')} features"


def representation(row: Row) -> str:
    """A row of the table as a noun phrase.

    >>> representation({"kind": "sae", "name": "s", "layer": 3, "pooling": "max", "binarize": "1.0"})
    'SAE features of layer 3, max-pooled, binarized at 1'
    """
    rest = setting(row)
    if not rest:
        return kind_of(row)
    return f"{kind_of(row)} of {rest}" if rest.startswith("layer") else f"{kind_of(row)}, {rest}"


def verdict(difference: Mapping[str, Any] | None) -> Verdict:
    """Where the selected SAE row stands beside the best baseline, told from the interval of the difference."""
    if not difference or difference.get("low") is None or difference.get("high") is None:
        return "alone"
    if difference["low"] > 0:
        return "ahead"
    return "behind" if difference["high"] < 0 else "level"


def headline(results: Mapping[str, Any]) -> list[str]:
    """The outcome in two or three plain sentences: what was reached, by what, against what, and how sure that is."""
    best, other, difference = results["selected"], results["best_baseline"], results["difference"]
    rows = counted(results["n_test"], "test row")
    said = [
        f"The best readable classifier ({representation(best)}) reaches macro F1 "
        f"{number(best['macro_f1'])} {interval(best['low'], best['high'])} on {rows}."
    ]
    how = verdict(difference)
    if how == "alone" or other is None:
        return [*said, "There is no baseline in this run to compare it with."]
    said.append(
        f"The best baseline, {representation(other)}, reaches {number(other['macro_f1'])} "
        f"{interval(other['low'], other['high'])}."
    )
    gap = f"The difference, {signed(difference['value'])} {interval(difference['low'], difference['high'], plus=True)},"
    said.append(
        {
            "ahead": f"{gap} is more than chance explains on {rows}: here the readable classifier is better.",
            "level": f"{gap} is within what {rows} can tell.",
            "behind": f"{gap} is more than chance explains on {rows}: here the baseline is better, "
            "and that is the price of a classifier that can be read.",
        }[how]
    )
    return said


def warning(results: Mapping[str, Any]) -> str | None:
    """What makes the headline hollow: a score that guessing would reach as well."""
    best = results["selected"]
    majority = [row["macro_f1"] for row in results["rows"] if family(row) == "majority"]
    if majority and best["low"] is not None and best["low"] <= max(majority):
        return "The readable classifier is not clearly better than always giving the most frequent class."
    return None


def temptation(results: Mapping[str, Any]) -> str | None:
    """Why the row with the highest test score is not the result, where another one was selected."""
    best, highest = results["selected"], max(results["rows"], key=_test_score)
    if highest["kind"] != "sae" or _test_score(highest) <= _test_score(best):
        return None
    which = f"{sae_name(highest)}, {setting(highest)}"
    return (
        f"The highest test score here is {number(highest['macro_f1'], 3)} ({which}). It was not "
        "selected, because choosing happens on the training part only; picking it now would be choosing on test rows."
    )


def _test_score(row: Row) -> float:
    return float(row["macro_f1"]) if row["macro_f1"] is not None else -1.0


def main_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows without the many of one kind that only repeat the settings of the SAE rows: of principal components, of
    SAE features with hidden states, and of untrained SAEs, the one that inner folds prefer."""
    many: dict[str, list[Row]] = {name: [] for name in ("pca", "both", "random")}
    for row in rows:
        many.get(family(row), []).append(row)
    best = [id(best_by_inner(found)) for found in many.values() if found]
    return [row for row in rows if family(row) not in many or id(row) in best]


def best_by_inner(rows: Sequence[Row]) -> Row:
    """The row that the training part alone would choose; of equals, the first."""
    return max(rows, key=lambda row: -1.0 if row["inner_macro_f1"] is None else float(row["inner_macro_f1"]))
