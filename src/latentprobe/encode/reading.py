"""How a model reads a text: its windows of tokens, which of them are selected, which characters each stands for.

A text goes in alone, inside a prompt, or as a user's turn of a chat. Characters are always those of the user's own
string. Knows nothing of what the model does with the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import BackboneSpec
from latentprobe.corpus import ImageFile
from latentprobe.encode.framing import Frame, Framed, chat_frame, prompt_frame
from latentprobe.errors import CorpusError, ModelError, SpecError

__all__ = ["Reader", "Tokens", "bos_changes"]

#: Tokens of a text that a window must have room for beside its frame.
ROOM = 8
#: A piece of a text may come out longer than it was in the whole, where it now meets its frame.
SLACK = 2


@dataclass(frozen=True)
class Tokens:
    """One text as the model reads it."""

    windows: tuple[NDArray[np.int64], ...]
    """Token ids of each window, special tokens included."""
    selected: tuple[NDArray[np.bool_], ...]
    """Which of them are selected, one mask a window."""
    spans: NDArray[np.int32]
    """First character and one past the last of each selected token, over all windows, ``[tokens, 2]``.

    A selected token that stands for none of the text's characters has an empty span.
    """
    image: ImageFile | None = None
    """Of an image, where its pixels are; ``spans`` then count its patches."""

    def __len__(self) -> int:
        """Selected tokens."""
        return len(self.spans)


@dataclass(frozen=True)
class _Window:
    ids: NDArray[np.int64]
    selected: NDArray[np.bool_]
    spans: NDArray[np.int32]


class Reader:
    """Texts to tokens, as a backbone spec asks.

    Args:
        tokenizer: a fast one of transformers.
        spec: tokens, bos, template, prompt, select and on_overflow of it are used.
        max_tokens: tokens in one window, special ones included.
        name: of the model, for messages.

    Raises:
        ModelError: the tokenizer lacks the chat template or the BOS token that is asked for.
        SpecError: prompt or template leave no room for a text.
    """

    def __init__(self, tokenizer: Any, spec: BackboneSpec, *, max_tokens: int, name: str) -> None:
        self._tokenizer = tokenizer
        self._spec = spec
        self._max_tokens = max_tokens
        self._special_ids = _special_ids(tokenizer)
        self._frame: Frame | None = None
        if spec.template == "chat":
            self._frame = chat_frame(tokenizer, name, spec.prompt)
        elif spec.prompt is not None:
            self._frame = prompt_frame(spec.prompt)
        self._prepends, self._drops = bos_changes(tokenizer, spec.bos, self._frame, name)
        self._room = self._room_for_text(name)

    def read(self, texts: Sequence[str]) -> list[Tokens]:
        """Split texts into windows of tokens and mark the selected ones.

        Raises:
            CorpusError: a text is longer than one window and the spec says ``on_overflow: error``.
        """
        if not texts:
            return []
        rows = self._alone(texts) if self._frame is None else self._framed(texts)
        return [self._tokens(row, windows) for row, windows in enumerate(rows)]

    def _tokens(self, row: int, windows: Sequence[_Window]) -> Tokens:
        """The windows of one text, as many as the spec wants."""
        if len(windows) > 1 and self._spec.on_overflow == "error":
            raise CorpusError(
                f"texts of at most {self._max_tokens} tokens were expected",
                got=f"row {row} (counted from 0) takes {len(windows)} windows",
                fix="set `on_overflow: window` to pool over all windows, or `truncate` to keep the first",
            )
        if self._spec.on_overflow == "truncate":
            windows = windows[:1]
        return Tokens(
            tuple(window.ids for window in windows),
            tuple(window.selected for window in windows),
            np.concatenate([window.spans[window.selected] for window in windows]),
        )

    def _alone(self, texts: Sequence[str]) -> list[list[_Window]]:
        """The windows of each text, cut by the tokenizer."""
        encoded = self._encode(
            texts,
            truncation=True,
            max_length=self._max_tokens - self._prepends,
            return_overflowing_tokens=True,
        )
        rows: list[list[_Window]] = [[] for _ in texts]
        for window, row in enumerate(encoded["overflow_to_sample_mapping"]):
            ids, special, spans = self._arrays(encoded, window)
            selected = np.ones(len(ids), bool) if self._spec.tokens == "all" else ~special
            rows[row].append(_Window(ids, selected, spans))
        return rows

    def _framed(self, texts: Sequence[str]) -> list[list[_Window]]:
        """The windows of each text in its frame; of one that is too long, each piece has the whole frame."""
        whole = self._in_frame([(0, text) for text in texts])
        return [
            [window] if len(window.ids) <= self._max_tokens else self._pieces(row, text)
            for row, (window, text) in enumerate(zip(whole, texts, strict=True))
        ]

    def _pieces(self, row: int, text: str) -> list[_Window]:
        """A text too long for one window in pieces that fit, cut between tokens, each in the whole frame."""
        spans = self._encode([text], add_special_tokens=False)["offset_mapping"][0]
        starts = sorted({0, *(start for start, _ in spans[:: self._room])})
        waiting = list(zip(starts, [*starts[1:], len(text)], strict=True))
        windows = []
        while waiting:
            start, end = waiting.pop(0)
            (window,) = self._in_frame([(start, text[start:end])])
            if len(window.ids) <= self._max_tokens:
                windows.append(window)
                continue
            middle = (start + end) // 2
            if middle == start:
                raise CorpusError(
                    f"texts that fit into windows of {self._max_tokens} tokens were expected",
                    got=f"row {row} (counted from 0), in which a single character does not, at {start}",
                    fix="shorten the prompt, or set a larger max_tokens",
                )
            waiting[:0] = [(start, middle), (middle, end)]
        return windows

    def _in_frame(self, pieces: Sequence[tuple[int, str]]) -> list[_Window]:
        """Pieces of texts, each with the character it begins at, in the frame and uncut."""
        assert self._frame is not None
        framed = [self._frame.wrap(text) for _, text in pieces]
        encoded = self._encode([piece.text for piece in framed], add_special_tokens=not self._frame.complete)
        windows = []
        for number, (piece, (first, _)) in enumerate(zip(framed, pieces, strict=True)):
            ids, special, spans = self._arrays(encoded, number)
            selected = self._select(piece, special, spans)
            own = np.clip(spans, piece.start, piece.end) - piece.start + first + piece.skipped
            windows.append(_Window(ids, selected, own.astype(np.int32)))
        return windows

    def _select(self, piece: Framed, special: NDArray[np.bool_], spans: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Selected tokens of a window with a frame."""
        if self._spec.tokens == "all":
            return np.ones(len(special), bool)
        starts, ends = spans.T
        match self._spec.select:
            case "text":
                chosen = (starts < piece.end) & (ends > piece.start)
            case "after":
                chosen = starts >= piece.end
            case "last":
                chosen = np.zeros(len(special), bool)
                chosen[np.flatnonzero(~special)[-1:]] = True
        return np.asarray(~special & chosen)

    def _encode(self, texts: Sequence[str], **options: Any) -> Any:
        return self._tokenizer(
            list(texts),
            return_special_tokens_mask=True,
            return_offsets_mapping=True,
            return_attention_mask=False,
            padding=False,
            verbose=False,
            **options,
        )

    def _arrays(self, encoded: Any, window: int) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int32]]:
        """Ids, whether special, and characters of a window's tokens, with BOS as it is wanted.

        Special is what the tokenizer added, and what the user wrote that the model takes for the same.
        """
        ids = np.asarray(encoded["input_ids"][window], np.int64)
        added = np.asarray(encoded["special_tokens_mask"][window], bool)
        spans = np.asarray(encoded["offset_mapping"][window], np.int32).reshape(-1, 2)
        special = added | np.isin(ids, self._special_ids)
        if self._drops:
            return ids[1:], special[1:], spans[1:]
        if self._prepends:
            ids = np.concatenate([[self._tokenizer.bos_token_id], ids]).astype(np.int64)
            special = np.concatenate([[True], special])
            spans = np.concatenate([np.zeros((1, 2), np.int32), spans])
        return ids, special, spans

    def _room_for_text(self, name: str) -> int:
        """Tokens of a text that go into one window beside the frame."""
        if self._frame is None:
            return self._max_tokens
        (empty,) = self._in_frame([(0, "")])
        room = self._max_tokens - len(empty.ids) - SLACK
        if room < ROOM:
            raise SpecError(
                f"windows of {self._max_tokens} tokens must have room for {ROOM} of the text ({name})",
                got=f"{'a prompt' if self._spec.prompt else 'a chat template'} of {len(empty.ids)} tokens",
                fix="shorten the prompt, or set a larger max_tokens",
            )
        return room


