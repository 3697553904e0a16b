"""sparsify (EleutherAI): ``cfg.json`` beside ``sae.safetensors``, in a folder named like the module it was trained on.

TopK and group-max SAEs. The config of the repository's root, where it is there, names the model. Knows nothing of where
the folder came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latentprobe.encode.formats.modules import hook_of_module
from latentprobe.encode.formats.place import Facts, Place
from latentprobe.encode.hookpoints import HookPoint

if TYPE_CHECKING:  # torch is imported when weights are read, not when facts are
    from latentprobe.encode.sae import SAE

__all__ = ["FILES", "OPTIONAL", "facts", "load"]

CONFIG, WEIGHTS = FILES = ("cfg.json", "sae.safetensors")
(ROOT,) = OPTIONAL = ("../config.json",)


def facts(place: Place) -> Facts:
    """What the config and the folder's name say of the SAE.

    Raises:
        SAEError: the config is missing, damaged, incomplete, or of something that cannot be read here.
    """
    return _read_config(place)[0]


def load(place: Place, *, decoder: bool) -> SAE:
    """The SAE of a folder, ``b_dec`` folded.

    Raises:
        SAEError: as :func:`facts`, or the weights are damaged or do not fit the config.
    """
    from latentprobe.encode.activations import GroupMax, TopK
    from latentprobe.encode.formats.tensors import open_safetensors
    from latentprobe.encode.sae import SAE, without_b_dec

    known, k = _read_config(place)
    tensors = open_safetensors(place, WEIGHTS)
    d_in, width = known.d_in, known.width
    if "W_skip" in tensors.headers:
        raise place.no_transcoder("a skip connection among the weights")
    tensors.prove({"encoder.weight": (width, d_in), "encoder.bias": (width,), "W_dec": (width, d_in), "b_dec": (d_in,)})
    w_enc, b_dec = tensors.read("encoder.weight").T, tensors.read("b_dec")
    return SAE(
        reference=place.reference,
        sha256=place.sha256(FILES),
        hook=known.hook,
        model=known.model,
        W_enc=w_enc,
        b_enc=without_b_dec(tensors.read("encoder.bias"), b_dec, w_enc),
        activation=GroupMax(k) if known.architecture == "groupmax" else TopK(k),
        W_dec=tensors.read("W_dec") if decoder else None,
        b_dec=b_dec if decoder else None,
    )


def _read_config(place: Place) -> tuple[Facts, int]:
    """Understand ``cfg.json``, or refuse it; with k."""
    values = place.config(CONFIG)
    if place.flag(values, "transcode", default=False) or place.flag(values, "skip_connection", default=False):
        raise place.no_transcoder("transcode or skip_connection is true")
    if place.flag(values, "signed", default=False):
        raise place.refusal("features are at least 0", got="signed is true", fix="use another SAE: these are not read")
    activation = values.get("activation", "topk")
    if activation not in ("topk", "groupmax"):
        raise place.refusal(
            "the activation is topk or groupmax", got=repr(activation), fix="use another SAE: this one is not read"
        )
    d_in, k = place.count(values, "d_in"), place.count(values, "k")
    # 0 latents, like none, means so many times the input size
    width = place.count(values, "num_latents") if values.get("num_latents") else d_in * _factor(place, values)
    if k > width or (activation == "groupmax" and width % k):
        raise place.refusal(
            f"k is from 1 to the width, {width}, and divides it into groups", got=f"k = {k}", fix="correct cfg.json"
        )
    model = _model(place)
    return Facts(activation, d_in, width, _hook(place, model), model), k


def _factor(place: Place, values: dict[str, Any]) -> int:
    return place.count(values, "expansion_factor")


def _model(place: Place) -> str | None:
    """The model that the root's config names."""
    name = place.config(ROOT).get("model") if place.has(ROOT) else None
    return name if isinstance(name, str) and name else None


def _hook(place: Place, model: str | None) -> HookPoint:
    """The hook point of the module after which the folder is named."""
    folder = place.origin.rsplit("/", 1)[-1]
    hook = hook_of_module(place, folder, model)
    if hook is None:
        raise place.refusal(
            "the folder is named like the module whose output the SAE reads: that of a block, layers.L, of its MLP or "
            "attention, or of the token embedding",
            got=folder,
            fix="keep the repository's names, and use an SAE of one of these",
        )
    return hook
