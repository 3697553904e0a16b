"""Qwen-Scope: one ``layer{n}.sae.pt`` a layer and no config; repository and file name tell model, width, k and layer.

Knows nothing of where the file came from.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from latentprobe.encode.formats.place import Facts, Place
from latentprobe.encode.hookpoints import HookPoint

if TYPE_CHECKING:  # torch is imported when weights are read, not when facts are
    from latentprobe.encode.sae import SAE

__all__ = ["PATH", "facts", "load"]

PATH = re.compile(
    r"(?:.*/)?SAE-Res-(?P<model>[\w.-]+)-W(?P<width>[1-9]\d*)K-L0_(?P<k>[1-9]\d*)/layer(?P<layer>0|[1-9]\d*)\.sae\.pt"
)

_D_MODEL = {
    "Qwen3-1.7B-Base": 2048,
    "Qwen3-8B-Base": 4096,
    "Qwen3-30B-A3B-Base": 2048,
    "Qwen3.5-2B-Base": 2048,
    "Qwen3.5-9B-Base": 4096,
    "Qwen3.5-27B": 5120,
    "Qwen3.5-35B-A3B-Base": 2048,
}


def facts(place: Place) -> Facts:
    """What the path says of the SAE; the size of its inputs comes from the weights where they are there.

    Raises:
        SAEError: the path is not that of an SAE of Qwen-Scope.
    """
    match = PATH.fullmatch(place.origin)
    if match is None:
        raise place.refusal(
            "the path of a layer{n}.sae.pt tells its model, width, k and layer",
            got=place.origin,
            fix="keep the repository's names: .../SAE-Res-Qwen3-1.7B-Base-W32K-L0_50/layer5.sae.pt",
        )
    return Facts(
        architecture="topk",
        d_in=_d_in(place, match["model"]),
        width=int(match["width"]) * 1024,
        hook=HookPoint(int(match["layer"]), "resid_post"),
        model=f"Qwen/{match['model']}",
    )


def load(place: Place, *, decoder: bool) -> SAE:
    """The SAE of a file. Its encoder does not subtract ``b_dec``.

    Raises:
        SAEError: as :func:`facts`, or the weights are damaged, hold code, or are of another size than the path says.
    """
    from latentprobe.encode.activations import TopK
    from latentprobe.encode.formats.tensors import open_pt
    from latentprobe.encode.sae import SAE

    known, match = facts(place), PATH.fullmatch(place.origin)
    assert match is not None
    tensors, _ = open_pt(place, place.named)
    d_in, width, k = known.d_in, known.width, int(match["k"])
    tensors.prove({"W_enc": (width, d_in), "W_dec": (d_in, width), "b_enc": (width,), "b_dec": (d_in,)})
    if k > width:
        raise place.refusal(f"k is at most the width, {width}", got=f"k = {k}", fix="keep the repository's name")
    return SAE(
        reference=place.reference,
        sha256=place.sha256([place.named]),
        hook=known.hook,
        model=known.model,
        W_enc=tensors.read("W_enc").T,
        b_enc=tensors.read("b_enc"),
        activation=TopK(k),
        W_dec=tensors.read("W_dec").T if decoder else None,
        b_dec=tensors.read("b_dec") if decoder else None,
    )


def _d_in(place: Place, model: str) -> int:
    """Size of the inputs: of the weights, or of the model where only facts were fetched."""
    from latentprobe.encode.formats.tensors import open_pt

    if place.has(place.named) or model not in _D_MODEL:
        return open_pt(place, place.named)[0].matrix("W_enc")[1]
    return _D_MODEL[model]
