"""ViT-Prisma, the SAEs of vision transformers: ``config.json`` beside ``weights.pt``.

Standard SAEs (ReLU or TopK) and gated ones. Files that hold their config as a Python object are refused: reading it
would run code. Knows nothing of where the folder came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentprobe.encode.formats.place import Facts, Place

if TYPE_CHECKING:  # torch is imported when weights are read, not when facts are
    from torch import Tensor

    from latentprobe.encode.activations import Activation
    from latentprobe.encode.formats.tensors import Tensors
    from latentprobe.encode.sae import SAE

__all__ = ["FILES", "facts", "load"]

CONFIG, WEIGHTS = FILES = ("config.json", "weights.pt")

_VECTORS = {"standard": ("b_enc",), "topk": ("b_enc",), "gated": ("b_gate", "b_mag", "r_mag")}
_NORMALIZATIONS = ("layer_norm", "constant_norm_rescale")


def facts(place: Place) -> Facts:
    """What the config says of the SAE.

    Raises:
        SAEError: the config is missing, damaged, incomplete, or of something that cannot be read here.
    """
    values = place.config(CONFIG)
    if values.get("is_transcoder") or values.get("transcoder_with_skip_connection"):
        raise place.no_transcoder("is_transcoder is true")
    if values.get("hook_point_head_index") is not None:
        raise place.refusal("an SAE reads all attention heads", got=f"head {values['hook_point_head_index']!r}")
    layer = values.get("hook_point_layer")
    named = f"blocks.{layer}.{values.get('layer_subtype', 'hook_resid_post')}"
    if values.get("hook_point", named) != named:
        raise place.refusal("the config names one hook point", got=f"{values['hook_point']!r} and {named!r}")
    d_in = place.count(values, "d_in")
    width = place.count(values, "d_sae") if values.get("d_sae") else d_in * place.count(values, "expansion_factor")
    model = values.get("model_name")
    return Facts(
        _architecture(place, values), d_in, width, place.hook(named), model if isinstance(model, str) else None
    )


def load(place: Place, *, decoder: bool) -> SAE:
    """The SAE of a folder, ``b_dec`` folded.

    Raises:
        SAEError: as :func:`facts`, or the weights are damaged, hold code, or do not fit the config.
    """
    from latentprobe.encode.formats.tensors import open_pt
    from latentprobe.encode.sae import SAE, without_b_dec

    known, values = facts(place), place.config(CONFIG)
    tensors, others = open_pt(place, WEIGHTS)
    if others:
        raise place.refusal(f"{WEIGHTS} holds tensors only", got=", ".join(sorted(others)))
    d_in, width = known.d_in, known.width
    shapes = {"W_enc": (d_in, width), "W_dec": (width, d_in), "b_dec": (d_in,)}
    vectors = _VECTORS[known.architecture]
    # the library's gated class makes a b_enc too, and never uses it
    tensors.prove(shapes | {name: (width,) for name in vectors}, ignored=["b_enc"] if "b_enc" not in vectors else [])
    w_enc, b_dec = tensors.read("W_enc"), tensors.read("b_dec")
    bias, activation = _activation(place, values, known, tensors)
    return SAE(
        reference=place.reference,
        sha256=place.sha256(FILES),
        hook=known.hook,
        model=known.model,
        W_enc=w_enc,
        b_enc=without_b_dec(bias, b_dec, w_enc),
        activation=activation,
        pre_ops=_pre_ops(place, values),
        W_dec=tensors.read("W_dec") if decoder else None,
        b_dec=b_dec if decoder else None,
    )


def _architecture(place: Place, values: dict[str, Any]) -> str:
    name, activation = values.get("architecture", "standard"), values.get("activation_fn_str", "relu")
    if (
        name not in ("standard", "gated")
        or activation not in ("relu", "topk")
        or (name, activation)
        == (
            "gated",
            "topk",
        )
    ):
        raise place.refusal(
            "the architecture is standard with relu or topk, or gated with relu",
            got=f"{name!r} with {activation!r}",
            fix="use another SAE: this one is not read",
        )
    return "topk" if activation == "topk" else str(name)


def _activation(place: Place, values: dict[str, Any], known: Facts, tensors: Tensors) -> tuple[Tensor, Activation]:
    """The encoder bias, before ``b_dec`` is folded, and the activation."""
    import torch

    from latentprobe.encode.activations import Gated, Threshold, TopK

    if known.architecture == "gated":
        bias, scale = tensors.read("b_gate"), tensors.read("r_mag").double().exp()
        return bias, Gated(scale.float(), (tensors.read("b_mag").double() - scale * bias.double()).float())
    if known.architecture == "topk":
        arguments = values.get("activation_fn_kwargs")
        k = place.count(arguments if isinstance(arguments, dict) else {}, "k")
        return tensors.read("b_enc"), TopK(k)
    return tensors.read("b_enc"), Threshold(torch.zeros(known.width))


def _pre_ops(place: Place, values: dict[str, Any]) -> tuple[str, ...]:
    """What is done to each row; the library knows two operations and takes any other name for none."""
    name = values.get("normalize_activations")
    if name in (None, "none", False):
        return ()
    if name not in _NORMALIZATIONS:
        raise place.refusal(
            f"normalize_activations is none, {' or '.join(_NORMALIZATIONS)}",
            got=repr(name),
            fix="use another SAE: this normalization is not read",
        )
    return (str(name),)
