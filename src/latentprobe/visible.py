"""Texts of strangers, made safe to look at: what is invisible or turns the reading direction is shown as a sign.

Escaping for HTML is not done here; the template engine does it to everything. Knows nothing of pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["places", "shortened", "visible"]

# Control characters, soft hyphen, zero-width space and joiners of words, every mark that turns the direction of
# reading, line separators, tag characters (text that only machines read) and halves of surrogate pairs. The joiners
# U+200C and U+200D stay: Persian words and many emoji are made with them, and they can hide nothing.
_UNSEEN = re.compile(
    "\r\n|[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SIGNS = {"\r\n": "↵", "\n": "↵", "\u2028": "↵", "\u2029": "↵", "\t": "⇥", "\x7f": "␡"}


def visible(text: str) -> str:
    """The text with every invisible or direction-turning character replaced by a visible sign.

    >>> visible("pay\\u202eexe.pdf\\n")
    'pay⟨U+202E⟩exe.pdf↵'
    """
    return _UNSEEN.sub(_sign, text)


def _sign(match: re.Match[str]) -> str:
    character = match.group()
    if character in _SIGNS:
        return _SIGNS[character]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{REPLACEMENT CHARACTER}" if 0xD800 <= code <= 0xDFFF else f"⟨U+{code:04X}⟩"


def places(text: str, positions: Iterable[int]) -> list[int]:
    """Where positions in a text are once it is made visible, counted as JavaScript counts (UTF-16 code units).

    >>> places("\\u202e🙈 no", [2, 5])
    [10, 13]
    """
    return [len(visible(text[:position]).encode("utf-16-le")) // 2 for position in positions]


def shortened(text: str, limit: int) -> str:
    """At most ``limit`` characters, the last one an ellipsis where something was left out.

    >>> shortened("a very long name", 7)
    'a very…'
    """
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
