"""Whether an SAE was loaded right: figures beside plain numpy and transformers' own loss, and verdicts that tell."""

from __future__ import annotations

import doctest
import json
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import latentprobe.encode.impossible
from latentprobe.config import BackboneSpec
from latentprobe.encode.backbone import load_backbone
from latentprobe.encode.check import Figures, check_sae, demo_texts, judge, measure
from latentprobe.encode.formats import load_sae
from latentprobe.encode.impossible import refuse_impossible
from latentprobe.encode.latents import TokenLatents
from latentprobe.encode.splice import cross_entropy
from latentprobe.errors import CorpusError, MissingExtraError, SAEError, SpecError
from tests.encode.checkpoints import config_v6, write_saelens
from tests.encode.layouts.case import pt, put, safetensors

TEXTS = ["Once upon a time there was a little girl named Lily.", "Tom saw a big dog in the park.", "They were happy."]
D = 64


def whole(hook: str = "blocks.2.hook_resid_post", **changes: Any) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """An SAE that rebuilds everything: each direction and its opposite."""
    eye = torch.eye(D)
    tensors = {
        "W_enc": torch.cat([eye, -eye], 1),
        "W_dec": torch.cat([eye, -eye]),
        "b_enc": torch.zeros(2 * D),
        "b_dec": torch.zeros(D),
    }
    config = config_v6("standard", d_in=D, d_sae=2 * D, metadata={"hook_name": hook, "model_name": "stories260K"})
    return config, tensors | changes


@pytest.fixture(scope="module")
def story(shared_models: Path) -> str:
    return str(shared_models / "stories260K")


@pytest.mark.shared
def test_an_sae_that_rebuilds_everything_loses_nothing(tmp_path: Path, story: str) -> None:
    checked = check_sae(str(write_saelens(tmp_path, *whole())), model=story, texts=TEXTS, device="cpu")
    figures, entropy = checked.figures, checked.cross_entropy
    assert figures.explained_variance == pytest.approx(1) and figures.cosine == pytest.approx(1)
    assert figures.norm_ratio == pytest.approx(1) and figures.l0 == pytest.approx(D, abs=0.01)
    assert entropy is not None and entropy.recovered == pytest.approx(1, abs=1e-4)
    assert entropy.spliced == pytest.approx(entropy.clean, abs=1e-4) and entropy.ablated > entropy.clean + 0.1
    assert checked.verdict == "right" and json.dumps(checked.as_dict())


@pytest.mark.shared
@pytest.mark.parametrize(
    "hook",
    [
        "blocks.2.hook_resid_post",
        "blocks.1.hook_mlp_out",
        "blocks.3.attn.hook_z",
        "blocks.3.hook_attn_out",
        "blocks.2.hook_resid_mid",
        "blocks.0.hook_resid_pre",
        "hook_embed",
    ],
)
def test_the_clean_cross_entropy_is_the_models_own_and_splicing_happens_at_the_hook(
    tmp_path: Path, story: str, hook: str
) -> None:
    sae = load_sae(str(write_saelens(tmp_path, *whole(hook))), decoder=True)
    backbone = load_backbone(BackboneSpec(model=story, layers=(sae.hook.layer,), hook=sae.hook.site, device="cpu"))
    ours = cross_entropy(sae, backbone, TEXTS)
    model = AutoModelForCausalLM.from_pretrained(story).eval()
    ids = [torch.from_numpy(row.windows[0])[None] for row in backbone.tokenize(TEXTS)]
    with torch.no_grad():
        losses = [float(model(input_ids=row, labels=row).loss) * (row.shape[1] - 1) for row in ids]
    predicted = sum(row.shape[1] - 1 for row in ids)
    assert ours.clean == pytest.approx(sum(losses) / predicted, rel=1e-4)

    layer = model.model.layers[sae.hook.layer]
    masks = [torch.from_numpy(row.selected[0]) for row in backbone.tokenize(TEXTS)]
    current: list[torch.Tensor] = []

    def zeroed(states: torch.Tensor) -> torch.Tensor:
        return states * (~current[-1])[None, :, None]

    def zeroed_between(states: torch.Tensor, **others: Any) -> torch.Tensor:
        stream = zeroed(states + layer.self_attn(layer.input_layernorm(states), **others)[0])
        return stream + layer.mlp(layer.post_attention_layernorm(stream))

    if sae.hook.site == "resid_mid":
        layer.forward = zeroed_between
    elif sae.hook.site == "attn_out":
        layer.self_attn.o_proj.register_forward_hook(lambda module, args, out: zeroed(out))
    elif sae.hook.site in ("resid_pre", "embed"):
        model.model.embed_tokens.register_forward_hook(lambda module, args, out: zeroed(out))
    elif sae.hook.site == "attn_z":
        layer.self_attn.o_proj.register_forward_pre_hook(lambda module, args: (zeroed(args[0]),))
    elif sae.hook.site == "mlp_out":
        layer.mlp.register_forward_hook(lambda module, args, out: zeroed(out))
    else:
        layer.register_forward_hook(lambda module, args, out: zeroed(out))
    total = 0.0
    for row, mask in zip(ids, masks, strict=True):
        current.append(mask)
        with torch.no_grad():
            total += float(model(input_ids=row, labels=row).loss) * (row.shape[1] - 1)
    assert ours.ablated == pytest.approx(total / predicted, rel=1e-4)


