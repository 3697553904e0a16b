"""SAELens' own folders."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.encode.checkpoints import config_old, config_v6, write_saelens
from tests.encode.checkpoints import weights as saelens_weights
from tests.encode.layouts.case import Arrays, Case, K, largest, layer_normed, relu


def saelens_cases() -> Iterator[Case]:
    def encode(x: NDArray[Any], t: Arrays, kind: str) -> NDArray[Any]:
        h = x - t["b_dec"]
        if kind == "gated":
            gate = h @ t["W_enc"] + t["b_gate"] > 0
            return gate * relu(h @ (t["W_enc"] * np.exp(t["r_mag"])) + t["b_mag"])
        pre = h @ t["W_enc"] + t["b_enc"]
        if kind == "topk":
            return largest(pre, K)
        return relu(pre) * (pre > t["threshold"]) if kind == "jumprelu" else relu(pre)

    configs = {"SAELens 6": config_v6, "SAELens 3 to 5": config_old}
    for family, config in configs.items():
        for kind in ("standard", "jumprelu", "topk", "gated"):
            yield Case(
                family,
                kind,
                "resid_post",
                "b_dec",
                lambda folder, tensors, config=config, kind=kind: write_saelens(folder, config(kind), tensors),
                lambda x, t, kind=kind: encode(x, t, kind),
                lambda kind=kind: saelens_weights(kind),
                ("float32", "float16", "bfloat16", "float64"),
                lambda z, t: z @ t["W_dec"] + t["b_dec"],
            )
    for normalization, operation in {
        "layer_norm": layer_normed,
        "constant_norm_rescale": lambda x: x * math.sqrt(x.shape[1]) / np.linalg.norm(x, axis=1, keepdims=True),
    }.items():
        yield Case(
            "SAELens 6",
            f"standard, {normalization}",
            "resid_post",
            "b_dec",
            lambda folder, tensors, name=normalization: write_saelens(
                folder, config_v6("standard", normalize_activations=name), tensors
            ),
            lambda x, t, operation=operation: encode(operation(x), t, "standard"),
            lambda: saelens_weights("standard"),
        )
    yield Case(
        "SAELens 6",
        "standard, expected_average_only_in",
        "mlp_out",
        "b_dec, input scale",
        lambda folder, tensors: write_saelens(
            folder,
            config_v6(
                "standard",
                normalize_activations="expected_average_only_in",
                norm_scaling_factor=1.7,
                metadata={"hook_name": "blocks.3.hook_mlp_out"},
            ),
            tensors,
        ),
        lambda x, t: encode(1.7 * x, t, "standard"),
        lambda: saelens_weights("standard"),
        decode=lambda z, t: (z @ t["W_dec"] + t["b_dec"]) / 1.7,
    )
    for hook in ("hook_attn_out", "hook_resid_mid", "hook_resid_pre"):
        yield Case(
            "SAELens 3 to 5",
            "standard, layer_norm",
            hook.removeprefix("hook_"),
            "b_dec",
            lambda folder, tensors, name=f"blocks.0.{hook}": write_saelens(
                folder,
                config_old("standard", hook_name=name, hook_layer=0, normalize_activations="layer_norm"),
                tensors,
            ),
            lambda x, t: encode(layer_normed(x), t, "standard"),
            lambda: saelens_weights("standard"),
        )
    yield Case(
        "SAELens 6",
        "jumprelu",
        "embed",
        "b_dec",
        lambda folder, tensors: write_saelens(
            folder, config_v6("jumprelu", metadata={"hook_name": "hook_embed"}), tensors
        ),
        lambda x, t: encode(x, t, "jumprelu"),
        lambda: saelens_weights("jumprelu"),
        decode=lambda z, t: z @ t["W_dec"] + t["b_dec"],
    )
    yield Case(
        "SAELens 6",
        "topk by decoder norm",
        "attn_z",
        "b_dec, decoder norms",
        lambda folder, tensors: write_saelens(
            folder,
            config_v6(
                "topk",
                rescale_acts_by_decoder_norm=True,
                reshape_activations="hook_z",
                metadata={"hook_name": "blocks.3.attn.hook_z"},
            ),
            tensors,
        ),
        lambda x, t: largest(((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]) * np.linalg.norm(t["W_dec"], axis=1), K),
        lambda: saelens_weights("topk"),
        decode=lambda z, t: z @ (t["W_dec"] / np.linalg.norm(t["W_dec"], axis=1, keepdims=True)) + t["b_dec"],
    )
