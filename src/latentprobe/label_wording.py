"""What a label is worth, in words: one wording for terminal, notebook and report.

Knows nothing of how a score is measured, and of pages.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["MEANING", "worth", "worth_in_short"]

#: What a label score is, as the end of a sentence.
MEANING = (
    "how often the label alone tells a word where the feature is on from one where it is off, in texts that the label "
    "was not made from; 0.5 is chance, 1 is never wrong. Where strongest counts the strongest tenth of such words, "
    "wherever on all of them: a label can be right about the first and silent on most of the others."
)

Score = Mapping[str, float | None] | float | None
"""As ``store.labels.ShownLabel`` has it; a number alone, as runs of before have it, is the score wherever it is on."""


def worth(score: Score) -> str:
    """The scores of a label with their intervals; empty where there is none.

    >>> worth({"score": 0.55, "low": 0.52, "high": 0.58, "strongest": 0.9})
    '0.90 where strongest, 0.55 (0.52 to 0.58) wherever on'
    >>> worth(0.55), worth(None)
    ('0.55 wherever on', '')
    """
    told = _numbers(score)
    parts = (
        (told.get("strongest"), told.get("strongest_low"), told.get("strongest_high"), "where strongest"),
        (told.get("score"), told.get("low"), told.get("high"), "wherever on"),
    )
    return ", ".join(
        f"{value:.2f}{_interval(low, high)} {where}" for value, low, high, where in parts if value is not None
    )


def worth_in_short(score: Score) -> str:
    """The two scores alone, the one where strongest first; empty where there is none.

    >>> worth_in_short({"score": 0.55, "strongest": 0.9}), worth_in_short(0.55), worth_in_short(None)
    ('0.90 · 0.55', '– · 0.55', '')
    """
    told = _numbers(score)
    both = [told.get(name) for name in ("strongest", "score")]
    return "" if both == [None, None] else " · ".join("–" if one is None else f"{one:.2f}" for one in both)


def _numbers(score: Score) -> Mapping[str, float | None]:
    if score is None:
        return {}
    return score if isinstance(score, Mapping) else {"score": score}


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
