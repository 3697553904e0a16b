"""Texts as words, and which word each token stands in: the vocabulary in which features are described and judged."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentprobe.errors import CorpusError
from latentprobe.store.token_activations import TokenActivations

__all__ = ["Excerpt", "Ints", "Words", "excerpt", "piece", "read_words"]

WORD = re.compile(r"&#?\w+;|[@#]\w+|\w+(?:['\u2019]\w+)*|[^\w\s]")

Ints = NDArray[np.int64]

#: Words on either side of a place that are shown with it.
AROUND = 12


class Excerpt(NamedTuple):
    """A place with what stands around it."""

    text: str
    start: int
    end: int

    def marked(self) -> str:
        """The text with the word between << and >>.

        >>> Excerpt("where is my refund?", 12, 18).marked()
        'where is my <<refund>>?'
        """
        return f"{self.text[: self.start]}<<{self.text[self.start : self.end]}>>{self.text[self.end :]}"


@dataclass(frozen=True)
class Words:
    """Every word of every text in order.

    Attributes:
        names: each type of word, as labels quote it: entities undone, letter case folded.
        kind: the type of each word, ``[words]``.
        text: the text of each word.
        start: its first character there, and ``end`` one past its last.
        of_token: the word of each token.
        inside: whether a token begins within its word, right behind another part of it.
        share: of all words, how many are of each type.
        read: how many words of each type stand in texts that have tokens.
        pairs: ``first type * types + second type`` -> how often they stand side by side.
        group: what kind of text each text is, ``group_names`` by number; all alike where that was not said.
        in_group: how often each type stands in each of them, ``[types, groups]``.
    """

    names: list[str]
    kind: Ints
    text: Ints
    start: Ints
    end: Ints
    of_token: Ints
    inside: NDArray[np.bool_]
    share: NDArray[np.float64]
    read: NDArray[np.int64]
    pairs: dict[int, int]
    group: Ints
    group_names: list[str]
    in_group: NDArray[np.float64]

    def neighbour(self, places: Ints, step: int) -> Ints:
        """The types of the words ``step`` places away, -1 beyond the text."""
        there = places + step
        in_all = (there >= 0) & (there < len(self.kind))
        there = np.where(in_all, there, 0)
        return np.where(in_all & (self.text[there] == self.text[places]), self.kind[there], -1)


def read_words(texts: Sequence[str], tokens: TokenActivations, groups: Sequence[str] | None = None) -> Words:
    """Split texts into words and find the word of each token by its place.

    Args:
        texts: those the tokens are of.
        tokens: where each stands.
        groups: what kind of text each is, such as its source; told in labels of words that stand in other kinds too.

    Raises:
        CorpusError: no text has a word.
    """
    codes: dict[str, int] = {}
    kinds, owners, starts, ends = [], [], [], []
    for number, text in enumerate(texts):
        for match in WORD.finditer(text):
            kinds.append(codes.setdefault(html.unescape(match[0]).casefold(), len(codes)))
            owners.append(number)
            starts.append(match.start())
            ends.append(match.end())
    if not kinds:
        raise CorpusError("texts with words were expected", got=f"{len(texts)} texts without any", fix="give others")
    kind, text_of = np.array(kinds, np.int64), np.array(owners, np.int64)
    start, end = np.array(starts, np.int64), np.array(ends, np.int64)
    base = np.concatenate([[0], np.cumsum([len(text) + 1 for text in texts])]).astype(np.int64)
    of_token = np.maximum(np.searchsorted(base[text_of] + start, base[tokens.text] + tokens.start, "right") - 1, 0)
    before = [texts[t][s - 1 : s] for t, s in zip(tokens.text.tolist(), tokens.start.tolist(), strict=True)]
    inside = (tokens.start > start[of_token]) & np.array([left.isalnum() for left in before], bool)
    together = text_of[1:] == text_of[:-1]
    pairs, counts = np.unique((kind[:-1] * len(codes) + kind[1:])[together], return_counts=True)
    group_names = sorted(set(groups)) if groups is not None else [""]
    group = np.array([group_names.index(name) for name in groups] if groups is not None else [0] * len(texts), np.int64)
    in_group = np.zeros((len(codes), len(group_names)))
    np.add.at(in_group, (kind, group[text_of]), 1)
    return Words(
        names=list(codes),
        kind=kind,
        text=text_of,
        start=start,
        end=end,
        of_token=of_token,
        inside=inside,
        read=np.bincount(kind[np.isin(text_of, tokens.text)], minlength=len(codes)),
        share=np.bincount(kind, minlength=len(codes)) / len(kind),
        pairs=dict(zip(pairs.tolist(), counts.tolist(), strict=True)),
        group=group,
        group_names=group_names,
        in_group=in_group,
    )


def piece(texts: Sequence[str], tokens: TokenActivations, token: int) -> str:
    """The characters of a token, letter case folded."""
    return texts[int(tokens.text[token])][int(tokens.start[token]) : int(tokens.end[token])].casefold()


def excerpt(place: int, words: Words, texts: Sequence[str]) -> Excerpt:
    """A word with some words on either side."""
    number = int(words.text[place])
    first, last = np.searchsorted(words.text, [number, number + 1])
    begin = int(words.start[max(int(first), place - AROUND)])
    end = int(words.end[min(int(last) - 1, place + AROUND)])
    text = texts[number][begin:end]
    return Excerpt(text, int(words.start[place]) - begin, int(words.end[place]) - begin)
