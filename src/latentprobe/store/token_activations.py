"""Features by token, with the place of each token in its text: what labels are made of and judged on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["TokenActivations"]


@dataclass(frozen=True, eq=False)
class TokenActivations:
    """The latents of every selected token of some texts, in order of the texts.

    Args:
        text: position of each token's text, ascending, ``[tokens]``.
        start: first character of each token in its text.
        end: one past its last character.
        latents: float32 CSC ``[tokens, width]``, a column a feature, only what is above 0.
    """

    text: NDArray[np.int64]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    latents: Any

    def column(self, feature: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Tokens at which a feature is on, ascending, and its values there."""
        inside = slice(self.latents.indptr[feature], self.latents.indptr[feature + 1])
        return self.latents.indices[inside].astype(np.int64), self.latents.data[inside]
