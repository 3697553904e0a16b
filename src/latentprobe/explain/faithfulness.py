"""Whether an explanation is true: what happens to a decision when what it names is taken away.

Comprehensiveness is what the probability of the decided class loses without the named parts, sufficiency what it loses
when nothing else is left (DeYoung and others 2020, ERASER, section 4.2). A loss alone says little, as taking anything
away costs something: each is set against random parts of the same kind in the same row. Parts are features or tokens.
Knows nothing of models: it picks what to remove, and judges what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentprobe.learn.intervals import interval, resampled_weights

__all__ = ["SIZES", "Picked", "compared", "means", "pick", "promise", "verdict"]

#: Features removed.
SIZES = (1, 2, 4, 8, 16, 32)
#: A random part is drawn from the so many others that are most like the named one.
NEAREST = 5
#: Relative error of a typical promise up to which it counts as kept.
KEPT = 0.1


class Picked(NamedTuple):
    """Parts of one row, by their positions."""

    named: NDArray[np.int64]
    """Those that speak for the decision, the strongest first."""
    random: tuple[NDArray[np.int64], ...]
    """Others, the i-th like the i-th named one, drawn several times; fewer where there are not as many."""


def pick(
    added: NDArray[np.float64], likeness: NDArray[np.float64], *, most: int, draws: int, rng: np.random.Generator
) -> Picked:
    """The parts that an explanation names, and random ones to compare them with.

    Args:
        added: what each part adds to the score of the decided class, ``[a]``.
        likeness: what a random part should have in common with a named one, ``[a]``: the logarithm of how often a
            feature fires, or the length of a token.
        most: how many are named at most.
        draws: how often random ones are drawn.
        rng: draws them.
    """
    order = np.argsort(-added, kind="stable")
    named = order[: int(np.sum(added[order[:most]] > 0))]
    others = np.setdiff1d(np.arange(len(added)), named)
    return Picked(named, tuple(_like(likeness, named, others, rng) for _ in range(draws)))


def _like(
    likeness: NDArray[np.float64], named: NDArray[np.int64], others: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    left, drawn = others, []
    for part in named[: len(others)]:
        nearest = np.argsort(np.abs(likeness[left] - likeness[part]), kind="stable")[:NEAREST]
        place = int(rng.choice(nearest))
        drawn.append(int(left[place]))
        left = np.delete(left, place)
    return np.array(drawn, np.int64)


def means(
    values: NDArray[np.float64], units: NDArray[Any], *, resamples: int, seed: int
) -> list[dict[str, float | int | None]]:
    """Mean of each column with its 95 % bootstrap interval over rows, and the two-sided p of a mean that is not 0.

    Args:
        values: ``[n, c]``; nan where a row has none.
        units: of each row, ``[n]``, drawn whole.
        resamples: of the bootstrap.
        seed: of it.
    """
    there = ~np.isnan(values)
    filled = np.where(there, values, 0.0)
    counts = there.sum(axis=0)
    drawn = []
    if len(values):
        for weights in resampled_weights(units, resamples=resamples, seed=seed):
            total = there.T.astype(np.float64) @ weights
            drawn.append((filled.T @ weights) / np.where(total > 0, total, np.nan))
    found: list[dict[str, float | int | None]] = []
    for column, n in enumerate(counts):
        if not n:
            found.append({"value": None, "low": None, "high": None, "p": None, "n": 0})
            continue
        each = np.concatenate([block[column] for block in drawn])
        each = each[~np.isnan(each)]
        low, high = interval(each)
        tail = min(int(np.sum(each <= 0)), int(np.sum(each >= 0)))
        p = min(1.0, 2 * (tail + 1) / (len(each) + 1))
        found.append({"value": float(filled[:, column].sum() / n), "low": low, "high": high, "p": p, "n": int(n)})
    return found


def compared(
    sizes: Sequence[int],
    named: NDArray[np.float64],
    random: NDArray[np.float64],
    units: NDArray[Any],
    *,
    resamples: int,
    seed: int,
    smaller_is_better: bool = False,
) -> dict[str, Any]:
    """A curve over numbers of parts for named and random ones, and their gap, paired over rows.

    Args:
        sizes: numbers of parts, ``[S]``.
        named, random: what each row lost, ``[n, S]``; nan where it has not as many parts. ``random`` is the mean over
            its draws.
        units, resamples, seed: of the bootstrap.
        smaller_is_better: the gap is random minus named, else named minus random.

    Returns:
        ``curve``: one a size, of ``k``, ``named``, ``random`` and ``gap``; ``mean``: the gap of each row's mean over
        the sizes (the area over the perturbation curve). Each has ``value``, ``low``, ``high``, ``p`` and ``n``.
    """
    both = ~np.isnan(named) & ~np.isnan(random)
    named, random = (np.where(both, values, np.nan) for values in (named, random))
    gap = random - named if smaller_is_better else named - random
    rows = both.sum(axis=1)
    overall = np.where(rows > 0, np.nansum(gap, axis=1) / np.maximum(rows, 1), np.nan)
    parts = (means(values, units, resamples=resamples, seed=seed) for values in (named, random, gap))
    curve = [
        {"k": size, "named": own, "random": other, "gap": difference}
        for size, own, other, difference in zip(sizes, *parts, strict=True)
    ]
    return {"curve": curve, "mean": means(overall[:, None], units, resamples=resamples, seed=seed)[0]}


def promise(promised: NDArray[np.float64], measured: NDArray[np.float64]) -> dict[str, Any]:
    """Whether scores fall by what the contributions say.

    Args:
        promised: sums of the contributions of what was removed; nan where nothing was.
        measured: by how much the score fell, of the same shape.

    Returns:
        ``median_relative_error``, ``largest_error`` in units of the score, ``correlation`` (Pearson's; None where one
        of them does not vary) and ``n``.
    """
    there = ~np.isnan(promised) & ~np.isnan(measured)
    x, y = promised[there], measured[there]
    if not len(x):
        return {"median_relative_error": None, "largest_error": None, "correlation": None, "n": 0}
    error = np.abs(x - y)
    varies = len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0
    return {
        "median_relative_error": float(np.median(error / np.maximum(np.abs(x), 1e-12))),
        "largest_error": float(error.max()),
        "correlation": float(np.corrcoef(x, y)[0, 1]) if varies else None,
        "n": len(x),
    }


def verdict(promised: Mapping[str, Any], gaps: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """What the tests say together: explanations fail where one of them fails.

    Args:
        promised: of :func:`promise`, for features.
        gaps: what was removed ("features", "tokens") to the mean gap to random, None where it was not tested.

    Returns:
        ``faithful``, ``failed`` (a sentence for each test that failed) and ``says`` (one sentence).
    """
    failed = []
    error = promised["median_relative_error"]
    if error is None:
        failed.append("No decision has a feature that speaks for it.")
    elif error > KEPT:
        failed.append(f"Scores fall by {error:.0%} more or less than the contributions of removed features say.")
    for what, gap in gaps.items():
        if gap is None or (error is None and gap["n"] == 0):
            continue
        if gap["low"] is None:
            failed.append(f"No row has {what} enough to set the named ones against random ones.")
        elif gap["low"] <= 0:
            failed.append(
                f"Removing the named {what} changes decisions no more than removing random ones: "
                f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]."
            )
    tested = " and ".join(what for what, gap in gaps.items() if gap is not None)
    says = f"The explanations hold: removing the {tested} they name costs more than removing random ones."
    if failed:
        says = f"The explanations of this classifier fail. {' '.join(failed)}"
    return {"faithful": not failed, "failed": failed, "says": says}
