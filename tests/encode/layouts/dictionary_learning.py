"""dictionary_learning, all classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.encode.layouts.case import D_IN, WIDTH, Arrays, Case, K, Tensors, arrays, draw, largest, pt, put, relu


def dictionary_learning_cases() -> Iterator[Case]:
    linear = {"encoder.weight": (WIDTH, D_IN), "encoder.bias": (WIDTH,), "decoder.weight": (D_IN, WIDTH)}
    plain = {"W_enc": (D_IN, WIDTH), "b_enc": (WIDTH,), "W_dec": (WIDTH, D_IN), "b_dec": (D_IN,)}
    gated = {"encoder.weight": (WIDTH, D_IN), "decoder.weight": (D_IN, WIDTH), "decoder_bias": (D_IN,)}
    gated |= dict.fromkeys(("r_mag", "gate_bias", "mag_bias"), (WIDTH,))

    def pre(x: NDArray[Any], t: Arrays) -> NDArray[Any]:
        return x @ t["encoder.weight"].T + t["encoder.bias"]

    def gate(x: NDArray[Any], t: Arrays) -> NDArray[Any]:
        enc = (x - t["decoder_bias"]) @ t["encoder.weight"].T
        return (enc + t["gate_bias"] > 0) * relu(np.exp(t["r_mag"]) * enc + t["mag_bias"])

    def over(values: NDArray[Any], threshold: Any) -> NDArray[Any]:
        return relu(values) * (relu(values) > threshold)

    def buffers(threshold: float, **more: Any) -> Tensors:
        return {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(threshold)} | more

    groups = {"group_sizes": torch.tensor([10, 30])}
    kinds: list[tuple[str, str, dict[str, Any], Tensors, Callable[..., NDArray[Any]], str]] = [
        (
            "AutoEncoder",
            "AutoEncoder",
            linear | {"bias": (D_IN,)},
            {},
            lambda x, t: relu(pre(x - t["bias"], t)),
            "bias",
        ),
        (
            "AutoEncoderNew",
            "AutoEncoderNew",
            linear | {"decoder.bias": (D_IN,)},
            {},
            lambda x, t: relu(pre(x, t)),
            "decoder.bias",
        ),
        ("GatedAutoEncoder", "GatedAutoEncoder", gated, {}, gate, "decoder_bias"),
        (
            "AutoEncoderTopK",
            "AutoEncoderTopK",
            linear | {"b_dec": (D_IN,)},
            buffers(0.3),
            lambda x, t: largest(pre(x - t["b_dec"], t), K),
            "b_dec",
        ),
        (
            "BatchTopKSAE",
            "BatchTopKSAE",
            linear | {"b_dec": (D_IN,)},
            buffers(0.3),
            lambda x, t: over(pre(x - t["b_dec"], t), t["threshold"]),
            "b_dec",
        ),
        (
            "BatchTopKSAE, no threshold yet",
            "BatchTopKSAE",
            linear | {"b_dec": (D_IN,)},
            buffers(-1.0),
            lambda x, t: largest(pre(x - t["b_dec"], t), K),
            "b_dec",
        ),
        (
            "MatryoshkaBatchTopKSAE",
            "MatryoshkaBatchTopKSAE",
            plain,
            buffers(0.3, **groups),
            lambda x, t: over((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"], t["threshold"]),
            "b_dec",
        ),
        (
            "JumpReluAutoEncoder",
            "JumpReluAutoEncoder",
            plain | {"threshold": (WIDTH,)},
            {},
            lambda x, t: relu((x @ t["W_enc"] + t["b_enc"]) * (x @ t["W_enc"] + t["b_enc"] > t["threshold"])),
            "b_dec",
        ),
    ]
    plain_topk = next(row for row in kinds if row[0] == "AutoEncoderTopK")
    rows = [(*row, "resid_post", "resid_post_layer_12") for row in kinds]
    rows += [(*plain_topk, "attn_out", name) for name in ("attn_out_layer_12", "transformer.h.12.attn")]
    for name, kind, shapes, more, encode, bias, hook, submodule in rows:

        def write(
            folder: Path, tensors: Tensors, kind: str = kind, more: Tensors = more, submodule: str = submodule
        ) -> Path:
            trainer = {"dict_class": kind, "activation_dim": D_IN, "dict_size": WIDTH, "layer": 12, "lm_name": "m"}
            trainer |= {"k": K} if "k" in more else {}
            own = folder / submodule / "trainer_0"
            put(
                own,
                "config.json",
                {"trainer": trainer | {"submodule_name": submodule}, "buffer": {"ctx_len": 128}},
            )
            pt(own / "ae.pt", tensors | more)
            return own

        yield Case(
            "dictionary_learning",
            name if submodule.endswith("layer_12") else f"{name} of {submodule}",
            hook,
            "nothing" if kind in ("AutoEncoderNew", "JumpReluAutoEncoder") else bias,
            write,
            lambda x, t, encode=encode, more=more: encode(x, t | arrays(more)),
            lambda shapes=shapes: draw(**shapes),
            decode=lambda z, t, bias=bias: z @ (t["W_dec"] if "W_dec" in t else t["decoder.weight"].T) + t[bias],
        )
