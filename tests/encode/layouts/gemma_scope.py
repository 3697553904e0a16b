"""Gemma Scope 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.encode.layouts.case import D_IN, WIDTH, Arrays, Case, Tensors, draw, put, relu, safetensors


def jump(x: NDArray[Any], t: Arrays, name: str = "W_enc") -> NDArray[Any]:
    pre = x @ t[name] + t["b_enc"]
    return relu(pre) * (pre > t["threshold"])


def jump_tensors(letter: str, d_in: int, width: int) -> Tensors:
    shapes = {f"{letter}_enc": (d_in, width), f"{letter}_dec": (width, d_in), "b_enc": (width,), "b_dec": (d_in,)}
    tensors = draw(**shapes, threshold=(width,))
    return tensors | {"threshold": tensors["threshold"].abs()}


def gemma_scope_cases() -> Iterator[Case]:
    sites = {"res": ("resid_post", 2304), "mlp": ("mlp_out", 2304), "att": ("attn_z", 2048)}
    for site, (hook, d_in) in sites.items():

        def write(folder: Path, tensors: Tensors, site: str = site) -> Path:
            own = folder / f"gemma-scope-2b-pt-{site}" / "layer_12" / "width_4k" / "average_l0_82"
            own.mkdir(parents=True)
            np.savez(own / "params.npz", **{name: tensor.numpy() for name, tensor in tensors.items()})
            return own

        yield Case(
            "Gemma Scope 1",
            "jumprelu",
            hook,
            "nothing",
            write,
            jump,
            lambda d_in=d_in: jump_tensors("W", d_in, 4096),
            ("float32",),
            lambda z, t: z @ t["W_dec"] + t["b_dec"],
        )

    def write_embedding(folder: Path, tensors: Tensors) -> Path:
        own = folder / "gemma-scope-2b-pt-res" / "embedding" / "width_4k" / "average_l0_6"
        own.mkdir(parents=True)
        np.savez(own / "params.npz", **{name: tensor.numpy() for name, tensor in tensors.items()})
        return own

    yield Case(
        "Gemma Scope 1",
        "jumprelu",
        "embed",
        "sqrt(d_model)",
        write_embedding,
        lambda x, t: jump(x / 48, t),  # what enters the stream is the embedding times the square root of 2,304
        lambda: jump_tensors("W", 2304, 4096),
        ("float32",),
        lambda z, t: 48 * (z @ t["W_dec"] + t["b_dec"]),
    )
    places = {
        "resid_post": ("resid_post", "output"),
        "attn_out": ("attn_z", "self_attn.o_proj.input"),
        "mlp_out_all": ("mlp_out", "post_feedforward_layernorm.output"),
    }
    for kind, (hook, name) in places.items():

        def write_2(folder: Path, tensors: Tensors, kind: str = kind, name: str = name) -> Path:
            own = folder / "gemma-scope-2-4b-pt" / kind / "layer_17_width_16k_l0_small"
            safetensors(own / "params.safetensors", tensors)
            config = {"architecture": "jump_relu", "model_name": "gemma-v3-4b-pt", "width": WIDTH, "l0": 10}
            put(own, "config.json", config | {"hf_hook_point_in": f"model.layers.17.{name}"})
            return own

        yield Case(
            "Gemma Scope 2",
            "jump_relu",
            hook,
            "nothing",
            write_2,
            lambda x, t: jump(x, t, "w_enc"),
            lambda: jump_tensors("w", D_IN, WIDTH),
            decode=lambda z, t: z @ t["w_dec"] + t["b_dec"],
        )

    def write_bare(folder: Path, tensors: Tensors) -> Path:
        own = folder / "gemma-scope-2-270m-it" / "resid_post_all" / "layer_5_width_16k_l0_big"
        safetensors(own / "params.safetensors", tensors)
        return own

    yield Case(
        "Gemma Scope 2",
        "jump_relu, no config",
        "resid_post",
        "nothing",
        write_bare,
        lambda x, t: jump(x, t, "w_enc"),
        lambda: jump_tensors("w", 640, 16384),
        ("bfloat16",),
        lambda z, t: z @ t["w_dec"] + t["b_dec"],
    )
