"""Tiny random models that read images, saved with their processors as a hub would hold them, and small pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors

#: 16 patches of 4 x 4 pixels.
VISION: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 16,
    "patch_size": 4,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 32, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3,
}  # fmt: skip
GEMMA: dict[str, Any] = TEXT | {"head_dim": 8}
CAPTION: dict[str, Any] = {
    "vocab_size": 32, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
}  # fmt: skip
WORDS = ["<pad>", "<unk>", "<bos>", "<eos>", "<image>", "<boi>", "<eoi>", "\n", "\n\n"]
SQUARE = {"height": 16, "width": 16}


def tokenizer(*, begins: bool = True, **special: str) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer that knows line breaks and the tokens around an image."""
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
    if begins:
        words.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", bos_token="<bos>", eos_token="<eos>",
        extra_special_tokens=special,
    )  # fmt: skip


def vit() -> tuple[Any, Any]:
    return transformers.ViTModel(transformers.ViTConfig(**VISION)), transformers.ViTImageProcessorPil(size=SQUARE)


def _cropping() -> Any:
    return transformers.CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=SQUARE)


def clip() -> tuple[Any, Any]:
    """The whole of CLIP, as checkpoints hold it."""
    config = transformers.CLIPConfig(text_config=CAPTION, vision_config=VISION, projection_dim=8)
    return transformers.CLIPModel(config), _cropping()


def clip_vision_model() -> tuple[Any, Any]:
    return transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**VISION)), _cropping()


def siglip() -> tuple[Any, Any]:
    config = transformers.SiglipConfig(text_config=CAPTION, vision_config=VISION)
    return transformers.SiglipModel(config), transformers.SiglipImageProcessorPil(size=SQUARE)


def siglip_vision_model() -> tuple[Any, Any]:
    config = transformers.SiglipVisionConfig(**VISION)
    return transformers.SiglipVisionModel(config), transformers.SiglipImageProcessorPil(size=SQUARE)


def _paligemma(text: Any) -> tuple[Any, Any]:
    pictures = transformers.SiglipImageProcessorPil(size=SQUARE)
    pictures.image_seq_length = 16
    tower = transformers.SiglipVisionConfig(**VISION, projection_dim=24, vision_use_head=False)
    config = transformers.PaliGemmaConfig(
        vision_config=tower.to_dict(), text_config=text.to_dict(), image_token_index=4, projection_dim=24
    )
    model = transformers.PaliGemmaForConditionalGeneration(config)
    words = tokenizer(begins=False, image_token="<image>")
    return model, transformers.PaliGemmaProcessor(pictures, words)


def paligemma() -> tuple[Any, Any]:
    return _paligemma(transformers.GemmaConfig(**GEMMA | {"vocab_size": 1100}))  # its processor adds 1,152 tokens


def paligemma2() -> tuple[Any, Any]:
    return _paligemma(transformers.Gemma2Config(**GEMMA | {"vocab_size": 1100}, sliding_window=32))


def gemma3() -> tuple[Any, Any]:
    """Its connector makes 4 tokens of 16 patches."""
    words = tokenizer(image_token="<image>", boi_token="<boi>", eoi_token="<eoi>")
    pictures = transformers.Gemma3ImageProcessorPil(size=SQUARE)
    config = transformers.Gemma3Config(
        vision_config=transformers.SiglipVisionConfig(**VISION, vision_use_head=False).to_dict(),
        text_config=transformers.Gemma3TextConfig(**GEMMA, sliding_window=32).to_dict(),
        image_token_index=4, boi_token_index=5, eoi_token_index=6, mm_tokens_per_image=4,
    )  # fmt: skip
    model = transformers.Gemma3ForConditionalGeneration(config)
    return model, transformers.Gemma3Processor(pictures, words, image_seq_length=4)


def llava() -> tuple[Any, Any]:
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION).to_dict(),
        text_config=transformers.LlamaConfig(**TEXT).to_dict(),
        image_token_index=4,
    )
    processor = transformers.LlavaProcessor(
        _cropping(), tokenizer(image_token="<image>"), patch_size=4, vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )  # fmt: skip
    return transformers.LlavaForConditionalGeneration(config), processor


VISION_ONLY: dict[str, Callable[[], tuple[Any, Any]]] = {
    "vit": vit,
    "clip": clip,
    "clip_vision_model": clip_vision_model,
    "siglip": siglip,
    "siglip_vision_model": siglip_vision_model,
}
WITH_LANGUAGE: dict[str, Callable[[], tuple[Any, Any]]] = {
    "paligemma": paligemma,
    "paligemma2": paligemma2,
    "gemma3": gemma3,
    "llava": llava,
}
MODELS = VISION_ONLY | WITH_LANGUAGE


def save_model(name: str, folder: Path) -> Path:
    """Write a random model and its processor."""
    torch.manual_seed(0)
    model, processor = MODELS[name]()
    for parameter in model.parameters():  # the default init is so small that tokens and layers hardly differ
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_pictures(folder: Path, classes: tuple[str, ...] = ("stripes", "checks"), *, each: int = 3) -> Path:
    """Noisy pictures of stripes and of checks, of several sizes, each class in a folder."""
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for row in range(each):
            height, width = rng.integers(16, 40, 2)
            down, across = np.arange(height)[:, None] * 8 // height, np.arange(width)[None] * 8 // width
            pattern = (down + (0 if name == "stripes" else across) + np.zeros_like(across)) % 2 * 160
            noisy = pattern[..., None] + rng.integers(0, 90, (height, width, 3))
            Image.fromarray(noisy.astype(np.uint8)).save(folder / name / f"{row:02d}.png")
    return folder
