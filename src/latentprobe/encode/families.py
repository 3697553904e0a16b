"""Where the blocks of each model family are, and where in a block each hook point is: one table.

Paths start at the base model that the family's loader gives. A family that is not here is refused by name: a hook on
the wrong module gives numbers that look right. Knows nothing of how a model is loaded or run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from latentprobe.encode.hookpoints import HookPoint, Site
from latentprobe.encode.taps import Tap
from latentprobe.errors import ModelError, nearest

__all__ = ["FAMILIES", "Family", "find_blocks", "find_family", "find_tap", "require_site"]

#: What enters the first block is the token embedding: nothing is added to it or done with it.
FIRST_INPUT = "what enters the first block"


@dataclass(frozen=True)
class Family:
    """Module paths of one family."""

    blocks: str
    """The list of blocks; the output of block L is ``blocks.L.hook_resid_post``."""
    attn_z: str
    """In a block, the projection whose *input* is the concatenated heads."""
    mlp_out: str
    """In a block, the module whose *output* is added to the residual stream."""
    resid_mid: str | None
    """In a block, the module whose *input* is the residual stream with the attention added, without the MLP; None where
    the stream is normalized after each addition, so that there is no such state."""
    attn_out: str = ""
    """In a block, the module whose *output* is added to the residual stream; that of ``attn_z`` unless it is named."""
    embed: str | None = FIRST_INPUT
    """In the base model, the module whose *output* is the token embedding, as TransformerLens takes it; None where it
    is normalized together with positions, which is ``hook_embed`` in one version of TransformerLens only."""
    loader: str = "AutoModel"
    """The class of transformers that loads its base model; of an encoder with a decoder, the encoder alone."""
    after_padding: bool = False
    """Positions are counted from pad_token_id + 1, so that the table is longer than the text it takes."""


_BERT = Family("encoder.layer", "attention.output.dense", "output.dense", None, embed=None)
_ROBERTA = replace(_BERT, after_padding=True)
_LLAMA = Family("layers", "self_attn.o_proj", "mlp", "post_attention_layernorm")
_GEMMA_2 = Family(
    "layers",
    "self_attn.o_proj",
    "post_feedforward_layernorm",
    "pre_feedforward_layernorm",
    attn_out="post_attention_layernorm",
)
_CLIP = Family("encoder.layers", "self_attn.out_proj", "mlp", "layer_norm2")
_T5 = Family(
    "encoder.block",
    "layer.0.SelfAttention.o",
    "layer.1.DenseReluDense",
    "layer.1.layer_norm",
    loader="AutoModelForTextEncoding",
)

#: ``config.model_type`` to module paths.
FAMILIES: dict[str, Family] = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": _BERT,
    "mpnet": replace(_ROBERTA, attn_z="attention.attn.o"),
    "distilbert": Family("transformer.layer", "attention.out_lin", "ffn", None, embed=None),
    "modernbert": Family("layers", "attn.Wo", "mlp", "mlp_norm", embed=None),
    "gpt2": Family("h", "attn.c_proj", "mlp", "ln_2", embed="wte"),
    "gpt_neox": Family("layers", "attention.dense", "mlp", "post_attention_layernorm"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "phi3": _LLAMA,
    "gemma2": _GEMMA_2,
    "gemma3_text": _GEMMA_2,
    "olmo2": replace(_GEMMA_2, resid_mid="mlp"),
    "opt": Family("decoder.layers", "self_attn.out_proj", "fc2", "final_layer_norm", embed="decoder.embed_tokens"),
    # Bloom's mlp module adds the residual itself; its last projection is what is added.
    "bloom": Family("h", "self_attention.dense", "mlp.dense_4h_to_h", "post_attention_layernorm"),
    "falcon": Family("h", "self_attention.dense", "mlp", "post_attention_layernorm"),
    # Vision encoders; which models have them, or read images with a language model, is in image_families.py.
    "vit": Family("layers", "attention.o_proj", "mlp", "layernorm_after"),
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


def find_tap(model: nn.Module, hook: HookPoint) -> Tap:
    """Where the states of a hook point are in a loaded base model.

    Raises:
        ModelError: as :func:`find_blocks` and :func:`require_site`, or a block does not have the module.
    """
    config: Any = model.config
    family, block = find_family(str(config.model_type)), find_blocks(model, str(config.model_type))[hook.layer]
    require_site(config, hook.site)
    if hook.site == "resid_post":
        return Tap(block, at_input=False)
    if hook.site == "resid_pre" or (hook.site == "embed" and family.embed == FIRST_INPUT):
        return Tap(block, at_input=True)
    path = (family.attn_out or family.attn_z) if hook.site == "attn_out" else str(getattr(family, hook.site))
    module = _follow(model if hook.site == "embed" else block, path)
    if module is None:
        raise ModelError(
            f"a {config.model_type} model has its {hook.site} at '{path}'",
            got=f"{type(model).__name__} without it",
            fix="use `hook: resid_post`, or a version of transformers named in pyproject.toml",
        )
    return Tap(module, at_input=hook.site in ("attn_z", "resid_mid"))


def require_site(config: Any, site: Site) -> None:
    """Refuse a site that a model with this config does not have.

    Args:
        config: of the base model, as transformers reads it, with its defaults.
        site: what was asked for.

    Raises:
        ModelError: there is no such state in the model, or it is not one thing.
    """
    family = find_family(str(config.model_type))
    parallel = ("use_parallel_residual", "parallel_attn", "new_decoder_architecture")
    if site == "resid_mid" and any(getattr(config, key, False) for key in parallel):
        raise _absent(config, "its attention and MLP are added to it together", "resid_post, attn_out or mlp_out")
    normalized = not getattr(config, "do_layer_norm_before", True)
    normalized |= getattr(config, "apply_residual_connection_post_layernorm", False)
    if site == "resid_mid" and (family.resid_mid is None or normalized):
        raise _absent(config, "it is normalized after each addition", "resid_post, attn_out or mlp_out")
    projected = getattr(config, "word_embed_proj_dim", None) not in (None, config.hidden_size)
    if site == "embed" and (family.embed is None or projected):
        raise _absent(config, "token embeddings are projected, or normalized with positions, before it", "resid_pre")


def _absent(config: Any, why: str, instead: str) -> ModelError:
    missing = "the token embedding itself" if instead == "resid_pre" else "one state between attention and MLP"
    return ModelError(
        f"a residual stream with {missing} was expected",
        got=f"a {config.model_type} model: {why}",
        fix=f"use `hook: {instead}`",
    )


def _follow(module: nn.Module, path: str) -> nn.Module | None:
    """The submodule at a dotted path, or None."""
    for name in path.split("."):
        child = getattr(module, name, None)
        if not isinstance(child, nn.Module):
            return None
        module = child
    return module
