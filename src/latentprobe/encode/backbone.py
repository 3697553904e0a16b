"""A language model up to the deepest layer asked for: texts in, hidden states of the selected tokens out.

Hidden states are taken with hooks on the blocks, never from ``output_hidden_states``, whose entry L is the output of
block L - 1 and whose last entry has been through the final norm. Blocks after the deepest one are neither loaded nor
run, and of that one nothing behind the last place asked for. Knows nothing of SAEs and poolings.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import nn

from latentprobe.config import BackboneSpec
from latentprobe.corpus import Rows
from latentprobe.encode.families import FAMILIES, find_blocks, find_family, find_tap, require_site
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.image_families import find_image_family, reads_images, require_rows
from latentprobe.encode.loading import choose_device, choose_dtype, keep_blocks, loading_from, read_config, read_weights
from latentprobe.encode.model_files import ModelFiles, find_model
from latentprobe.encode.reading import Reader, Tokens
from latentprobe.encode.taps import DeepEnough, captured
from latentprobe.errors import ModelError, SpecError
from latentprobe.files import read_json

__all__ = ["Backbone", "Tokens", "load_backbone", "shared_backbone"]

#: Padded tokens in one forward pass. Small batches of like length waste little padding and fit in cache.
BATCH_TOKENS = {"cpu": 4096, "accelerator": 32768}

#: A tokenizer that knows no limit names 10^30. Models without a position table (Bloom, umT5) then get this window.
NO_LIMIT, UNLIMITED_TOKENS = 10**9, 2048


class Backbone:
    """A loaded model that stops after its deepest needed block.

    Made by :func:`load_backbone`.

    Attributes:
        files: where the model came from and what identifies it.
        spec: what was asked for, with device and dtype decided.
        d_model: size of the hidden state at ``resid_post``.
        max_tokens: tokens in one window, special ones included.

    Threads may share one: tokenizing and each forward pass are done by one at a time.
    """

    def __init__(self, files: ModelFiles, spec: BackboneSpec, model: nn.Module, tokenizer: Any) -> None:
        self._hook_into(files, spec, model, model)
        self.max_tokens = window_size(files, spec.max_tokens, model.config, tokenizer)
        self._reader = Reader(tokenizer, spec, max_tokens=self.max_tokens, name=files.name)

    def _hook_into(self, files: ModelFiles, spec: BackboneSpec, model: nn.Module, hooked: nn.Module) -> None:
        """Keep a model of which ``hooked`` is the part, or the whole, that has the blocks."""
        self.files = files
        self.spec = spec
        self.device = torch.device(spec.device)
        self.d_model = int(hooked.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self._model = model
        # Hooks sit on the model itself: a second thread's pass would write into the first one's states.
        self._lock = threading.Lock()
        self._family = str(hooked.config.model_type)  # type: ignore[union-attr]
        self._hooked = hooked
        self._blocks = find_blocks(hooked, self._family)

    @property
    def batch_tokens(self) -> int:
        """Padded tokens in one forward pass."""
        return BATCH_TOKENS["cpu" if self.device.type == "cpu" else "accelerator"]

    @property
    def weights_bytes(self) -> int:
        """Memory of the weights: those of the blocks that are run, no others."""
        return sum(part.nbytes for part in self._model.parameters())

    def tokenize(self, texts: Rows) -> list[Tokens]:
        """Split texts into windows of tokens and mark the selected ones.

        Raises:
            CorpusError: a text is longer than one window and the spec says ``on_overflow: error``.
        """
        with self._lock:
            return self._reader.read(texts)  # type: ignore[arg-type]  # an ImageBackbone reads images

    def hidden_states(self, batch: Sequence[Tokens], hooks: Sequence[HookPoint]) -> dict[HookPoint, torch.Tensor]:
        """Hidden states of the selected tokens of some texts at some hook points, from one pass over the windows.

        Args:
            batch: tokenized texts, best of similar length.
            hooks: hook points, none deeper than the layers the backbone was loaded for.

        Returns:
            For each hook point a float32 tensor ``[selected tokens, d]``: the first text's tokens in reading order,
            then the second's, and so on.
        """
        windows = [(ids, mask) for tokens in batch for ids, mask in zip(tokens.windows, tokens.selected, strict=True)]
        parts: dict[HookPoint, list[torch.Tensor]] = {hook: [] for hook in hooks}
        for some in _in_budget(windows, self.batch_tokens):
            states = self._forward(some, hooks)
            for hook in hooks:
                parts[hook].append(states[hook].float())
        return {hook: torch.cat(tensors) for hook, tensors in parts.items()}

    def _forward(
        self, windows: Sequence[tuple[NDArray[np.int64], NDArray[np.bool_]]], hooks: Sequence[HookPoint]
    ) -> dict[HookPoint, torch.Tensor]:
        """One forward pass over right-padded windows: ``[selected tokens, d]`` a hook."""
        longest = max(1, *(len(ids) for ids, _ in windows))  # an empty text may have no token at all
        ids = np.zeros((len(windows), longest), np.int64)
        attended = np.zeros((len(windows), longest), np.int64)
        selected = np.zeros((len(windows), longest), bool)
        for row, (window_ids, mask) in enumerate(windows):
            ids[row, : len(window_ids)] = window_ids
            attended[row, : len(window_ids)] = 1
            selected[row, : len(window_ids)] = mask
        chosen = torch.from_numpy(selected).to(self.device)
        inputs = {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "attention_mask": torch.from_numpy(attended).to(self.device),
        }
        return self._run(inputs, hooks, chosen)

    @torch.inference_mode()
    def _run(
        self, inputs: Mapping[str, torch.Tensor], hooks: Sequence[HookPoint], chosen: torch.Tensor
    ) -> dict[HookPoint, torch.Tensor]:
        """One forward pass up to the deepest hook: the rows of the chosen tokens, ``[chosen, d]`` a hook."""
        taps = {hook: find_tap(self._hooked, hook) for hook in hooks}
        with self._lock, captured(taps, chosen) as states, contextlib.suppress(DeepEnough):
            self._model(**inputs)
        if silent := sorted(hook.name for hook in hooks if hook not in states):
            raise ModelError(
                f"a {self._family} model calls the modules that its hook points are at",
                got=f"{self.files.name} runs without calling that of {silent[0]}",
                fix="use `hook: resid_post`, or a checkpoint whose config does not split its projections",
            )
        return states


def _in_budget(
    windows: Sequence[tuple[NDArray[np.int64], NDArray[np.bool_]]], budget: int
) -> Iterator[Sequence[tuple[NDArray[np.int64], NDArray[np.bool_]]]]:
    """Consecutive windows whose padded size stays within a budget; a single window may exceed it."""
    start, longest = 0, 0
    for end, (ids, _) in enumerate(windows):
        if end > start and max(longest, len(ids)) * (end + 1 - start) > budget:
            yield windows[start:end]
            start, longest = end, 0
        longest = max(longest, len(ids))
    if windows:
        yield windows[start:]


def load_backbone(spec: BackboneSpec) -> Backbone:
    """Load a model as far as its deepest needed block, with its tokenizer.

    Raises:
        ModelError: unknown model or family, weights that do not fit, no fast tokenizer, no chat template or BOS token
            where one is asked for.
        SpecError: a layer the model does not have, a device that is not there, a prompt without room for a text.
    """
    files = find_model(spec.model, spec.revision)
    require_rows(spec, files.config, images=False)
    model_type = str(files.config.get("model_type"))
    # Of a vision-language model, texts alone go through its language model.
    images = find_image_family(model_type) if reads_images(files.config) else None
    loader = find_family(model_type).loader if images is None else images.loader
    device = choose_device(spec.device)
    spec = spec.model_copy(update={"device": device, "dtype": choose_dtype(spec.dtype, device, files)})
    config, hooked = read_config(files)
    require_site(hooked, spec.hook)
    with loading_from(files):
        keep_blocks(hooked, max(spec.layers) + 1, files.name)
        model = read_weights(files, config, loader, spec.dtype)
        if images is not None:
            model = model.language_model  # type: ignore[assignment]
        tokenizer = transformers.AutoTokenizer.from_pretrained(files.folder)
    return Backbone(files, spec, model.eval().to(device), tokenizer)


def shared_backbone(spec: BackboneSpec) -> Backbone:
    """As :func:`load_backbone`, but the last two are kept in memory and given out again.

    For estimators and classifiers, which are cloned, fitted again and kept side by side on the same model. A model
    whose files have changed since is loaded anew.
    """
    files = find_model(spec.model, spec.revision)
    return _kept_backbone(spec, files.weights_sha256, files.tokenizer_sha256)


@functools.lru_cache(maxsize=2)
def _kept_backbone(spec: BackboneSpec, weights_sha256: str, tokenizer_sha256: str) -> Backbone:
    return load_backbone(spec)


def window_size(files: ModelFiles, max_tokens: int | None, config: Any, tokenizer: Any) -> int:
    """Tokens a window: the least that the tokenizer, the position table and the training of the model allow.

    Raises:
        SpecError: ``max_tokens``, what was asked for, is more.
    """
    limits = [int(tokenizer.model_max_length)]
    if positions := getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None):
        family = FAMILIES.get(config.model_type)
        limits.append(int(positions) - (config.pad_token_id + 1 if family and family.after_padding else 0))
    sentence = files.folder / "sentence_bert_config.json"
    if sentence.is_file():
        limits.append(int(read_json(sentence)["max_seq_length"]))
    limit = min(limits)
    if limit > NO_LIMIT:
        limit = UNLIMITED_TOKENS
    if max_tokens is not None and max_tokens > limit:
        raise SpecError(
            f"{files.name} takes windows of at most {limit} tokens",
            got=f"max_tokens: {max_tokens}",
            fix=f"leave max_tokens out, or set it to {limit} or less",
        )
    return max_tokens or limit
