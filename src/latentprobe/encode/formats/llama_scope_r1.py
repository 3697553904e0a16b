"""Llama Scope of DeepSeek-R1-Distill (OpenMOSS): ``config.json`` beside ``sae_weights.safetensors``.

The scale of the inputs stands in the config or among the weights; else the registry knows it. Knows nothing of where
the folder came from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from latentprobe.encode.formats import registry
from latentprobe.encode.formats.place import Facts, Place

if TYPE_CHECKING:  # torch is imported when weights are read, not when facts are
    from torch import Tensor

    from latentprobe.encode.formats.tensors import Tensors
    from latentprobe.encode.sae import SAE

__all__ = ["FILES", "facts", "load"]

CONFIG, WEIGHTS = FILES = ("config.json", "sae_weights.safetensors")

#: The config names no model, and SAELens another one than the SAEs were trained on.
_MODEL = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
_REPOSITORY = "Llama-Scope-R1-Distill"
_NORM = "dataset_average_activation_norm"


def facts(place: Place) -> Facts:
    """What the config says of the SAE.

    Raises:
        SAEError: the config is missing, damaged, incomplete, or of something that cannot be read here.
    """
    values = place.config(CONFIG)
    hook_in, hook_out = values.get("hook_point_in"), values.get("hook_point_out")
    if hook_out not in (None, hook_in) or str(values.get("sae_type", "sae")) not in ("sae", "SAE"):
        raise place.no_transcoder(f"{values.get('sae_type')!r} from {hook_in!r} to {hook_out!r}")
    if values.get("act_fn", "jumprelu") != "jumprelu":
        raise place.refusal("act_fn is jumprelu", got=repr(values["act_fn"]), fix="use another SAE")
    if place.flag(values, "use_glu_encoder", default=False):
        raise place.refusal("an encoder is one matrix", got="use_glu_encoder is true", fix="use another SAE")
    d_in = place.count(values, "d_model")
    model = _MODEL if _REPOSITORY in place.origin.split("/") else None
    hook = place.hook(hook_in, key="hook_point_in")
    return Facts("jumprelu", d_in, d_in * place.count(values, "expansion_factor"), hook, model)


def load(place: Place, *, decoder: bool) -> SAE:
    """The SAE of a folder, the scale of its inputs folded into the encoder.

    Raises:
        SAEError: as :func:`facts`, the weights are damaged or do not fit, or the scale of the inputs is nowhere said.
    """
    import torch

    from latentprobe.encode.activations import Threshold
    from latentprobe.encode.formats.tensors import open_safetensors
    from latentprobe.encode.sae import SAE, without_b_dec

    known, values = facts(place), place.config(CONFIG)
    tensors = open_safetensors(place, WEIGHTS)
    d_in, width = known.d_in, known.width
    shapes = {
        "encoder.weight": (width, d_in),
        "encoder.bias": (width,),
        "decoder.weight": (d_in, width),
        "decoder.bias": (d_in,),
        "log_jumprelu_threshold": (width,),
    }
    tensors.prove(shapes, optional=[name for name in tensors.headers if name.startswith(f"{_NORM}.")])
    scale = _scale(place, values, tensors, d_in)
    by_norm = place.flag(values, "sparsity_include_decoder_norm", default=False)
    w_dec = tensors.read("decoder.weight").T if decoder or by_norm else None
    if by_norm and w_dec is not None:
        _prove_norms(place, torch.linalg.vector_norm(w_dec, dim=1))
    w_enc, b_dec = tensors.read("encoder.weight").T, tensors.read("decoder.bias")
    b_enc = tensors.read("encoder.bias")
    if place.flag(values, "apply_decoder_bias_to_pre_encoder", default=False):
        b_enc = without_b_dec(b_enc, b_dec, w_enc)
    return SAE(
        reference=place.reference,
        sha256=place.sha256(FILES),
        hook=known.hook,
        model=known.model,
        W_enc=w_enc.mul_(scale),
        b_enc=b_enc,
        activation=Threshold(tensors.read("log_jumprelu_threshold").exp()),
        W_dec=w_dec.div_(scale) if decoder and w_dec is not None else None,
        b_dec=b_dec / scale if decoder else None,
    )


def _prove_norms(place: Place, norms: Tensor) -> None:
    """Refuse decoder norms that would count; what they then do to the values, versions of the library disagree on."""
    worst = float((norms - 1).abs().max())
    if worst > 0.005:
        raise place.refusal(
            "the columns of its decoder have norm 1, so that sparsity_include_decoder_norm changes nothing",
            got=f"a norm that is {worst:.3g} off",
            fix="fold the norms with the library that trained it, and set sparsity_include_decoder_norm to false",
        )


def _scale(place: Place, values: dict[str, Any], tensors: Tensors, d_in: int) -> float:
    """What the inputs were multiplied by in training."""
    if values.get("norm_activation") in ("none", "inference"):
        return 1.0
    norm = _norm(place, values, tensors) if values.get("norm_activation", "dataset-wise") == "dataset-wise" else None
    if norm:
        return math.sqrt(d_in) / norm
    entry = registry.at(place.origin)
    if entry is not None and entry.norm_scaling_factor:
        return entry.norm_scaling_factor
    raise place.refusal(
        "the mean norm of its training inputs is known",
        got=f"norm_activation {values.get('norm_activation')!r}, no {_NORM} in config or weights",
        fix=f'write it into config.json as "{_NORM}": {{"in": NORM}}, as the trainer of the SAE measured it',
    )


def _norm(place: Place, values: dict[str, Any], tensors: Tensors) -> float | None:
    """The mean norm of the training inputs at the SAE's own hook point."""
    hook = str(values.get("hook_point_in"))
    norms = values.get(_NORM)
    if isinstance(norms, dict):
        return place.number(norms, "in" if "in" in norms else hook)
    name = f"{_NORM}.{hook}"
    return float(tensors.read(name)) if tensors.headers.get(name, ((0,), ""))[0] in ((), (1,)) else None
