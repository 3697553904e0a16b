"""OpenAI's SAEs of GPT-2 small, version 5: one ``{layer}.pt`` under ``{location}_v5_{32k,128k}/autoencoders``.

Model, hook point, layer and width stand in the path. A TopK SAE sees its inputs layer-normed, one with a plain ReLU as
they are. Knows nothing of where the file came from.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from latentprobe.encode.formats.place import Facts, Place
from latentprobe.encode.hookpoints import HookPoint, Site

if TYPE_CHECKING:  # torch is imported when weights are read, not when facts are
    from latentprobe.encode.activations import Activation
    from latentprobe.encode.formats.tensors import Tensors
    from latentprobe.encode.sae import SAE

__all__ = ["PATH", "facts", "load"]

PATH = re.compile(
    r"(?:.*/)?(?P<location>resid_(?:post|delta)_(?:mlp|attn))_v5_(?P<width>32k|128k)/autoencoders"
    r"/(?P<layer>[0-9]|1[01])\.pt"
)
_SITES: dict[str, Site] = {
    "resid_post_mlp": "resid_post",
    "resid_delta_mlp": "mlp_out",
    "resid_post_attn": "resid_mid",
    "resid_delta_attn": "attn_out",
}

#: Statistics of the training.
_IGNORED = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")


def facts(place: Place) -> Facts:
    """What the path says of the SAE; its sizes come from the weights where they are there.

    Raises:
        SAEError: the path is not that of a version 5 SAE.
    """
    match = PATH.fullmatch(place.origin)
    if match is None:
        raise place.refusal(
            "the path of the file tells hook point, width and layer",
            got=place.origin,
            fix="keep the published names: .../resid_post_mlp_v5_32k/autoencoders/8.pt",
        )
    d_in, width = 768, {"32k": 2**15, "128k": 2**17}[match["width"]]
    if place.has(place.named):
        width, d_in = _open(place)[0].matrix("encoder.weight")
    hook = HookPoint(int(match["layer"]), _SITES[match["location"]])
    return Facts("topk", d_in, width, hook, "openai-community/gpt2")


def load(place: Place, *, decoder: bool) -> SAE:
    """The SAE of a file, ``pre_bias`` folded.

    Raises:
        SAEError: as :func:`facts`, or the weights are damaged, hold code, or do not fit each other.
    """
    from latentprobe.encode.sae import SAE, without_b_dec

    known = facts(place)
    tensors, others = _open(place)
    d_in, width = known.d_in, known.width
    shapes = {
        "encoder.weight": (width, d_in),
        "latent_bias": (width,),
        "decoder.weight": (d_in, width),
        "pre_bias": (d_in,),
    }
    tensors.prove(shapes, ignored=_IGNORED)
    activation, pre_ops = _activation(place, others, width)
    w_enc, pre_bias = tensors.read("encoder.weight").T, tensors.read("pre_bias")
    return SAE(
        reference=place.reference,
        sha256=place.sha256([place.named]),
        hook=known.hook,
        model=known.model,
        W_enc=w_enc,
        b_enc=without_b_dec(tensors.read("latent_bias"), pre_bias, w_enc),
        activation=activation,
        pre_ops=pre_ops,
        W_dec=tensors.read("decoder.weight").T if decoder else None,
        b_dec=pre_bias if decoder else None,
    )


def _open(place: Place) -> tuple[Tensors, dict[str, Any]]:
    from latentprobe.encode.formats.tensors import open_pt

    return open_pt(place, place.named)


def _activation(place: Place, others: dict[str, Any], width: int) -> tuple[Activation, tuple[str, ...]]:
    """The activation, and what is done to each row before the encoder."""
    import torch

    from latentprobe.encode.activations import Threshold, TopK

    name, state = others.get("activation", "ReLU"), others.get("activation_state_dict") or {}
    if name == "ReLU":
        return Threshold(torch.zeros(width)), ()
    k = state.get("k") if isinstance(state, dict) else None
    k = int(k) if isinstance(k, torch.Tensor) and k.numel() == 1 else k
    right = isinstance(k, int) and not isinstance(k, bool) and 1 <= k <= width
    if name != "TopK" or not right or state.get("postact_fn", "ReLU") != "ReLU":
        raise place.refusal(
            f"the activation is ReLU, or TopK with a k from 1 to the width, {width}, and a ReLU behind it",
            got=f"activation {name!r}, {state!r:.100}",
            fix="use an SAE of version 5 as published",
        )
    assert isinstance(k, int)
    return TopK(k), ("layer_norm",)
