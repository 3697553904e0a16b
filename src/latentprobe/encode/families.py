"""Where the blocks of each model family are, and where in a block each hook point is: one table.

Paths start at the base model that the family's loader gives. A family that is not here is refused by name: a hook on
the wrong module gives numbers that look right. Knows nothing of how a model is loaded or run.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from latentprobe.encode.hookpoints import HookPoint
from latentprobe.errors import ModelError, nearest

__all__ = ["FAMILIES", "Family", "find_blocks", "find_family", "find_site"]


@dataclass(frozen=True)
class Family:
    """Module paths of one family."""

    blocks: str
    """The list of blocks; the output of block L is ``blocks.L.hook_resid_post``."""
    attn_z: str
    """In a block, the projection whose *input* is the concatenated heads."""
    mlp_out: str
    """In a block, the module whose *output* is added to the residual stream."""
    loader: str = "AutoModel"
    """The class of transformers that loads its base model; of an encoder with a decoder, the encoder alone."""
    after_padding: bool = False
    """Positions are counted from pad_token_id + 1, so that the table is longer than the text it takes."""


_BERT = Family("encoder.layer", "attention.output.dense", "output.dense")
_ROBERTA = Family("encoder.layer", "attention.output.dense", "output.dense", after_padding=True)
_LLAMA = Family("layers", "self_attn.o_proj", "mlp")
_SANDWICHED = Family("layers", "self_attn.o_proj", "post_feedforward_layernorm")
_CLIP = Family("encoder.layers", "self_attn.out_proj", "mlp")
_T5 = Family("encoder.block", "layer.0.SelfAttention.o", "layer.1.DenseReluDense", loader="AutoModelForTextEncoding")

#: ``config.model_type`` to module paths.
FAMILIES: dict[str, Family] = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": _BERT,
    "mpnet": Family("encoder.layer", "attention.attn.o", "output.dense", after_padding=True),
    "distilbert": Family("transformer.layer", "attention.out_lin", "ffn"),
    "modernbert": Family("layers", "attn.Wo", "mlp"),
    "gpt2": Family("h", "attn.c_proj", "mlp"),
    "gpt_neox": Family("layers", "attention.dense", "mlp"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "phi3": _LLAMA,
    "gemma2": _SANDWICHED,
    "gemma3_text": _SANDWICHED,
    "olmo2": _SANDWICHED,
    "opt": Family("decoder.layers", "self_attn.out_proj", "fc2"),
    # Bloom's mlp module adds the residual itself; its last projection is what is added.
    "bloom": Family("h", "self_attention.dense", "mlp.dense_4h_to_h"),
    "falcon": Family("h", "self_attention.dense", "mlp"),
    # Vision encoders; which models have them, or read images with a language model, is in image_families.py.
    "vit": Family("layers", "attention.o_proj", "mlp"),
    "clip_vision_model": _CLIP,
    "siglip_vision_model": _CLIP,
    "t5": _T5,
    "mt5": _T5,
    "umt5": _T5,
}


def find_family(model_type: str) -> Family:
    """The family of a model type, or a refusal that names those that are known."""
    if model_type not in FAMILIES:
        raise ModelError(
            "no hook points are known for this model family",
            got=f"model_type {model_type!r}",
            fix=f"use a model of one of: {', '.join(sorted(FAMILIES))}{nearest(model_type, FAMILIES)}",
        )
    return FAMILIES[model_type]


def find_blocks(model: nn.Module, model_type: str) -> nn.ModuleList:
    """The blocks of a loaded base model, in the order they run.

    Raises:
        ModelError: the family is unknown, or this model does not have its blocks where its family has them.
    """
    path = find_family(model_type).blocks
    blocks = _follow(model, path)
    if not isinstance(blocks, nn.ModuleList) or len(blocks) == 0:
        raise ModelError(
            f"a {model_type} model has its blocks at '{path}'",
            got=f"{type(model).__name__} with {type(blocks).__name__} there",
            fix="this version of transformers may have moved them: use a version named in pyproject.toml",
        )
    return blocks


def find_site(blocks: nn.ModuleList, model_type: str, hook: HookPoint) -> nn.Module:
    """The module to hook for a hook point: its output for ``resid_post`` and ``mlp_out``, its input for ``attn_z``."""
    block = blocks[hook.layer]
    if hook.site == "resid_post":
        return block
    family = find_family(model_type)
    path = family.attn_z if hook.site == "attn_z" else family.mlp_out
    module = _follow(block, path)
    if module is None:
        raise ModelError(
            f"a {model_type} block has its {hook.site} at '{path}'",
            got=f"{type(block).__name__} without it",
            fix="use `hook: resid_post`, or a version of transformers named in pyproject.toml",
        )
    return module


def _follow(module: nn.Module, path: str) -> nn.Module | None:
    """The submodule at a dotted path, or None."""
    for name in path.split("."):
        child = getattr(module, name, None)
        if not isinstance(child, nn.Module):
            return None
        module = child
    return module
