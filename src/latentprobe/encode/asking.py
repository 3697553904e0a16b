"""How a causal model reads a prompt and an answer: BOS, chat template, where the answer begins, what is cut to fit.

Prompt and answer are tokenized as one string, as the model would meet them; a token that begins in the prompt and ends
in the answer belongs to the answer. Knows nothing of what the model does with the tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import TargetSpec
from latentprobe.encode.framing import Frame, chat_frame
from latentprobe.encode.reading import bos_changes
from latentprobe.errors import CorpusError

__all__ = ["Asked", "Asker", "Prompt", "fill"]


@dataclass(frozen=True)
class Prompt:
    """What a model is asked, and which part of it may lose its end where it is too long."""

    text: str
    start: int = 0
    """First character of that part."""
    end: int = 0
    """One past its last; with ``start`` where nothing may be cut."""

    def cut(self, end: int) -> Prompt:
        """The same with the part that may be cut ending at character ``end``."""
        return Prompt(self.text[:end] + self.text[self.end :], self.start, end)


def fill(prompt: str, values: Mapping[str, str], *, may_cut: str | None) -> Prompt:
    """A prompt with its ``{placeholders}`` filled; braces in the values, and all others, are braces.

    >>> fill("{context} {question}?", {"question": "Is {context} blue", "context": "Sky."}, may_cut="context")
    Prompt(text='Sky. Is {context} blue?', start=0, end=4)
    """
    parts = re.split(rf"\{{({'|'.join(map(re.escape, values))})\}}", prompt)
    text, start, end = "", 0, 0
    for number, part in enumerate(parts):
        if number % 2:
            if part == may_cut:
                start, end = len(text), len(text) + len(values[part])
            part = values[part]
        text += part
    return Prompt(text, start, end)


@dataclass(frozen=True, eq=False)
class Asked:
    """A prompt with one answer, in tokens."""

    ids: NDArray[np.int64]
    """All of them, up to the last one of the answer."""
    first: int
    """Position of the answer's first token."""


