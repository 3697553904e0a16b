"""A task put to a model in words: what is asked about each text, and what the answers are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from latentprobe.config.fields import Frozen, Prompt

Words = Annotated[str, Field(min_length=1)]


class TaskSpec(Frozen):
    """The question about each text, for the baselines that read or answer it."""

    prompt: Prompt
    """The question, around each text, which stands where it says {text}: "{text}\\nIs this rude? Answer:"."""
    answers: dict[str, Words] | None = None
    """For each class the words that answer the question with it. Default: the names of the classes."""
    model: str | None = None
    """The causal model that answers. Default: each backbone's; `prompted` always reads the backbones'."""
    template: Literal["chat"] | None = None
    """`chat`: the question is a user's turn in the model's chat template, and the model's own turn begins after it."""
