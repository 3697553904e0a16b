"""What counts as a text, and when two texts count as the same. Knows nothing of where they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from latentprobe.corpus.wording import counted, listed
from latentprobe.errors import CorpusError

_HALF_PAIR = re.compile("[\ud800-\udfff]")


def normalized(text: str) -> str:
    """The key under which two texts count as the same: letter case and the amount of white space do not matter.

    >>> normalized("  Hello\\n WORLD ")
    'hello world'
    """
    return " ".join(text.casefold().split())


def texts_of(values: Sequence[object], ids: Sequence[str], *, column: str) -> tuple[tuple[str, ...], list[str]]:
    """The texts in a column, and sentences on what had to be done to get them.

    A missing text becomes the empty one, so that rows in are rows out; a list of texts is joined by line breaks.
    Half a surrogate pair, which JSON may hold and UTF-8 and tokenizers may not, becomes U+FFFD.

    Raises:
        CorpusError: a value that is no text, naming its row.
    """
    texts, joined, mended = [], 0, 0
    for row, value in zip(ids, values, strict=True):
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            value = "\n".join(value)
            joined += 1
        elif value is None or (isinstance(value, float) and np.isnan(value)):
            value = ""
        if not isinstance(value, str):
            raise CorpusError(
                f"the column {column!r} must hold texts",
                got=f"a value of type {type(value).__name__} in row {row!r}",
                fix="name the column with the texts, or write its values as strings",
            )
        text = _HALF_PAIR.sub("\ufffd", str(value))
        mended += text != value
        texts.append(text)
    notes = []
    if joined:
        notes.append(f"{counted(joined, 'text')} came as a list of texts, which were joined by line breaks.")
    if mended:
        notes.append(f"{counted(mended, 'text')} held half a surrogate pair, which was replaced by U+FFFD.")
    empty = [row for row, text in zip(ids, texts, strict=True) if not text.strip()]
    if empty:
        notes.append(f"Empty texts, which were kept: {len(empty):,}, in rows {listed(empty)}.")
    return tuple(texts), notes


def checked_texts(values: Iterable[str]) -> tuple[str, ...]:
    """Texts as a tuple, checked and mended as those of a corpus are: a missing one is the empty text.

    Raises:
        CorpusError: what :func:`rows_listed` refuses, or a value that is no text.
    """
    texts = rows_listed(values)
    return texts_of(texts, [str(row) for row in range(len(texts))], column="texts")[0]


def rows_listed(values: Iterable[Any]) -> list[Any]:
    """Any list-like as a list.

    Raises:
        CorpusError: a bare string, a mapping or table (whose keys would be taken for texts), or no list at all.
    """
    is_list = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
    if not is_list or getattr(values, "ndim", 1) != 1:
        kind = "a bare string" if isinstance(values, str) else type(values).__name__
        raise CorpusError(
            "a list of texts was expected",
            got=kind,
            fix="write [text]; of a table, name the column with the texts: table['text']",
        )
    return list(values)