class Asker:
    """Prompts and answers to tokens.

    Args:
        tokenizer: a fast one of transformers.
        spec: template and bos of it are used.
        max_tokens: tokens of prompt and answer together.
        name: of the model, for messages.

    Raises:
        ModelError: the tokenizer lacks the chat template or the BOS token that is asked for.
    """

    def __init__(self, tokenizer: Any, spec: TargetSpec, *, max_tokens: int, name: str) -> None:
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._name = name
        self._chat = spec.template == "chat"
        self._frame = chat_frame(tokenizer, name, "{text}") if self._chat else Frame("", "")
        self._prepends, self._drops = bos_changes(tokenizer, spec.bos, self._frame, name)

    def ask(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> list[list[Asked]]:
        """Tokens of each prompt with each of its answers.

        Raises:
            CorpusError: an answer has no token of its own, or nothing stands before it.
        """
        pairs = [(prompt, answer) for prompt, own in zip(prompts, answers, strict=True) for answer in own]
        asked = iter(self._ask(pairs))
        return [[next(asked) for _ in own] for own in answers]

    def open(self, prompts: Sequence[Prompt]) -> list[NDArray[np.int64]]:
        """Tokens of each prompt, for the model to go on from."""
        encoded = self._encode([self._frame.wrap(prompt.text).text for prompt in prompts])
        return [self._without_end(*self._arrays(encoded, row)) for row in range(len(prompts))]

    def fit(self, prompts: Sequence[Prompt], room: Sequence[Sequence[str]] | int, ids: Sequence[str]) -> list[Prompt]:
        """The prompts, with the end of the part that may be cut left out where prompt and answer are too long.

        Args:
            prompts: what is asked.
            room: the answers of each, or the number of tokens that the model will write.
            ids: names of the rows, for messages.

        Raises:
            CorpusError: a prompt is too long although all that may be cut is.
        """
        fitted = list(prompts)
        waiting = list(range(len(prompts)))
        while waiting:
            own = room if isinstance(room, int) else [room[row] for row in waiting]
            sizes = self._sizes([fitted[row] for row in waiting], own)
            waiting = [row for row, size in zip(waiting, sizes, strict=True) if size > self._max_tokens]
            over = [size - self._max_tokens for size in sizes if size > self._max_tokens]
            for row, excess in zip(waiting, over, strict=True):
                fitted[row] = self._shorter(fitted[row], excess, ids[row])
        return fitted

    def _sizes(self, prompts: Sequence[Prompt], room: Sequence[Sequence[str]] | int) -> list[int]:
        """Tokens of prompt and longest answer; a model never reads an answer's last token, but it is counted."""
        if isinstance(room, int):
            return [len(ids) + room for ids in self.open(prompts)]
        return [max(len(one.ids) for one in own) for own in self.ask(prompts, room)]

    def _shorter(self, prompt: Prompt, excess: int, row: str) -> Prompt:
        """A prompt without about ``excess`` tokens, at least one character, of the part that may be cut."""
        part = prompt.text[prompt.start : prompt.end]
        if not part:
            raise CorpusError(
                f"prompts that fit into the {self._max_tokens} tokens of {self._name} were expected",
                got=f"row {row!r} takes {self._max_tokens + excess}, without anything left that may be cut",
                fix="shorten the prompt, leave the row out, or name a model that reads longer texts",
            )
        spans = self._tokenizer(part, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        starts = [start for start, _ in spans["offset_mapping"]]
        kept = starts[-excess] if excess < len(starts) else 0
        return prompt.cut(prompt.start + min(kept, len(part) - 1))

    def _ask(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Asked]:
        wholes, begins = [], []
        for prompt, answer in pairs:
            before = self._frame.wrap(prompt.text).text
            apart = self._chat or before[-1:].isspace() or answer[:1].isspace()
            wholes.append(before + ("" if apart else " ") + answer)
            begins.append(len(before))
        encoded = self._encode(wholes)
        asked = []
        for row, (begin, (_, answer)) in enumerate(zip(begins, pairs, strict=True)):
            ids, added, spans = self._arrays(encoded, row)
            ids = self._without_end(ids, added, spans)
            own = np.flatnonzero((spans[: len(ids), 1] > begin) & ~added[: len(ids)])
            if not len(own) or own[0] == 0:
                raise CorpusError(
                    "an answer has tokens of its own behind at least one of the prompt",
                    got=f"the answer {answer!r} for {self._name}",
                    fix="write words for it, and a prompt before it (or `bos: always`)",
                )
            asked.append(Asked(ids, int(own[0])))
        return asked

    def _encode(self, texts: Sequence[str]) -> Any:
        return self._tokenizer(
            list(texts),
            add_special_tokens=not self._frame.complete,
            return_special_tokens_mask=True,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )

    def _arrays(self, encoded: Any, row: int) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
        """Ids, whether the tokenizer added them, and characters, with BOS as it is wanted."""
        ids = np.asarray(encoded["input_ids"][row], np.int64)
        added = np.asarray(encoded["special_tokens_mask"][row], bool)
        spans = np.asarray(encoded["offset_mapping"][row], np.int64).reshape(-1, 2)
        if self._drops:
            return ids[1:], added[1:], spans[1:]
        if self._prepends:
            ids = np.concatenate([[self._tokenizer.bos_token_id], ids]).astype(np.int64)
            added = np.concatenate([[True], added])
            spans = np.concatenate([np.zeros((1, 2), np.int64), spans])
        return ids, added, spans

    @staticmethod
    def _without_end(ids: NDArray[np.int64], added: NDArray[np.bool_], _: Any) -> NDArray[np.int64]:
        """Ids without the marks that some tokenizers put behind a text: nothing has ended here."""
        content = np.flatnonzero(~added)
        return ids[: content[-1] + 1] if len(content) else ids
