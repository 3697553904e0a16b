"""Test rows on the page: all of them as data for the browser's script, a few errors as text for paper.

The data are as much as fits into the page; where it is tight, texts get shorter first. Knows nothing of HTML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from latentprobe.label_wording import worth
from latentprobe.report import wording
from latentprobe.visible import places, visible

__all__ = ["as_data", "browser"]

Section = dict[str, Any]

ON_PAPER = 10
"""Errors that are shown where no script runs."""
SHORT = 240
"""Characters of their texts."""
#: Characters of a text and features a row, from what one would like to what one can bear.
_SIZES = ((600, 6), (300, 6), (300, 4), (160, 4), (160, 3), (100, 2))


def browser(decisions: Sequence[Section], results: Section, room: int) -> Section | None:
    """The rows as JSON of at most ``room`` bytes, and a few errors cut at their strongest token."""
    if not decisions:
        return None
    data, kept = _fitting(decisions, room)
    wrong = [one for one in decisions if not one["right"]]
    wrong.sort(key=lambda one: -one["score"])
    return {
        "data": data,
        "shown": len(kept),
        "all": results["n_test"],
        "classes": sorted({name for one in kept for name in (*one["true"], *one["predicted"])}),
        "several": results.get("target") == "multilabel",
        "errors": len(wrong),
        "paper": [_on_paper(one) for one in wrong[:ON_PAPER]],
    }


def as_data(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it can end the element or open another."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _fitting(decisions: Sequence[Section], room: int) -> tuple[str, Sequence[Section]]:
    """The longest form of the rows that fits; where none does, as many rows as fit, errors before others."""
    kept = list(decisions)
    few = kept[:: max(1, len(kept) // 500)]  # enough to see which sizes are out of the question
    for size in _SIZES:
        about = len(as_data(_packed(few, *size)).encode("utf-8")) * len(kept) / len(few)
        if about <= 1.1 * room or size == _SIZES[-1]:
            data = as_data(_packed(kept, *size))
            if len(data.encode("utf-8")) <= room:
                return data, kept
    while len(data.encode("utf-8")) > room and kept:
        share = 0.95 * room / len(data.encode("utf-8"))
        kept = sorted(kept, key=lambda one: bool(one["right"]))[: int(share * len(kept))]
        data = as_data(_packed(kept, *_SIZES[-1]))
    return data, kept


def _packed(decisions: Sequence[Section], characters: int, features: int) -> Section:
    """Rows as short lists: classes by number, features by number with their labels told once."""
    names = sorted({name for one in decisions for name in (*one["true"], *one["predicted"], one["towards"])})
    number = {name: i for i, name in enumerate(names)}
    lit = [part for one in decisions for part in one["features"][:features]]
    return {
        "classes": [visible(name) for name in names],
        "labels": {part["feature"]: visible(part["label"]) for part in lit if part["label"] is not None},
        "worth": {part["feature"]: told for part in lit if (told := worth(part.get("label_score")))},
        "rows": [_packed_row(one, number, characters, features) for one in decisions],
    }


def _packed_row(one: Section, number: Mapping[str, int], characters: int, features: int) -> list[Any]:
    """``[id, true, given, right, towards, score, text, cut, [[feature, contribution, start, end, token], ...]]``."""
    lit = one["features"][:features]
    at = next((part for part in lit if part["start"] >= 0), {"start": 0, "end": 0})
    left, text = _cut(one["text"], at["start"], characters)
    parts = []
    for part in lit:
        start, end = part["start"] - left, part["end"] - left
        inside = part["start"] >= 0 and 0 <= start < end <= len(text)
        where = places(text, (start, end)) if inside else [-1, -1]
        token = "" if inside else visible(part["token"])
        parts.append([part["feature"], round(part["contribution"], 3), *where, token])
    before, after = _goes_on(one, left, text)
    return [
        visible(one["id"]),
        [number[name] for name in one["true"]],
        [number[name] for name in one["predicted"]],
        int(one["right"]),
        number[one["towards"]],
        round(one["score"], 3),
        visible(text),
        before + 2 * after,
        parts,
    ]


def _cut(text: str, start: int, limit: int) -> tuple[int, str]:
    """At most ``limit`` characters around a place, from where a word begins if there is one; and where they start."""
    left = max(0, min(start - limit // 2, len(text) - limit))
    if left:
        left = next((i for i in range(left, start) if text[i - 1].isspace()), left)
    return left, text[left : left + limit]


def _goes_on(one: Section, left: int, text: str) -> tuple[bool, bool]:
    """Whether there is more of the row before and after a part of its text."""
    return one["cut_before"] or left > 0, one["cut_after"] or left + len(text) < len(one["text"])


def _on_paper(one: Section) -> Section:
    """An error with the token that spoke most for what was given marked."""
    lit = next((part for part in one["features"] if part["contribution"] > 0 and part["start"] >= 0), None)
    start, end = (lit["start"], lit["end"]) if lit else (0, 0)
    left, text = _cut(one["text"], start, SHORT)
    before, after = _goes_on(one, left, text)
    return {
        "before": text[: start - left],
        "token": text[start - left : end - left],
        "after": text[end - left :],
        "cut_before": before,
        "cut_after": after,
        "id": one["id"],
        "true": ", ".join(one["true"]) or "none",
        "given": ", ".join(one["predicted"]) or "none",
        "score": wording.percent(one["score"]),
        "why": (lit["label"] or f"feature {lit['feature']}") if lit else None,
    }