@pytest.mark.shared
def test_the_figures_are_those_of_plain_numpy(tmp_path: Path, story: str) -> None:
    draw = torch.Generator().manual_seed(0)
    noise = {name: tensor + 0.05 * torch.randn(tensor.shape, generator=draw) for name, tensor in whole()[1].items()}
    sae = load_sae(str(write_saelens(tmp_path, whole()[0], noise)), decoder=True)
    backbone = load_backbone(BackboneSpec(model=story, layers=(2,), device="cpu"))
    figures, first = measure(sae, backbone, TEXTS * 3)
    tokens = backbone.tokenize(TEXTS * 3)
    x = backbone.hidden_states(tokens, [sae.hook])[sae.hook].double().numpy()
    t = {name: tensor.double().numpy() for name, tensor in noise.items()}
    z = np.maximum((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"], 0)
    back = z @ t["W_dec"] + t["b_dec"]
    norms = np.linalg.norm(x, axis=1)
    assert figures.tokens == len(x) and len(first) <= 512
    assert figures.l0 == pytest.approx((z > 0).sum(1).mean(), rel=1e-3)
    assert figures.dead_share == pytest.approx(((z > 0).sum(0) == 0).mean(), abs=0.01)
    spread = ((x - x.mean(0)) ** 2).sum()
    assert figures.explained_variance == pytest.approx(1 - ((x - back) ** 2).sum() / spread, rel=1e-4)
    cosine = (x * back).sum(1) / norms / np.linalg.norm(back, axis=1)
    assert figures.cosine == pytest.approx(cosine.mean(), rel=1e-5)
    assert figures.norm_ratio == pytest.approx(norms.mean() / np.linalg.norm(back, axis=1).mean(), rel=1e-5)
    assert figures.largest == pytest.approx((z / norms[:, None]).max(), rel=1e-4)


WRONG = {
    "a scale is missing": {"W_dec": torch.cat([torch.eye(D), -torch.eye(D)]) * 60},
    "features are on": {"b_enc": torch.full((2 * D,), 100.0)},
    "no feature is on": {"b_enc": torch.full((2 * D,), -1e4)},
    "times as long as the state": {"W_enc": torch.cat([torch.eye(D), -torch.eye(D)], 1) * 1e5},
    "the mean state explains more": {"W_dec": torch.cat([-torch.eye(D), torch.eye(D)])},
}


@pytest.mark.shared
@pytest.mark.parametrize(("says", "changes"), WRONG.items(), ids=WRONG)
def test_what_was_not_loaded_right_is_called_wrong(
    tmp_path: Path, story: str, says: str, changes: dict[str, torch.Tensor]
) -> None:
    checked = check_sae(str(write_saelens(tmp_path, *whole(**changes))), model=story, texts=TEXTS, device="cpu")
    assert checked.verdict == "wrong" and any(says in reason for reason in checked.reasons)


@pytest.mark.shared
def test_an_sae_of_another_size_is_refused_and_texts_without_tokens_too(tmp_path: Path, story: str) -> None:
    with pytest.raises(SAEError, match="size 64"):
        check_sae("bundled:minilm-l3-1k", model=story, texts=TEXTS, device="cpu")
    folder = str(write_saelens(tmp_path, *whole()))
    with pytest.raises(CorpusError, match="at least one token"):
        check_sae(folder, model=story, texts=["", ""], device="cpu")


def test_an_sae_that_names_no_model_needs_one(tmp_path: Path) -> None:
    config, tensors = whole()
    del config["metadata"]["model_name"]
    with pytest.raises(SpecError, match="--model"):
        check_sae(str(write_saelens(tmp_path, config, tensors)), texts=TEXTS)


@pytest.mark.slow
def test_a_bundled_sae_is_right_on_the_messages_of_the_package() -> None:
    checked = check_sae("bundled:minilm-l3-1k", texts=demo_texts()[:60], device="cpu")
    assert checked.verdict == "right" and checked.cross_entropy is None
    assert set(checked.published) == {"l0", "explained_variance", "dead_share"}


SOUND = Figures(1000, 40.0, 0.1, 0.8, 0.9, 1.1, 0.5)


@pytest.mark.parametrize(
    ("changes", "published", "verdict"),
    [
        ({}, {}, "right"),
        ({}, {"l0": 36.0, "explained_variance": 0.85}, "right"),
        ({"l0": 200.0}, {"l0": 36.0}, "doubtful"),
        ({"l0": 5.0}, {"l0": 36.0}, "doubtful"),
        ({"explained_variance": 0.4}, {"explained_variance": 0.85}, "doubtful"),
        ({"explained_variance": 0.1}, {}, "doubtful"),
        ({"norm_ratio": 0.1}, {}, "wrong"),
        ({"norm_ratio": 20.0}, {}, "wrong"),
        ({"l0": 501.0}, {}, "wrong"),
        ({"l0": 0.0}, {"l0": 36.0}, "wrong"),
    ],
)
def test_verdicts_follow_from_figures(changes: dict[str, float], published: dict[str, float], verdict: str) -> None:
    told, reasons = judge(replace(SOUND, **changes), 1000, published)
    assert told == verdict and reasons


def latents(rows: list[list[float]]) -> TokenLatents:
    dense = np.array(rows, np.float32)
    row, column = dense.nonzero()
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(dense)))])
    return TokenLatents(indptr, column.astype(np.int32), dense[row, column], dense.shape[1])


