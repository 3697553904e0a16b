"""Pooled features in memory: the rows of a shard, or of a whole corpus. Knows nothing of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["DenseFeatures", "Features", "SparseFeatures", "concatenate"]


@dataclass(frozen=True)
class SparseFeatures:
    """Pooled SAE features of ``n`` rows: one sparsity pattern, one column of values per pooling.

    A feature is in the pattern of a row when it is active on at least one of the row's selected tokens.
    """

    width: int
    """Features of the SAE."""
    ids: tuple[str, ...]
    """Name of each row, ``[n]``."""
    n_tokens: NDArray[np.int32]
    """Selected tokens of each row, ``[n]``."""
    indptr: NDArray[np.int64]
    """Row ``i`` owns entries ``indptr[i]:indptr[i + 1]``, ``[n + 1]``."""
    indices: NDArray[np.int32]
    """Feature of each entry, ascending within a row, ``[nnz]``."""
    values: dict[str, NDArray[np.float32]]
    """Pooling to pooled value of each entry, ``[nnz]``; 0 where a pooling leaves an active feature at 0."""
    peak_start: NDArray[np.int32]
    """First character, in the row's text, of the token on which the feature is strongest, ``[nnz]``."""
    peak_end: NDArray[np.int32]
    """One past that token's last character, ``[nnz]``."""

    def __len__(self) -> int:
        return len(self.ids)

    def csr(self, pooling: str) -> sp.csr_matrix:
        """The rows under one pooling, float32 ``[n, width]``, without stored zeros."""
        matrix = sp.csr_matrix((self.values[pooling], self.indices, self.indptr), shape=(len(self), self.width))
        if np.all(matrix.data):
            return matrix
        matrix = matrix.copy()
        matrix.eliminate_zeros()
        return matrix

    def take(self, rows: NDArray[np.intp]) -> SparseFeatures:
        """The named rows, in the order named."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        entries = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return SparseFeatures(
            self.width,
            tuple(self.ids[row] for row in rows),
            self.n_tokens[rows],
            indptr,
            self.indices[entries],
            {pooling: column[entries] for pooling, column in self.values.items()},
            self.peak_start[entries],
            self.peak_end[entries],
        )


@dataclass(frozen=True)
class DenseFeatures:
    """Pooled hidden states of ``n`` rows, one matrix per pooling."""

    width: int
    """Dimensions of the hidden state."""
    ids: tuple[str, ...]
    """Name of each row, ``[n]``."""
    n_tokens: NDArray[np.int32]
    """Selected tokens of each row, ``[n]``."""
    values: dict[str, NDArray[np.float32]]
    """Pooling to ``[n, width]``; a row without selected tokens is all zero."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.intp]) -> DenseFeatures:
        """The named rows, in the order named."""
        return DenseFeatures(
            self.width,
            tuple(self.ids[row] for row in rows),
            self.n_tokens[rows],
            {pooling: matrix[rows] for pooling, matrix in self.values.items()},
        )


Features = SparseFeatures | DenseFeatures
AnyFeatures = TypeVar("AnyFeatures", SparseFeatures, DenseFeatures)


def concatenate(parts: Sequence[AnyFeatures]) -> AnyFeatures:
    """Parts of one matrix, top to bottom. All parts have the same width and poolings."""
    first = parts[0]
    ids = tuple(name for part in parts for name in part.ids)
    n_tokens = np.concatenate([part.n_tokens for part in parts])
    values = {pooling: np.concatenate([part.values[pooling] for part in parts]) for pooling in first.values}
    if isinstance(first, DenseFeatures):
        return DenseFeatures(first.width, ids, n_tokens, values)
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    return SparseFeatures(
        first.width,
        ids,
        n_tokens,
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([part.indices for part in parts]),
        values,
        np.concatenate([part.peak_start for part in parts]),
        np.concatenate([part.peak_end for part in parts]),
    )
