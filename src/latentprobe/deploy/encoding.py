"""Texts through the model and a bundle's encoder: one pooled row a text, with the tokens behind it.

The same selection of tokens, the same batches and the same pooling as when the classifier was fitted; but what each
token carries is kept, so that a decision can be shown on the tokens that caused it. Knows nothing of probes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.corpus import Rows
from latentprobe.deploy.bundle import Bundle
from latentprobe.encode.backbone import Backbone
from latentprobe.encode.featurize import batches, without_sinks
from latentprobe.encode.latents import TokenLatents
from latentprobe.encode.pooling import pool

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

    def lit_by(self, place: int, feature: int, *, most: int) -> list[Lit]:
        """The tokens of one text that the pooled value of a feature comes from: strongest first, the earlier of equals.

        Under ``last`` that is the last token alone, under ``top{N}`` those on which the feature is among the N largest.

        Args:
            place: the text's place in this batch.
            feature: its number in the SAE.
            most: tokens to name at most.
        """
        first, end = (int(self.ends[place - 1]) if place else 0), int(self.ends[place])
        if self.pooling == "last":
            first = max(first, end - 1)
        latents = _of_tokens(self.latents, first, end)
        entries = np.flatnonzero(latents.indices == feature)
        if self.pooling.startswith("top"):
            each_alone = pool(latents, np.ones(end - first, np.int64), [self.pooling])
            entries = entries[each_alone.values[self.pooling][entries] > 0]
        tokens = first + np.searchsorted(latents.indptr, entries, side="right") - 1
        values = latents.values[entries]
        strongest = np.argsort(-values, kind="stable")[:most]
        return [Lit(int(self.spans[tokens[i], 0]), int(self.spans[tokens[i], 1]), float(values[i])) for i in strongest]


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


def _of_tokens(latents: TokenLatents, first: int, end: int) -> TokenLatents:
    """The latents of consecutive tokens."""
    bounds = latents.indptr[first : end + 1]
    entries = slice(int(bounds[0]), int(bounds[-1]))
    return TokenLatents(bounds - bounds[0], latents.indices[entries], latents.values[entries], latents.width)
