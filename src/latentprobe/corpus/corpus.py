"""Labelled texts as one checked value. Knows nothing of files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentprobe.corpus.target import Target
from latentprobe.files import sha256_json


@dataclass(frozen=True, eq=False)
class Corpus:
    """The n rows of an experiment, in the order of their source.

    Attributes:
        name: what to call them.
        ids: unique row names.
        texts: one a row; a missing one is the empty text.
        target: what is to be predicted.
        groups: rows of one group stay on one side of every split; None where no group column is named.
        given_test: True on test rows, [n], where the data give the split, else None.
        notes: sentences on what was kept, moved or changed, for the report.
    """

    name: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    target: Target
    groups: tuple[str, ...] | None
    given_test: NDArray[np.bool_] | None
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fingerprint(self) -> str:
        """Content hash of ids and texts, in order: all that a row's features depend on."""
        return sha256_json({"ids": self.ids, "texts": self.texts})
