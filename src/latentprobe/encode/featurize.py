"""One pass over the texts for every layer, SAE and pooling, and for the hidden-state baseline on the same tokens.

A *source* is one hook point seen through one SAE, or bare. Texts run in batches of like length; rows come out in the
order they went in. Memory holds one batch of tokens and one shard of pooled rows. Knows nothing of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from latentprobe.corpus import Rows
from latentprobe.encode.backbone import Backbone, Tokens
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.impossible import refuse_impossible
from latentprobe.encode.pooling import PooledRows, pool
from latentprobe.encode.sae import SAE
from latentprobe.store import DenseFeatures, SparseFeatures, concatenate
from latentprobe.store.features import Features

__all__ = ["Progress", "Source", "batches", "featurize", "pooled_rows", "shards", "without_sinks"]

#: Rows and characters of one shard: what a resumed run may have to do again, and what is held in memory.
SHARD_ROWS = 4096
SHARD_CHARACTERS = 1_000_000
#: An image costs as much as a text of some pages.
IMAGE_CHARACTERS = 2_000

Progress = Callable[[int, int], None]
"""Called with rows done and rows in all."""


@dataclass(frozen=True)
class Source:
    """One hook point, through an SAE or bare, under some poolings."""

    hook: HookPoint
    sae: SAE | None
    """None: the hidden state itself."""
    poolings: tuple[str, ...]


def shards(texts: Rows) -> list[range]:
    """Cut texts or images into consecutive shards by rows and characters; the same rows are always cut the same way."""
    cuts, start, characters = [], 0, 0
    for row, text in enumerate(texts):
        size = len(text) if isinstance(text, str) else IMAGE_CHARACTERS
        if row > start and (row - start == SHARD_ROWS or characters + size > SHARD_CHARACTERS):
            cuts.append(range(start, row))
            start, characters = row, 0
        characters += size
    return [*cuts, range(start, len(texts))] if texts else []


def featurize(
    texts: Rows,
    ids: Sequence[str],
    backbone: Backbone,
    sources: Sequence[Source],
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Features]:
    """Pooled features of some texts (one shard) for each source, rows in the order of ``texts``.

    Args:
        texts: the texts; one without selected tokens, as an empty one without a prompt, gives an all-zero row. Or
            images, for a backbone that reads them.
        ids: their names, copied through.
        backbone: loaded for the layers of all sources.
        sources: what to compute, all of it from the same forward passes.
        progress: called after each batch with the number of rows done in it.
    """
    tokens = backbone.tokenize(texts)
    parts: list[list[Features]] = [[] for _ in sources]
    order: list[int] = []
    for rows in batches(tokens, backbone.batch_tokens):
        batch = [tokens[row] for row in rows]
        names = tuple(ids[row] for row in rows)
        states = backbone.hidden_states(batch, sorted({source.hook for source in sources}, key=lambda hook: hook.name))
        chosen = {hook: without_sinks(x, batch, backbone.spec.max_norm_ratio) for hook, x in states.items()}
        for part, source in zip(parts, sources, strict=True):
            part.append(_pool(source, *chosen[source.hook], names))
        order.extend(rows)
        if progress is not None:
            progress(len(rows))
    back = np.argsort(np.asarray(order, np.intp), kind="stable")
    return [_join(part).take(back) for part in parts]


def pooled_rows(
    texts: Rows, backbone: Backbone, sae: SAE, pooling: str, *, progress: Progress | None = None
) -> sp.csr_matrix:
    """Pooled features of any number of texts or images, float32 CSR ``[n, width]``, held one shard of tokens at a time.

    Args:
        texts: checked ones.
        backbone: loaded for the SAE's layer.
        sae: on the backbone's device.
        pooling: from tokens to one row.
        progress: called with texts done and texts in all.
    """
    source = Source(sae.hook, sae, (pooling,))
    parts = [sp.csr_matrix((0, sae.width), dtype=np.float32)]
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        if progress is not None:
            progress(done, len(texts))

    for rows in shards(texts):
        names = [str(row) for row in rows]
        (features,) = featurize(texts[rows.start : rows.stop], names, backbone, [source], progress=advance)
        assert isinstance(features, SparseFeatures)
        parts.append(features.csr(pooling))
    return sp.vstack(parts, format="csr")


def batches(tokens: Sequence[Tokens], budget: int) -> Iterator[list[int]]:
    """Rows in order of length, cut where the padded size would exceed a budget. A text's windows stay together."""
    sizes = [sum(len(window) for window in row.windows) for row in tokens]
    batch: list[int] = []
    for row in sorted(range(len(tokens)), key=lambda row: (sizes[row], row)):
        if batch and sizes[row] * (len(batch) + 1) > budget:  # ascending order: the new row is the longest
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def without_sinks(
    x: torch.Tensor, batch: Sequence[Tokens], max_norm_ratio: float | None
) -> tuple[torch.Tensor, NDArray[np.int64], NDArray[np.int32]]:
    """Hidden states, tokens a row and character spans, without attention sinks where a ratio is given."""
    lengths = np.array([len(row) for row in batch], np.int64)
    spans = np.concatenate([row.spans for row in batch])
    if max_norm_ratio is None or len(spans) == 0:
        return x, lengths, spans
    norms = x.norm(dim=1).cpu().numpy()
    rows = np.repeat(np.arange(len(batch)), lengths)
    medians = np.array([np.median(part) if len(part) else 0 for part in np.split(norms, np.cumsum(lengths)[:-1])])
    keep = norms <= max_norm_ratio * medians[rows]
    return x[torch.from_numpy(keep).to(x.device)], np.bincount(rows[keep], minlength=len(batch)), spans[keep]


