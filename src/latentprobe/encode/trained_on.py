"""Whether an SAE was trained on another model than the one at hand: by name, which is all that a checkpoint tells.

A model of the hub has its name. A folder has whatever name a user gave it, so of folders only those are told apart that
differ by a word of tuning. Knows nothing of how either is loaded.
"""

from __future__ import annotations

import re

from latentprobe.encode.formats.registry import is_model
from latentprobe.encode.model_files import MINILM, ModelFiles

__all__ = ["is_another_model"]

#: What SAE libraries call a model -> the last part of its id on the hub.
_ALIASES = {"gpt2-small": "gpt2", "mistral-7b": "mistral-7b-v0.1"}

_TUNED = frozenset(
    ("it", "instruct", "chat", "sft", "dpo", "rl", "rlhf", "tuned", "finetuned", "ft", "lora", "distill", "aligned")
)


def is_another_model(trained_on: str | None, files: ModelFiles) -> bool:
    """Whether the model an SAE names is certainly not the one with these files; False where that cannot be told."""
    if trained_on is None:
        return False
    names = {trained_on, _ALIASES.get(trained_on.lower(), trained_on)}
    if any(is_model(name, files.name) for name in names):
        return False
    if files.revision is not None or files.name == MINILM:
        return True
    return all((_words(name) ^ _words(files.name)) & _TUNED for name in names)


def _words(name: str) -> frozenset[str]:
    return frozenset(re.split(r"[-_.\s]+", name.lower().rsplit("/", 1)[-1]))
