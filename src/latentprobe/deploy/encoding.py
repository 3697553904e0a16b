"""Texts through the model and a bundle's encoder: one pooled row a text, with the tokens behind it.

The same selection of tokens, the same batches and the same pooling as when the classifier was fitted; but what each
token carries is kept, so that a decision can be shown on the tokens that caused it. Knows nothing of probes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.corpus import Rows
from latentprobe.deploy.bundle import Bundle
from latentprobe.encode.backbone import Backbone
from latentprobe.encode.featurize import batches, without_sinks
from latentprobe.encode.latents import TokenLatents
from latentprobe.encode.pooling import pool, shares

__all__ = ["EncodedBatch", "Lit", "encode_texts"]


@dataclass(frozen=True)
class Lit:
    """A token on which a feature is active."""

    start: int
    """Its first character in the text."""
    end: int
    """One past its last."""
    value: float
    """The feature's value on it."""
    share: float
    """What part of the feature's pooled value it made, by the pooling's own rule; over all tokens they sum to 1."""


@dataclass(frozen=True, eq=False)
class EncodedBatch:
    """Some texts as the classifier sees them."""

    rows: list[int]
    """Place of each among the texts given, ``[b]``."""
    pooled: sp.csr_matrix
    """float32 ``[b, width]``, in the SAE's numbering."""
    latents: TokenLatents
    """Of all selected tokens, text after text."""
    ends: NDArray[np.int64]
    """One past the last token of each text, ``[b]``."""
    spans: NDArray[np.int32]
    """First character and one past the last of each token in its text, ``[tokens, 2]``."""
    pooling: str

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """What part of its text's pooled value each entry of the latents made, ``[entries]``."""
        return shares(self.latents, np.diff(self.ends, prepend=0), self.pooling)

    def tokens_of(self, place: int) -> slice:
        """The tokens of one text, among those of the batch."""
        return slice(int(self.ends[place - 1]) if place else 0, int(self.ends[place]))

    def lit_by(self, place: int, feature: int, *, most: int) -> list[Lit]:
        """The tokens of one text on which a feature is active: those that made more of its pooled value first, then
        the stronger, then the earlier.

        Under ``last`` that is the last token alone, under ``top{N}`` those on which the feature is among the N largest.

        Args:
            place: the text's place in this batch.
            feature: its number in the SAE.
            most: tokens to name at most.
        """
        bounds = self.latents.indptr[self.tokens_of(place).start : self.tokens_of(place).stop + 1]
        entries = int(bounds[0]) + np.flatnonzero(self.latents.indices[bounds[0] : bounds[-1]] == feature)
        made = self.shares[entries]
        if self.pooling == "last" or self.pooling.startswith("top"):
            entries, made = entries[made > 0], made[made > 0]
        values = self.latents.values[entries]
        tokens = np.searchsorted(self.latents.indptr, entries, side="right") - 1
        return [
            Lit(int(self.spans[tokens[i], 0]), int(self.spans[tokens[i], 1]), float(values[i]), float(made[i]))
            for i in np.lexsort((-values, -made))[:most]
        ]


def encode_texts(texts: Rows, backbone: Backbone, bundle: Bundle) -> Iterator[EncodedBatch]:
    """Encode some texts, in batches of like length, and therefore not in order: see ``EncodedBatch.rows``.

    Args:
        texts: held in memory together with their tokens: cut a long stream before. Or images.
        backbone: the bundle's model.
        bundle: on the backbone's device.
    """
    pooling = bundle.manifest.pooling
    tokens = backbone.tokenize(texts)
    for rows in batches(tokens, backbone.batch_tokens):
        batch = [tokens[row] for row in rows]
        states = backbone.hidden_states(batch, [bundle.hook])[bundle.hook]
        states, lengths, spans = without_sinks(states, batch, backbone.spec.max_norm_ratio)
        latents = bundle.encode(states)
        pooled = pool(latents, lengths, [pooling])
        arrays = (pooled.values[pooling], pooled.indices, pooled.indptr)
        matrix = sp.csr_matrix(arrays, shape=(len(rows), latents.width))
        yield EncodedBatch(rows, matrix, latents, np.cumsum(lengths), spans, pooling)
