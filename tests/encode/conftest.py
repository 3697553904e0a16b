"""Tiny random models of several families, saved as a hub would hold them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "on",
    "mat",
    "red",
    "blue",
    "refund",
    "money",
    "back",
    "please",
    "never",
    "not",
    "very",
    "good",
    "bad",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]

#: What most families call the same things.
SIZES: dict[str, Any] = dict(
    vocab_size=64, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, pad_token_id=0,
    bos_token_id=2, eos_token_id=3,
)  # fmt: skip
#: Positions counted from pad_token_id + 1, so that a table of 41 takes 40 tokens.
PADDED = SIZES | dict(max_position_embeddings=41)
CAUSAL = SIZES | dict(max_position_embeddings=40, num_key_value_heads=1)
T5: dict[str, Any] = dict(vocab_size=64, d_model=16, d_kv=6, d_ff=32, num_layers=4, num_heads=2, pad_token_id=0)
BLOOM = SIZES | dict(hidden_dropout=0.0, attention_dropout=0.0)
FALCON = BLOOM | dict(max_position_embeddings=40, ffn_hidden_size=32)
OPT = SIZES | dict(max_position_embeddings=40, ffn_dim=32)

#: Configurations by name: a family, or a family and what is odd about it.
CONFIGS: dict[str, Callable[[], transformers.PretrainedConfig]] = {
    "bert": lambda: transformers.BertConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    ),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=64, n_embd=16, n_layer=4, n_head=2, n_positions=40, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    ),
    "llama": lambda: transformers.LlamaConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=32, max_position_embeddings=40,
    ),
    "gemma2": lambda: transformers.Gemma2Config(
        vocab_size=64, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
        intermediate_size=32, max_position_embeddings=40, sliding_window=16,
    ),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40,
    ),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=64, dim=16, n_layers=4, n_heads=2, hidden_dim=32, max_position_embeddings=40,
    ),
    "gpt_neox sequential": lambda: transformers.GPTNeoXConfig(
        **SIZES, max_position_embeddings=40, use_parallel_residual=False,
    ),
    "mistral": lambda: transformers.MistralConfig(**CAUSAL, sliding_window=8, head_dim=6),
    "qwen2": lambda: transformers.Qwen2Config(
        **CAUSAL, use_sliding_window=True, sliding_window=8, max_window_layers=2,
    ),
    "qwen3": lambda: transformers.Qwen3Config(**CAUSAL, head_dim=6),
    "gemma": lambda: transformers.GemmaConfig(**CAUSAL, head_dim=6),
    "gemma3_text": lambda: transformers.Gemma3TextConfig(**CAUSAL, head_dim=6, sliding_window=8),
    "phi3": lambda: transformers.Phi3Config(**CAUSAL),
    "olmo2": lambda: transformers.Olmo2Config(**CAUSAL),
    "opt": lambda: transformers.OPTConfig(**OPT, word_embed_proj_dim=16),
    "opt post-norm": lambda: transformers.OPTConfig(**OPT, word_embed_proj_dim=12, do_layer_norm_before=False),
    "bloom": lambda: transformers.BloomConfig(**BLOOM),
    "falcon": lambda: transformers.FalconConfig(**FALCON),
    "falcon alibi": lambda: transformers.FalconConfig(**FALCON, alibi=True, parallel_attn=False, bias=True),
    "falcon grouped": lambda: transformers.FalconConfig(**FALCON, new_decoder_architecture=True, num_kv_heads=1),
    "roberta": lambda: transformers.RobertaConfig(**PADDED),
    "xlm-roberta": lambda: transformers.XLMRobertaConfig(**PADDED),
    "camembert": lambda: transformers.CamembertConfig(**PADDED),
    "electra": lambda: transformers.ElectraConfig(**SIZES, max_position_embeddings=40, embedding_size=12),
    "mpnet": lambda: transformers.MPNetConfig(**PADDED),
    "modernbert": lambda: transformers.ModernBertConfig(
        **SIZES, max_position_embeddings=40, local_attention=8, cls_token_id=2, sep_token_id=3,
    ),
    "t5": lambda: transformers.T5Config(**T5),
    "t5 gated": lambda: transformers.T5Config(**T5, feed_forward_proj="gated-gelu"),
    "mt5": lambda: transformers.MT5Config(**T5),
    "umt5": lambda: transformers.UMT5Config(**T5),
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a random model of a family, made once."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            torch.manual_seed(0)
            folder = tmp_path_factory.mktemp("models") / f"tiny-{family.replace(' ', '-')}"
            model = transformers.AutoModel.from_config(CONFIGS[family]())
            for parameter in model.parameters():  # the default init is so small that tokens and layers hardly differ
                if parameter.ndim > 1:  # but norms stay as they are: with small scales they wipe out what differs
                    torch.nn.init.normal_(parameter, std=0.3)
            model.save_pretrained(folder)
            save_tokenizer(folder)
            made[family] = folder
        return made[family]

    return make


@pytest.fixture
def byte_gpt2(tmp_path: Path) -> Callable[..., Path]:
    """Folder of a random GPT-2 with a byte-level tokenizer made as asked."""

    def make(**options: Any) -> Path:
        torch.manual_seed(0)
        config = transformers.GPT2Config(vocab_size=272, n_embd=16, n_layer=2, n_head=2, n_positions=64)
        folder = tmp_path / "byte-gpt2"
        transformers.GPT2Model(config).save_pretrained(folder)
        save_byte_tokenizer(folder, **options)
        return folder

    return make


CHATML = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n"
    "{% endfor %}"
)


def save_byte_tokenizer(
    folder: Path, *, bos: bool = True, adds_bos: bool = False, chat_template: str | None = None, room: int = 40
) -> None:
    """A byte-level BPE as GPT-2 has it: one token is BOS, EOS and the unknown word; 266 ids."""
    special = ["<|end|>", "<|im_start|>", "<|im_end|>"]
    merges = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("Ġ", "c"), ("a", "t"), ("Ġc", "at"), ("Ġ", "Ġ")]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet, *(a + b for a, b in merges)])}
    words = Tokenizer(models.BPE(vocabulary, merges))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.post_processor = (
        processors.TemplateProcessing(single="<|end|> $A", special_tokens=[("<|end|>", 0)])
        if adds_bos
        else processors.ByteLevel(trim_offsets=False)
    )
    roles = {"bos_token": "<|end|>"} if bos else {}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, **roles, eos_token="<|end|>", unk_token="<|end|>", model_max_length=room,
        additional_special_tokens=special[1:],
    )  # fmt: skip
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)


def save_tokenizer(folder: Path) -> None:
    """A word-level tokenizer with BERT's special tokens."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=40,
    ).save_pretrained(folder)  # fmt: skip
