"""Little data, imbalance, label noise, another source: conditions made from the training part of a split.

Test labels are always the true ones. Every draw has a generator of its own, so that leaving one condition out changes
no other. Knows nothing of features or probes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import RegimesSpec, ShiftSpec
from latentprobe.corpus import Target
from latentprobe.errors import SpecError, nearest
from latentprobe.learn.splits import Split

__all__ = ["Condition", "conditions"]


@dataclass(frozen=True, eq=False)
class Condition:
    """One draw of training rows and labels."""

    regime: str
    """``rows``, ``imbalance``, ``noise`` or ``shift``."""
    level: float | str
    """Rows, share of the class, share of wrong labels; or the two sources."""
    repeat: int
    """Number of the draw."""
    target: Target
    """Labels of all rows; wrong ones on training rows only."""
    split: Split
    """Rows to fit and choose on, and rows to judge on."""


def conditions(
    spec: RegimesSpec, target: Target, split: Split, columns: Mapping[str, Sequence[str]], *, seed: int
) -> tuple[list[Condition], list[str]]:
    """Every condition that the training part can give, and sentences on those it cannot.

    Args:
        spec: what is asked for.
        target: labels of all rows.
        split: the split of the experiment; conditions draw from its training part.
        columns: the further columns of the corpus.
        seed: of the draws.

    Raises:
        SpecError: the shift names a column or a value that is not there.
    """
    found: list[Condition] = []
    left_out: list[str] = []
    for draw in _draws(spec, target, split, seed):
        try:
            found.append(draw())
        except _TooFew as error:
            if error.args[0] not in left_out:
                left_out.append(error.args[0])
    if spec.shift is not None:
        found.append(_shifted(spec.shift, target, columns))
    return found, left_out


class _TooFew(Exception):
    """A condition that the training part has too few rows for."""


def _draws(spec: RegimesSpec, target: Target, split: Split, seed: int) -> Iterator[Callable[[], Condition]]:
    """A function a condition, each with a generator of its own: leaving one out changes no other."""

    def rng(*key: int) -> np.random.Generator:
        return np.random.default_rng([seed, *key])

    for repeat in range(spec.repeats):
        for level in spec.rows:
            yield lambda n=level, r=repeat: _few(n, r, target, split, rng(1, r, n))  # type: ignore[misc]
        for share in spec.imbalance if target.kind != "multilabel" else ():
            code = int(share * 10_000)
            yield lambda p=share, r=repeat, c=code: _imbalanced(p, r, target, split, spec, rng(2, r, c))  # type: ignore[misc]
        for share in spec.noise:
            code = int(share * 10_000)
            yield lambda q=share, r=repeat, c=code: _noisy(q, r, target, split, rng(3, r, c))  # type: ignore[misc]


def _few(n: int, repeat: int, target: Target, split: Split, rng: np.random.Generator) -> Condition:
    """n training rows with the shares of the classes, and two rows of each at least."""
    if n >= len(split.train):
        raise _TooFew(f"{n:,} training rows: there are {len(split.train):,}")
    if target.kind == "multilabel":
        return Condition("rows", n, repeat, target, replace(split, train=_sorted_choice(rng, split.train, n)))
    codes = target.y[split.train]
    counts = _shares(np.bincount(codes, minlength=len(target.classes)), n)
    if (counts < 2).any():
        raise _TooFew(f"{n:,} training rows: fewer than two for some of {len(target.classes)} classes")
    return Condition("rows", n, repeat, target, replace(split, train=_drawn(rng, split.train, codes, counts)))


def _imbalanced(
    share: float, repeat: int, target: Target, split: Split, spec: RegimesSpec, rng: np.random.Generator
) -> Condition:
    """As many rows at every share: as many as the most extreme ones allow."""
    codes = target.y[split.train]
    there = np.bincount(codes, minlength=len(target.classes))
    code = 1 if target.kind == "binary" else int(there.argmax())
    rest = len(codes) - there[code]
    n = int(min(min(there[code] / p, rest / (1 - p)) for p in spec.imbalance))
    others = there.copy()
    others[code] = 0
    counts = _shares(others, n - round(n * share))
    counts[code] = round(n * share)
    if (counts < 2).any() or (counts > there).any():
        raise _TooFew(f"a share of {share:g} among {n:,} rows: fewer than two rows for some class")
    return Condition("imbalance", share, repeat, target, replace(split, train=_drawn(rng, split.train, codes, counts)))


def _noisy(share: float, repeat: int, target: Target, split: Split, rng: np.random.Generator) -> Condition:
    """That share of the training rows gets another class; of several labels, that share of answers is turned."""
    y = target.y.copy()
    if target.kind == "multilabel":
        turned = np.zeros(y.shape, dtype=bool)
        turned[split.train] = rng.random((len(split.train), y.shape[1])) < share
        y = np.where(turned, 1 - y, y)
    else:
        wrong = _sorted_choice(rng, split.train, round(share * len(split.train)))
        y[wrong] = (y[wrong] + rng.integers(1, len(target.classes), size=len(wrong))) % len(target.classes)
    return Condition("noise", share, repeat, replace(target, y=y), split)


def _shifted(shift: ShiftSpec, target: Target, columns: Mapping[str, Sequence[str]]) -> Condition:
    """All rows of some sources to train, all of others to test."""
    if shift.column not in columns:
        raise SpecError(
            "the column of `regimes.shift` must be listed in `data.by`",
            got=f"{shift.column!r}, with by: {list(columns)}",
            fix=f"add it to `data.by`{nearest(shift.column, list(columns))}",
        )
    found = np.array(columns[shift.column], dtype=object)
    known = sorted(set(found.tolist()))
    for value in (value for values in shift.values for value in values):
        if value not in known:
            raise SpecError(
                f"no row has {value!r} in the column {shift.column!r}",
                got=", ".join(repr(name) for name in known[:10]),
                fix=f"name one of those{nearest(value, known)}",
            )
    train, test = (np.flatnonzero(np.isin(found, values)) for values in shift.values)
    return Condition("shift", " → ".join(map(_named, shift.values)), 0, target, Split(train=train, test=test))


def _named(values: Sequence[str]) -> str:
    """Sources in a few words.

    >>> _named(["web"]), _named(["web", "mail", "chat"])
    ('web', 'web and 2 more')
    """
    return values[0] + (f" and {len(values) - 1} more" if len(values) > 1 else "")


def _shares(weights: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """n in proportion to the weights, by largest remainders; where n allows it, two for each that has a weight."""
    wanted = n * weights / max(weights.sum(), 1)
    counts: NDArray[np.int64] = np.floor(wanted).astype(np.int64)
    counts[np.argsort(counts - wanted, kind="stable")[: n - int(counts.sum())]] += 1
    for position in np.flatnonzero((weights > 0) & (counts < 2)):
        largest = int(counts.argmax())
        moved = min(2 - counts[position], max(counts[largest] - 2, 0))
        counts[position] += moved
        counts[largest] -= moved
    return counts


def _drawn(
    rng: np.random.Generator, rows: NDArray[np.int64], codes: NDArray[Any], counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """That many rows of each class, ascending."""
    chosen = [_sorted_choice(rng, rows[codes == code], count) for code, count in enumerate(counts)]
    return np.sort(np.concatenate(chosen))


def _sorted_choice(rng: np.random.Generator, rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.asarray(np.sort(rng.choice(rows, size=n, replace=False)), dtype=np.int64)
