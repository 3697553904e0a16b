"""sparsify."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.encode.layouts.case import D_IN, WIDTH, Arrays, Case, K, Tensors, draw, largest, put, relu, safetensors


def sparsify_cases() -> Iterator[Case]:
    def pre(x: NDArray[Any], t: Arrays) -> NDArray[Any]:
        return (x - t["b_dec"]) @ t["encoder.weight"].T + t["encoder.bias"]

    def groupmax(x: NDArray[Any], t: Arrays) -> NDArray[Any]:
        groups = relu(pre(x, t)).reshape(len(x), K, -1)
        first = groups.argmax(2, keepdims=True)
        return (groups * (np.arange(groups.shape[2]) == first)).reshape(len(x), -1)

    def tensors(width: int) -> Tensors:
        shapes = {"encoder.weight": (width, D_IN), "encoder.bias": (width,), "W_dec": (width, D_IN), "b_dec": (D_IN,)}
        return draw(**shapes)

    def write(folder: Path, held: Tensors, module: str, **changes: Any) -> Path:
        config = {"expansion_factor": 2, "normalize_decoder": True, "num_latents": WIDTH, "k": K, "d_in": D_IN}
        config |= {"activation": "topk", "multi_topk": False, "skip_connection": False, "transcode": False} | changes
        put(folder / "repository" / module, "cfg.json", config)
        put(folder / "repository", "config.json", {"model": "EleutherAI/pythia-160m", "ctx_len": 2048})
        safetensors(folder / "repository" / module / "sae.safetensors", held)
        return folder / "repository" / module

    def topk(x: NDArray[Any], t: Arrays) -> NDArray[Any]:
        return largest(pre(x, t), K)

    kinds: list[tuple[str, str, str, dict[str, Any], int, Callable[..., NDArray[Any]]]] = [
        ("topk", "resid_post", "layers.10", {}, WIDTH, topk),
        ("groupmax", "mlp_out", "layers.10.mlp", {"activation": "groupmax"}, WIDTH, groupmax),
        ("topk, num_latents 0", "resid_post", "gpt_neox.layers.3", {"num_latents": 0}, 2 * D_IN, topk),
        ("topk", "attn_out", "layers.10.attention", {}, WIDTH, topk),
        ("topk", "embed", "embed_in", {}, WIDTH, topk),
    ]
    for kind, hook, module, changes, width, encode in kinds:
        yield Case(
            "sparsify",
            kind,
            hook,
            "b_dec",
            lambda folder, held, module=module, changes=changes: write(folder, held, module, **changes),
            encode,
            lambda width=width: tensors(width),
            ("float32", "float16", "bfloat16"),
            lambda z, t: z @ t["W_dec"] + t["b_dec"],
        )
