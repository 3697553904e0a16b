"""Which model families read images, and which part of each has the hook points: one table.

A vision encoder is hooked in its own blocks; of a vision-language model, the blocks of the language model are, where
images and texts have become tokens alike. Without torch: a model is recognized before it is loaded. Knows nothing of
pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from latentprobe.config import BackboneSpec
from latentprobe.errors import ModelError, SpecError, nearest

__all__ = ["IMAGE_FAMILIES", "ImageFamily", "find_image_family", "hidden_size", "reads_images", "require_rows"]


@dataclass(frozen=True)
class ImageFamily:
    """How one family that reads images is loaded."""

    loader: str
    """The class of transformers that loads it without heads."""
    part: Literal["vision_config", "text_config"] | None
    """The part of its config that describes the blocks with the hook points; None: the config itself."""

    @property
    def has_language(self) -> bool:
        """Whether images become tokens of a language model."""
        return self.part == "text_config"


#: ``config.model_type`` to what is loaded. Of CLIP and SigLIP checkpoints, the vision encoder alone.
IMAGE_FAMILIES: dict[str, ImageFamily] = {
    "vit": ImageFamily("ViTModel", None),
    "clip": ImageFamily("CLIPVisionModel", "vision_config"),
    "clip_vision_model": ImageFamily("CLIPVisionModel", None),
    "siglip": ImageFamily("SiglipVisionModel", "vision_config"),
    "siglip_vision_model": ImageFamily("SiglipVisionModel", None),
    "paligemma": ImageFamily("PaliGemmaModel", "text_config"),
    "gemma3": ImageFamily("Gemma3Model", "text_config"),
    "llava": ImageFamily("LlavaModel", "text_config"),
}


def find_image_family(model_type: str) -> ImageFamily:
    """The family of a model type, or a refusal that names those that are known."""
    if model_type not in IMAGE_FAMILIES:
        raise ModelError(
            "no hook points for images are known for this model family",
            got=f"model_type {model_type!r}",
            fix=f"use a model of one of: {', '.join(sorted(IMAGE_FAMILIES))}{nearest(model_type, IMAGE_FAMILIES)}",
        )
    return IMAGE_FAMILIES[model_type]


def reads_images(config: Mapping[str, Any]) -> bool:
    """Whether a model with this config.json is of a family that reads images."""
    return config.get("model_type") in IMAGE_FAMILIES


def hidden_size(config: Mapping[str, Any]) -> int | None:
    """Size of the hidden state at the hook points, where config.json tells it."""
    if reads_images(config) and (part := IMAGE_FAMILIES[config["model_type"]].part):
        config = config.get(part, {})
    sizes = (config.get(key) for key in ("hidden_size", "n_embd", "n_embed", "dim", "d_model"))
    return next((int(size) for size in sizes if size), None)


def require_rows(spec: BackboneSpec, config: Mapping[str, Any], *, images: bool) -> None:
    """Refuse a model, or a choice of tokens, that does not go with the rows.

    Args:
        spec: what was asked for.
        config: content of the model's config.json.
        images: whether the rows are images; else they are texts.

    Raises:
        ModelError: images for a model that reads none, texts for one that reads images alone.
        SpecError: ``tokens``, a prompt or a template that such rows, or such a model, do not have.
    """
    if not images:
        if reads_images(config) and not find_image_family(config["model_type"]).has_language:
            raise ModelError(
                "a model that reads texts was expected: the rows are texts",
                got=f"{spec.model}, which reads images",
                fix="name a language model, or give the images: a folder as `path`, or the column of paths as `image`",
            )
        if spec.tokens in ("image", "text"):
            raise SpecError(
                "`image` and `text` tell apart the tokens of an image's prompt; the rows are texts",
                got=f"tokens: {spec.tokens}",
                fix="set `tokens: content`, or `all` for special tokens too",
            )
        return
    family = find_image_family(str(config.get("model_type")))
    if spec.hook == "embed":
        raise SpecError(
            "an image has no token embeddings",
            got="hook: embed for images",
            fix="set `hook: resid_pre`: what enters the first block",
        )
    if named := [key for key in ("bos", "template", "prompt") if getattr(spec, key) not in (None, "auto")]:
        raise SpecError(
            "an image stands in a prompt of nothing else, as its processor writes it",
            got=f"{' and '.join(named)} for images",
            fix="leave that out: it is for texts",
        )
    if spec.tokens == "text" and not family.has_language:
        raise SpecError(
            "only a vision-language model has text tokens beside an image",
            got=f"tokens: text with {spec.model}, a vision encoder",
            fix="set `tokens: image`, or `all` for its class token too",
        )
