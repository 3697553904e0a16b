"""Every family, at every site, against transformers' whole model: the blocks' own inputs, outputs and additions.

What a family's block does with what its parts add is written down here once more, from its paper. A wrong module path,
or a tensor that was changed after it was taken, breaks the sum.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from latentprobe.config import BackboneSpec
from latentprobe.encode.backbone import Backbone, load_backbone
from latentprobe.encode.families import FAMILIES
from latentprobe.encode.hookpoints import HookPoint, Site
from latentprobe.encode.image_families import IMAGE_FAMILIES
from latentprobe.errors import ModelError
from tests.encode.conftest import CONFIGS

Tiny = Callable[[str], Path]
TEXTS = ["the cat sat on the mat", "refund", "", "please give the money back now " * 5, "a zzz dog"]
NAMES = sorted(CONFIGS)
LAYERS = {"first": 0, "middle": 2, "last": 3}
EXACT = dict(atol=5e-5, rtol=5e-5)

#: Relative error of the whole matrix of states at the last block: 8 bits of mantissa, through four random blocks.
BFLOAT16_ERROR = 0.06

#: The attention's output projection in a block, written independently of the table that is tested.
PROJECTIONS = {
    "attention.output.dense": ("bert", "roberta", "xlm-roberta", "camembert", "electra"),
    "attention.attn.o": ("mpnet",),
    "attention.out_lin": ("distilbert",),
    "attn.Wo": ("modernbert",),
    "attn.c_proj": ("gpt2",),
    "attention.dense": ("gpt_neox",),
    "self_attn.o_proj": ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "olmo2"),
    "self_attn.out_proj": ("opt",),
    "self_attention.dense": ("bloom", "falcon"),
    "layer.0.SelfAttention.o": ("t5", "mt5", "umt5"),
}
#: Norms of ``after = second(first(before + attention) + mlp)``.
POST_NORMS = {
    "bert": ("attention.output.LayerNorm", "output.LayerNorm"),
    "mpnet": ("attention.LayerNorm", "output.LayerNorm"),
    "distilbert": ("sa_layer_norm", "output_layer_norm"),
    "opt post-norm": ("self_attn_layer_norm", "final_layer_norm"),
}
POST_NORMS |= dict.fromkeys(("roberta", "xlm-roberta", "camembert", "electra"), POST_NORMS["bert"])
#: Families that norm what the attention gives before it is added.
SANDWICHED = {"gemma2", "gemma3_text", "olmo2"}
#: Attention and MLP read the same stream and are added together.
PARALLEL = {"gpt_neox", "falcon", "falcon grouped"}
#: Families that multiply the token embedding by the square root of its size.
SCALED = {"gemma", "gemma2", "gemma3_text"}
#: Where the token embedding is normalized with positions, or projected, before it enters the first block.
WITHOUT_EMBEDDING = {*POST_NORMS, "modernbert"}
CAUSAL = [name for name in NAMES if name.split()[0] in
          {"gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "olmo2",
           "opt", "bloom", "falcon"}]  # fmt: skip


def load(folder: Path, *layers: int, **options: Any) -> Backbone:
    return load_backbone(BackboneSpec(model=str(folder), layers=layers, **options))


def states(backbone: Backbone, texts: list[str], hook: HookPoint) -> list[Tensor]:
    tokens = backbone.tokenize(texts)
    return list(backbone.hidden_states(tokens, [hook])[hook].split([len(row) for row in tokens]))


def together(backbone: Backbone, texts: list[str], hooks: list[HookPoint]) -> dict[HookPoint, list[Tensor]]:
    """States at some hook points from one pass, one tensor a text."""
    tokens = backbone.tokenize(texts)
    sizes = [len(row) for row in tokens]
    return {hook: list(state.split(sizes)) for hook, state in backbone.hidden_states(tokens, hooks).items()}


def hooks_of(name: str, layer: int) -> list[HookPoint]:
    """The hook points that a family has at a layer; those before all blocks with every layer."""
    sites: list[Site] = ["resid_post", "mlp_out", "attn_z", "attn_out"]
    if name not in PARALLEL | set(POST_NORMS):
        sites.append("resid_mid")
    first: list[Site] = ["resid_pre"] + ["embed"] * (name not in WITHOUT_EMBEDDING)  # type: ignore[list-item]
    return [HookPoint(layer, site) for site in sites] + [HookPoint(0, site) for site in first]


def projection(name: str) -> str:
    return next(path for path, families in PROJECTIONS.items() if name.split()[0] in families)


class Whole:
    """The whole model as transformers loads it; inputs and outputs of its blocks, and heads, kept by its own hooks."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.model = transformers.AutoModel.from_pretrained(folder).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        if self.model.config.is_encoder_decoder:  # the encoder inside the whole, not a class of encoders
            self.model = self.model.encoder
        self.blocks = next(m for m in self.model.modules() if isinstance(m, nn.ModuleList) and len(m) == 4)
        self.before: dict[int, Tensor] = {}
        self.after: dict[int, Tensor] = {}
        self.z: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks):
            block.register_forward_pre_hook(lambda m, args, n=number: self.before.__setitem__(n, args[0].clone()))
            block.get_submodule(projection(name)).register_forward_pre_hook(
                lambda m, args, n=number: self.z.__setitem__(n, args[0].clone())
            )
            block.register_forward_hook(
                lambda m, args, out, n=number: self.after.__setitem__(n, out[0] if isinstance(out, tuple) else out)
            )

    @torch.no_grad()
    def run(self, **inputs: Tensor) -> None:
        self.ids = inputs["input_ids"]
        self.model(**inputs)

    def run_text(self, text: str) -> None:
        self.run(input_ids=self.tokenizer(text, return_tensors="pt")["input_ids"])

    @torch.no_grad()
    def state(self, hook: HookPoint) -> Tensor:
        """States of all tokens at any hook point but ``mlp_out``, by the definition of its name."""
        block, layer = self.blocks[hook.layer], hook.layer
        if hook.site in ("resid_post", "resid_pre", "attn_z"):
            return {"resid_post": self.after, "resid_pre": self.before, "attn_z": self.z}[hook.site][layer]
        if hook.site == "embed":
            table = self.model.get_input_embeddings().weight
            embedding = nn.functional.embedding(self.ids, table)
            if self.name == "bloom":
                return self.model.word_embeddings_layernorm(embedding)
            return embedding * table.shape[1] ** 0.5 if self.name in SCALED else embedding
        added = block.get_submodule(projection(self.name))(self.z[layer])
        if self.name in SANDWICHED:
            added = block.post_attention_layernorm(added)
        return added if hook.site == "attn_out" else self.before[layer] + added

    @torch.no_grad()
    def added_up(self, layer: int, attention: Tensor, mlp: Tensor) -> Tensor:
        """What the block must give, from its input and what its two parts add to one text's content."""
        before = self.before[layer][0, 1:-1]
        if self.name not in POST_NORMS:
            return before + attention + mlp
        first, second = (self.blocks[layer].get_submodule(norm) for norm in POST_NORMS[self.name])
        return second(first(before + attention) + mlp)


