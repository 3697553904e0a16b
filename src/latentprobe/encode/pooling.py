"""From token latents to one sparse row a text: every pooling from the same entries, in one pattern.

    max · sum · mean · last · count · rate · top{N} · rollmax{K}        (what they mean: the table in DESIGN)

An entry is one feature that is active on one token; a cell is one feature of one text, and has at least one entry.
Sums run in float64 and never over the entries of two texts, so that a row does not depend on its batch mates.
Knows nothing of models, and of what is done with the rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.encode.latents import TokenLatents
from latentprobe.errors import SAEError, SpecError, nearest

__all__ = ["PooledRows", "pool", "shares"]

_NAMES = ("max", "sum", "mean", "last", "count", "rate", "top{N}", "rollmax{K}")


@dataclass(frozen=True, eq=False)
class PooledRows:
    """Pooled latents of some texts, in compressed sparse rows that all poolings share.

    A row has a cell for each feature active on at least one of its tokens. ``last`` and ``top{N}`` can be 0 in a cell.

    Attributes:
        indptr: ``[rows + 1]``.
        indices: feature of each cell, ascending within a row.
        values: for each pooling, the cells' values.
        peak: of each cell the token with the largest z, counted within its own row; the first of equals.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: dict[str, NDArray[np.float32]]
    peak: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class _Cells:
    """Entries grouped by cell: texts in order, features ascending in a text, tokens ascending in a feature."""

    z: NDArray[np.float32]
    """Value of each entry."""
    token: NDArray[np.int64]
    """Token of each entry, counted within its own text."""
    place: NDArray[np.int64]
    """Where each entry stands in the latents."""
    start: NDArray[np.int64]
    """First entry of each cell."""
    cell: NDArray[np.int64]
    """Cell of each entry."""
    length: NDArray[np.int64]
    """Tokens of each cell's text."""


def pool(latents: TokenLatents, lengths: NDArray[np.integer], poolings: Sequence[str]) -> PooledRows:
    """Pool the latents of some texts.

    Args:
        latents: all tokens of the first text, then all of the second, and so on.
        lengths: number of tokens of each text; a text without tokens gets an empty row.
        poolings: names: ``max``, ``sum``, ``mean``, ``last``, ``count`` (tokens with z > 0), ``rate`` (count / tokens),
            ``top{N}`` (tokens on which the feature is among the N largest active ones; of equals, the lower index),
            ``rollmax{K}`` (largest mean over K consecutive tokens; over all of them in a text shorter than K).

    Raises:
        SpecError: an unknown pooling.
        SAEError: the lengths do not add up to the number of tokens.

    >>> two_tokens = TokenLatents(np.array([0, 2, 3]), np.array([1, 4, 4]), np.array([0.5, 2.0, 1.0]), width=5)
    >>> rows = pool(two_tokens, np.array([2]), ["max", "mean", "count"])
    >>> rows.indices.tolist(), {name: values.tolist() for name, values in rows.values.items()}
    ([1, 4], {'max': [0.5, 2.0], 'mean': [0.25, 1.5], 'count': [1.0, 2.0]})
    """
    parsed = [(name, *_parse(name)) for name in poolings]
    sizes: NDArray[np.int64] = np.asarray(lengths, np.int64)
    if sizes.ndim != 1 or (sizes < 0).any() or sizes.sum() != len(latents):
        raise SAEError(
            "the lengths of the texts add up to the number of tokens",
            got=f"{len(latents)} tokens, lengths that add up to {sizes.sum()}",
            fix="give one length a text, in the order of the tokens",
        )
    cells, indptr, indices = _group(latents, sizes)
    peak = _peak(cells)
    values = {name: _pooled(kind, size, cells, latents).astype(np.float32) for name, kind, size in parsed}
    return PooledRows(indptr, indices, values, peak)


