"""SAELens' native folders, version 6 and older: ``cfg.json`` beside ``sae_weights.safetensors``.

Standard (ReLU), JumpReLU (BatchTopK SAEs are saved as these), TopK and gated ones. What is not known to be read right
is refused by name: other architectures, transcoders, an input scale that is nowhere written. Knows nothing of where
the folder came from, except what SAELens' published table says of it and its config leaves out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from latentprobe.encode.formats import registry
from latentprobe.encode.formats.place import Facts, Place
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.errors import nearest

if TYPE_CHECKING:  # torch is imported when weights are read, not when facts are
    from torch import Tensor

    from latentprobe.encode.activations import Activation
    from latentprobe.encode.formats.tensors import Tensors
    from latentprobe.encode.sae import SAE

__all__ = ["FILES", "facts", "load"]

CONFIG, WEIGHTS = FILES = ("cfg.json", "sae_weights.safetensors")

#: What the keys of versions before 6 are called since.
_RENAMED = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "activation_fn_str": "activation_fn"}

#: Tensors of each architecture beside W_enc, W_dec and b_dec; all of them ``[width]``.
_VECTORS = {
    "standard": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "topk": ("b_enc",),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
_SCALES = ("scaling_factor", "finetuning_scaling_factor")


@dataclass(frozen=True)
class _Config:
    """``cfg.json``, understood."""

    facts: Facts
    k: int
    subtracts_b_dec: bool
    pre_ops: tuple[str, ...]
    input_scale: float
    ranks_by_decoder_norm: bool
    finetuned: bool
    prepend_bos: bool | None


def facts(place: Place) -> Facts:
    """What the config says of the SAE.

    Raises:
        SAEError: the config is missing, damaged, incomplete, or of something that cannot be read here.
    """
    return _read_config(place).facts


def load(place: Place, *, decoder: bool) -> SAE:
    """The SAE of a folder, everything folded.

    Raises:
        SAEError: as :func:`facts`, or the weights are damaged or do not fit the config.
    """
    from latentprobe.encode.formats.tensors import open_safetensors
    from latentprobe.encode.sae import SAE

    config = _read_config(place)
    d_in, width, architecture = config.facts.d_in, config.facts.width, config.facts.architecture
    tensors = open_safetensors(place, WEIGHTS)
    shapes = {"W_enc": (d_in, width), "W_dec": (width, d_in), "b_dec": (d_in,)}
    tensors.prove(shapes | {name: (width,) for name in _VECTORS[architecture]}, optional=_SCALES)
    w_enc = tensors.read("W_enc")
    b_enc, activation = _activation(place, config, tensors, w_enc)
    sae = SAE(
        reference=place.reference,
        sha256=place.sha256(FILES),
        hook=config.facts.hook,
        model=config.facts.model,
        W_enc=w_enc.mul_(config.input_scale),
        b_enc=b_enc,
        activation=activation,
        pre_ops=config.pre_ops,
        prepend_bos=config.prepend_bos,
    )
    if not decoder and not config.ranks_by_decoder_norm:
        return sae
    return _with_decoder(sae, config, tensors, keep=decoder)


def _activation(place: Place, config: _Config, tensors: Tensors, w_enc: Tensor) -> tuple[Tensor, Activation]:
    """The folded encoder bias and the activation."""
    import torch

    from latentprobe.encode.activations import Gated, Threshold, TopK
    from latentprobe.encode.sae import without_b_dec

    architecture = config.facts.architecture
    bias = tensors.read("b_gate" if architecture == "gated" else "b_enc")
    b_enc = without_b_dec(bias, tensors.read("b_dec"), w_enc) if config.subtracts_b_dec else bias
    if architecture == "gated":
        # relu(exp(r_mag) * (x - b_dec) @ W + b_mag), written in terms of the gate's own pre-activation
        scale = tensors.read("r_mag").double().exp()
        shift = tensors.read("b_mag").double() - scale * bias.double()
        return b_enc, Gated(scale.float(), shift.float())
    if architecture == "topk":
        return b_enc, TopK(config.k)
    if architecture == "standard":
        return b_enc, Threshold(torch.zeros_like(b_enc))
    theta = tensors.read("threshold")
    if bool((theta < 0).any()):
        raise place.refusal(
            "thresholds are at least 0",
            got=f"{int((theta < 0).sum())} below 0, the lowest {float(theta.min()):g}",
            fix="a negative one marks an SAE whose threshold was never set; where it is known to mean 0, store 0",
        )
    return b_enc, Threshold(theta)


def _with_decoder(sae: SAE, config: _Config, tensors: Tensors, *, keep: bool) -> SAE:
    """The SAE with decoder norms folded into its encoder where it ranks by them, and its decoder if that is kept."""
    import torch

    w_dec = tensors.read("W_dec").div_(config.input_scale)
    if config.ranks_by_decoder_norm:
        norms = torch.linalg.vector_norm(w_dec, dim=1)
        sae = replace(sae, W_enc=sae.W_enc.mul_(norms), b_enc=sae.b_enc * norms)
        w_dec.div_(norms.clamp(min=torch.finfo(torch.float32).tiny)[:, None])
    if not keep:
        return sae
    for name in _SCALES:  # of fine-tuned decoders, in versions before 6
        if name in tensors.headers:
            w_dec.mul_(_finetuning(config, tensors, name)[:, None])
    return replace(sae, W_dec=w_dec, b_dec=tensors.read("b_dec").div_(config.input_scale))


def _finetuning(config: _Config, tensors: Tensors, name: str) -> Tensor:
    """Factors of the latents in the decoder, which the config must announce unless they are all 1."""
    factors = tensors.read(name)
    if not config.finetuned and bool((factors != 1).any()):
        raise tensors.place.refusal(
            f"the config announces {name}", got="finetuning_scaling_factor is not true", fix="correct cfg.json"
        )
    return factors


def _read_config(place: Place) -> _Config:
    """Understand ``cfg.json`` of any version, or refuse it."""
    values = {_RENAMED.get(key, key): value for key, value in place.config(CONFIG).items()}
    metadata = values.pop("metadata", None)
    if isinstance(metadata, dict):  # since version 6; before, everything was at the top
        values |= metadata
    architecture, k = _architecture(place, values)
    hook = _hook(place, values)
    width = place.count(values, "d_sae")
    if architecture == "topk" and not 1 <= k <= width:
        raise place.refusal(f"k is a whole number from 1 to the width, {width}", got=f"k = {k!r}")
    ranks = bool(values.get("rescale_acts_by_decoder_norm"))
    if ranks and architecture != "topk":
        raise place.refusal(
            "only TopK SAEs rank by decoder norms",
            got=f"rescale_acts_by_decoder_norm in a {architecture} SAE",
            fix="save it for inference with SAELens, which folds the norms",
        )
    normalization, scale = _normalization(place, values)
    model = values.get("model_name")
    return _Config(
        facts=Facts(architecture, place.count(values, "d_in"), width, hook, model if isinstance(model, str) else None),
        k=k,
        subtracts_b_dec=place.flag(values, "apply_b_dec_to_input", default=True),
        pre_ops=_centring(place, values, hook) + normalization,
        input_scale=scale,
        ranks_by_decoder_norm=ranks,
        finetuned=bool(values.get("finetuning_scaling_factor")),
        prepend_bos=said if isinstance(said := values.get("prepend_bos"), bool) else None,
    )


def _architecture(place: Place, values: dict[str, Any]) -> tuple[str, int]:
    """One of the architectures read here, and k (0 where there is none)."""
    name = values.get("architecture", "standard")
    paired = values.get("hook_name_out") not in (None, values.get("hook_name"))
    if paired or any(part in str(name) for part in ("transcoder", "crosscoder", "clt")):
        raise place.no_transcoder(f"a transcoder: architecture {name!r}, output at {values.get('hook_name_out')!r}")
    activation = values.get("activation_fn", "relu")
    k = values.get("k")
    if activation == "topk" and name in ("standard", "topk"):  # how versions before 6 wrote a TopK SAE
        name = "topk"
        arguments = values.get("activation_fn_kwargs")
        k = arguments.get("k", k) if isinstance(arguments, dict) else k
    elif activation not in ("relu", "topk") or (activation == "topk" and name != "topk"):
        raise place.refusal(
            "the activation is relu, or topk in a TopK SAE",
            got=f"{activation!r} in {name!r}",
            fix="use another SAE: this activation is not read",
        )
    if not isinstance(name, str) or name not in _VECTORS:
        training = "save a BatchTopK SAE for inference with SAELens, which makes it jumprelu; or " * (
            "batch" in str(name)
        )
        raise place.refusal(
            f"the architecture is one of {', '.join(_VECTORS)}",
            got=repr(name),
            fix=f"{training}use another SAE{nearest(str(name), _VECTORS)}",
        )
    if name == "topk" and (not isinstance(k, int) or isinstance(k, bool)):
        raise place.refusal("a TopK SAE names its k, a whole number", got=f"k = {k!r}", fix="add k to cfg.json")
    return name, k if name == "topk" and isinstance(k, int) else 0


def _hook(place: Place, values: dict[str, Any]) -> HookPoint:
    """Where the SAE's inputs are taken, the whole width of it."""
    name = values.get("hook_name")
    hook = place.hook(name)
    own = 0 if hook.site == "embed" else int(str(name).split(".")[1])
    layers = [values[key] for key in ("hook_layer", "hook_point_layer") if values.get(key) is not None]
    if any(layer != own for layer in layers):
        raise place.refusal(
            "the config names one layer", got=f"hook_name {name!r}, layer {layers[0]!r}", fix="correct cfg.json"
        )
    if values.get("hook_head_index") is not None:
        raise place.refusal(
            "an SAE reads all attention heads",
            got=f"hook_head_index {values['hook_head_index']!r}",
            fix="use an SAE of the whole hook point",
        )
    shaped = values.get("reshape_activations")
    if shaped not in (None, "none") and not (shaped == "hook_z" and hook.site == "attn_z"):
        raise place.refusal(
            "activations are reshaped at hook_z only",
            got=f"reshape_activations {shaped!r} at {hook.name}",
            fix="correct cfg.json",
        )
    return hook