@pytest.mark.parametrize("place", LAYERS)
@pytest.mark.parametrize("name", NAMES)
def test_every_site_is_what_its_name_says(tiny_model: Tiny, name: str, place: str) -> None:
    """As the definitions give it on transformers' own modules; attn_out and mlp_out are what the block adds."""
    layer = LAYERS[place]
    whole, backbone = Whole(tiny_model(name), name), load(tiny_model(name), layer)
    given = together(backbone, TEXTS, hooks_of(name, layer))
    mlp, attention = (given[HookPoint(layer, site)] for site in ("mlp_out", "attn_out"))  # type: ignore[arg-type]
    for row, text in enumerate(TEXTS):
        whole.run_text(text)
        for hook in given:
            if hook.site != "mlp_out":
                torch.testing.assert_close(given[hook][row], whole.state(hook)[0, 1:-1], **EXACT)
        after = whole.after[layer][0, 1:-1]
        torch.testing.assert_close(whole.added_up(layer, attention[row], mlp[row]), after, **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_the_same_alone_and_in_any_company(tiny_model: Tiny, name: str) -> None:
    """Also where positions are counted from the mask or the ids: opt, roberta, mpnet, and alibi in bloom and falcon."""
    backbone, hooks = load(tiny_model(name), 3), hooks_of(name, 3)
    given = together(backbone, TEXTS, hooks)
    for row, text in enumerate(TEXTS):
        for hook, (alone,) in together(backbone, [text], hooks).items():
            torch.testing.assert_close(alone, given[hook][row], **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_one_pass_for_all_sites_gives_what_one_pass_a_site_gives(tiny_model: Tiny, name: str) -> None:
    backbone = load(tiny_model(name), 1, 3)
    hooks = list(dict.fromkeys([*hooks_of(name, 1), *hooks_of(name, 3)]))
    tokens = backbone.tokenize(TEXTS)
    given = backbone.hidden_states(tokens, hooks)
    for hook in hooks:
        assert torch.equal(given[hook], backbone.hidden_states(tokens, [hook])[hook])


@pytest.mark.parametrize("name", NAMES)
def test_the_padding_side_of_the_tokenizer_changes_nothing(tiny_model: Tiny, tmp_path: Path, name: str) -> None:
    folder, hook = shutil.copytree(tiny_model(name), tmp_path / "copy"), HookPoint(3, "resid_post")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    by_side = []
    for side in ("left", "right"):
        (folder / "tokenizer_config.json").write_text(json.dumps(config | {"padding_side": side}))
        by_side.append(torch.cat(states(load(folder, 3), TEXTS, hook)))
    assert torch.equal(*by_side)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_model_padded_on_the_left_by_transformers_agrees(tiny_model: Tiny, name: str) -> None:
    whole, texts = Whole(tiny_model(name), name), [text for text in TEXTS if text]
    padded = whole.tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
    inputs = {key: padded[key] for key in ("input_ids", "attention_mask")}
    if name == "gpt2":  # counts positions along the row
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
    whole.run(**inputs)
    for hook, ours in together(load(tiny_model(name), 2), texts, hooks_of(name, 2)).items():
        if hook.site != "mlp_out":
            for row, state in enumerate(ours):
                expected = whole.state(hook)[row, inputs["attention_mask"][row].bool()][1:-1]
                torch.testing.assert_close(state, expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_stays_near_float32(tiny_model: Tiny, name: str) -> None:
    hooks = hooks_of(name, 3)
    exact, rough = (together(load(tiny_model(name), 3, dtype=dtype), TEXTS, hooks) for dtype in ("float32", "bfloat16"))
    for hook in hooks:
        expected, given = torch.cat(exact[hook]), torch.cat(rough[hook])
        assert given.dtype == torch.float32
        assert 0 < float((given - expected).norm() / expected.norm()) < BFLOAT16_ERROR


@pytest.mark.parametrize("name", NAMES)
def test_nothing_behind_the_last_place_is_loaded_or_run(tiny_model: Tiny, name: str) -> None:
    """Counted by the matrices that blocks multiply with."""
    backbone = load(tiny_model(name), 0, 2)
    assert len(backbone._blocks) == 3
    calls: list[tuple[int, str]] = []
    for number, block in enumerate(backbone._blocks):
        for path, module in block.named_modules():
            if isinstance(module, nn.Linear | Conv1D):
                module.register_forward_hook(lambda *_, call=(number, path): calls.append(call))
    tokens, last = backbone.tokenize(TEXTS[:1]), (2, projection(name))

    def run(layer: int, site: Site) -> list[tuple[int, str]]:
        calls.clear()
        backbone.hidden_states(tokens, [HookPoint(layer, site)])
        return list(calls)

    whole = run(2, "resid_post")
    assert {number for number, _ in whole} == {0, 1, 2} and last in whole
    assert run(0, "resid_post") == [call for call in whole if call[0] == 0]
    assert run(2, "attn_z") == whole[: whole.index(last)]
    assert {number for number, _ in run(0, "mlp_out")} == {0}
    for hook in hooks_of(name, 2):
        if hook.site in ("attn_out", "resid_mid"):
            assert run(2, hook.site) == whole[: whole.index(last) + 1]
        elif hook.layer == 0:
            assert run(0, hook.site) == []


def refusal(folder: Path, site: Site) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load(folder, 0, hook=site)
    with pytest.raises(ModelError):
        states(load(folder, 0), TEXTS, HookPoint(0, site))
    return caught.value


@pytest.mark.parametrize("name", sorted(PARALLEL | set(POST_NORMS)))
def test_a_stream_between_attention_and_mlp_that_is_not_there_is_refused(tiny_model: Tiny, name: str) -> None:
    error = refusal(tiny_model(name), "resid_mid")
    assert ("added to it together" if name in PARALLEL else "normalized after each addition") in error.got
    assert name.split()[0] in error.got and "attn_out" in error.fix


def test_a_bloom_that_normalizes_its_stream_is_refused_between(tiny_model: Tiny, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("bloom"), tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"apply_residual_connection_post_layernorm": True}))
    assert "normalized" in refusal(folder, "resid_mid").got


@pytest.mark.parametrize("name", sorted(WITHOUT_EMBEDDING))
def test_a_token_embedding_that_does_not_enter_the_stream_as_it_is_is_refused(tiny_model: Tiny, name: str) -> None:
    assert "resid_pre" in refusal(tiny_model(name), "embed").fix


@pytest.mark.parametrize("name", ["t5", "mt5", "umt5"])
def test_of_an_encoder_with_a_decoder_only_the_encoder_is_loaded(tiny_model: Tiny, name: str) -> None:
    whole, backbone = transformers.AutoModel.from_pretrained(tiny_model(name)), load(tiny_model(name), 3)
    assert any("decoder" in part for part, _ in whole.named_parameters())
    assert not any("decoder" in part for part, _ in backbone._model.named_parameters())
    assert backbone.d_model == 16


def test_t5_hands_the_relative_positions_of_its_first_block_on(tiny_model: Tiny) -> None:
    """Only block 0 has the table; the order of words still reaches the last block, and umT5 has one in each."""
    backbone = load(tiny_model("t5"), 3)
    tables = [name for name, _ in backbone._model.named_parameters() if "relative_attention_bias" in name]
    assert tables == ["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    one, other = states(backbone, ["cat sat dog", "dog sat cat"], HookPoint(3, "attn_z"))
    assert not torch.allclose(one, other.flip(0), atol=1e-3)
    of_umt5 = [name for name, _ in load(tiny_model("umt5"), 3)._model.named_parameters() if "relative_att" in name]
    assert len(of_umt5) == 4


@pytest.mark.parametrize("name", ["roberta", "xlm-roberta", "camembert", "mpnet"])
def test_a_window_leaves_the_positions_that_padding_takes(tiny_model: Tiny, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(tiny_model(name), tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 8}))  # a table of 41 then takes 32
    backbone = load(folder, 0)
    assert backbone.max_tokens == 32
    assert len(states(backbone, ["the cat " * 60], HookPoint(0, "resid_post"))[0]) == 120


def test_a_model_without_any_limit_gets_a_window(tiny_model: Tiny, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("bloom"), tmp_path / "copy")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 10**30}))
    backbone = load(folder, 0)
    assert backbone.max_tokens == 2048
    assert [len(window) for window in backbone.tokenize(["the cat " * 1100])[0].windows] == [2048, 156]


def test_a_projection_that_is_not_called_as_a_module_is_refused(tiny_model: Tiny, tmp_path: Path) -> None:
    """Bloom can multiply in slices, past the module that is hooked."""
    folder = shutil.copytree(tiny_model("bloom"), tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pretraining_tp": 2, "slow_but_exact": True}))
    backbone = load(folder, 1)
    with pytest.raises(ModelError, match="calls the modules"):
        states(backbone, TEXTS, HookPoint(1, "mlp_out"))


def test_every_family_of_the_table_is_tested() -> None:
    """Those that read images are tested in test_images.py."""
    assert {name.split()[0] for name in NAMES} == set(FAMILIES) - set(IMAGE_FAMILIES)