def shares(latents: TokenLatents, lengths: NDArray[np.integer], pooling: str) -> NDArray[np.float64]:
    """What part of its cell's pooled value each entry made, by the pooling's own rule; those of a cell sum to 1.

    ``max``: the largest entry made it all; equal ones made it together. ``sum`` and ``mean``: in proportion to z.
    ``count`` and ``rate``: each active token alike. ``last``: the last token. ``top{N}``: each token that was counted
    alike. ``rollmax{K}``: the tokens of the fullest window, the first of equals, in proportion to z. Where the pooled
    value is 0, no entry made it.

    Args:
        latents, lengths: as of :func:`pool`.
        pooling: the name of one.

    Returns:
        ``[entries]``, in the order of the latents' entries.

    >>> two_tokens = TokenLatents(np.array([0, 2, 3]), np.array([1, 4, 4]), np.array([0.5, 2.0, 1.0]), width=5)
    >>> shares(two_tokens, np.array([2]), "max").tolist(), shares(two_tokens, np.array([2]), "count").tolist()
    ([1.0, 1.0, 0.0], [1.0, 0.5, 0.5])
    """
    kind, size = _parse(pooling)
    cells, _, _ = _group(latents, np.asarray(lengths, np.int64))
    if len(cells.start) == 0:
        return np.zeros(0)
    parts = _parts(kind, size, cells, latents)
    totals = np.add.reduceat(parts, cells.start)[cells.cell]
    made = np.zeros(len(parts))
    made[cells.place] = np.divide(parts, totals, out=np.zeros(len(parts)), where=totals > 0)
    return made


def _parts(kind: str, size: int, cells: _Cells, latents: TokenLatents) -> NDArray[np.float64]:
    """Numbers in proportion to what the entries of a cell add to its pooled value."""
    match kind:
        case "max":
            return np.asarray(cells.z == np.maximum.reduceat(cells.z, cells.start)[cells.cell], np.float64)
        case "sum" | "mean":
            return cells.z.astype(np.float64)
        case "count" | "rate":
            return np.ones(len(cells.z))
        case "last":
            return np.where(cells.token == cells.length[cells.cell] - 1, cells.z, 0).astype(np.float64)
        case "top":
            return _among_largest(latents, size)[cells.place].astype(np.float64)
        case _:
            return np.where(_in_fullest(cells, size), cells.z, 0).astype(np.float64)


def _parse(name: str) -> tuple[str, int]:
    """Kind and size of a pooling: ``top20`` is ("top", 20), ``max`` is ("max", 0)."""
    match = re.fullmatch(r"(max|sum|mean|last|count|rate)|(top|rollmax)([1-9]\d{0,5})", name)
    if match is None:
        raise SpecError(
            f"a pooling is one of {', '.join(_NAMES)}",
            got=repr(name),
            fix=f"use one of them, with a number such as top20{nearest(name, _NAMES)}",
        )
    return (match[1], 0) if match[1] else (match[2], int(match[3]))


def _group(latents: TokenLatents, lengths: NDArray[np.int64]) -> tuple[_Cells, NDArray[np.int64], NDArray[np.int32]]:
    """The entries by cell; and the cells' pattern, as ``indptr`` and ``indices``."""
    ends = np.cumsum(lengths)
    per_row = np.concatenate([np.zeros(1, np.int64), latents.indptr[ends]])
    place = np.arange(len(latents.values))
    # Transposing compressed rows twice sorts each row by feature and keeps the order of tokens: two counting sorts.
    entries = sp.csr_matrix((place, latents.indices, per_row), shape=(len(lengths), latents.width))
    place = entries.tocsc().tocsr().data
    feature = latents.indices[place]
    row = np.repeat(np.arange(len(lengths)), np.diff(per_row))
    token = np.repeat(np.arange(len(latents)), np.diff(latents.indptr))[place] - (ends - lengths)[row]
    new = np.ones(len(place), bool)
    new[1:] = (feature[1:] != feature[:-1]) | (row[1:] != row[:-1])
    start = np.flatnonzero(new)
    cells = _Cells(latents.values[place], token, place, start, np.cumsum(new) - 1, lengths[row[start]])
    return cells, np.searchsorted(start, per_row), feature[start].astype(np.int32)


def _peak(cells: _Cells) -> NDArray[np.int32]:
    """Token of the first of each cell's largest entries."""
    if len(cells.start) == 0:
        return np.zeros(0, np.int32)
    largest = np.maximum.reduceat(cells.z, cells.start)[cells.cell]
    token = np.where(cells.z == largest, cells.token, np.iinfo(np.int64).max)
    return np.minimum.reduceat(token, cells.start).astype(np.int32)


