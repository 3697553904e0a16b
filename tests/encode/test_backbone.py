"""Hidden states are those of the block asked for, of the selected tokens, whatever else is in the batch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from latentprobe.config import BackboneSpec
from latentprobe.encode.backbone import Backbone, load_backbone
from latentprobe.encode.families import FAMILIES
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.model_files import find_model
from latentprobe.errors import CorpusError, ModelError, SpecError

#: One of each kind; test_families.py has all of them.
FAMILY_NAMES = ["bert", "distilbert", "gemma2", "gpt2", "gpt_neox", "llama"]
TEXTS = ["the cat sat on the mat", "refund", "", "please give the money back now " * 3, "a zzz dog"]
Tiny = Callable[[str], Path]


def resid(layer: int) -> HookPoint:
    return HookPoint(layer, "resid_post")


def load(folder: Path, *layers: int, **options: Any) -> Backbone:
    return load_backbone(BackboneSpec(model=str(folder), layers=layers, **options))


def states(backbone: Backbone, texts: list[str], hook: HookPoint) -> list[torch.Tensor]:
    """Hidden states at one hook, one tensor a text."""
    tokens = backbone.tokenize(texts)
    return list(backbone.hidden_states(tokens, [hook])[hook].split([len(row) for row in tokens]))


def reference(folder: Path, text: str, layer: int) -> torch.Tensor:
    """Output of a block on one text alone, special tokens dropped: transformers and one hook, nothing of ours."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    kept: list[torch.Tensor] = []
    blocks = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 4)
    blocks[layer].register_forward_hook(lambda m, i, o: kept.append(o[0] if isinstance(o, tuple) else o))
    ids = transformers.AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        model(input_ids=ids)
    return kept[0][0, 1:-1]


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_layer_l_is_the_output_of_block_l_also_at_the_last_block(tiny_model: Tiny, family: str, layer: int) -> None:
    folder = tiny_model(family)
    ours = states(load(folder, layer), TEXTS, resid(layer))
    for text, state in zip(TEXTS, ours, strict=True):
        expected = reference(folder, text, layer)
        assert state.shape == expected.shape
        torch.testing.assert_close(state, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_mistake_1_hidden_states_by_index_are_another_layer(tiny_model: Tiny, family: str) -> None:
    """REFERENCE mistake 1: `hidden_states[L]` is block L - 1, and `[L + 1]` has been normed at the last block."""
    folder = tiny_model(family)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    ids = transformers.AutoTokenizer.from_pretrained(folder)(TEXTS[0], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        listed = [state[0, 1:-1] for state in model(input_ids=ids, output_hidden_states=True).hidden_states]
    backbone = load(folder, 1, 3)
    (middle,), (last,) = (states(backbone, TEXTS[:1], resid(layer)) for layer in (1, 3))
    torch.testing.assert_close(middle, listed[2], atol=2e-5, rtol=2e-5)
    assert not torch.allclose(middle, listed[1], atol=1e-2)
    assert not torch.allclose(last, listed[3], atol=1e-2)
    assert not torch.allclose(last, listed[4], atol=1e-2)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_mlp_out_and_attn_z_are_where_the_table_says(tiny_model: Tiny, family: str) -> None:
    """The residual stream after block 2 is rebuilt from what its own modules add, where the family just adds."""
    folder = tiny_model(family)
    backbone = load(folder, 2)
    for site in ("mlp_out", "attn_z"):
        state = states(backbone, TEXTS, HookPoint(2, site))  # type: ignore[arg-type]
        assert [len(part) for part in state] == [len(row) for row in backbone.tokenize(TEXTS)]
        assert all(torch.isfinite(part).all() for part in state)
    if family == "gpt2":  # pre-norm, sequential: resid_post = resid_mid + mlp_out, resid_mid = resid_pre + W_O z + b_O
        block = backbone._blocks[2]
        before, z, mlp, after = (
            torch.cat(states(backbone, TEXTS, hook))
            for hook in (resid(1), HookPoint(2, "attn_z"), HookPoint(2, "mlp_out"), resid(2))
        )
        torch.testing.assert_close(before + block.attn.c_proj(z) + mlp, after, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_mistake_3_a_text_does_not_depend_on_its_batch_mates(tiny_model: Tiny, family: str) -> None:
    """REFERENCE mistake 3: padding was pooled, so that vectors moved with the batch."""
    backbone = load(tiny_model(family), 1, 3)
    alone = [states(backbone, [text], resid(3))[0] for text in TEXTS]
    for order in ([0, 1, 2, 3, 4], [4, 2, 3, 0, 1], [3, 1]):
        together = states(backbone, [TEXTS[row] for row in order], resid(3))
        for row, state in zip(order, together, strict=True):
            torch.testing.assert_close(state, alone[row], atol=2e-5, rtol=2e-5)


def test_the_tokenizers_padding_side_changes_nothing(tiny_model: Tiny) -> None:
    backbone = load(tiny_model("llama"), 3)
    right = states(backbone, TEXTS, resid(3))
    backbone._reader._tokenizer.padding_side = "left"
    left = states(backbone, TEXTS, resid(3))
    assert all(torch.equal(a, b) for a, b in zip(right, left, strict=True))


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_blocks_after_the_deepest_layer_are_neither_loaded_nor_run(tiny_model: Tiny, family: str) -> None:
    backbone = load(tiny_model(family), 0, 2)
    assert len(backbone._blocks) == 3
    calls: list[int] = []
    for number, block in enumerate(backbone._blocks):
        block.register_forward_hook(lambda *_, number=number: calls.append(number))
    backbone.hidden_states(backbone.tokenize(TEXTS), [resid(0)])
    assert calls == [0]
    calls.clear()
    backbone.hidden_states(backbone.tokenize(TEXTS), [resid(0), resid(2)])
    assert calls == [0, 1, 2]


def test_special_tokens_are_selected_only_when_asked(tiny_model: Tiny) -> None:
    text = "the cat"
    content = load(tiny_model("bert"), 0).tokenize([text])[0]
    everything = load(tiny_model("bert"), 0, tokens="all").tokenize([text])[0]
    assert [text[a:b] for a, b in content.spans] == ["the", "cat"]
    assert len(everything) == 4


def test_a_special_token_typed_by_a_user_is_not_selected_but_an_unknown_word_is() -> None:
    backbone = load_backbone(BackboneSpec(layers=(0,)))
    text = "refund [SEP] 😀 now"
    tokens = backbone.tokenize([text])[0]
    assert [text[a:b] for a, b in tokens.spans] == ["ref", "und", "😀", "now"]


def test_a_long_text_is_split_into_windows_that_lose_nothing(tiny_model: Tiny) -> None:
    text = "the cat sat on a mat " * 30
    backbone = load(tiny_model("bert"), 1)
    tokens = backbone.tokenize([text])[0]
    assert len(tokens.windows) == 5
    assert [text[a:b] for a, b in tokens.spans] == text.split()
    assert states(backbone, [text], resid(1))[0].shape == (180, 16)
    assert len(load(tiny_model("bert"), 1, on_overflow="truncate").tokenize([text])[0]) == 38
    with pytest.raises(CorpusError, match="at most 40 tokens"):
        load(tiny_model("bert"), 1, on_overflow="error").tokenize([text])


def test_more_tokens_than_one_pass_takes_give_the_same_states(
    tiny_model: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = load(tiny_model("bert"), 1)
    whole = states(backbone, TEXTS, resid(1))
    monkeypatch.setattr("latentprobe.encode.backbone.BATCH_TOKENS", {"cpu": 16, "accelerator": 16})
    for a, b in zip(whole, states(backbone, TEXTS, resid(1)), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-5)


def test_bfloat16_states_come_out_as_float32(tiny_model: Tiny) -> None:
    exact = torch.cat(states(load(tiny_model("llama"), 2), TEXTS, resid(2)))
    rough = torch.cat(states(load(tiny_model("llama"), 2, dtype="bfloat16"), TEXTS, resid(2)))
    assert rough.dtype == torch.float32
    assert (rough - exact).norm() / exact.norm() < 0.05


def test_minilm_at_its_last_layer_equals_an_independent_encode() -> None:
    backbone = load_backbone(BackboneSpec(layers=(1, 3, 5)))
    assert backbone.max_tokens == 256
    model = transformers.AutoModel.from_pretrained(backbone.files.folder).eval()
    ids = transformers.AutoTokenizer.from_pretrained(backbone.files.folder)("Where is my refund?", return_tensors="pt")
    with torch.no_grad():
        listed = model(**ids, output_hidden_states=True).hidden_states
    for layer in (1, 3, 5):  # BERT has no final norm, so here the list is right at the last block too
        ours = states(backbone, ["x " * 50, "Where is my refund?"], resid(layer))[1]
        torch.testing.assert_close(ours, listed[layer + 1][0, 1:-1], atol=2e-5, rtol=2e-5)


@pytest.mark.shared
def test_a_real_causal_model_agrees_at_every_block(shared_models: Path) -> None:
    folder = shared_models / "stories260K"
    text = "Once upon a time there was a little dog 😀"
    model = transformers.AutoModel.from_pretrained(folder).eval()
    kept: dict[int, torch.Tensor] = {}
    for number, block in enumerate(model.layers):
        block.register_forward_hook(lambda m, i, o, n=number: kept.__setitem__(n, o[0] if isinstance(o, tuple) else o))
    with torch.no_grad():
        model(**transformers.AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt"))
    backbone = load(folder, 0, 1, 2, 3, 4)
    for layer in range(5):
        ours = states(backbone, ["Hi", text], resid(layer))[1]
        torch.testing.assert_close(ours, kept[layer].reshape(-1, 64)[1:], atol=2e-5, rtol=2e-5)


def test_the_same_bytes_in_another_folder_are_the_same_model(tiny_model: Tiny, tmp_path: Path) -> None:
    folder = tiny_model("bert")
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    assert find_model(str(copy)).identity == find_model(str(folder)).identity
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace('"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e-5'))
    assert find_model(str(copy)).identity != find_model(str(folder)).identity


def test_a_layer_the_model_does_not_have_is_refused(tiny_model: Tiny) -> None:
    with pytest.raises(SpecError, match="has layers 0 to 3"):
        load(tiny_model("bert"), 4)


def test_a_family_without_known_hook_points_is_refused_by_name(tiny_model: Tiny, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model("bert"), tmp_path / "odd")
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace('"model_type": "bert"', '"model_type": "berd"'))
    with pytest.raises(ModelError, match="no hook points") as refused:
        load(copy, 0)
    assert "did you mean 'bert'" in refused.value.fix
    assert {"bert", "gpt2", "llama", "gemma2", "qwen3", "roberta"} <= set(FAMILIES)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("config.json", "config.json"),
        ("model.safetensors", "safetensors"),
        ("tokenizer.json", "fast tokenizer"),
    ],
)
def test_a_folder_that_lacks_a_file_is_refused(tiny_model: Tiny, tmp_path: Path, damage: str, told: str) -> None:
    copy = shutil.copytree(tiny_model("bert"), tmp_path / "broken")
    (copy / damage).unlink()
    with pytest.raises(ModelError, match=told):
        load(copy, 0)


def test_truncated_weights_are_refused(tiny_model: Tiny, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model("bert"), tmp_path / "broken")
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelError):
        load(copy, 0)


