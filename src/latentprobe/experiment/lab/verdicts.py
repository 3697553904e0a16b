"""From figures on several worlds to verdicts: does a claim hold where it should, and fail where it should?

Worlds are drawn anew for each seed, so that their figures are independent and an ordinary t interval over seeds says
how sure a mean is. Pure functions of numbers; knows nothing of worlds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

__all__ = ["LEVEL", "MARGIN", "Interval", "Outcome", "as_planted", "outcome_of", "over_worlds"]

#: A difference of less is not worth a claim, however sure.
MARGIN = 0.02
#: Where the whole interval lies nearer to none than this, there is no difference worth speaking of.
LEVEL = 0.05

Outcome = Literal["holds", "reversed", "level", "unclear"]
"""``holds``: surely more, by at least MARGIN; ``reversed``: surely less; ``level``: surely within LEVEL of
none; ``unclear``: none of these."""


@dataclass(frozen=True)
class Interval:
    """A mean over worlds with its 95 % t interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Rounded to four decimals: of scores on some hundred rows, more would say nothing."""
        return {name: round(value, 4) + 0.0 for name, value in vars(self).items()}


def over_worlds(values: Sequence[float]) -> Interval:
    """Mean and 95 % t interval of one figure, one value a world, at least two.

    >>> over_worlds([0.5, 0.5, 0.5])
    Interval(value=0.5, low=0.5, high=0.5)
    """
    array = np.asarray(values, np.float64)
    mean = float(array.mean())
    half = float(stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / len(array) ** 0.5)
    return Interval(mean, mean - half, mean + half)


def outcome_of(difference: Interval, *, level: float = LEVEL) -> Outcome:
    """What a paired difference says.

    >>> outcome_of(Interval(0.10, 0.05, 0.15)), outcome_of(Interval(0.01, -0.01, 0.03))
    ('holds', 'level')
    """
    if difference.low > 0 and difference.value >= MARGIN:
        return "holds"
    if difference.high < 0 and difference.value <= -MARGIN:
        return "reversed"
    return "level" if -level < difference.low and difference.high < level else "unclear"


def as_planted(planted: bool, outcome: Outcome) -> bool:
    """Whether an outcome is what a case was planted for. That nothing can be told is never as planted."""
    return outcome == "holds" if planted else outcome in ("reversed", "level")
