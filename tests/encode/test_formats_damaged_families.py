"""Damaged, contradictory and odd checkpoints of every family beside SAELens: each is refused, none is guessed at."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentprobe.encode.formats import load_sae
from latentprobe.errors import SAEError
from tests.encode.conformance import CASES
from tests.encode.layouts.case import D_IN, WIDTH, Case

Damage = Callable[[Path], Any]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 151\n"


def case(family: str, architecture: str, hook: str = "resid_post") -> Case:
    return next(each for each in CASES if (each.family, each.architecture, each.hook) == (family, architecture, hook))


SOUND = {
    "gs2": case("Gemma Scope 2", "jump_relu"),
    "sparsify": case("sparsify", "topk"),
    "groupmax": case("sparsify", "groupmax", "mlp_out"),
    "topk": case("dictionary_learning", "AutoEncoderTopK"),
    "batchtopk": case("dictionary_learning", "BatchTopKSAE"),
    "matryoshka": case("dictionary_learning", "MatryoshkaBatchTopKSAE"),
    "gated": case("dictionary_learning", "GatedAutoEncoder"),
    "llama": case("Llama Scope", "jumprelu"),
    "llama-topk": case("Llama Scope", "topk"),
    "r1": case("Llama Scope R1", "jumprelu"),
    "qwen": case("Qwen-Scope", "topk"),
    "goodfire": case("Goodfire", "relu"),
    "deepseek": case("DeepSeek-R1 qresearch", "relu"),
    "openai": case("OpenAI v5", "topk, layer norm"),
    "prisma": case("ViT-Prisma", "standard, layer norm", "mlp_out"),
    "prisma-topk": case("ViT-Prisma", "topk", "mlp_out"),
}


class Executed:
    """A pickle of it writes a file when it is read by a reader that runs code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def weights_of(place: Path) -> Path:
    if place.is_file():
        return place
    names = ("params.safetensors", "sae.safetensors", "ae.pt", "checkpoints/final.safetensors", "weights.pt")
    return next(place / name for name in (*names, "sae_weights.safetensors") if (place / name).exists())


def tensors(**changes: Any) -> Damage:
    """Change, add or (None) take away what the weights hold; ``__`` in a name stands for a dot."""

    def damage(place: Path) -> None:
        path = weights_of(place)
        pickled = path.suffix in (".pt", ".pth")
        held = torch.load(path, weights_only=True) if pickled else load_file(path)
        for name, change in changes.items():
            name = name.replace("__", ".")
            held[name] = change(held[name]) if callable(change) else change
        held = {name: value for name, value in held.items() if value is not None}
        if pickled:
            torch.save(held, path)  # noqa: TID251  what the libraries of these families write
        else:
            save_file({name: tensor.contiguous() for name, tensor in held.items()}, path)

    return damage


def config(**changes: Any) -> Damage:
    """Change keys of the config, or with ``trainer_`` of the mapping inside it."""

    def damage(place: Path) -> None:
        names = ("cfg.json", "hyperparams.json", "config.json")
        path = next(place / name for name in names if (place / name).exists())
        values = json.loads(path.read_text())
        for key, change in changes.items():
            target = values["trainer"] if key.startswith("trainer_") else values
            target[key.removeprefix("trainer_")] = change
        path.write_text(json.dumps(values))

    return damage


def wrote(content: str | bytes) -> Damage:
    data = content.encode() if isinstance(content, str) else content
    return lambda place: weights_of(place).write_bytes(data)


def cut(share: float) -> Damage:
    def damage(place: Path) -> None:
        path = weights_of(place)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return damage


def saved(value: Callable[[Path], Any], **words: Any) -> Damage:
    return lambda place: torch.save(value(place), weights_of(place), **words)  # noqa: TID251


def code(place: Path) -> Any:
    return {"encoder.weight": Executed(place.parent / "executed")}


def nan(tensor: torch.Tensor) -> torch.Tensor:
    changed = tensor.clone()
    changed.view(-1)[3] = float("nan")
    return changed


def renamed(name: str) -> Damage:
    return lambda place: place.rename(place.parent / name)


