"""Every feature on every token of some texts, with the places of the tokens: for labels, not for classifiers.

Holds all of it in memory, some 8 bytes an active feature: a million tokens of 40 active features take 320 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp

from latentprobe.encode.backbone import Backbone
from latentprobe.encode.featurize import batches, without_sinks
from latentprobe.encode.sae import SAE
from latentprobe.store.token_activations import TokenActivations

__all__ = ["token_latents"]


def token_latents(
    texts: Sequence[str],
    backbone: Backbone,
    sae: SAE,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> TokenActivations:
    """The latents of every selected token of some texts.

    Args:
        texts: checked ones, ``n`` of them.
        backbone: loaded for the SAE's layer.
        sae: on the backbone's device.
        progress: called with texts done and texts in all.
    """
    tokens = backbone.tokenize(tuple(texts))
    parts = []
    done = 0
    for rows in batches(tokens, backbone.batch_tokens):
        batch = [tokens[row] for row in rows]
        states = backbone.hidden_states(batch, [sae.hook])[sae.hook]
        x, lengths, spans = without_sinks(states, batch, backbone.spec.max_norm_ratio)
        parts.append((np.repeat(np.asarray(rows, np.int64), lengths), spans, sae.encode(x).csr()))
        done += len(rows)
        if progress is not None:
            progress(done, len(texts))
    text = np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)])
    spans = np.concatenate([np.zeros((0, 2), np.int32), *(part[1] for part in parts)])
    latents = sp.vstack([sp.csr_matrix((0, sae.width), dtype=np.float32), *(part[2] for part in parts)], format="csr")
    order = np.argsort(text, kind="stable")
    return TokenActivations(text[order], spans[order, 0], spans[order, 1], latents[order].tocsc())
