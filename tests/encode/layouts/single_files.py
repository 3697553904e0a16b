"""Qwen-Scope, Goodfire, qresearch and OpenAI: one file an SAE."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from tests.encode.layouts.case import D_IN, WIDTH, Arrays, Case, K, Tensors, draw, largest, layer_normed, pt, relu


def single_file_cases() -> Iterator[Case]:
    yield Case(
        "Qwen-Scope",
        "topk",
        "resid_post",
        "nothing",
        lambda folder, held: pt(folder / "SAE-Res-Qwen3-1.7B-Base-W1K-L0_50" / "layer5.sae.pt", held),
        lambda x, t: largest(x @ t["W_enc"].T + t["b_enc"], 50),
        lambda: draw(W_enc=(1024, D_IN), W_dec=(D_IN, 1024), b_enc=(1024,), b_dec=(D_IN,)),
        decode=lambda z, t: z @ t["W_dec"].T + t["b_dec"],
    )
    files = {
        "Goodfire": ("Llama-3.1-8B-Instruct-SAE-l19.pth", "encoder_linear", "decoder_linear"),
        "DeepSeek-R1 qresearch": ("DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt", "encoder", "decoder"),
    }
    for family, (name, enc, dec) in files.items():
        shapes = {f"{enc}.weight": (WIDTH, D_IN), f"{enc}.bias": (WIDTH,)}
        shapes |= {f"{dec}.weight": (D_IN, WIDTH), f"{dec}.bias": (D_IN,)}
        yield Case(
            family,
            "relu",
            "resid_post",
            "nothing",
            lambda folder, held, name=name: pt(folder / name, held),
            lambda x, t, enc=enc: relu(x @ t[f"{enc}.weight"].T + t[f"{enc}.bias"]),
            lambda shapes=shapes: draw(**shapes),
            decode=lambda z, t, dec=dec: z @ t[f"{dec}.weight"].T + t[f"{dec}.bias"],
        )

    def write(folder: Path, held: Tensors, location: str, activation: str) -> Path:
        state = {"k": K, "postact_fn": "ReLU"} if activation == "TopK" else {}
        more = {"stats_last_nonzero": torch.zeros(WIDTH, dtype=torch.long), "activation": activation}
        path = folder / f"{location}_v5_32k" / "autoencoders" / "8.pt"
        return pt(path, held | more | {"activation_state_dict": state})

    def pre(x: NDArray[Any], t: Arrays) -> NDArray[Any]:
        return (x - t["pre_bias"]) @ t["encoder.weight"].T + t["latent_bias"]

    for activation, location, hook in (
        ("TopK", "resid_post_mlp", "resid_post"),
        ("ReLU", "resid_delta_mlp", "mlp_out"),
        ("TopK", "resid_delta_attn", "attn_out"),
        ("TopK", "resid_post_attn", "resid_mid"),
    ):
        yield Case(
            "OpenAI v5",
            "topk, layer norm" if activation == "TopK" else "relu",
            hook,
            "pre_bias",
            lambda folder, held, location=location, activation=activation: write(folder, held, location, activation),
            (lambda x, t: largest(pre(layer_normed(x), t), K))
            if activation == "TopK"
            else (lambda x, t: relu(pre(x, t))),
            lambda: draw(
                **{"encoder.weight": (WIDTH, D_IN), "decoder.weight": (D_IN, WIDTH)},
                latent_bias=(WIDTH,),
                pre_bias=(D_IN,),
            ),
            decode=None if activation == "TopK" else lambda z, t: z @ t["decoder.weight"].T + t["pre_bias"],
        )
