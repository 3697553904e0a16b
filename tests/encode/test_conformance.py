"""Every family, architecture, type and hook point, beside plain numpy; and at the last block of a real model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from latentprobe.config import BackboneSpec
from latentprobe.encode.backbone import load_backbone
from latentprobe.encode.formats import load_sae
from latentprobe.encode.hookpoints import HookPoint
from tests.encode.checkpoints import config_v6, write_saelens
from tests.encode.conformance import CASES, PAGE, Case, compare, page, without_figures
from tests.encode.layouts.case import Arrays, Tensors, arrays, draw, largest, layer_normed, pt, put, relu, safetensors

TABLE = [(case, dtype) for case in CASES for dtype in case.dtypes]


@pytest.mark.parametrize(("case", "dtype"), TABLE, ids=[f"{case.id}, {dtype}" for case, dtype in TABLE])
def test_a_family_gives_the_features_of_its_documentation(tmp_path: Path, case: Case, dtype: str) -> None:
    outcome = compare(case, dtype, tmp_path)
    assert outcome.active > 50
    assert outcome.values < 1e-5 and outcome.support <= outcome.entries * 1e-5
    assert outcome.rebuilt is None or outcome.rebuilt < 1e-5


@pytest.mark.slow
def test_the_page_on_families_is_current() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert without_figures(written) == without_figures(page()), "run `python -m tests.encode.conformance`"


TEXTS = ["Once upon a time there was a little girl.", "Tom saw a big dog in the park and said hello.", "No."]


def saelens(folder: Path, t: Tensors) -> Path:
    config = config_v6("jumprelu", d_in=64, d_sae=300, metadata={"hook_name": "blocks.4.hook_resid_post"})
    return write_saelens(folder, config, t)


def sparsify(folder: Path, t: Tensors) -> Path:
    put(folder / "layers.4", "cfg.json", {"d_in": 64, "num_latents": 300, "k": 6, "activation": "groupmax"})
    safetensors(folder / "layers.4" / "sae.safetensors", t)
    return folder / "layers.4"


def dictionary_learning(folder: Path, t: Tensors) -> Path:
    trainer = {"dict_class": "GatedAutoEncoder", "activation_dim": 64, "dict_size": 300, "layer": 4, "lm_name": "m"}
    put(folder, "config.json", {"trainer": trainer})
    return pt(folder / "ae.pt", t).parent


def qwen_scope(folder: Path, t: Tensors) -> Path:
    return pt(folder / "SAE-Res-Tiny-Base-W1K-L0_20" / "layer4.sae.pt", t)


def gemma_scope_2(folder: Path, t: Tensors) -> Path:
    put(folder, "config.json", {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.4.output", "width": 300})
    safetensors(folder / "params.safetensors", t)
    return folder


def llama_scope(folder: Path, t: Tensors) -> Path:
    hook = "blocks.4.hook_resid_post"
    config = {"hook_point_in": hook, "hook_point_out": hook, "d_model": 64, "d_sae": 300, "act_fn": "jumprelu"}
    config |= {"jump_relu_threshold": 0.4, "norm_activation": "dataset-wise", "expansion_factor": 8, "top_k": 50}
    config |= {"dataset_average_activation_norm": {"in": 20.0, "out": 20.0}, "sparsity_include_decoder_norm": True}
    put(folder / "L4R", "hyperparams.json", config | {"apply_decoder_bias_to_pre_encoder": False})
    safetensors(folder / "L4R" / "checkpoints" / "final.safetensors", t)
    return folder / "L4R"


def openai(folder: Path, t: Tensors) -> Path:
    held = t | {"stats_last_nonzero": torch.zeros(300, dtype=torch.long), "activation": "TopK"}
    path = folder / "resid_post_mlp_v5_32k" / "autoencoders" / "4.pt"
    return pt(path, held | {"activation_state_dict": {"k": 9, "postact_fn": "ReLU"}})


def encode_saelens(x: np.ndarray, t: Arrays) -> np.ndarray:
    pre = (x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]
    return relu(pre) * (pre > t["threshold"])


def encode_sparsify(x: np.ndarray, t: Arrays) -> np.ndarray:
    pre = relu((x - t["b_dec"]) @ t["encoder.weight"].T + t["encoder.bias"]).reshape(len(x), 6, 50)
    return (pre * (np.arange(50) == pre.argmax(2, keepdims=True))).reshape(len(x), 300)


def encode_gated(x: np.ndarray, t: Arrays) -> np.ndarray:
    h = (x - t["decoder_bias"]) @ t["encoder.weight"].T
    return (h + t["gate_bias"] > 0) * relu(np.exp(t["r_mag"]) * h + t["mag_bias"])


def encode_gemma_scope_2(x: np.ndarray, t: Arrays) -> np.ndarray:
    pre = x @ t["w_enc"] + t["b_enc"]
    return relu(pre) * (pre > t["threshold"])


def encode_llama_scope(x: np.ndarray, t: Arrays) -> np.ndarray:
    pre = x @ t["encoder.weight"].T + t["encoder.bias"] * 20 / 8  # sqrt(64) / 20 is the scale of the inputs
    pre = pre * np.linalg.norm(t["decoder.weight"], axis=0)
    return pre * (pre > 0.4)


def encode_openai(x: np.ndarray, t: Arrays) -> np.ndarray:
    return largest((layer_normed(x) - t["pre_bias"]) @ t["encoder.weight"].T + t["latent_bias"], 9)


LAYOUTS: dict[str, tuple[Callable[..., Path], Callable[..., np.ndarray], dict[str, tuple[int, ...]]]] = {
    "SAELens": (
        saelens,
        encode_saelens,
        {"W_enc": (64, 300), "W_dec": (300, 64), "b_enc": (300,), "b_dec": (64,), "threshold": (300,)},
    ),
    "sparsify": (
        sparsify,
        encode_sparsify,
        {"encoder.weight": (300, 64), "encoder.bias": (300,), "W_dec": (300, 64), "b_dec": (64,)},
    ),
    "dictionary_learning": (
        dictionary_learning,
        encode_gated,
        {"encoder.weight": (300, 64), "decoder.weight": (64, 300), "decoder_bias": (64,)}
        | dict.fromkeys(("r_mag", "gate_bias", "mag_bias"), (300,)),
    ),
    "Qwen-Scope": (
        qwen_scope,
        lambda x, t: largest(x @ t["W_enc"].T + t["b_enc"], 20),
        {"W_enc": (1024, 64), "W_dec": (64, 1024), "b_enc": (1024,), "b_dec": (64,)},
    ),
    "Gemma Scope 2": (
        gemma_scope_2,
        encode_gemma_scope_2,
        {"w_enc": (64, 300), "w_dec": (300, 64), "b_enc": (300,), "b_dec": (64,), "threshold": (300,)},
    ),
    "Llama Scope": (
        llama_scope,
        encode_llama_scope,
        {
            "encoder.weight": (300, 64),
            "encoder.bias": (300,),
            "decoder.weight": (64, 300),
            "decoder.bias": (64,),
        },
    ),
    "OpenAI v5": (
        openai,
        encode_openai,
        {"encoder.weight": (300, 64), "decoder.weight": (64, 300), "latent_bias": (300,), "pre_bias": (64,)},
    ),
}


@pytest.mark.shared
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_encodes_the_last_block_of_a_real_model(tmp_path: Path, shared_models: Path, layout: str) -> None:
    write, encode, shapes = LAYOUTS[layout]
    tensors = draw(**shapes)
    if "threshold" in tensors:
        tensors["threshold"] = tensors["threshold"].abs()
    sae = load_sae(str(write(tmp_path, tensors)))
    assert sae.hook == HookPoint(4, "resid_post")

    folder = shared_models / "stories260K"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    seen: list[torch.Tensor] = []
    model.model.layers[4].register_forward_hook(lambda module, args, out: seen.append(out))
    special = set(tokenizer.all_special_ids)
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        model(torch.tensor([ids]))
        states = seen.pop()
        states = (states[0] if isinstance(states, tuple) else states).reshape(len(ids), 64)
        seen.insert(0, states[[token not in special for token in ids]].detach())
    x = torch.cat(list(reversed(seen)))

    backbone = load_backbone(BackboneSpec(model=str(folder), layers=(4,), device="cpu"))
    own = backbone.hidden_states(backbone.tokenize(TEXTS), [sae.hook])[sae.hook]
    z, expected = sae.encode(own).csr().toarray(), encode(x.double().numpy(), arrays(tensors))
    assert z.shape == expected.shape and (expected > 0).sum() > 50
    assert ((z > 0) != (expected > 0)).mean() < 1e-3
    both = (z > 0) & (expected > 0)
    assert np.abs(z - expected)[both].max() < 1e-4 * expected.max()