def sparsify_of(model: str | None, folder: str) -> Damage:
    """As if it had been trained on a module of another model."""

    def damage(place: Path) -> Path:
        (place.parent / "config.json").write_text(json.dumps({"model": model}))
        return place.rename(place.parent / folder)

    return damage


#: Which sound checkpoint, what was done to it, a word of the refusal.
DAMAGED: dict[str, tuple[str, Damage, str]] = {
    "gemma scope 2 without encoder": ("gs2", tensors(w_enc=None), "w_enc, a matrix"),
    "gemma scope 2 without threshold": ("gs2", tensors(threshold=None), "missing: threshold"),
    "gemma scope 2 with capitals": ("gs2", tensors(w_dec=None, W_dec=torch.zeros(WIDTH, D_IN)), "unknown: W_dec"),
    "gemma scope 2 transposed": ("gs2", tensors(w_enc=lambda w: w.T), "40"),
    "gemma scope 2 with NaN": ("gs2", tensors(w_enc=nan), "finite"),
    "gemma scope 2 with a negative threshold": ("gs2", tensors(threshold=lambda t: t - 9), "at least 0"),
    "gemma scope 2 with a skip": ("gs2", tensors(affine_skip_connection=torch.zeros(D_IN, D_IN)), "transcoders"),
    "gemma scope 2 of another width": ("gs2", config(width=WIDTH + 1), "one width"),
    "gemma scope 2 of another layer": ("gs2", config(hf_hook_point_in="model.layers.3.output"), "one hook point"),
    "gemma scope 2 of an unknown place": ("gs2", config(hf_hook_point_in="model.layers.17.input"), "hf_hook_point_in"),
    "gemma scope 2 of no place": ("gs2", config(hf_hook_point_in=None), "hf_hook_point_in"),
    "gemma scope 2 with an output": ("gs2", config(hf_hook_point_out="model.layers.18.output"), "transcoders"),
    "gemma scope 2 affine": ("gs2", config(affine_connection=True), "transcoders"),
    "gemma scope 2 of another architecture": ("gs2", config(architecture="topk"), "jump_relu"),
    "gemma scope 2 cut short": ("gs2", cut(0.8), "can be read"),
    "gemma scope 2 as an LFS pointer": ("gs2", wrote(POINTER), "Git LFS pointer"),
    "sparsify without k": ("sparsify", config(k=None), "k is a whole number"),
    "sparsify with k 0": ("sparsify", config(k=0), "k is a whole number"),
    "sparsify with k above the width": ("sparsify", config(k=WIDTH + 1), "k is from 1"),
    "sparsify with groups that do not fit": ("groupmax", config(k=7), "divides it into groups"),
    "sparsify transcoding": ("sparsify", config(transcode=True), "transcoders"),
    "sparsify with a skip": ("sparsify", config(skip_connection=True), "transcoders"),
    "sparsify with a skip among the weights": ("sparsify", tensors(W_skip=torch.zeros(D_IN, D_IN)), "transcoders"),
    "sparsify signed": ("sparsify", config(signed=True), "signed"),
    "sparsify with another activation": ("sparsify", config(activation="relu"), "topk or groupmax"),
    "sparsify of another width": ("sparsify", config(num_latents=WIDTH + 1), "encoder.weight is [41, 12]"),
    "sparsify without any width": ("sparsify", config(num_latents=0, expansion_factor=0), "expansion_factor"),
    "sparsify of another input": ("sparsify", config(d_in=D_IN + 1), "encoder.weight is [40, 13]"),
    "sparsify transposed": ("sparsify", tensors(encoder__weight=lambda w: w.T), "encoder.weight is [40, 12]"),
    "sparsify without b_dec": ("sparsify", tensors(b_dec=None), "missing: b_dec"),
    "sparsify as whole numbers": ("sparsify", tensors(W_dec=lambda w: w.long()), "I64"),
    "sparsify of attention with its norm": ("sparsify", renamed("encoder.layer.10.attention"), "named like the module"),
    "sparsify of attention with the stream": ("sparsify", renamed("h.10.self_attention"), "named like the module"),
    "sparsify of attention before a norm": (
        "sparsify",
        sparsify_of("google/gemma-2-2b", "layers.10.self_attn"),
        "norm",
    ),
    "sparsify of an MLP before a norm": ("sparsify", sparsify_of("allenai/OLMo-2-1B", "layers.10.mlp"), "norm"),
    "sparsify of attention of no model": ("sparsify", sparsify_of(None, "layers.10.self_attn"), "the model is named"),
    "sparsify of a scaled embedding": ("sparsify", sparsify_of("google/gemma-2b", "embed_tokens"), "sqrt(d_model)"),
    "sparsify of positions": ("sparsify", renamed("wpe"), "named like the module"),
    "sparsify renamed": ("sparsify", renamed("my-sae"), "named like the module"),
    "code in ae.pt": ("topk", saved(code), "can run code"),
    "code in an old pickle": ("topk", saved(code, _use_new_zipfile_serialization=False), "can run code"),
    "a whole module pickled": ("topk", saved(lambda place: torch.nn.Linear(2, 2)), "can run code"),
    "a list of tensors": ("topk", saved(lambda place: [torch.zeros(3)]), "a mapping of names"),
    "a text beside the tensors": ("topk", tensors(note="hello"), "tensors only"),
    "ae.pt cut short": ("topk", cut(0.5), "can be read"),
    "ae.pt of random bytes": ("topk", wrote(bytes(range(256)) * 9), "ae.pt"),
    "ae.pt empty": ("topk", wrote(""), "an empty file"),
    "ae.pt as an LFS pointer": ("topk", wrote(POINTER), "Git LFS pointer"),
    "ae.pt a zip of something": (
        "topk",
        lambda place: zipfile.ZipFile(weights_of(place), "w").writestr("a.txt", "b"),
        "can be read",
    ),
    "a sparse matrix": ("topk", tensors(encoder__weight=lambda w: w.to_sparse()), "sparse"),
    "complex numbers": ("topk", tensors(encoder__weight=lambda w: w.to(torch.complex64)), "complex64"),
    "no class": ("topk", config(trainer_dict_class=None), "dict_class is one of"),
    "a misspelt class": ("topk", config(trainer_dict_class="AutoencoderTopK"), "did you mean 'AutoEncoderTopK'"),
    "a crosscoder": ("topk", config(trainer_dict_class="CrossCoder"), "transcoders"),
    "the identity": ("topk", config(trainer_dict_class="IdentityDict"), "dict_class is one of"),
    "another class than the weights": ("topk", config(trainer_dict_class="GatedAutoEncoder"), "missing: decoder_bias"),
    "another k than the weights": ("topk", config(trainer_k=6), "one k"),
    "k of a half": ("topk", tensors(k=torch.tensor(2.5)), "one k"),
    "k nowhere": ("topk", lambda place: (tensors(k=None)(place), config(trainer_k=None)(place)), "one k"),
    "no trainer": ("topk", config(trainer=None), "'trainer'"),
    "no layer": ("topk", config(trainer_layer=None), "names one layer"),
    "another layer in the submodule": ("topk", config(trainer_submodule_name="resid_post_layer_3"), "names one layer"),
    "attention's scores": ("topk", config(trainer_submodule_name="attn_scores_layer_12"), "names one layer"),
    "attention before a norm": (
        "topk",
        config(trainer_submodule_name="attn_out_layer_12", trainer_lm_name="google/gemma-2-2b"),
        "normalizes it first",
    ),
    "the embedding of a layer": ("topk", config(trainer_submodule_name="embed_in"), "names one layer"),
    "a width of 0": ("topk", config(trainer_dict_size=0), "dict_size is a whole number"),
    "another input size": ("topk", config(trainer_activation_dim=13), "encoder.weight is [40, 13]"),
    "thresholds where one was expected": ("batchtopk", tensors(threshold=torch.ones(WIDTH)), "threshold is one number"),
    "no threshold": ("batchtopk", tensors(threshold=None), "threshold is one number"),
    "groups that are not the width": ("matryoshka", tensors(group_sizes=torch.tensor([10, 20])), "groups make up"),
    "infinity in a gate": ("gated", tensors(r_mag=lambda r: r + float("inf")), "finite"),
    "a gate that overflows": ("gated", tensors(r_mag=lambda r: r + 200), "scale is finite"),
    "llama scope without its norm": ("llama", config(dataset_average_activation_norm=None), "mean norm"),
    "llama scope with a norm of 0": ("llama", config(dataset_average_activation_norm={"in": 0}), "mean norm"),
    "llama scope with a norm of text": ("llama", config(dataset_average_activation_norm={"in": "2"}), "in is a number"),
    "llama scope normalized otherwise": ("llama", config(norm_activation="batch-wise"), "norm_activation is"),
    "llama scope normalized nowhere": ("llama", config(norm_activation=None), "norm_activation is"),
    "llama scope transcoding": ("llama", config(hook_point_out="blocks.15.hook_mlp_out"), "transcoders"),
    "llama scope of queries": (
        "llama",
        config(hook_point_in="blocks.15.attn.hook_q", hook_point_out="blocks.15.attn.hook_q"),
        "a hook point is",
    ),
    "llama scope from attention to the stream": ("llama", config(hook_point_in="blocks.15.hook_attn_out"), "rebuilds"),
    "llama scope with a GLU": ("llama", config(use_glu_encoder=True), "cannot be used"),
    "llama scope with another activation": ("llama", config(act_fn="gelu"), "act_fn is"),
    "llama scope with a negative threshold": ("llama", config(jump_relu_threshold=-1), "at least 0"),
    "llama scope without top_k": ("llama-topk", config(top_k=None), "top_k is a whole number"),
    "llama scope with top_k above the width": ("llama-topk", config(top_k=WIDTH + 1), "top_k is at most"),
    "llama scope without weights": ("llama", lambda place: weights_of(place).unlink(), "final.safetensors is missing"),
    "llama scope without decoder": ("llama", tensors(decoder__weight=None), "missing: decoder.weight"),
    "llama scope transposed": ("llama", tensors(encoder__weight=lambda w: w.T), "encoder.weight is [40, 12]"),
    "R1 without its norm": ("r1", config(dataset_average_activation_norm=None), "mean norm"),
    "R1 without log thresholds": ("r1", tensors(log_jumprelu_threshold=None), "missing: log_jumprelu_threshold"),
    "R1 with thresholds that overflow": ("r1", tensors(log_jumprelu_threshold=lambda t: t + 200), "finite"),
    "R1 by decoder norms that count": ("r1", config(sparsity_include_decoder_norm=True), "norm 1"),
    "R1 of another size": ("r1", config(expansion_factor=5), "encoder.weight is [60, 12]"),
    "R1 of a crosscoder": ("r1", config(sae_type="crosscoder"), "transcoders"),
    "qwen of another width": (
        "qwen",
        lambda place: place.parent.rename(place.parent.parent / "SAE-Res-Qwen3-1.7B-Base-W2K-L0_50"),
        "W_enc is [2048, 12]",
    ),
    "qwen with k above the width": (
        "qwen",
        lambda place: place.parent.rename(place.parent.parent / "SAE-Res-Qwen3-1.7B-Base-W1K-L0_5000"),
        "k is at most",
    ),
    "qwen without its repository": ("qwen", lambda place: place.parent.rename(place.parent.parent / "qwen"), "pickled"),
    "qwen without its name": ("qwen", renamed("layer5.pt"), "published names"),
    "qwen transposed": ("qwen", tensors(W_enc=lambda w: w.T), "W_enc is [1024, 1024]"),
    "qwen with code": ("qwen", saved(code), "can run code"),
    "goodfire without its name": ("goodfire", renamed("sae.pth"), "published names"),
    "goodfire with other names of tensors": (
        "goodfire",
        tensors(encoder_linear__weight=None),
        "encoder_linear.weight, a matrix",
    ),
    "goodfire with a vector for a matrix": ("goodfire", tensors(encoder_linear__weight=lambda w: w[0]), "a matrix"),
    "goodfire without columns": ("goodfire", tensors(encoder_linear__weight=lambda w: w[:, :0]), "a matrix"),
    "deepseek with code": ("deepseek", saved(code), "can run code"),
    "deepseek with infinity": ("deepseek", tensors(encoder__bias=lambda b: b / 0), "finite"),
    "openai with another activation": ("openai", tensors(activation="Identity"), "the activation is ReLU"),
    "openai without k": ("openai", tensors(activation_state_dict={}), "the activation is ReLU"),
    "openai with k above the width": ("openai", tensors(activation_state_dict={"k": 99}), "the activation is ReLU"),
    "openai with signed features": (
        "openai",
        tensors(activation_state_dict={"k": 5, "postact_fn": "Identity"}),
        "the activation is ReLU",
    ),
    "openai of another place": (
        "openai",
        lambda place: place.parents[1].rename(place.parents[2] / "resid_pre_attn_v5_32k"),
        "published names",
    ),
    "openai of version 4": (
        "openai",
        lambda place: place.parents[1].rename(place.parents[2] / "resid_post_mlp_v4"),
        "published names",
    ),
    "openai of a layer it has not": ("openai", renamed("12.pt"), "published names"),
    "prisma transcoding": ("prisma", config(is_transcoder=True), "transcoders"),
    "prisma of one head": ("prisma", config(hook_point_head_index=3), "all attention heads"),
    "prisma of two hook points": ("prisma", config(hook_point="blocks.8.hook_mlp_out"), "one hook point"),
    "prisma of no layer": ("prisma", config(hook_point_layer=None), "a hook point is"),
    "prisma of several layers": ("prisma", config(hook_point_layer=[9]), "a hook point is"),
    "prisma normalized otherwise": ("prisma", config(normalize_activations="batch"), "normalize_activations is"),
    "prisma with tanh": ("prisma", config(activation_fn_str="tanh-relu"), "the architecture is"),
    "prisma without k": ("prisma-topk", config(activation_fn_kwargs={}), "k is a whole number"),
    "prisma with k above the width": ("prisma-topk", config(activation_fn_kwargs={"k": 41}), "k is a whole number"),
    "prisma with its config as an object": (
        "prisma",
        saved(lambda place: {"cfg": Executed(place / "executed"), "state_dict": {}}),
        "can run code",
    ),
    "prisma with its weights one level down": (
        "prisma",
        saved(lambda place: {"cfg": {}, "state_dict": {}}),
        "tensors only",
    ),
}