def _pooled(kind: str, size: int, cells: _Cells, latents: TokenLatents) -> NDArray[np.floating]:
    """One pooling of every cell."""
    if len(cells.start) == 0:
        return np.zeros(0, np.float32)
    match kind:
        case "max":
            return np.maximum.reduceat(cells.z, cells.start)
        case "sum":
            return _sums(cells.z, cells)
        case "mean":
            return _sums(cells.z, cells) / cells.length
        case "count":
            return _counts(cells).astype(np.float64)
        case "rate":
            return _counts(cells) / cells.length
        case "last":
            final = np.append(cells.start[1:], len(cells.z)) - 1
            return np.where(cells.token[final] == cells.length - 1, cells.z[final], 0)
        case "top":
            return _sums(_among_largest(latents, size)[cells.place], cells)
        case _:
            return _rolling_max(cells, size)


def _sums(values: NDArray[np.generic], cells: _Cells) -> NDArray[np.float64]:
    """Sum over the entries of each cell, in float64."""
    return np.add.reduceat(values.astype(np.float64), cells.start)


def _counts(cells: _Cells) -> NDArray[np.int64]:
    """Number of entries of each cell."""
    return np.diff(cells.start, append=len(cells.z))


def _among_largest(latents: TokenLatents, n: int) -> NDArray[np.bool_]:
    """Whether each entry of the latents is among the n largest of its token; of equals, those of lower index."""
    sizes = np.diff(latents.indptr)
    token = np.repeat(np.arange(len(latents)), sizes)
    # The bits of positive floats are in the order of the floats. Sorting (token, bits from high to low) as one integer
    # costs a fraction of an argsort and tells the n-th largest value of each token, which is all that is needed.
    descending = (~latents.values.astype(np.float32).view(np.uint32)).astype(np.uint64)
    keys = (token.astype(np.uint64) << np.uint64(32)) | descending
    ordered = np.sort(keys)
    crowded = sizes > n
    cut = np.full(len(latents), np.iinfo(np.uint64).max)
    cut[crowded] = ordered[latents.indptr[:-1][crowded] + n - 1]
    larger, equal = keys < cut[token], keys == cut[token]
    room = n - np.bincount(token[larger], minlength=len(latents))
    before = np.cumsum(equal) - equal
    rank = before - before[latents.indptr[:-1][token]]  # among the equals of the same token
    among: NDArray[np.bool_] = larger | (equal & (rank < room[token]))
    return among


def _rolling_max(cells: _Cells, k: int) -> NDArray[np.float64]:
    """Largest mean of z over k consecutive tokens; over all tokens where the text is shorter."""
    return np.maximum.reduceat(_windows(cells, k)[1], cells.start) / np.minimum(k, cells.length)


def _windows(cells: _Cells, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each entry the window of k tokens that ends on it: its first entry, and the sum of z in it.

    As z is never below 0, the fullest window ends on an active token, or is the first window there is. So it is enough
    to look at one window for each entry: the tokens up to it, from k - 1 before it (or from the first, in the first).
    """
    first = np.maximum(cells.token - (k - 1), 0)
    stride = int(cells.token.max()) + 1
    position = cells.cell * stride + cells.token  # ascending, as entries are in order of cells, then tokens
    begin = np.searchsorted(position, cells.cell * stride + first)
    # reduceat sums from each even bound to the next odd one; what lies between two windows is computed and dropped.
    bounds = np.stack([begin, np.arange(1, len(begin) + 1)], axis=1).ravel()
    return begin, np.add.reduceat(np.append(cells.z, 0).astype(np.float64), bounds)[::2]


def _in_fullest(cells: _Cells, k: int) -> NDArray[np.bool_]:
    """Whether each entry lies in the fullest window of its cell, the first of equals."""
    begin, sums = _windows(cells, k)
    largest = np.maximum.reduceat(sums, cells.start)
    entry = np.arange(len(sums))
    last = np.minimum.reduceat(np.where(sums == largest[cells.cell], entry, len(sums)), cells.start)
    return np.asarray((begin[last][cells.cell] <= entry) & (entry <= last[cells.cell]))
