"""What a test part of this size can tell, and what looking at many test scores would have gained by luck.

Knows nothing of models: it works on the rows of a finished table and the spread of a paired difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import norm

from latentprobe.learn.intervals import Difference

__all__ = ["minimal_difference", "power_of", "winners_curse"]

_ALPHA, _POWER = 0.05, 0.8
_DIFFERENCES = (0.01, 0.02, 0.05)


def minimal_difference(error: float) -> float:
    """The smallest true difference that a two-sided test at 5 % finds four times in five.

    That is (z of .975 + z of .8) standard errors (Cohen 1988, chapter 1), 2.8 of them.

    >>> round(minimal_difference(0.01), 4)
    0.028
    """
    return float((norm.ppf(1 - _ALPHA / 2) + norm.ppf(_POWER)) * error)


def power_of(difference: Difference, score: float, n_test: int) -> dict[str, Any]:
    """What the test part can tell: the minimal detectable difference, in numbers and as a sentence.

    Args:
        difference: the selected row minus the best baseline; its ``error`` is what decides.
        score: macro F1 of the selected row, for the example in the sentence.
        n_test: rows of the test part.

    Returns:
        ``alpha``, ``power``, ``standard_error``, ``minimal_difference`` (None where the two never differ, so that
        their spread says nothing), ``rows_needed`` (difference -> test rows of this kind that would be enough for it,
        as the error falls with the root of their number) and ``sentence``.
    """
    least = minimal_difference(difference.error)
    if not least:
        return {
            "alpha": _ALPHA, "power": _POWER, "standard_error": 0.0, "minimal_difference": None, "rows_needed": {},
            "sentence": f"On {n_test:,} test rows the two never differ, so there is no telling what could be told.",
        }  # fmt: skip
    return {
        "alpha": _ALPHA,
        "power": _POWER,
        "standard_error": difference.error,
        "minimal_difference": least,
        "rows_needed": {f"{gap:g}": math.ceil(n_test * (least / gap) ** 2) for gap in _DIFFERENCES},
        "sentence": _sentence(least, score, n_test),
    }


def _sentence(least: float, score: float, n_test: int) -> str:
    other = score + least if score + least <= 1 else score - least
    low, high = sorted((score, other))
    example = "no two scores that are possible" if low < 0 else f"{low:.3f} from {high:.3f}"
    return (
        f"With {n_test:,} test rows, differences in macro F1 below {least:.3f} are missed more often than one time in "
        f"five: one can just tell {example}, and nothing closer."
    )


def winners_curse(rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, int | None]) -> dict[str, Any]:
    """For each kind of row, the best score on test minus that of the row chosen on inner folds.

    What choosing on the test part would have added to the reported score: luck, as far as inner folds can tell.

    Args:
        rows: the whole table, with ``kind``, ``name`` and ``macro_f1``.
        chosen: kind -> position of its chosen row; a kind without one is left out.

    Returns:
        kind -> ``rows`` (how many there were to choose from), ``chosen``, ``chosen_macro_f1``, ``best_on_test``,
        ``best_macro_f1`` and ``value``.

    >>> table = [{"kind": "sae", "name": name, "macro_f1": score} for name, score in (("a", 0.8), ("b", 0.85))]
    >>> round(winners_curse(table, {"sae": 0})["sae"]["value"], 2)
    0.05
    """
    found = {}
    for kind, index in chosen.items():
        if index is None:
            continue
        own = [row for row in rows if row["kind"] == kind]
        best = max(own, key=lambda row: float(row["macro_f1"]))
        found[kind] = {
            "rows": len(own),
            "chosen": rows[index]["name"],
            "chosen_macro_f1": rows[index]["macro_f1"],
            "best_on_test": best["name"],
            "best_macro_f1": best["macro_f1"],
            "value": best["macro_f1"] - rows[index]["macro_f1"],
        }
    return found