def bos_changes(tokenizer: Any, bos: str, frame: Frame | None, name: str) -> tuple[bool, bool]:
    """Whether a BOS token must be put before what the tokenizer gives, and whether one must be taken away.

    Args:
        tokenizer: a fast one of transformers.
        bos: ``auto``, ``always`` or ``never``.
        frame: what stands around each text.
        name: of the model, for messages.

    Raises:
        ModelError: ``always``, where the tokenizer has no BOS token.
    """
    number = tokenizer.bos_token_id
    if bos == "always" and number is None:
        raise ModelError(
            "a BOS token was expected, because `bos: always` or the SAEs' own training asks for it",
            got=f"{name}, whose tokenizer has none",
            fix="set `bos: never` to read texts as the tokenizer gives them",
        )
    frame = frame or Frame("", "")
    ids = tokenizer(frame.wrap("a").text, add_special_tokens=not frame.complete, verbose=False)["input_ids"]
    comes = ids[:1] == [number]
    # An encoder's first token (CLS) is part of every input it was trained on, also where it is called BOS too.
    removable = number != tokenizer.cls_token_id
    return bos == "always" and not comes, bos == "never" and comes and removable


def _special_ids(tokenizer: Any) -> NDArray[np.int64]:
    """Ids that are marks, not content: special ones and the markers of chats; but an unknown word is content."""
    marks = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    marks |= set(tokenizer.all_special_ids)
    names = ("bos", "eos", "cls", "sep", "pad", "mask")
    if tokenizer.unk_token_id not in {getattr(tokenizer, f"{name}_token_id") for name in names}:  # GPT-2's is its BOS
        marks.discard(tokenizer.unk_token_id)
    return np.array(sorted(marks), np.int64)
