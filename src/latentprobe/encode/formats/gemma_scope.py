"""Gemma Scope 1, the SAEs of Gemma 2: one ``params.npz`` a folder and no config.

Model, hook point, layer and width stand in the folder's path only, so the path must be the repository's own, part by
part. SAEs of token embeddings were trained before Gemma multiplies these by the square root of their size: that factor
is folded. Knows nothing of where the folder came from.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from latentprobe.encode.formats.place import Facts, Place
from latentprobe.encode.hookpoints import HookPoint, Site

if TYPE_CHECKING:  # torch is imported when weights are read, not when facts are
    from latentprobe.encode.sae import SAE

__all__ = ["FILES", "PATH", "facts", "load"]

(WEIGHTS,) = FILES = ("params.npz",)

_D_MODEL = {"2b": 2304, "9b": 3584, "27b": 4608}
#: Heads times their size, which in the smaller models is not the size of the residual stream.
_D_HEADS = {"2b": 2048, "9b": 4096, "27b": 4608}
_SITES: dict[str, Site] = {"res": "resid_post", "mlp": "mlp_out", "att": "attn_z"}
_WIDTHS = {
    "4k": 2**12,
    "16k": 2**14,
    "32k": 2**15,
    "65k": 2**16,
    "131k": 2**17,
    "262k": 2**18,
    "524k": 2**19,
    "1m": 2**20,
}
PATH = re.compile(
    r"(?:.*/)?gemma-scope-(?P<size>2b|9b|27b)-(?P<tuning>pt|it)-(?P<site>[a-z]+)"
    r"/(?P<layer>embedding|layer_(?:0|[1-9]\d?))/width_(?P<width>\w+)/average_l0_\d+"
)


def facts(place: Place) -> Facts:
    """What the path says of the SAE.

    Raises:
        SAEError: the path is not that of an SAE of Gemma Scope 1.
    """
    match = PATH.fullmatch(place.origin)
    if match is None or match["width"] not in _WIDTHS:
        raise place.refusal(
            "the path of a params.npz tells its model, layer and width",
            got=place.origin,
            fix="keep the repository's names: .../gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82",
        )
    if "transcoder" in match["site"]:
        raise place.no_transcoder(f"the transcoders of {match['layer']}")
    embedding = match["layer"] == "embedding"
    if match["site"] not in _SITES or (embedding and match["site"] != "res"):
        raise place.refusal(
            "SAEs of Gemma Scope are of the residual stream, an MLP or an attention of some layer, or, in the "
            "repository of the residual stream, of the embedding",
            got=f"{match['site']} at {match['layer']}",
            fix="use one of a repository that ends in -res, -mlp or -att",
        )
    site = _SITES[match["site"]]
    hook = HookPoint(0, "embed") if embedding else HookPoint(int(match["layer"].removeprefix("layer_")), site)
    return Facts(
        architecture="jumprelu",
        d_in=(_D_HEADS if site == "attn_z" else _D_MODEL)[match["size"]],
        width=_WIDTHS[match["width"]],
        hook=hook,
        model=f"google/gemma-2-{match['size']}" + ("-it" if match["tuning"] == "it" else ""),
    )


def load(place: Place, *, decoder: bool) -> SAE:
    """The SAE of a folder. Its encoder does not subtract ``b_dec``.

    Raises:
        SAEError: as :func:`facts`, or the weights are damaged or of another size than the path says.
    """
    from latentprobe.encode.activations import Threshold
    from latentprobe.encode.formats.tensors import open_npz
    from latentprobe.encode.sae import SAE

    known = facts(place)
    tensors = open_npz(place, WEIGHTS)
    d_in, width = known.d_in, known.width
    shapes = {
        "W_enc": (d_in, width),
        "W_dec": (width, d_in),
        "b_dec": (d_in,),
        "b_enc": (width,),
        "threshold": (width,),
    }
    tensors.prove(shapes, optional=["scaling_factor"])
    if "scaling_factor" in tensors.headers and bool((tensors.read("scaling_factor") != 1).any()):
        raise place.refusal(
            "Gemma Scope does not rescale its latents",
            got="a scaling_factor other than 1",
            fix="use the files as published",
        )
    sae = SAE(
        reference=place.reference,
        sha256=place.sha256(FILES),
        hook=known.hook,
        model=known.model,
        W_enc=tensors.read("W_enc"),
        b_enc=tensors.read("b_enc"),
        activation=Threshold(tensors.read("threshold")),
        W_dec=tensors.read("W_dec") if decoder else None,
        b_dec=tensors.read("b_dec") if decoder else None,
    )
    return _of_scaled(sae) if known.hook.site == "embed" else sae


def _of_scaled(sae: SAE) -> SAE:
    """An SAE of embeddings as the SAE, with the same features, of embeddings times the square root of their size."""
    scale = math.sqrt(sae.d_in)
    return replace(
        sae,
        W_enc=sae.W_enc.div_(scale),
        W_dec=None if sae.W_dec is None else sae.W_dec.mul_(scale),
        b_dec=None if sae.b_dec is None else sae.b_dec.mul_(scale),
    )
