"""Synthetic SAE checkpoints in their exact layouts on disk, and their encode written down once more in plain numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

D_IN, WIDTH = 12, 40
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}
EXTRA = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}


def states(tokens: int = 50, seed: int = 1) -> torch.Tensor:
    return torch.randn(tokens, D_IN, generator=torch.Generator().manual_seed(seed))


def weights(architecture: str, dtype: str = "float32", seed: int = 0) -> dict[str, torch.Tensor]:
    """The tensors SAELens stores for an architecture."""
    draw = torch.Generator().manual_seed(seed)
    tensors = {
        "W_enc": torch.randn(D_IN, WIDTH, generator=draw),
        "W_dec": torch.randn(WIDTH, D_IN, generator=draw),
        "b_dec": torch.randn(D_IN, generator=draw),
    }
    for name in EXTRA[architecture]:
        tensors[name] = torch.randn(WIDTH, generator=draw) * 0.5
    if "threshold" in tensors:
        tensors["threshold"] = tensors["threshold"].abs() + 0.5
    return {name: tensor.to(DTYPES[dtype]) for name, tensor in tensors.items()}


def config_v6(architecture: str, **changes: Any) -> dict[str, Any]:
    """``cfg.json`` as SAELens 6 writes it."""
    config: dict[str, Any] = {
        "d_in": D_IN,
        "d_sae": WIDTH,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": "6.12.0",
            "sae_lens_training_version": "6.12.0",
            "model_name": "gpt2-small",
            "hook_name": "blocks.3.hook_resid_post",
            "hook_head_index": None,
            "prepend_bos": True,
        },
        "architecture": architecture,
    }
    if architecture == "topk":
        config |= {"k": 5, "rescale_acts_by_decoder_norm": False}
    metadata = changes.pop("metadata", {})
    config |= changes
    config["metadata"] |= metadata
    return config


def config_old(architecture: str, **changes: Any) -> dict[str, Any]:
    """``cfg.json`` as versions 3 to 5 wrote it: flat, and TopK as an activation of a standard SAE."""
    config: dict[str, Any] = {
        "architecture": "standard" if architecture == "topk" else architecture,
        "d_in": D_IN,
        "d_sae": WIDTH,
        "dtype": "torch.float32",
        "device": "cpu",
        "model_name": "gpt2-small",
        "hook_name": "blocks.3.hook_resid_post",
        "hook_layer": 3,
        "hook_head_index": None,
        "activation_fn_str": "topk" if architecture == "topk" else "relu",
        "activation_fn_kwargs": {"k": 5} if architecture == "topk" else {},
        "apply_b_dec_to_input": True,
        "finetuning_scaling_factor": False,
        "sae_lens_training_version": None,
        "prepend_bos": True,
        "context_size": 128,
        "normalize_activations": "none",
    }
    return config | changes


def write_saelens(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "sae_weights.safetensors")
    return folder


def write_gemma_scope(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "params.npz", **{name: tensor.numpy() for name, tensor in tensors.items()})
    return folder


def naive_encode(
    x: torch.Tensor,
    tensors: dict[str, torch.Tensor],
    architecture: str,
    *,
    subtract: bool = True,
    k: int = 5,
    by_norm: bool = False,
    normalize: str = "none",
    scale: float = 1.0,
) -> np.ndarray:
    """The encode of SAELens as its documentation tells it, dense and in float64."""
    t = {name: tensor.double().numpy() for name, tensor in tensors.items()}
    h = x.double().numpy() * scale
    if normalize == "layer_norm":
        h = h - h.mean(1, keepdims=True)
        h = h / (h.std(1, ddof=1, keepdims=True) + 1e-5)
    if normalize == "constant_norm_rescale":
        h = h * np.sqrt(h.shape[1]) / np.linalg.norm(h, axis=1, keepdims=True)
    if subtract:
        h = h - t["b_dec"]
    if architecture == "gated":
        on = h @ t["W_enc"] + t["b_gate"] > 0
        return on * np.maximum(h @ (t["W_enc"] * np.exp(t["r_mag"])) + t["b_mag"], 0)
    pre = h @ t["W_enc"] + t["b_enc"]
    if architecture == "jumprelu":
        return np.maximum(pre, 0) * (pre > t["threshold"])
    if architecture == "topk":
        if by_norm:
            pre = pre * np.linalg.norm(t["W_dec"], axis=1)
        kept = np.zeros_like(pre)
        order = np.argsort(-pre, axis=1, kind="stable")[:, :k]
        np.put_along_axis(kept, order, np.take_along_axis(pre, order, 1), 1)
        pre = kept
    return np.maximum(pre, 0)