def _normalization(place: Place, values: dict[str, Any]) -> tuple[tuple[str, ...], float]:
    """The row-wise operation, and the constant that inputs are multiplied by."""
    published = registry.at(place.origin)
    name, scale = values.get("normalize_activations"), values.get("norm_scaling_factor")
    if published is not None:
        name, scale = published.normalization or name, scale or published.norm_scaling_factor
    match name:
        case None | False | "none":
            return (), 1.0
        case "layer_norm" | "constant_norm_rescale":
            return (str(name),), 1.0
        case True | "expected_average_only_in":
            if isinstance(scale, int | float) and not isinstance(scale, bool) and 0 < scale < math.inf:
                return (), float(scale)
            raise place.refusal(
                "the scale its inputs were trained at is known",
                got=f"normalize_activations {name!r}, norm_scaling_factor {scale!r}",
                fix="write that scale, sqrt(d_in) / mean norm of its training inputs, into cfg.json as "
                "norm_scaling_factor, or save the SAE with the scale folded in",
            )
        case _:
            raise place.refusal(
                "normalize_activations is none, layer_norm, constant_norm_rescale or expected_average_only_in",
                got=repr(name),
                fix="use another SAE: this normalization is not read",
            )


def _centring(place: Place, values: dict[str, Any], hook: HookPoint) -> tuple[str, ...]:
    """What TransformerLens did to the model the SAE was trained on, as an operation on the unprocessed model's states.

    Centred writing weights take its mean from everything written to the residual stream.
    """
    changes = values.get("model_from_pretrained_kwargs") or {}
    if not isinstance(changes, dict):
        raise place.refusal("model_from_pretrained_kwargs is a mapping", got=repr(changes), fix="correct cfg.json")
    rotated = [key for key in ("fold_value_biases", "refactor_factored_attn_matrices") if changes.get(key)]
    if rotated and hook.site == "attn_z":
        raise place.refusal(
            "it was trained on the model as published",
            got=f"on one changed by {', '.join(rotated)}",
            fix="use another SAE: hook_z of the published model is something else",
        )
    centred = changes.get("center_writing_weights") or registry.centred(place.origin)
    return ("centre",) if centred and hook.site != "attn_z" else ()