def test_impossible_latents_are_refused_and_others_are_not() -> None:
    refuse_impossible(latents([[1, 0, 0, 0]] * 5), "r", norms=np.ones(5))
    refuse_impossible(latents([[1, 1, 0, 0]] * 5), "r")
    refuse_impossible(latents([[0, 0]] * 63), "r")
    refuse_impossible(TokenLatents(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), 4), "r")
    with pytest.raises(SAEError, match="at most half"):
        refuse_impossible(latents([[1] * 300 + [0] * 290] * 5), "r")
    refuse_impossible(latents([[1, 1, 1, 0]] * 5), "a dictionary too small to be sparse in")
    with pytest.raises(SAEError, match="at some tokens") as refused:
        refuse_impossible(latents([[0, 0]] * 64), "some/ref")
    assert "latentprobe saes check some/ref" in refused.value.fix
    with pytest.raises(SAEError, match="scale of the hidden states"):
        refuse_impossible(latents([[1, 0], [5000, 0]]), "r", norms=np.array([1.0, 2.0]))
    with pytest.raises(SAEError, match="finite"):
        refuse_impossible(latents([[np.inf, 0, 0]]), "r")


def test_the_example_of_the_light_check_runs() -> None:
    assert doctest.testmod(latentprobe.encode.impossible, optionflags=doctest.ELLIPSIS).failed == 0


