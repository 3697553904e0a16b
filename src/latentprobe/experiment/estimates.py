"""What some work would take: tokens, room in the store, memory, seconds. All are estimates and say how they came about.

Where a model is on this machine, a few rows go through it and are scaled up; where it is not, what can be said is said
from sizes that are known, and the rest is None.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CHARACTERS_A_TOKEN", "COUNTED", "INTERPRETER", "STATES_A_TOKEN", "Estimate", "spread", "summed", "timed"]

#: Rows of one sample, samples at most, and seconds after which no further one is taken.
ROWS, SAMPLES, SECONDS = 32, 3, 2.0
#: Characters up to which every text is tokenized to be counted.
COUNTED = 2_000_000
#: Where there is no tokenizer.
CHARACTERS_A_TOKEN = 4
#: Python with torch and transformers, and a model's own buffers for a token, in hidden states of 4 bytes.
INTERPRETER, STATES_A_TOKEN = 500 * 2**20, 16


@dataclass(frozen=True)
class Estimate:
    """What the passes of one model would take. None where it cannot be said."""

    tokens: int | None
    """That go through the model."""
    tokens_how: str
    store_bytes: int | None
    store_how: str
    memory_bytes: int | None
    memory_how: str
    seconds: float | None
    seconds_how: str


def spread(n: int, wanted: int) -> list[int]:
    """Up to ``wanted`` of n rows, from all over the data.

    >>> spread(10, 4)
    [0, 3, 6, 9]
    """
    return [int(row) for row in np.unique(np.linspace(0, n - 1, min(n, wanted)).astype(int))]


def timed(n: int, work: Callable[[list[int]], object]) -> tuple[list[int], float]:
    """Do some of n rows: which they were, and the seconds they took."""
    rows = spread(n, ROWS * SAMPLES)
    count = max(1, -(-len(rows) // ROWS))
    seen: list[int] = []
    seconds = 0.0
    for sample in (rows[first::count] for first in range(count)):
        start = time.perf_counter()
        work(sample)
        seconds += time.perf_counter() - start
        seen += sample
        if seconds > SECONDS:
            break
    return seen, seconds


def summed(estimates: Sequence[Estimate]) -> dict[str, dict[str, Any]]:
    """Models run one after the other: memory is that of the largest, all else adds up."""
    kinds: dict[str, Callable[[list[Any]], Any]]
    kinds = {"tokens": sum, "store_bytes": sum, "memory_bytes": max, "seconds": sum}
    if not estimates:
        return {kind: {"value": 0, "how": "everything is stored"} for kind in kinds}
    found: dict[str, dict[str, Any]] = {}
    for kind, together in kinds.items():
        values = [getattr(one, kind) for one in estimates]
        hows = dict.fromkeys(getattr(one, f"{kind.removesuffix('_bytes')}_how") for one in estimates)
        found[kind] = {"value": None if None in values else together(values), "how": "; ".join(hows)}
    return found
