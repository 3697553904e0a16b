"""Labelled texts, or labelled images, as one checked value. Knows nothing of how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from latentprobe.corpus.images import ImageFile
from latentprobe.corpus.target import Target
from latentprobe.corpus.texts import normalized
from latentprobe.files import sha256_json

#: What goes through a model, row by row.
Rows = Sequence[str] | Sequence[ImageFile]


@dataclass(frozen=True, eq=False)
class Corpus:
    """The n rows of an experiment, in the order of their source.

    Attributes:
        name: what to call them.
        ids: unique row names.
        texts: one a row; a missing one is the empty text, and so is that of an image.
        target: what is to be predicted.
        groups: rows of one group stay on one side of every split; None where no group column is named.
        given_test: True on test rows, [n], where the data give the split, else None.
        notes: sentences on what was kept, moved or changed, for the report.
        images: one a row, where the rows are images; else None.
        columns: further columns that the spec names, one value a row; a missing one is the empty string.
        near: the cluster of near-copies that each row belongs to, by name; None where they were not looked for.
        moved_to_test: training rows of a given split that were moved to its test side.
    """

    name: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    target: Target
    groups: tuple[str, ...] | None
    given_test: NDArray[np.bool_] | None
    notes: tuple[str, ...]
    images: tuple[ImageFile, ...] | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    near: tuple[str, ...] | None = None
    moved_to_test: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fingerprint(self) -> str:
        """Content hash of ids and texts (or images), in order: all that a row's features depend on."""
        if self.images is not None:
            return sha256_json({"ids": self.ids, "images": [image.sha256 for image in self.images]})
        return sha256_json({"ids": self.ids, "texts": self.texts})

    @property
    def rows(self) -> Rows:
        """What goes through a model: the texts, or the images."""
        return self.texts if self.images is None else self.images

    @property
    def keys(self) -> list[str]:
        """What makes two rows copies of each other, one a row: the normalized text, or the pixels of the image."""
        if self.images is not None:
            return [image.pixels_sha256 for image in self.images]
        return [normalized(text) for text in self.texts]