def _pool(
    source: Source, x: torch.Tensor, lengths: NDArray[np.int64], spans: NDArray[np.int32], names: tuple[str, ...]
) -> Features:
    """Pool one batch at one source."""
    n_tokens = lengths.astype(np.int32)
    if source.sae is None:
        values = _pool_hidden(x.cpu().numpy(), lengths, source.poolings)
        return DenseFeatures(x.shape[1], names, n_tokens, values)
    latents = source.sae.encode(x)
    refuse_impossible(latents, source.sae.reference, norms=x.norm(dim=1).cpu().numpy())
    pooled: PooledRows = pool(latents, lengths, source.poolings)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    peak = pooled.peak + np.repeat(first, np.diff(pooled.indptr))
    return SparseFeatures(
        source.sae.width,
        names,
        n_tokens,
        pooled.indptr,
        pooled.indices,
        pooled.values,
        spans[peak, 0],
        spans[peak, 1],
    )


def _pool_hidden(
    x: NDArray[np.float32], lengths: NDArray[np.int64], poolings: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Hidden states ``[tokens, d]`` to one row a text; a text without tokens is all zero."""
    filled = np.flatnonzero(lengths)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])[filled]
    values = {}
    for pooling in poolings:
        pooled = np.zeros((len(lengths), x.shape[1]), np.float32)
        if len(filled) and pooling == "mean":
            sums = np.add.reduceat(x, first, axis=0, dtype=np.float64)
            pooled[filled] = sums / lengths[filled, None]
        elif len(filled) and pooling == "max":
            pooled[filled] = np.maximum.reduceat(x, first, axis=0)
        elif len(filled) and pooling == "last":
            pooled[filled] = x[first + lengths[filled] - 1]
        values[pooling] = pooled
    return values


def _join(parts: Sequence[Features]) -> Features:
    """Batches of one source, one under the other."""
    sparse = [part for part in parts if isinstance(part, SparseFeatures)]
    dense = [part for part in parts if isinstance(part, DenseFeatures)]
    return concatenate(sparse) if sparse else concatenate(dense)
