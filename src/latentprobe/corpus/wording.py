"""How messages of this room list things: a few, shortened, and how many more. Knows nothing of what they are."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 40


def listed(words: Iterable[str], *, limit: int = 5) -> str:
    """The first ``limit`` words in quotes, each cut at 40 characters, and the number of the others.

    Class names and ids come from users' files and may be whole texts when the wrong column was named; a message
    shows no more of them than it takes to recognise the column.

    >>> listed(["cat", "dog", "eel"], limit=2)
    "'cat', 'dog' and 1 more"
    >>> listed([])
    'none'
    """
    every = list(words)
    if not every:
        return "none"
    shown = ", ".join(repr(word if len(word) <= _LONGEST else word[: _LONGEST - 1] + "…") for word in every[:limit])
    return shown if len(every) <= limit else f"{shown} and {len(every) - limit} more"


def counted(n: int, noun: str) -> str:
    """The number with its noun.

    >>> counted(1, "row"), counted(2, "row")
    ('1 row', '2 rows')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