@pytest.mark.parametrize(("sound", "damage", "says"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_checkpoint_is_refused_with_a_way_forward(
    tmp_path: Path, sound: str, damage: Damage, says: str
) -> None:
    own = SOUND[sound]
    made = own.tensors()
    place = own.write(tmp_path / "made", made)
    load_sae(str(place))
    moved = damage(place)
    with pytest.raises(SAEError) as refused:
        load_sae(str(_where(tmp_path, place, moved)), decoder=True)
    assert says in str(refused.value)
    assert refused.value.got and refused.value.fix
    assert not list(tmp_path.rglob("executed"))


def _where(root: Path, place: Path, moved: object) -> Path:
    """The checkpoint after it, or a folder above it, may have been renamed."""
    if place.exists():
        return place
    if isinstance(moved, Path) and (moved.is_file() or moved.parent == place.parent):
        return moved
    return next(path for path in root.rglob(place.name) if path.is_file())


@pytest.mark.parametrize("name", ["layer5.sae.pt", "ae.pt", "weights.pt", "8.pt", "model.pth", "sae.pkl", "sae.bin"])
def test_a_pickle_with_code_is_never_run_whatever_its_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "SAE-Res-Qwen3-1.7B-Base-W1K-L0_50"
    folder.mkdir()
    torch.save(code(folder / name), folder / name)  # noqa: TID251
    for reference in (folder / name, folder):
        with pytest.raises(SAEError):
            load_sae(str(reference))
    assert not (tmp_path / "executed").exists() and not (folder / "executed").exists()


def test_a_link_out_of_the_folder_is_read_as_what_it_is(tmp_path: Path) -> None:
    own = SOUND["sparsify"]
    folder = own.write(tmp_path / "sound", own.tensors())
    linked = tmp_path / "linked" / "layers.10"
    linked.mkdir(parents=True)
    for name in ("cfg.json", "sae.safetensors"):
        (linked / name).symlink_to(folder / name)
    assert load_sae(str(linked)).sha256 == load_sae(str(folder)).sha256


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SAEError, match="its folder holds one of") as refused:
        load_sae(str(tmp_path))
    assert "no files" in refused.value.got
