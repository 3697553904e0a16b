"""Tables whose rows hold a text of each class, such as a toxic sentence beside its neutral rewriting.

Knows nothing of files; what the texts and ids must be is checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["examples_of"]


def examples_of(
    columns: Mapping[str, Sequence[object]], ids: Sequence[str]
) -> tuple[tuple[str, ...], list[object], list[str], NDArray[np.int64]]:
    """One example a row and class: those of a row side by side, in the order of the classes.

    Args:
        columns: class -> the texts of that class, one a row.
        ids: row names.

    Returns:
        Ids ``ROW-CLASS``, texts, classes, and the position of the row that each example comes from.

    >>> examples_of({"rude": ["go away"], "kind": ["please leave"]}, ["7"])[:3]
    (('7-rude', '7-kind'), ['go away', 'please leave'], ['rude', 'kind'])
    """
    names = tuple(f"{row}-{label}" for row in ids for label in columns)
    texts = [texts[row] for row in range(len(ids)) for texts in columns.values()]
    return names, texts, list(columns) * len(ids), np.repeat(np.arange(len(ids)), len(columns))
