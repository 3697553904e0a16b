"""Gemma Scope 2, the SAEs of Gemma 3: ``params.safetensors``, and beside it mostly a ``config.json``.

Where the config is missing, model, hook point, layer and width stand in the folder's path, which must then be the
repository's own. Transcoders and cross-layer ones, with or without a skip connection, are refused. Knows nothing of
where the folder came from.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from latentprobe.encode.formats.place import Facts, Place
from latentprobe.encode.hookpoints import HookPoint, Site

if TYPE_CHECKING:  # torch is imported when weights are read, not when facts are
    from latentprobe.encode.formats.tensors import Tensors
    from latentprobe.encode.sae import SAE

__all__ = ["FILES", "OPTIONAL", "PATH", "facts", "load"]

(WEIGHTS,) = FILES = ("params.safetensors",)
(CONFIG,) = OPTIONAL = ("config.json",)

#: Sizes of the residual stream, and heads times their size.
_D_MODEL = {"270m": 640, "1b": 1152, "4b": 2560, "12b": 3840, "27b": 5376}
_D_HEADS = {"270m": 1024, "1b": 1024, "4b": 2048, "12b": 4096, "27b": 4096}
_WIDTHS = {"16k": 2**14, "65k": 2**16, "262k": 2**18, "524k": 2**19, "1m": 2**20}
_SITES: dict[str, Site] = {"resid_post": "resid_post", "attn_out": "attn_z", "mlp_out": "mlp_out"}
_HOOKS: dict[str, Site] = {
    "output": "resid_post",
    "self_attn.o_proj.input": "attn_z",
    "post_feedforward_layernorm.output": "mlp_out",
}
PATH = re.compile(
    r"(?:.*/)?gemma-scope-2-(?P<size>270m|1b|4b|12b|27b)-(?P<tuning>pt|it)"
    r"/(?P<kind>[a-z_]+?)(?:_all)?/layer_(?P<layer>0|[1-9]\d?)_width_(?P<width>\w+?)_l0_(?:small|medium|big)(?:_affine)?"
)


def facts(place: Place) -> Facts:
    """What the config, or else the path, says of the SAE; sizes come from the weights where they are there.

    Raises:
        SAEError: neither tells model and hook point, they contradict each other, or it is a transcoder.
    """
    match = PATH.fullmatch(place.origin)
    if match is not None and match["kind"] not in _SITES:
        raise place.no_transcoder(f"{match['kind']} of layer {match['layer']}")
    path_hook = HookPoint(int(match["layer"]), _SITES[match["kind"]]) if match else None
    config = place.config(CONFIG) if place.has(CONFIG) else {}
    hook = _hook(place, config) if config else path_hook
    if hook is None:
        raise place.refusal(
            "config.json or the path of params.safetensors tells model and hook point",
            got=f"no config.json, and {place.origin}",
            fix="keep config.json beside it, or the repository's names: "
            ".../gemma-scope-2-4b-pt/resid_post/layer_17_width_16k_l0_small",
        )
    if path_hook not in (None, hook):
        raise place.refusal("config and path name one hook point", got=f"{hook.name} and {path_hook.name}")
    d_in, width = _sizes(place, hook, match)
    if config.get("width") not in (None, width):
        raise place.refusal("config and weights have one width", got=f"{config['width']!r} and {width}")
    model = _model(str(config["model_name"])) if config.get("model_name") else match and _of(match)
    return Facts("jumprelu", d_in, width, hook, model)


def load(place: Place, *, decoder: bool) -> SAE:
    """The SAE of a folder. Its encoder does not subtract ``b_dec``.

    Raises:
        SAEError: as :func:`facts`, or the weights are damaged or do not fit.
    """
    from latentprobe.encode.activations import Threshold
    from latentprobe.encode.sae import SAE

    known = facts(place)
    tensors = _open(place)
    d_in, width = known.d_in, known.width
    shapes = {
        "w_enc": (d_in, width),
        "w_dec": (width, d_in),
        "b_dec": (d_in,),
        "b_enc": (width,),
        "threshold": (width,),
    }
    tensors.prove(shapes)
    return SAE(
        reference=place.reference,
        sha256=place.sha256(name for name in (*FILES, *OPTIONAL) if place.has(name)),
        hook=known.hook,
        model=known.model,
        W_enc=tensors.read("w_enc"),
        b_enc=tensors.read("b_enc"),
        activation=Threshold(tensors.read("threshold")),
        W_dec=tensors.read("w_dec") if decoder else None,
        b_dec=tensors.read("b_dec") if decoder else None,
    )


def _open(place: Place) -> Tensors:
    from latentprobe.encode.formats.tensors import open_safetensors

    return open_safetensors(place, WEIGHTS)


def _sizes(place: Place, hook: HookPoint, match: re.Match[str] | None) -> tuple[int, int]:
    """Input size and width: of the weights, or of the path where only facts were fetched."""
    if place.has(WEIGHTS) or match is None or match["width"] not in _WIDTHS:
        tensors = _open(place)
        if "affine_skip_connection" in tensors.headers:
            raise place.no_transcoder("a skip connection among the weights")
        return tensors.matrix("w_enc")
    return (_D_HEADS if hook.site == "attn_z" else _D_MODEL)[match["size"]], _WIDTHS[match["width"]]


def _hook(place: Place, config: dict[str, Any]) -> HookPoint:
    """The hook point that the config names in Hugging Face's terms."""
    if config.get("architecture") != "jump_relu":
        raise place.refusal("the architecture is jump_relu", got=repr(config.get("architecture")))
    name, out = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    if out not in (None, name) or config.get("affine_connection"):
        raise place.no_transcoder(f"from {name!r} to {out!r}")
    match = re.fullmatch(r"(?:\w+\.)*layers\.(0|[1-9]\d?)\.(.+)", str(name))
    if match is None or match[2] not in _HOOKS:
        raise place.refusal(
            "hf_hook_point_in is model.layers.L. and " + ", ".join(_HOOKS),
            got=repr(name),
            fix="use an SAE of one of these places",
        )
    return HookPoint(int(match[1]), _HOOKS[match[2]])


def _model(name: str) -> str:
    """The hub's id of a model as the configs name it."""
    name = name.removeprefix("google/").replace("-v3", "-3")
    return "google/" + (name.removesuffix("-pt") if "270m" in name else name)


def _of(match: re.Match[str]) -> str:
    return _model(f"gemma-3-{match['size']}-{match['tuning']}")