class Library:
    """What sae-lens would give, for a folder of its own format."""

    factor = 1.0

    def __init__(self, folder: str) -> None:
        self.t = load_file(Path(folder) / "sae_weights.safetensors")

    @classmethod
    def load_from_disk(cls, folder: str, device: str) -> Library:
        return cls(folder)

    def float(self) -> Library:
        return self

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        pre = (x - self.t["b_dec"]) @ self.t["W_enc"] + self.t["b_enc"]
        return torch.relu(pre) * self.factor


@pytest.mark.shared
def test_features_are_compared_with_the_library_that_owns_the_format(
    tmp_path: Path, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sae_lens", types.SimpleNamespace(SAE=Library))
    folder = str(write_saelens(tmp_path, *whole()))
    agreed = check_sae(folder, model=story, texts=TEXTS, origin=True, device="cpu").origin
    assert agreed is not None and agreed.agrees and agreed.scale == pytest.approx(1) and agreed.active > 500
    monkeypatch.setattr(Library, "factor", 3.0)
    scaled = check_sae(folder, model=story, texts=TEXTS, origin=True, device="cpu").origin
    assert scaled is not None and scaled.agrees and scaled.scale == pytest.approx(3)
    monkeypatch.setattr(Library, "encode", lambda self, x: torch.relu(x @ self.t["W_enc"] - 0.5))
    other = check_sae(folder, model=story, texts=TEXTS, origin=True, device="cpu")
    assert other.origin is not None and not other.origin.agrees and other.verdict == "wrong"


@pytest.mark.shared
def test_without_the_library_the_comparison_says_what_to_install(
    tmp_path: Path, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    with pytest.raises(MissingExtraError, match="saelens"):
        check_sae(str(write_saelens(tmp_path, *whole())), model=story, texts=TEXTS, origin=True, device="cpu")


@pytest.mark.shared
def test_a_library_that_does_not_read_a_checkpoint_is_a_refusal(
    tmp_path: Path, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: str, device: str) -> Library:
        raise RuntimeError("size mismatch for W_dec")

    monkeypatch.setitem(sys.modules, "sae_lens", types.SimpleNamespace(SAE=Library))
    monkeypatch.setattr(Library, "load_from_disk", broken)
    with pytest.raises(SAEError, match="sae-lens reads") as refused:
        check_sae(str(write_saelens(tmp_path, *whole())), model=story, texts=TEXTS, origin=True, device="cpu")
    assert "size mismatch" in refused.value.got


@pytest.mark.shared
def test_a_family_whose_library_is_not_there_is_not_compared(
    tmp_path: Path, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sae_lens", types.SimpleNamespace(SAE=Library))
    monkeypatch.setitem(sys.modules, "sparsify", None)
    eye = torch.eye(D)
    put(tmp_path / "layers.2", "cfg.json", {"d_in": D, "num_latents": 128, "k": 64})
    shapes = {"encoder.weight": torch.cat([eye, -eye]), "W_dec": torch.cat([eye, -eye])}
    tensors = shapes | {"encoder.bias": torch.zeros(128), "b_dec": torch.zeros(D)}
    safetensors(tmp_path / "layers.2" / "sae.safetensors", tensors)
    folder = str(tmp_path / "layers.2")
    with pytest.raises(SAEError, match="needs that library") as refused:
        check_sae(folder, model=story, texts=TEXTS, origin=True, device="cpu")
    assert "eai-sparsify" in refused.value.fix
    assert check_sae(folder, model=story, texts=TEXTS, device="cpu").verdict == "right"


@pytest.mark.shared
def test_a_family_that_no_library_reads_is_not_compared(tmp_path: Path, story: str) -> None:
    eye = torch.eye(D)
    config = {"model_name": "m", "hook_point_layer": 2, "layer_subtype": "hook_resid_post", "d_in": D, "d_sae": 2 * D}
    put(tmp_path, "config.json", config)
    tensors = {"W_enc": torch.cat([eye, -eye], 1), "W_dec": torch.cat([eye, -eye]), "b_enc": torch.zeros(2 * D)}
    pt(tmp_path / "weights.pt", tensors | {"b_dec": torch.zeros(D)})
    with pytest.raises(SAEError, match="a library that reads this SAE"):
        check_sae(str(tmp_path), model=story, texts=TEXTS, origin=True, device="cpu")
