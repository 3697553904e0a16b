"""dictionary_learning: ``ae.pt`` beside ``config.json``, which names the class of the dictionary.

All classes that read and rebuild one place. Values are those of the class's ``encode`` on the stored weights; decoders
are not normalized. Knows nothing of where the folder came from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from latentprobe.encode.formats.modules import hook_of_module, prove_added
from latentprobe.encode.formats.place import Facts, Place
from latentprobe.encode.hookpoints import HookPoint, Site
from latentprobe.errors import nearest

if TYPE_CHECKING:  # torch is imported when weights are read, not when facts are
    from torch import Tensor

    from latentprobe.encode.activations import Activation
    from latentprobe.encode.formats.tensors import Tensors
    from latentprobe.encode.sae import SAE

__all__ = ["FILES", "facts", "load"]

CONFIG, WEIGHTS = FILES = ("config.json", "ae.pt")


@dataclass(frozen=True)
class _Class:
    """How one class names its tensors; weights of ``nn.Linear`` lie the other way round."""

    b_dec: str
    bias: str = "encoder.bias"
    linear: bool = True
    subtracts: bool = True
    others: tuple[str, ...] = ()
    """More of its tensors ``[width]``."""


_CLASSES = {
    "AutoEncoder": _Class(b_dec="bias"),
    "AutoEncoderNew": _Class(b_dec="decoder.bias", subtracts=False),
    "GatedAutoEncoder": _Class(b_dec="decoder_bias", bias="gate_bias", others=("mag_bias", "r_mag")),
    "AutoEncoderTopK": _Class(b_dec="b_dec"),
    "BatchTopKSAE": _Class(b_dec="b_dec"),
    "MatryoshkaBatchTopKSAE": _Class(b_dec="b_dec", bias="b_enc", linear=False),
    "JumpReluAutoEncoder": _Class(b_dec="b_dec", bias="b_enc", linear=False, subtracts=False, others=("threshold",)),
}
_BATCHED = ("BatchTopKSAE", "MatryoshkaBatchTopKSAE")
_SITES: dict[str, Site] = {"resid_post": "resid_post", "mlp_out": "mlp_out", "attn_out": "attn_out"}
_SUBMODULE = re.compile(rf"(?P<site>{'|'.join(_SITES)})(?:_layer_(?P<layer>0|[1-9]\d{{0,3}}))?")


def facts(place: Place) -> Facts:
    """What the config says of the SAE.

    Raises:
        SAEError: the config is missing, damaged, incomplete, or of something that cannot be read here.
    """
    trainer = _trainer(place)
    name = trainer.get("dict_class")
    if isinstance(name, str) and "crosscoder" in name.lower():
        raise place.no_transcoder(name)
    if name not in _CLASSES:
        raise place.refusal(
            f"dict_class is one of {', '.join(_CLASSES)}",
            got=repr(name),
            fix=f"use another SAE: this class is not read{nearest(str(name), _CLASSES)}",
        )
    model = trainer.get("lm_name")
    return Facts(
        architecture=name,
        d_in=place.count(trainer, "activation_dim"),
        width=place.count(trainer, "dict_size"),
        hook=_hook(place, trainer),
        model=model if isinstance(model, str) and model else None,
    )


def load(place: Place, *, decoder: bool) -> SAE:
    """The SAE of a folder, everything folded.

    Raises:
        SAEError: as :func:`facts`, or the weights are damaged, hold code, or do not fit the config.
    """
    from latentprobe.encode.formats.tensors import open_pt
    from latentprobe.encode.sae import SAE, without_b_dec

    known = facts(place)
    own = _CLASSES[known.architecture]
    tensors, others = open_pt(place, WEIGHTS)
    if others:
        raise place.refusal(f"{WEIGHTS} holds tensors only", got=", ".join(sorted(others)))
    enc, dec = ("encoder.weight", "decoder.weight") if own.linear else ("W_enc", "W_dec")
    d_in, width = known.d_in, known.width
    shapes: dict[str, tuple[int, ...]] = {
        enc: (width, d_in) if own.linear else (d_in, width),
        dec: (d_in, width) if own.linear else (width, d_in),
        own.b_dec: (d_in,),
    }
    shapes |= {name: (width,) for name in (own.bias, *own.others)}
    tensors.prove(shapes, ignored=[name for name in ("k", "threshold", "group_sizes") if name not in shapes])
    w_enc = tensors.read(enc).T if own.linear else tensors.read(enc)
    bias, b_dec = tensors.read(own.bias), tensors.read(own.b_dec)
    b_enc, activation = _activation(place, known, tensors, bias)
    sae = SAE(
        reference=place.reference,
        sha256=place.sha256(FILES),
        hook=known.hook,
        model=known.model,
        W_enc=w_enc,
        b_enc=without_b_dec(b_enc, b_dec, w_enc) if own.subtracts else b_enc,
        activation=activation,
    )
    if not decoder:
        return sae
    return replace(sae, W_dec=tensors.read(dec).T if own.linear else tensors.read(dec), b_dec=b_dec)


def _activation(place: Place, known: Facts, tensors: Tensors, bias: Tensor) -> tuple[Tensor, Activation]:
    """The encoder bias and the activation of the class."""
    import torch

    from latentprobe.encode.activations import Gated, Threshold, TopK

    width = known.width
    if known.architecture == "GatedAutoEncoder":
        # relu(exp(r_mag) * (x - b_dec) @ W + mag_bias), written in terms of the gate's own pre-activation
        scale = tensors.read("r_mag").double().exp()
        shift = tensors.read("mag_bias").double() - scale * bias.double()
        return bias, Gated(scale.float(), shift.float())
    if known.architecture == "JumpReluAutoEncoder":
        return bias, Threshold(tensors.read("threshold").clamp_(min=0))  # a relu follows the jump
    if known.architecture in _BATCHED:
        _prove_groups(place, tensors, width)
        threshold = _scalar(place, tensors, "threshold")
        if threshold >= 0:  # -1 until it is trained
            return bias, Threshold(torch.full((width,), threshold))
    if known.architecture in ("AutoEncoderTopK", *_BATCHED):
        return bias, TopK(_k(place, tensors, width))
    return bias, Threshold(torch.zeros(width))


def _k(place: Place, tensors: Tensors, width: int) -> int:
    """k as config and weights say it, which must be one number."""
    trainer = _trainer(place)
    said = {trainer["k"]} if trainer.get("k") is not None else set()
    if "k" in tensors.headers:
        said.add(_scalar(place, tensors, "k"))
    k = said.pop() if len(said) == 1 else None
    if not isinstance(k, int | float) or isinstance(k, bool) or k != int(k) or not 1 <= k <= width:
        raise place.refusal(
            f"config and weights name one k, a whole number from 1 to the width, {width}",
            got=f"k = {trainer.get('k')!r} in the config, "
            + (f"{_scalar(place, tensors, 'k'):g}" if "k" in tensors.headers else "none")
            + " in the weights",
            fix="check that config.json belongs to ae.pt",
        )
    return int(k)


def _scalar(place: Place, tensors: Tensors, name: str) -> float:
    """A single number among the weights."""
    if name not in tensors.headers or tensors.headers[name][0] not in ((), (1,)):
        raise place.refusal(
            f"{name} is one number",
            got=f"{list(tensors.headers[name][0])}" if name in tensors.headers else f"no {name}",
            fix="check that config.json names the class of these weights",
        )
    return float(tensors.read(name))


def _prove_groups(place: Place, tensors: Tensors, width: int) -> None:
    """Refuse groups that are not the whole width; at inference all of them are active."""
    if "group_sizes" in tensors.headers and int(tensors.read("group_sizes").sum()) != width:
        raise place.refusal(f"the groups make up the width, {width}", got=str(int(tensors.read("group_sizes").sum())))


def _trainer(place: Place) -> dict[str, Any]:
    trainer = place.config(CONFIG).get("trainer")
    if not isinstance(trainer, dict):
        raise place.refusal("config.json has a mapping 'trainer'", got=repr(trainer), fix="use the config of the SAE")
    return trainer


def _hook(place: Place, trainer: dict[str, Any]) -> HookPoint:
    """The output of the block, unless the submodule is named and another."""
    layer, name, model = trainer.get("layer"), trainer.get("submodule_name"), trainer.get("lm_name")
    right = isinstance(layer, int) and not isinstance(layer, bool) and layer >= 0
    hook = _named(place, layer, "resid_post" if name is None else str(name), model) if right else None
    if hook is None or hook.layer != layer:
        raise place.refusal(
            f"the trainer names one layer, and its submodule is {', '.join(_SITES)} or a module of that layer",
            got=f"layer {layer!r}, submodule_name {name!r}",
            fix="use an SAE of the residual stream, or of what an MLP or an attention adds to it",
        )
    return hook


def _named(place: Place, layer: Any, name: str, model: object) -> HookPoint | None:
    """The hook point of a submodule's name: a site, with its layer or without, or a path in the model."""
    model = model if isinstance(model, str) else None
    match = _SUBMODULE.fullmatch(name)
    if match is None:
        return hook_of_module(place, name, model)
    hook = HookPoint(int(match["layer"] or layer), _SITES[match["site"]])
    if hook.site != "resid_post":
        prove_added(place, name, model)
    return hook
