"""What some SAEs do to each row of hidden states before their encoder: it depends on the row and cannot be folded.

Knows nothing of weights and of models.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["PRE_OPS", "UNDONE", "PreOp"]


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(dim=1, keepdim=True)


def _layer_normed(x: Tensor) -> Tensor:
    # SAELens' own, not torch's: the standard deviation is the unbiased one, and epsilon is added to it, not under it.
    centred = _centred(x)
    return centred / (centred.std(dim=1, keepdim=True) + 1e-5)


def _rescaled(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x * (math.sqrt(x.shape[1]) / norm)


#: By name, on ``[tokens, d_in]``.
PRE_OPS: dict[str, Callable[[Tensor], Tensor]] = {
    "centre": _centred,
    "layer_norm": _layer_normed,
    "constant_norm_rescale": _rescaled,
}
PreOp = str


def _layer_norm_undone(y: Tensor, x: Tensor) -> Tensor:
    return y * x.std(dim=1, keepdim=True) + x.mean(dim=1, keepdim=True)


def _rescale_undone(y: Tensor, x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return y * (norm / math.sqrt(x.shape[1]))


#: Each of them backwards: what was rebuilt, brought to where the row it came from was.
UNDONE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "centre": lambda y, x: y + x.mean(dim=1, keepdim=True),
    "layer_norm": _layer_norm_undone,
    "constant_norm_rescale": _rescale_undone,
}
