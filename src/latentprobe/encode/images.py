"""Models that read images, up to the deepest layer asked for: images in, hidden states of the selected tokens out.

A vision encoder gives a token a patch; a vision-language model gives the image's tokens in its language model, after a
prompt of nothing but the image. Every image becomes the same sequence of tokens, so there is nothing to pad; pixels are
read batch by batch. Knows nothing of SAEs and poolings.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import nn

from latentprobe.config import BackboneSpec
from latentprobe.corpus import ImageFile, Rows
from latentprobe.corpus.images import pixels, require_pillow
from latentprobe.encode.backbone import Backbone, Tokens
from latentprobe.encode.families import require_site
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.image_families import find_image_family, require_rows
from latentprobe.encode.loading import choose_device, choose_dtype, keep_blocks, loading_from, read_config, read_weights
from latentprobe.encode.model_files import ModelFiles, find_model
from latentprobe.encode.taps import DeepEnough, first_argument
from latentprobe.errors import ModelError

__all__ = ["ImageBackbone", "load_image_backbone", "shared_image_backbone"]


class ImageBackbone(Backbone):
    """A loaded model that reads images and stops after its deepest needed block.

    Made by :func:`load_image_backbone`, and used as a :class:`Backbone` is, with images in place of texts. The
    ``spans`` of its tokens count patches instead of characters: patch ``i``, in reading order, is ``(i, i + 1)``, and
    a token of no patch ``(0, 0)``.

    Attributes:
        max_tokens: tokens of an image, special ones and those of the prompt included.
    """

    def __init__(self, files: ModelFiles, spec: BackboneSpec, model: nn.Module, processor: Any) -> None:
        self._has_language = find_image_family(str(files.config["model_type"])).has_language
        hooked = model.language_model if self._has_language else model
        assert isinstance(hooked, nn.Module)
        self._hook_into(files, spec, model, hooked)
        self._processor = processor
        self._shapes: dict[str, torch.Size] | None = None
        inputs = self._inputs([_blank()])
        self._shapes = {name: tensor.shape[1:] for name, tensor in inputs.items()}
        self.max_tokens = self._sequence_length(inputs)
        in_image, special = self._prompt_tokens(inputs) if self._has_language else self._patch_tokens(inputs)
        selected = {"all": np.ones(self.max_tokens, bool), "text": ~in_image & ~special}.get(spec.tokens, in_image)
        spans = np.zeros((self.max_tokens, 2), np.int32)
        spans[in_image] = np.arange(in_image.sum())[:, None] + [0, 1]
        self._selected = selected
        self._sequence = ((np.zeros(self.max_tokens, np.int64),), (selected,), spans[selected])

    def tokenize(self, texts: Rows) -> list[Tokens]:
        """The tokens of each image, the same for all; no pixel is read yet."""
        return [Tokens(*self._sequence, image=image) for image in texts if isinstance(image, ImageFile)]

    def hidden_states(self, batch: Sequence[Tokens], hooks: Sequence[HookPoint]) -> dict[HookPoint, torch.Tensor]:
        """As :meth:`Backbone.hidden_states`: float32 ``[selected tokens, d]``, image after image.

        Raises:
            CorpusError: an image is gone, or is not the one that was checked.
        """
        at_once = max(1, self.batch_tokens // self.max_tokens)
        parts: dict[HookPoint, list[torch.Tensor]] = {hook: [] for hook in hooks}
        for first in range(0, len(batch), at_once):
            pictures = [pixels(row.image) for row in batch[first : first + at_once] if row.image is not None]
            chosen = torch.from_numpy(np.tile(self._selected, (len(pictures), 1))).to(self.device)
            states = self._run(self._inputs(pictures), hooks, chosen)
            for hook in hooks:
                parts[hook].append(states[hook].float())
        return {hook: torch.cat(tensors) for hook, tensors in parts.items()}

    def _inputs(self, pictures: Sequence[Any]) -> dict[str, torch.Tensor]:
        """What the model's own processor makes of some pictures, with a prompt of nothing but the image.

        All of it goes to the model: without its token types, PaliGemma and Gemma 3 would look at images causally.
        """
        try:
            given = self._processed(pictures)
        except ValueError as error:  # pictures of several sizes do not make one array
            raise self._uneven(str(error).splitlines()[0]) from error
        shapes = {name: tensor.shape[1:] for name, tensor in given.items()}
        if self._shapes not in (None, shapes):
            raise self._uneven(", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()))
        kind = getattr(torch, self.spec.dtype)
        return {
            name: tensor.to(self.device, kind if tensor.is_floating_point() else tensor.dtype)
            for name, tensor in given.items()
        }

    def _processed(self, pictures: Sequence[Any]) -> dict[str, torch.Tensor]:
        if not self._has_language:
            return dict(self._processor(images=list(pictures), return_tensors="pt"))
        prompts = [self._processor.image_token] * len(pictures)
        given = dict(self._processor(images=[[picture] for picture in pictures], text=prompts, return_tensors="pt"))
        given.pop("labels", None)
        return given

    def _uneven(self, got: str) -> ModelError:
        return ModelError(
            f"the processor of {self.files.name} makes every image the same number of tokens",
            got=got,
            fix="give it one size in preprocessor_config.json: `size` with height and width, or `do_center_crop: true`",
        )

    @torch.inference_mode()
    def _sequence_length(self, inputs: dict[str, torch.Tensor]) -> int:
        """Tokens that one image is in the hooked blocks. That it gets there proves that processor and model fit."""
        lengths: list[int] = []

        def measure(module: nn.Module, args: Any, kwargs: Any) -> None:
            lengths.append(first_argument(args, kwargs).shape[1])
            raise DeepEnough

        handle = self._blocks[0].register_forward_pre_hook(measure, with_kwargs=True)
        try:
            with contextlib.suppress(DeepEnough):
                self._model(**inputs)
        finally:
            handle.remove()
        return lengths[0]

    def _prompt_tokens(self, inputs: dict[str, torch.Tensor]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which tokens of the prompt stand for the image, and which are special."""
        ids = inputs["input_ids"][0].cpu().numpy()
        image_id = self._model.config.image_token_id  # type: ignore[union-attr]
        return ids == image_id, np.isin(ids, self._processor.tokenizer.all_special_ids)

    def _patch_tokens(self, inputs: dict[str, torch.Tensor]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which tokens are patches: the last ones. Those before them, such as the class token, are special."""
        size: Any = self._model.config.patch_size  # type: ignore[union-attr]
        high, wide = (size, size) if isinstance(size, int) else size
        height, width = inputs["pixel_values"].shape[-2:]
        in_image = np.arange(self.max_tokens) >= self.max_tokens - (height // high) * (width // wide)
        return in_image, ~in_image


def _blank() -> Any:
    """A picture to measure with."""
    from PIL import Image

    return Image.new("RGB", (32, 32), "grey")


def load_image_backbone(spec: BackboneSpec) -> ImageBackbone:
    """Load a model that reads images as far as its deepest needed block, with its processor.

    Images go through the processor's Pillow implementation also where another is installed: the same pixels give the
    same numbers everywhere.

    Raises:
        ModelError: unknown model, a family that reads no images, weights or a processor that do not fit.
        SpecError: a layer the model does not have, a device that is not there, tokens it does not have.
        MissingExtraError: pillow is not installed.
    """
    require_pillow()
    files = find_model(spec.model, spec.revision)
    require_rows(spec, files.config, images=True)
    family = find_image_family(str(files.config["model_type"]))
    device = choose_device(spec.device)
    spec = spec.model_copy(update={"device": device, "dtype": choose_dtype(spec.dtype, device, files)})
    config, hooked = read_config(files)
    require_site(hooked, spec.hook)
    with loading_from(files):
        keep_blocks(hooked, max(spec.layers) + 1, files.name)
        model = read_weights(files, config if family.has_language else hooked, family.loader, spec.dtype)
        processors = transformers.AutoProcessor if family.has_language else transformers.AutoImageProcessor
        processor = processors.from_pretrained(files.folder, backend="pil")
        return ImageBackbone(files, spec, model.eval().to(device), processor)


def shared_image_backbone(spec: BackboneSpec) -> ImageBackbone:
    """As :func:`load_image_backbone`, but the last one is kept in memory and given out again."""
    files = find_model(spec.model, spec.revision)
    return _kept(spec, files.weights_sha256, files.tokenizer_sha256)


@functools.lru_cache(maxsize=1)
def _kept(spec: BackboneSpec, weights_sha256: str, tokenizer_sha256: str) -> ImageBackbone:
    return load_image_backbone(spec)
