"""Loading a model's weights as far as they are needed, and choosing where and in which type it computes.

Knows nothing of hook points, texts and images.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import nn

from latentprobe.encode.image_families import find_image_family, reads_images
from latentprobe.encode.model_files import ModelFiles
from latentprobe.errors import ModelError, SpecError

__all__ = ["choose_device", "choose_dtype", "keep_blocks", "loading_from", "read_config", "read_weights"]


def read_config(files: ModelFiles) -> tuple[Any, Any]:
    """A model's config as transformers reads it, with its defaults; and that part of it that has the hook points.

    Raises:
        ModelError: transformers cannot read it.
    """
    with loading_from(files):
        config = transformers.AutoConfig.from_pretrained(files.folder)
    part = find_image_family(str(files.config["model_type"])).part if reads_images(files.config) else None
    return config, getattr(config, part) if part else config


@contextlib.contextmanager
def loading_from(files: ModelFiles) -> Iterator[None]:
    """Keep transformers quiet while a model is loaded, and make a refusal of what it raises on unusable files."""
    with _quiet_transformers():
        try:
            yield
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise ModelError(
                "the model could not be loaded from its files",
                got=f"{files.folder}: {next(iter(str(error).splitlines()), type(error).__name__)}",
                fix="check that the folder is whole and that this version of transformers knows its family",
            ) from error


def read_weights(files: ModelFiles, config: Any, loader: str, dtype: str) -> nn.Module:
    """A model of some class of transformers with the weights in a folder, as far as its config goes.

    Raises:
        ModelError: the weights lack something the config asks for.
    """
    model, loading = getattr(transformers, loader).from_pretrained(
        files.folder,
        config=config,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        output_loading_info=True,
    )
    # transformers fills what a checkpoint lacks with random numbers; a pooler is never run here, all else counts.
    absent = [name for name in loading["missing_keys"] if "pooler" not in name]
    if absent:
        raise ModelError(
            f"the weights of {files.name} lack tensors that its config asks for",
            got=f"{len(absent)} missing, such as {min(absent)}",
            fix="check that config.json and the weights belong together and that every shard is there",
        )
    loaded: nn.Module = model
    return loaded


def keep_blocks(config: Any, n_blocks: int, name: str) -> None:
    """Shorten a config to its first blocks, so that the others are never loaded."""
    if n_blocks > config.num_hidden_layers:
        raise SpecError(
            f"{name} has layers 0 to {config.num_hidden_layers - 1} (layer L is the output of block L)",
            got=f"layer {n_blocks - 1}",
            fix="name a layer it has",
        )
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:n_blocks]
    config.num_hidden_layers = n_blocks
    config.use_cache = False


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Silence transformers' report on the weights of blocks left out on purpose, and put its settings back."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def choose_device(device: str) -> str:
    """The device a spec means: ``auto`` is the first CUDA GPU, else Apple's, else the CPU."""
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SpecError(
            "a device of this machine was expected",
            got=f"device {device!r}: {str(error).splitlines()[0]}",
            fix="use `device: auto` or `cpu`",
        ) from error
    return device


def choose_dtype(dtype: str, device: str, files: ModelFiles) -> str:
    """The type a spec means: ``auto`` is float32 on a CPU and the checkpoint's own on an accelerator."""
    if dtype != "auto":
        return dtype
    own = files.config.get("dtype") or files.config.get("torch_dtype") or "float32"
    return "float32" if device == "cpu" else str(own)
