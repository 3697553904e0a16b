"""Llama Scope (OpenMOSS): ``hyperparams.json`` above ``checkpoints/final.safetensors``.

Values are those of the library's own inference form, in the scale of the hidden states; what divides them is folded.
Transcoders (``...-LXTC-...``) are refused. Knows nothing of where the folder came from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from latentprobe.encode.formats.place import Facts, Place

if TYPE_CHECKING:  # torch is imported when weights are read, not when facts are
    from torch import Tensor

    from latentprobe.encode.activations import Activation
    from latentprobe.encode.formats.tensors import Tensors
    from latentprobe.encode.sae import SAE

__all__ = ["FILES", "facts", "load"]

CONFIG, WEIGHTS = FILES = ("hyperparams.json", "checkpoints/final.safetensors")

_MODELS = {"Llama3_1-8B-Base": "meta-llama/Llama-3.1-8B"}


@dataclass(frozen=True)
class _Config:
    """``hyperparams.json``, understood."""

    facts: Facts
    k: int
    threshold: float
    scale: float
    """What hidden states are multiplied by in training."""
    pre_ops: tuple[str, ...]
    subtracts_b_dec: bool
    by_decoder_norm: bool
    b_dec: bool


def facts(place: Place) -> Facts:
    """What the config says of the SAE.

    Raises:
        SAEError: the config is missing, damaged, incomplete, or of something that cannot be read here.
    """
    return _read_config(place).facts


def load(place: Place, *, decoder: bool) -> SAE:
    """The SAE of a folder: input scale and decoder norms folded, the threshold in the scale of the hidden states.

    Raises:
        SAEError: as :func:`facts`, or the weights are damaged or do not fit the config.
    """
    import torch

    from latentprobe.encode.formats.tensors import open_safetensors
    from latentprobe.encode.sae import SAE

    config = _read_config(place)
    known = config.facts
    tensors = open_safetensors(place, WEIGHTS)
    shapes = {
        "encoder.weight": (known.width, known.d_in),
        "encoder.bias": (known.width,),
        "decoder.weight": (known.d_in, known.width),
    }
    tensors.prove(shapes | ({"decoder.bias": (known.d_in,)} if config.b_dec else {}))
    w_dec, norms = None, None
    if decoder or config.by_decoder_norm:  # before the encoder, so that one matrix at a time is held
        w_dec = tensors.read("decoder.weight").T
        if config.by_decoder_norm:
            norms = torch.linalg.vector_norm(w_dec, dim=1)
            w_dec.div_(norms.clamp(min=torch.finfo(torch.float32).tiny)[:, None])
        w_dec = w_dec if decoder else None
    w_enc = tensors.read("encoder.weight").T
    b_dec = tensors.read("decoder.bias") if config.b_dec else torch.zeros(known.d_in)
    b_enc = _bias(config, tensors, w_enc, b_dec)
    if norms is not None:
        w_enc.mul_(norms)
        b_enc = b_enc * norms
    sae = SAE(
        reference=place.reference,
        sha256=place.sha256(FILES),
        hook=known.hook,
        model=known.model,
        W_enc=w_enc,
        b_enc=b_enc,
        activation=_activation(config),
        pre_ops=config.pre_ops,
    )
    return replace(sae, W_dec=w_dec, b_dec=b_dec / config.scale) if decoder else sae


def _bias(config: _Config, tensors: Tensors, w_enc: Tensor, b_dec: Tensor) -> Tensor:
    """The encoder bias in the scale of the hidden states."""
    from latentprobe.encode.sae import without_b_dec

    bias = tensors.read("encoder.bias")
    return (without_b_dec(bias, b_dec, w_enc) if config.subtracts_b_dec else bias) / config.scale


def _activation(config: _Config) -> Activation:
    import torch

    from latentprobe.encode.activations import Threshold, TopK

    if config.facts.architecture == "topk":
        return TopK(config.k)
    return Threshold(torch.full((config.facts.width,), config.threshold))


def _read_config(place: Place) -> _Config:
    """Understand ``hyperparams.json``, or refuse it."""
    values = place.config(CONFIG)
    hook_in, hook_out = values.get("hook_point_in"), values.get("hook_point_out")
    if hook_out not in (None, hook_in) or place.flag(values, "use_glu_encoder", default=False):
        raise place.no_transcoder(f"from {hook_in!r} to {hook_out!r}")
    d_in = place.count(values, "d_model")
    width = place.count(values, "d_sae") if values.get("d_sae") else d_in * place.count(values, "expansion_factor")
    architecture, k, threshold = _architecture(place, values, width)
    scale, pre_ops = _scale(place, values, d_in)
    return _Config(
        facts=Facts(architecture, d_in, width, place.hook(hook_in, key="hook_point_in"), _model(place)),
        k=k,
        threshold=threshold,
        scale=scale,
        pre_ops=pre_ops,
        subtracts_b_dec=place.flag(values, "apply_decoder_bias_to_pre_encoder", default=True),
        by_decoder_norm=place.flag(values, "sparsity_include_decoder_norm", default=True),
        b_dec=place.flag(values, "use_decoder_bias", default=True),
    )


def _architecture(place: Place, values: dict[str, Any], width: int) -> tuple[str, int, float]:
    """Name, k and threshold. A TopK SAE with a threshold was converted to that threshold."""
    name = values.get("act_fn", "relu")
    threshold = place.number(values, "jump_relu_threshold") if values.get("jump_relu_threshold") is not None else 0.0
    if name in ("relu", "jumprelu") or (name == "topk" and threshold > 0):
        return "jumprelu", 0, 0.0 if name == "relu" else threshold
    if name != "topk":
        raise place.refusal(
            "act_fn is relu, jumprelu or topk", got=repr(name), fix="use another SAE: this activation is not read"
        )
    k = place.count(values, "top_k")
    if k > width:
        raise place.refusal(f"top_k is at most the width, {width}", got=f"top_k = {k}", fix="correct hyperparams.json")
    return "topk", k, 0.0


def _scale(place: Place, values: dict[str, Any], d_in: int) -> tuple[float, tuple[str, ...]]:
    """What the inputs are multiplied by, and what is done to each row."""
    match values.get("norm_activation"):
        case "dataset-wise":
            norms = values.get("dataset_average_activation_norm")
            norm = place.number(norms, "in") if isinstance(norms, dict) else 0.0
            if norm == 0:
                raise place.refusal(
                    "the mean norm of its training inputs is known",
                    got=f"dataset_average_activation_norm {norms!r}",
                    fix="use the config that was published with these weights",
                )
            return math.sqrt(d_in) / norm, ()
        case "token-wise":
            return 1.0, ("constant_norm_rescale",)
        case "none" | "inference":
            return 1.0, ()
        case name:
            raise place.refusal(
                "norm_activation is dataset-wise, token-wise or none",
                got=repr(name),
                fix="use another SAE: this normalization is not read",
            )


def _model(place: Place) -> str | None:
    """The model that the folder is named after."""
    folder = place.origin.rsplit("/", 1)[-1]
    return next((model for name, model in _MODELS.items() if folder.startswith(f"{name}-L")), None)
