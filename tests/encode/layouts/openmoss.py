"""Llama Scope and its sister of R1-Distill."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.encode.layouts.case import D_IN, WIDTH, Arrays, Case, K, Tensors, draw, largest, put, safetensors


def llama_scope_cases() -> Iterator[Case]:
    norm = 2.5
    scale = math.sqrt(D_IN) / norm
    shapes = {"encoder.weight": (WIDTH, D_IN), "encoder.bias": (WIDTH,), "decoder.weight": (D_IN, WIDTH)}
    shapes |= {"decoder.bias": (D_IN,)}

    def tensors(seed: str = "") -> Tensors:
        return draw(**shapes)

    def write(folder: Path, held: Tensors, hook: str, **changes: Any) -> Path:
        letter = {"hook_mlp_out": "M", "hook_attn_out": "A"}.get(hook, "R")
        own = folder / f"Llama3_1-8B-Base-L15{letter}-8x"
        hook = f"blocks.15.{hook}"
        config = {"hook_point_in": hook, "hook_point_out": hook, "d_model": D_IN, "d_sae": WIDTH, "top_k": K}
        config |= {"act_fn": "jumprelu", "jump_relu_threshold": 0.4, "norm_activation": "dataset-wise"}
        config |= {"dataset_average_activation_norm": {"in": norm, "out": norm}, "expansion_factor": 8}
        config |= {"apply_decoder_bias_to_pre_encoder": False, "sparsity_include_decoder_norm": True} | changes
        put(own, "hyperparams.json", config)
        safetensors(own / "checkpoints" / "final.safetensors", held)
        return own

    def pre(x: NDArray[Any], t: Arrays, *, by_norm: bool = True) -> NDArray[Any]:
        values = x @ t["encoder.weight"].T + t["encoder.bias"] / scale
        return values * np.linalg.norm(t["decoder.weight"], axis=0) if by_norm else values

    def decode(z: NDArray[Any], t: Arrays, *, by_norm: bool = True) -> NDArray[Any]:
        directions = t["decoder.weight"]
        directions = directions / np.linalg.norm(directions, axis=0) if by_norm else directions
        return z @ directions.T + t["decoder.bias"] / scale

    rows: list[tuple[str, str, dict[str, Any], Callable[..., Any], Callable[..., Any]]] = [
        ("jumprelu", "hook_resid_post", {}, lambda x, t: pre(x, t) * (pre(x, t) > 0.4), decode),
        (
            "jumprelu, no decoder norms",
            "hook_mlp_out",
            {"sparsity_include_decoder_norm": False},
            lambda x, t: pre(x, t, by_norm=False) * (pre(x, t, by_norm=False) > 0.4),
            lambda z, t: decode(z, t, by_norm=False),
        ),
        ("jumprelu", "hook_attn_out", {}, lambda x, t: pre(x, t) * (pre(x, t) > 0.4), decode),
        (
            "topk with a threshold",
            "hook_resid_post",
            {"act_fn": "topk"},
            lambda x, t: pre(x, t) * (pre(x, t) > 0.4),
            decode,
        ),
        (
            "topk",
            "hook_resid_post",
            {"act_fn": "topk", "jump_relu_threshold": 0.0},
            lambda x, t: largest(pre(x, t), K),
            decode,
        ),
    ]
    for name, hook, changes, encode, back in rows:
        yield Case(
            "Llama Scope",
            name,
            hook.removeprefix("hook_"),
            "input scale" + (", decoder norms" if "no decoder norms" not in name else ""),
            lambda folder, held, hook=hook, changes=changes: write(folder, held, hook, **changes),
            encode,
            tensors,
            decode=back,
        )

    def write_r1(folder: Path, held: Tensors, hook: str) -> Path:
        own = folder / "Llama-Scope-R1-Distill" / "800M-Slimpajama-0-OpenR1-Math-220k" / "L15R"
        config = {"hook_point_in": f"blocks.15.hook_{hook}", "d_model": D_IN, "expansion_factor": 4}
        put(own, "config.json", config | {"dataset_average_activation_norm": {"in": norm, "out": norm}})
        safetensors(own / "sae_weights.safetensors", held)
        return own

    def encode_r1(x: NDArray[Any], t: Arrays) -> NDArray[Any]:
        values = scale * x @ t["encoder.weight"].T + t["encoder.bias"]
        return values * (values > np.exp(t["log_jumprelu_threshold"]))

    width = 4 * D_IN
    for hook in ("resid_post", "attn_out"):
        yield Case(
            "Llama Scope R1",
            "jumprelu",
            hook,
            "input scale",
            lambda folder, held, hook=hook: write_r1(folder, held, hook),
            encode_r1,
            lambda: draw(
                **{"encoder.weight": (width, D_IN), "encoder.bias": (width,), "decoder.weight": (D_IN, width)},
                **{"decoder.bias": (D_IN,), "log_jumprelu_threshold": (width,)},
            ),
            decode=lambda z, t: (z @ t["decoder.weight"].T + t["decoder.bias"]) / scale,
        )
