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
CAUSAL = [name for name in NAMES if name.split()[0] in
          {"gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "olmo2",
           "opt", "bloom", "falcon"}]  # fmt: skip


def load(folder: Path, *layers: int, **options: Any) -> Backbone:
    return load_backbone(BackboneSpec(model=str(folder), layers=layers, **options))


def states(backbone: Backbone, texts: list[str], hook: HookPoint) -> list[Tensor]:
    tokens = backbone.tokenize(texts)
    return list(backbone.hidden_states(tokens, [hook])[hook].split([len(row) for row in tokens]))


class Whole:
    """The whole model as transformers loads it, its blocks' inputs and outputs kept by hooks of its own."""

    def __init__(self, folder: Path) -> None:
        self.model = transformers.AutoModel.from_pretrained(folder).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        if self.model.config.is_encoder_decoder:  # the encoder inside the whole, not a class of encoders
            self.model = self.model.encoder
        self.blocks = next(m for m in self.model.modules() if isinstance(m, nn.ModuleList) and len(m) == 4)
        self.before: dict[int, Tensor] = {}
        self.after: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks):
            block.register_forward_pre_hook(lambda m, args, n=number: self.before.__setitem__(n, args[0].clone()))
            block.register_forward_hook(
                lambda m, args, out, n=number: self.after.__setitem__(n, out[0] if isinstance(out, tuple) else out)
            )

    def run(self, text: str) -> None:
        with torch.no_grad():
            self.model(input_ids=self.tokenizer(text, return_tensors="pt")["input_ids"])

    def added_up(self, name: str, layer: int, z: Tensor, mlp: Tensor) -> Tensor:
        """What the block must give, from its input and what its two parts add."""
        block, family, before = self.blocks[layer], name.split()[0], self.before[layer][0, 1:-1]
        path = next(path for path, families in PROJECTIONS.items() if family in families)
        with torch.no_grad():
            attention = block.get_submodule(path)(z)
            if family in SANDWICHED:
                attention = block.post_attention_layernorm(attention)
            if name not in POST_NORMS:
                return before + attention + mlp
            first, second = (block.get_submodule(norm) for norm in POST_NORMS[name])
            return second(first(before + attention) + mlp)


@pytest.mark.parametrize("place", LAYERS)
@pytest.mark.parametrize("name", NAMES)
def test_every_site_is_what_its_name_says(tiny_model: Tiny, name: str, place: str) -> None:
    """resid_post is the block's output; attn_z through the output projection, and mlp_out, are what the block adds."""
    layer = LAYERS[place]
    whole, backbone = Whole(tiny_model(name)), load(tiny_model(name), layer)
    sites: tuple[Site, ...] = ("resid_post", "attn_z", "mlp_out")
    resid, z, mlp = (states(backbone, TEXTS, HookPoint(layer, site)) for site in sites)
    for row, text in enumerate(TEXTS):
        whole.run(text)
        torch.testing.assert_close(resid[row], whole.after[layer][0, 1:-1], **EXACT)
        torch.testing.assert_close(whole.added_up(name, layer, z[row], mlp[row]), resid[row], **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_the_same_alone_and_in_any_company(tiny_model: Tiny, name: str) -> None:
    """Also where positions are counted from the mask or the ids: opt, roberta, mpnet, and alibi in bloom and falcon."""
    backbone = load(tiny_model(name), 3)
    for site in ("resid_post", "attn_z", "mlp_out"):
        hook = HookPoint(3, site)  # type: ignore[arg-type]
        together = states(backbone, TEXTS, hook)
        for text, state in zip(TEXTS, together, strict=True):
            torch.testing.assert_close(states(backbone, [text], hook)[0], state, **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_one_pass_for_all_sites_gives_what_one_pass_a_site_gives(tiny_model: Tiny, name: str) -> None:
    backbone = load(tiny_model(name), 1, 3)
    hooks = [HookPoint(layer, site) for layer in (1, 3) for site in ("resid_post", "mlp_out", "attn_z")]  # type: ignore[arg-type]
    tokens = backbone.tokenize(TEXTS)
    together = backbone.hidden_states(tokens, hooks)
    for hook in hooks:
        assert torch.equal(together[hook], backbone.hidden_states(tokens, [hook])[hook])


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
    whole, texts = Whole(tiny_model(name)), [text for text in TEXTS if text]
    padded = whole.tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
    given = {key: padded[key] for key in ("input_ids", "attention_mask")}
    if name == "gpt2":  # counts positions along the row
        given["position_ids"] = (given["attention_mask"].cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        whole.model(**given)
    ours = states(load(tiny_model(name), 2), texts, HookPoint(2, "resid_post"))
    for row, state in enumerate(ours):
        attended = given["attention_mask"][row].bool()
        torch.testing.assert_close(state, whole.after[2][row, attended][1:-1], atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_stays_near_float32(tiny_model: Tiny, name: str) -> None:
    exact, rough = (load(tiny_model(name), 3, dtype=dtype) for dtype in ("float32", "bfloat16"))
    for site in ("resid_post", "attn_z", "mlp_out"):
        hook = HookPoint(3, site)  # type: ignore[arg-type]
        expected, given = (torch.cat(states(backbone, TEXTS, hook)) for backbone in (exact, rough))
        assert given.dtype == torch.float32
        error = float((given - expected).norm() / expected.norm())
        assert 0 < error < BFLOAT16_ERROR


@pytest.mark.parametrize("name", NAMES)
def test_blocks_after_the_deepest_are_neither_loaded_nor_run(tiny_model: Tiny, name: str) -> None:
    backbone = load(tiny_model(name), 0, 2)
    assert len(backbone._blocks) == 3
    calls: list[int] = []
    for number, block in enumerate(backbone._blocks):
        block.register_forward_hook(lambda *_, n=number: calls.append(n))
    backbone.hidden_states(backbone.tokenize(TEXTS), [HookPoint(0, "mlp_out")])
    assert calls == [0]
    backbone.hidden_states(backbone.tokenize(TEXTS), [HookPoint(2, "attn_z")])
    assert calls == [0, 0, 1, 2]


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
