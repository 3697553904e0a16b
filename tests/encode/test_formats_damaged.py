"""Checkpoints that are damaged, contradict themselves or are something else: each is refused, none is guessed at."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from latentprobe.encode.formats import gemma_scope, load_sae
from latentprobe.errors import SAEError
from tests.encode.checkpoints import D_IN, WIDTH, config_v6, weights, write_gemma_scope, write_saelens

Damage = Callable[[Path], None]

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 151\n"


def tensors(**changes: Any) -> Damage:
    """Change, add or (None) take away tensors; a change may be a function of the old one."""

    def damage(folder: Path) -> None:
        held = load_file(folder / "sae_weights.safetensors")
        for name, change in changes.items():
            held[name] = change(held[name]) if callable(change) else change
        held = {name: tensor.contiguous() for name, tensor in held.items() if tensor is not None}
        save_file(held, folder / "sae_weights.safetensors")

    return damage


def config(**changes: Any) -> Damage:
    """Change keys of the config; those of its metadata are told by a leading ``in_metadata_``."""

    def damage(folder: Path) -> None:
        values = json.loads((folder / "cfg.json").read_text())
        for key, change in changes.items():
            if key.startswith("in_metadata_"):
                values["metadata"][key.removeprefix("in_metadata_")] = change
            else:
                values[key] = change
        (folder / "cfg.json").write_text(json.dumps(values))

    return damage


def text(name: str, content: str) -> Damage:
    return lambda folder: (folder / name).write_text(content) and None


def without(*names: str) -> Damage:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def renamed(old: str, new: str) -> Damage:
    return lambda folder: (folder / old).rename(folder / new) and None


def truncated(name: str, share: float) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return damage


def all_of(*damages: Damage) -> Damage:
    def damage(folder: Path) -> None:
        for one in damages:
            one(folder)

    return damage


def set_first(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        changed = tensor.clone()
        changed.view(-1)[0] = value
        return changed

    return change


NAN, INF = float("nan"), float("inf")

#: What was done to a sound checkpoint: its architecture, the damage, a word of the refusal.
DAMAGED: dict[str, tuple[str, Damage, str]] = {
    "no encoder": ("jumprelu", tensors(W_enc=None), "missing: W_enc"),
    "no encoder bias": ("standard", tensors(b_enc=None), "missing: b_enc"),
    "no decoder": ("standard", tensors(W_dec=None), "missing: W_dec"),
    "no threshold": ("jumprelu", tensors(threshold=None), "missing: threshold"),
    "no gate": ("gated", tensors(r_mag=None, b_gate=None), "missing: b_gate, r_mag"),
    "a tensor too many": ("standard", tensors(threshold=torch.ones(WIDTH)), "unknown: threshold"),
    "a skip connection": ("standard", tensors(W_skip=torch.zeros(D_IN, D_IN)), "unknown: W_skip"),
    "a training checkpoint": ("standard", tensors(topk_threshold=torch.ones(())), "unknown: topk_threshold"),
    "a transposed encoder": ("standard", tensors(W_enc=lambda w: w.T), "W_enc is [12, 40]"),
    "a transposed decoder": ("standard", tensors(W_dec=lambda w: w.T), "W_dec is [40, 12]"),
    "a short bias": ("standard", tensors(b_enc=lambda b: b[1:]), "b_enc is [40]"),
    "a bias as a row": ("standard", tensors(b_dec=lambda b: b[None]), "b_dec is [12]"),
    "one threshold for all": ("jumprelu", tensors(threshold=torch.ones(())), "threshold is [40]"),
    "NaN in the encoder": ("jumprelu", tensors(W_enc=set_first(NAN)), "W_enc is finite"),
    "infinity in the encoder": ("topk", tensors(W_enc=set_first(INF)), "W_enc is finite"),
    "NaN in a bias": ("gated", tensors(b_mag=set_first(NAN)), "b_mag is finite"),
    "infinity in b_dec": ("jumprelu", tensors(b_dec=set_first(-INF)), "b_dec is finite"),
    "NaN in a threshold": ("jumprelu", tensors(threshold=set_first(NAN)), "threshold is finite"),
    "too large for float32": (
        "standard",
        tensors(b_enc=torch.full((WIDTH,), 1e300, dtype=torch.float64)),
        "b_enc is finite in float32",
    ),
    "a scale that overflows": ("gated", tensors(r_mag=set_first(200.0)), "scale is finite"),
    "a negative threshold": ("jumprelu", tensors(threshold=set_first(-1.0)), "1 below 0, the lowest -1"),
    "weights as whole numbers": ("standard", tensors(W_enc=lambda w: w.to(torch.int64)), "I64"),
    "weights as bytes": ("standard", tensors(W_enc=lambda w: w.to(torch.uint8)), "U8"),
    "weights cut short": ("jumprelu", truncated("sae_weights.safetensors", 0.7), "can be read"),
    "weights cut in the header": ("jumprelu", truncated("sae_weights.safetensors", 0.01), "can be read"),
    "weights empty": ("jumprelu", truncated("sae_weights.safetensors", 0), "an empty file"),
    "weights that are text": ("jumprelu", text("sae_weights.safetensors", "not found\n" * 99), "can be read"),
    "weights as an LFS pointer": ("jumprelu", text("sae_weights.safetensors", POINTER), "Git LFS pointer"),
    "config as an LFS pointer": ("jumprelu", text("cfg.json", POINTER), "Git LFS pointer"),
    "no weights": ("jumprelu", without("sae_weights.safetensors"), "sae_weights.safetensors is missing"),
    "no config": ("jumprelu", without("cfg.json"), "cfg.json is missing"),
    "nothing at all": ("jumprelu", without("cfg.json", "sae_weights.safetensors"), "no files"),
    "config cut short": ("jumprelu", truncated("cfg.json", 0.5), "cfg.json is JSON"),
    "config in another encoding": (
        "jumprelu",
        lambda folder: (folder / "cfg.json").write_bytes('{"é": 1}'.encode("latin-1")) and None,
        "cfg.json is JSON",
    ),
    "config that is a list": ("jumprelu", text("cfg.json", "[]"), "a JSON mapping"),
    "config of nothing": ("jumprelu", text("cfg.json", "{}"), "a hook point is"),
    "another width in the config": ("standard", config(d_sae=WIDTH + 1), "W_enc is [12, 41]"),
    "another input size in the config": ("standard", config(d_in=D_IN - 1), "W_enc is [11, 40]"),
    "width 0": (
        "standard",
        all_of(
            config(d_sae=0),
            tensors(W_enc=lambda w: w[:, :0], W_dec=lambda w: w[:0], b_enc=lambda b: b[:0]),
        ),
        "d_sae is a whole number above 0",
    ),
    "width not a number": ("standard", config(d_sae="40"), "d_sae is a whole number"),
    "width true": ("standard", config(d_sae=True), "d_sae is a whole number"),
    "no input size": ("standard", config(d_in=None), "d_in is a whole number"),
    "k of 0": ("topk", config(k=0), "k is a whole number from 1"),
    "k above the width": ("topk", config(k=WIDTH + 1), "k is a whole number from 1"),
    "k of a half": ("topk", config(k=2.5), "names its k"),
    "no k": ("topk", config(k=None), "names its k"),
    "an unknown architecture": ("standard", config(architecture="jumprelo"), "did you mean 'jumprelu'"),
    "an architecture that needs iterations": ("standard", config(architecture="matching_pursuit"), "matching_pursuit"),
    "batchtopk as in training": ("standard", config(architecture="batchtopk"), "for inference"),
    "no architecture that is a name": ("standard", config(architecture=["standard"]), "architecture is one of"),
    "a jumprelu that says standard": ("jumprelu", config(architecture="standard"), "unknown: threshold"),
    "a standard that says jumprelu": ("standard", config(architecture="jumprelu"), "missing: threshold"),
    "a transcoder": ("standard", config(architecture="transcoder"), "transcoder"),
    "a skip transcoder": ("standard", config(architecture="jumprelu_skip_transcoder"), "transcoder"),
    "a crosscoder": ("standard", config(architecture="crosscoder"), "transcoder"),
    "an SAE with another output": (
        "standard",
        config(in_metadata_hook_name_out="blocks.3.hook_mlp_out"),
        "reads and rebuilds the same place",
    ),
    "an unknown activation": ("standard", config(activation_fn="tanh-relu"), "activation is relu"),
    "arguments that are no mapping": (
        "standard",
        config(activation_fn="topk", activation_fn_kwargs=[3]),
        "names its k",
    ),
    "topk in a gated SAE": ("gated", config(activation_fn="topk", activation_fn_kwargs={"k": 3}), "activation is relu"),
    "an unknown normalization": ("standard", config(normalize_activations="batch_norm"), "normalize_activations is"),
    "an unknown scale": ("standard", config(normalize_activations="expected_average_only_in"), "scale its inputs"),
    "b_dec neither subtracted nor not": ("standard", config(apply_b_dec_to_input="yes"), "true or false"),
    "norms in a jumprelu": ("jumprelu", config(rescale_acts_by_decoder_norm=True), "rank by decoder norms"),
    "no hook": ("standard", config(in_metadata_hook_name=None), "a hook point is"),
    "a hook that is not read": ("standard", config(in_metadata_hook_name="blocks.3.hook_mlp_in"), "hook_mlp_in"),
    "the positions": ("standard", config(in_metadata_hook_name="hook_pos_embed"), "hook_pos_embed"),
    "an embedding of a layer": (
        "standard",
        config(in_metadata_hook_name="hook_embed", in_metadata_hook_layer=2),
        "names one layer",
    ),
    "another layer beside the hook": ("standard", config(hook_layer=4), "names one layer"),
    "one attention head": ("standard", config(in_metadata_hook_head_index=2), "all attention heads"),
    "heads reshaped elsewhere": ("standard", config(reshape_activations="hook_z"), "reshaped at hook_z only"),
    "a rotated attention": (
        "standard",
        config(
            in_metadata_hook_name="blocks.3.attn.hook_z",
            in_metadata_model_from_pretrained_kwargs={"refactor_factored_attn_matrices": True},
        ),
        "model as published",
    ),
    "a model's loading that is no mapping": (
        "standard",
        config(in_metadata_model_from_pretrained_kwargs="center"),
        "is a mapping",
    ),
    "pickled weights": (
        "standard",
        renamed("sae_weights.safetensors", "sae_weights.pt"),
        "pickled weights are not read",
    ),
    "pickled weights alone": (
        "standard",
        all_of(
            without("cfg.json"), lambda folder: (folder / "sae_weights.safetensors").rename(folder / "a.bin") and None
        ),
        "pickled files",
    ),
    "sparsify's files": (
        "standard",
        renamed("sae_weights.safetensors", "sae.safetensors"),
        "k is a whole number",
    ),
    "two formats in one folder": ("standard", text("params.npz", "x"), "SAELens and Gemma Scope 1"),
    "a folder in place of the weights": (
        "standard",
        all_of(without("sae_weights.safetensors"), lambda folder: (folder / "sae_weights.safetensors").mkdir()),
        "is missing",
    ),
}


@pytest.mark.parametrize(("architecture", "damage", "says"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_saelens_folder_is_refused(tmp_path: Path, architecture: str, damage: Damage, says: str) -> None:
    folder = write_saelens(tmp_path / "sae", config_v6(architecture), weights(architecture))
    load_sae(str(folder))
    damage(folder)
    with pytest.raises(SAEError) as refused:
        load_sae(str(folder))
    assert says in str(refused.value)
    assert refused.value.got and refused.value.fix and str(folder) in str(refused.value)


def npz(**changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        held = dict(np.load(folder / "params.npz"))
        for name, change in changes.items():
            held[name] = change(held[name]) if callable(change) else change
        np.savez(folder / "params.npz", **{name: array for name, array in held.items() if array is not None})

    return damage


def flipped_byte(folder: Path) -> None:
    """A bit that changed on disk, in the middle of the encoder."""
    content = bytearray((folder / "params.npz").read_bytes())
    with zipfile.ZipFile(folder / "params.npz") as archive:
        content[archive.getinfo("W_enc.npy").header_offset + 600] ^= 1
    (folder / "params.npz").write_bytes(content)


def single_array(folder: Path) -> None:
    with (folder / "params.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))


DAMAGED_NPZ: dict[str, tuple[Damage, str]] = {
    "no threshold": (npz(threshold=None), "missing: threshold"),
    "a tensor too many": (npz(log_threshold=np.zeros(WIDTH)), "unknown: log_threshold"),
    "a skip connection": (npz(affine_skip_connection=np.zeros((D_IN, D_IN))), "unknown: affine_skip_connection"),
    "a transposed encoder": (npz(W_enc=np.transpose), "W_enc is [12, 40]"),
    "NaN": (npz(b_enc=lambda b: b * NAN), "b_enc is finite"),
    "a negative threshold": (npz(threshold=lambda t: -t), "thresholds are at least 0"),
    "whole numbers": (npz(W_enc=lambda w: w.astype(int)), "int64"),
    "complex numbers": (npz(b_enc=lambda b: b.astype(complex)), "complex128"),
    "another width": (npz(b_enc=np.zeros(WIDTH + 1)), "b_enc is [40]"),
    "cut short": (truncated("params.npz", 0.6), "can be read"),
    "one bit changed": (flipped_byte, "can be read"),
    "empty": (truncated("params.npz", 0), "an empty file"),
    "a single array": (single_array, "can be read"),
    "an LFS pointer": (text("params.npz", POINTER), "Git LFS pointer"),
    "a member that is no array": (
        lambda folder: zipfile.ZipFile(folder / "params.npz", "a").writestr("W_enc2.npy", "hello"),
        "can be read",
    ),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGED_NPZ.values(), ids=DAMAGED_NPZ)
def test_a_damaged_gemma_scope_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Damage, says: str
) -> None:
    monkeypatch.setitem(gemma_scope._D_MODEL, "2b", D_IN)
    monkeypatch.setitem(gemma_scope._WIDTHS, "16k", WIDTH)
    path = tmp_path / "gemma-scope-2b-pt-res" / "layer_12" / "width_16k" / "average_l0_82"
    folder = write_gemma_scope(path, weights("jumprelu"))
    load_sae(str(folder))
    damage(folder)
    with pytest.raises(SAEError) as refused:
        load_sae(str(folder))
    assert says in str(refused.value)
    assert refused.value.got and refused.value.fix
