"""SAEs that know the planted dictionary, as the project's own ``SAE``: as it is, merged, split, or replaced by chance.

Knows the truth of a world and nothing of labels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from latentprobe.encode.activations import Threshold
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.sae import SAE
from latentprobe.experiment.lab.world import MAGNITUDE, Emission, Truth
from latentprobe.files import sha256_json

__all__ = ["MERGED", "Kind", "oracle"]

Kind = Literal["true", "narrow", "wide", "random"]
"""``true``: a feature for each planted direction; ``narrow``: one for several of them; ``wide``: one for each sense of
each; ``random``: as many as ``true``, in random directions, as often active."""

#: Directions that a feature of a narrow SAE stands for.
MERGED = 4
#: Half of the median magnitude: what interference seldom reaches, and most true activations do.
THRESHOLD = MAGNITUDE / 2


def oracle(kind: Kind, emission: Emission, layer: int, seed: int) -> SAE:
    """An SAE for one layer of an emission.

    Args:
        kind: which.
        emission: its truth makes the encoder; from its states ``random`` takes the mean and the number of active
            features.
        layer: where it is to be used.
        seed: of ``random``.

    >>> from latentprobe.experiment.lab.world import World, emit
    >>> sae = oracle("narrow", emit(World(), 10, seed=0), layer=0, seed=0)
    >>> sae.d_in, sae.width
    (96, 48)
    """
    truth = emission.truth
    if kind == "random":
        return _random(emission, layer, seed)
    encoder = {"true": _true, "narrow": _narrow, "wide": _wide}[kind](truth)
    # The sum of MERGED directions catches that many times the interference, in squares.
    theta = THRESHOLD * (MERGED**0.5 if kind == "narrow" else 1)
    return _sae(kind, layer, encoder, np.zeros(encoder.shape[1]), theta)


def _true(truth: Truth) -> NDArray[np.float32]:
    return truth.directions.T


def _narrow(truth: Truth) -> NDArray[np.float32]:
    features, d = truth.directions.shape
    return np.asarray(truth.directions.reshape(features // MERGED, MERGED, d).sum(axis=1).T)


def _wide(truth: Truth) -> NDArray[np.float32]:
    """The dual of the senses of each feature: 1 on its own sense, 0 on the others of the same feature."""
    duals = np.linalg.pinv(truth.senses)  # [features, d, senses]
    return np.asarray(duals.transpose(1, 0, 2).reshape(duals.shape[1], -1))


def _random(emission: Emission, layer: int, seed: int) -> SAE:
    states = emission.states[layer]
    truth = _true(emission.truth)
    rng = np.random.default_rng(seed)
    encoder = rng.standard_normal(truth.shape).astype(np.float32)
    encoder /= np.linalg.norm(encoder, axis=0)
    bias = -states.mean(axis=0) @ encoder
    active = float((states @ truth > THRESHOLD).mean())
    theta = float(np.quantile(states @ encoder + bias, 1 - active))
    return _sae("random", layer, encoder, bias, max(theta, 0.0))


def _sae(kind: str, layer: int, encoder: NDArray[np.float32], bias: NDArray[np.floating], theta: float) -> SAE:
    return SAE(
        reference=f"lab:{kind}",
        sha256=sha256_json({"lab": kind, "layer": layer}),
        hook=HookPoint(layer, "resid_post"),
        model=None,
        W_enc=torch.from_numpy(np.ascontiguousarray(encoder, np.float32)),
        b_enc=torch.from_numpy(np.asarray(bias, np.float32)),
        activation=Threshold(torch.full((encoder.shape[1],), theta)),
    )
