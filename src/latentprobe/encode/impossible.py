"""Latents that no SAE gives where it was loaded right: a check so light that every run can make it on its first batch.

Looks at latents only. Knows nothing of models, files and SAEs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.encode.latents import TokenLatents
from latentprobe.errors import SAEError

__all__ = ["EXPLODING", "refuse_impossible"]

#: Dictionaries up to this width are too small to be sparse in: half of their features can be on by nature.
NARROW = 256

#: A value this many times as long as the hidden state it was read from is no feature of it.
EXPLODING = 1000.0


def refuse_impossible(latents: TokenLatents, reference: str, *, norms: NDArray[np.floating[Any]] | None = None) -> None:
    """Refuse latents that no SAE gives where it was loaded right: for the first batch of a run.

    Args:
        latents: of some tokens; none are fine.
        reference: of the SAE, for the message.
        norms: of the hidden states they were read from, ``[tokens]``, where they are at hand.

    Raises:
        SAEError: more than half of all features (of more than 256) are on at a token on average, none is on at any of
            64 tokens or more, or values are not finite, or much longer than the states.

    >>> dense = TokenLatents(np.array([0, 300]), np.arange(300, dtype=np.int32), np.ones(300, np.float32), width=400)
    >>> refuse_impossible(dense, "some/sae")
    Traceback (most recent call last):
        ...
    latentprobe.errors.SAEError: the SAE some/sae cannot have been loaded right: at most half of its features ...
    """
    tokens, entries = len(latents), len(latents.values)
    if latents.width > NARROW and entries / max(tokens, 1) > latents.width / 2:
        raise _impossible(
            reference, "at most half of its features are on at a token", f"{entries / tokens:.0f} of {latents.width}"
        )
    if tokens >= 64 and not entries:
        raise _impossible(reference, "features are on at some tokens", f"none at any of {tokens} tokens")
    if not np.isfinite(latents.values).all():
        raise _impossible(reference, "values are finite", "NaN or infinity")
    if norms is not None and entries:
        largest = float((latents.values / np.maximum(np.repeat(norms, np.diff(latents.indptr)), 1e-12)).max())
        if largest > EXPLODING:
            raise _impossible(
                reference,
                "values are in the scale of the hidden states",
                f"one of {largest:.0f} times the norm of the state it was read from",
            )


def _impossible(reference: str, problem: str, got: str) -> SAEError:
    return SAEError(
        f"the SAE {reference} cannot have been loaded right: {problem}",
        got=got,
        fix=f"check that model, layer and hook point are those it was trained on: latentprobe saes check {reference}",
    )
