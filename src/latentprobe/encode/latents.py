"""The active features of a run of tokens, as values and indices.

This is the only form in which latents leave an encoder: never a dense ``[tokens, width]`` array. Knows nothing of how
they were computed, nor to which text a token belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.errors import SAEError

__all__ = ["TokenLatents"]


@dataclass(frozen=True, eq=False)
class TokenLatents:
    """Latents by token, in compressed sparse rows.

    Args:
        indptr: ``[tokens + 1]``; the entries of token t are ``indptr[t]`` up to ``indptr[t + 1]``.
        indices: feature of each entry, ascending within a token.
        values: ``z`` of each entry, above 0.
        width: number of features of the encoder.

    Raises:
        SAEError: the three arrays do not belong together, or an entry is not above 0.

    >>> z = TokenLatents(np.array([0, 2, 2]), np.array([1, 4], np.int32), np.array([0.5, 2.0], np.float32), width=5)
    >>> len(z), z.csr().toarray()[0].tolist()
    (2, [0.0, 0.5, 0.0, 0.0, 2.0])
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    width: int

    def __post_init__(self) -> None:
        entries = len(self.values)
        whole = (
            len(self.indices) == entries
            and len(self.indptr) > 0
            and self.indptr[0] == 0
            and self.indptr[-1] == entries
            and bool((np.diff(self.indptr) >= 0).all())
        )
        if not whole:
            raise SAEError(
                "latents are one index and one value an entry, and a rising indptr from 0 to their number",
                got=f"{len(self.indices)} indices, {entries} values, indptr of {len(self.indptr)}",
                fix="take latents as SAE.encode returns them",
            )
        inside = entries == 0 or (self.indices.min() >= 0 and self.indices.max() < self.width)
        if not inside or (entries and not self.values.min() > 0):
            raise SAEError(
                f"entries are above 0 and their features below {self.width}",
                got="an entry that is not",
                fix="take latents as SAE.encode returns them",
            )

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.indptr) - 1

    def csr(self) -> Any:
        """The same as a ``scipy.sparse.csr_matrix``, float32 ``[tokens, width]``, on the same memory."""
        return sp.csr_matrix((self.values, self.indices, self.indptr), shape=(len(self), self.width))
