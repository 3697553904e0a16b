"""ViT-Prisma."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.encode.layouts.case import D_IN, WIDTH, Arrays, Case, K, Tensors, draw, largest, layer_normed, pt, put, relu


def vit_prisma_cases() -> Iterator[Case]:
    shapes = {"W_enc": (D_IN, WIDTH), "W_dec": (WIDTH, D_IN), "b_dec": (D_IN,), "b_enc": (WIDTH,)}

    def write(folder: Path, held: Tensors, **changes: Any) -> Path:
        config = {"model_name": "open-clip:laion/CLIP-ViT-B-32", "hook_point_layer": 9, "layer_subtype": "hook_mlp_out"}
        config |= {"d_in": D_IN, "d_sae": WIDTH, "expansion_factor": 4, "architecture": "standard"}
        config |= {"activation_fn_str": "relu", "activation_fn_kwargs": {}, "normalize_activations": "layer_norm"}
        config |= {"dtype": {"__type__": "torch.dtype", "value": "torch.float32"}} | changes
        put(folder, "config.json", config)
        pt(folder / "weights.pt", held)
        return folder

    def pre(x: NDArray[Any], t: Arrays) -> NDArray[Any]:
        return (x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]

    topk = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": "none"}
    rows: list[tuple[str, dict[str, Any], Callable[..., Any]]] = [
        ("standard, layer norm", {}, lambda x, t: relu(pre(layer_normed(x), t))),
        ("topk", topk, lambda x, t: largest(pre(x, t), K)),
    ]
    for name, changes, encode in rows:
        yield Case(
            "ViT-Prisma",
            name,
            "mlp_out",
            "b_dec",
            lambda folder, held, changes=changes: write(folder, held, **changes),
            encode,
            lambda: draw(**shapes),
            decode=None if "norm" in name else lambda z, t: z @ t["W_dec"] + t["b_dec"],
        )

    def gated(x: NDArray[Any], t: Arrays) -> NDArray[Any]:
        h = (x - t["b_dec"]) @ t["W_enc"]
        return (h + t["b_gate"] > 0) * relu(h * np.exp(t["r_mag"]) + t["b_mag"])

    yield Case(
        "ViT-Prisma",
        "gated",
        "mlp_out",
        "b_dec",
        lambda folder, held: write(folder, held, architecture="gated", normalize_activations="none"),
        gated,
        lambda: draw(**shapes, **dict.fromkeys(("b_gate", "b_mag", "r_mag"), (WIDTH,))),
        decode=lambda z, t: z @ t["W_dec"] + t["b_dec"],
    )
