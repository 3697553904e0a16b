"""What asking a causal model would take: see :mod:`latentprobe.experiment.estimates`. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from latentprobe.config import TargetSpec
from latentprobe.encode.answers import LOGITS, CausalModel, load_target
from latentprobe.encode.asking import Prompt
from latentprobe.encode.known import Known
from latentprobe.encode.model_files import ModelFiles
from latentprobe.experiment.estimates import (
    CHARACTERS_A_TOKEN,
    COUNTED,
    INTERPRETER,
    STATES_A_TOKEN,
    Estimate,
    spread,
    timed,
)

__all__ = ["Asked", "estimate_asking"]


@dataclass(frozen=True, eq=False)
class Asked:
    """Prompts for one model."""

    ids: Sequence[str]
    prompts: Sequence[Prompt]
    room: Sequence[Sequence[str]] | int
    """The answers that are scored after each prompt, or how many tokens are written after it."""

    @classmethod
    def together(cls, parts: Sequence[Asked]) -> Asked:
        """Several as one; all are scored, or to all as much is written."""
        rooms = [part.room for part in parts]
        room = rooms[0] if rooms and isinstance(rooms[0], int) else [own for one in rooms for own in one]  # type: ignore[union-attr]
        ids, prompts = ([one for part in parts for one in getattr(part, name)] for name in ("ids", "prompts"))
        return cls(ids, prompts, room)

    def __len__(self) -> int:
        return len(self.prompts)

    def take(self, rows: Sequence[int]) -> Asked:
        """Some of them."""
        room = self.room if isinstance(self.room, int) else [self.room[row] for row in rows]
        return Asked([self.ids[row] for row in rows], [self.prompts[row] for row in rows], room)

    @property
    def characters(self) -> int:
        """Of all prompts."""
        return sum(len(prompt.text) for prompt in self.prompts)


def estimate_asking(
    spec: TargetSpec, files: ModelFiles, asked: Asked, model: Known, store_bytes: int, store_how: str
) -> Estimate:
    """What it takes to ask a model.

    Args:
        spec, files: the model; not looked at where it is not here.
        asked: what it is asked; at least one prompt.
        model: what is known of it.
        store_bytes, store_how: what its answers take where they are kept.

    Raises:
        CorpusError: a prompt is too long for a model that is here, and nothing of it may be cut.
    """
    if model.here:
        return _measured(spec, files, asked, store_bytes, store_how)
    return Estimate(
        tokens=_tokens(asked),
        tokens_how=f"{CHARACTERS_A_TOKEN} characters a token, as the model is not here{_written(asked)}",
        store_bytes=store_bytes,
        store_how=store_how,
        memory_bytes=None,
        memory_how="the model is not here",
        seconds=None,
        seconds_how="the model is not here",
    )


def _measured(spec: TargetSpec, files: ModelFiles, asked: Asked, store_bytes: int, store_how: str) -> Estimate:
    """From some prompts that go through the model."""
    start = time.perf_counter()
    model = load_target(spec, files)
    loading = time.perf_counter() - start
    n = len(asked)
    every = asked.characters <= COUNTED
    counted = asked if every else asked.take(spread(n, 1000))
    fitted = Asked(counted.ids, model.fit(counted.prompts, counted.room, counted.ids), counted.room)
    tokens = int(model.count(fitted.prompts, fitted.room) * (1 if every else asked.characters / counted.characters))
    _answer(model, fitted.take([0]))  # what is set up on first use is no part of the rate
    seen, seconds = timed(len(fitted), lambda rows: _answer(model, fitted.take(rows)))
    some = fitted.take(seen)
    how = f"measured on {len(seen)} of {n:,} prompts"
    return Estimate(
        tokens=tokens,
        tokens_how=("counted by the tokenizer" if every else f"estimated from {len(counted)} prompts")
        + _written(asked),
        store_bytes=store_bytes,
        store_how=store_how,
        memory_bytes=_memory(model),
        memory_how="weights, and states and logits of one batch",
        seconds=round(loading + seconds * max(1.0, tokens / model.count(some.prompts, some.room)), 1),
        seconds_how=f"{how}, with the loading of the model",
    )


def _answer(model: CausalModel, asked: Asked) -> None:
    if isinstance(asked.room, int):
        model.generate(asked.prompts, asked.room)
    else:
        model.score(asked.prompts, asked.room)


def _memory(model: CausalModel) -> int:
    """Peak of the process, at most."""
    states = model.batch_tokens * model.d_model * 4 * STATES_A_TOKEN
    return INTERPRETER + model.weights_bytes + states + 4 * min(LOGITS, model.batch_tokens * model.vocabulary)


def _written(asked: Asked) -> str:
    return f", and up to {asked.room} written after each prompt" if isinstance(asked.room, int) else ""


def _tokens(asked: Asked) -> int:
    """Without a tokenizer. Answers of one word share the pass over the prompt; each longer one takes one of its own."""
    prompts = [len(prompt.text) // CHARACTERS_A_TOKEN for prompt in asked.prompts]
    if isinstance(asked.room, int):
        return sum(prompts) + asked.room * len(prompts)
    total = 0
    for prompt, answers in zip(prompts, asked.room, strict=True):
        longer = [answer for answer in answers if len(answer.split()) > 1]
        total += prompt * max(1, len(longer)) + sum(map(len, longer)) // CHARACTERS_A_TOKEN
    return total