def test_weights_that_lack_a_tensor_are_refused_not_filled_with_random_numbers(
    tiny_model: Tiny, tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_model("bert"), tmp_path / "partial")
    tensors = load_file(copy / "model.safetensors")
    save_file({name: t for name, t in tensors.items() if "layer.1." not in name}, copy / "model.safetensors")
    load(copy, 0)
    with pytest.raises(ModelError, match="lack tensors"):
        load(copy, 1)


@pytest.mark.parametrize("name", ["no/such/place", "./nowhere", "/nowhere", "a b", "..", ""])
def test_a_name_that_is_no_model_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError):
        find_model(name)


def test_other_weights_under_the_alias_minilm_are_refused(
    tiny_model: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model("bert"), tmp_path / "fake_minilm" / "model")
    (tmp_path / "fake_minilm" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("latentprobe.encode.model_files.MINILM_PACKAGE", "fake_minilm")
    with pytest.raises(ModelError, match="must have sha256"):
        find_model("minilm")


@pytest.mark.parametrize("device", ["cuda:7", "quantum"])
def test_a_device_that_is_not_there_is_refused(tiny_model: Tiny, device: str) -> None:
    with pytest.raises(SpecError, match="a device of this machine"):
        load(tiny_model("bert"), 0, device=device)


def test_windows_larger_than_the_model_takes_are_refused(tiny_model: Tiny) -> None:
    with pytest.raises(SpecError, match="at most 40 tokens"):
        load(tiny_model("bert"), 0, max_tokens=64)


def test_spans_are_exact_characters_of_the_users_string() -> None:
    backbone = load_backbone(BackboneSpec(layers=(0,)))
    text = "Café 😀\r\nnaïve e\u0301tude — שלום!"
    spans = backbone.tokenize([text])[0].spans
    assert np.all(spans[:, 0] < spans[:, 1]) and np.all(np.diff(spans[:, 0]) >= 0)
    words = [text[a:b] for a, b in spans]
    assert words[0] == "Café" and "😀" in words and "!" in words
