"""What a label made of words says, as a rule: at which words of other texts the feature should fire.

Only the label is read, as a person would: ``"refund", "money back"`` names words and pairs of words; ``before``,
``after`` and ``near`` say what stands around them; ``"-ing" in words such as "paying"`` a part of a word. What kind of
text it is (``in tweets``) cannot be told of another text, and is not used. Knows nothing of how labels are made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from latentprobe.explain.words import Ints, Words

__all__ = ["NEAR", "Rule", "rule_of"]

#: Words on either side that count as near.
NEAR = 6

_QUOTED = r"(?:\"[^\"]*\"|'\"')"
_LIST = rf"{_QUOTED}(?:, {_QUOTED})*"
_FORMS = (
    re.compile(rf"\"-(?P<piece>[^\"]+)\" (?:in words such as (?P<examples>{_LIST})|inside words)"),
    re.compile(
        rf"(?:mixed: )?(?P<words>{_LIST})"
        rf"(?: (?P<relation>before|after|near) (?P<around>{_LIST})| (?P<first>first in a text)| in [\w ,-]+)?"
    ),
    re.compile(rf"(?P<relation>before|after|near) (?P<around>{_LIST})"),
    re.compile(rf"common words near (?P<around>{_LIST})(?P<relation>)"),
    re.compile(rf"common words in [\w ,-]+: (?P<words>{_LIST})"),
    re.compile(r"(?P<first>first word of a text)"),
    re.compile(r"(?P<silent>mixed|never seen on)"),
)


@dataclass(frozen=True)
class Rule:
    """Where a feature should fire: at these words, or in words with this piece, with these words around."""

    words: tuple[str, ...] = ()
    piece: str = ""
    relation: str = ""
    """``before``, ``after`` or ``near`` the words ``around``."""
    around: tuple[str, ...] = field(default=())
    first: bool = False
    """Only at the first word of a text."""
    silent: bool = False
    """The label says nothing: nowhere."""

    def applies(self, places: Ints, words: Words, index: dict[str, int]) -> NDArray[np.bool_]:
        """At which of some words of the texts it says that the feature fires.

        Args:
            places: numbers of words.
            words: those of the texts.
            index: ``words.names`` -> type.
        """
        said = np.full(len(places), not self.silent)
        if self.words:
            said = np.zeros(len(places), bool)
            for name in self.words:
                said |= _phrase_at(name, places, words, index)
        if self.piece:
            has = np.array([self.piece in name for name in words.names], bool)
            said &= has[words.kind[places]]
        if self.around:
            said &= self._around(places, words, index)
        if self.first:
            before = words.neighbour(places, -1)
            said &= before < 0
        return said

    def _around(self, places: Ints, words: Words, index: dict[str, int]) -> NDArray[np.bool_]:
        """Whether one of the words around stands where the rule says."""
        wanted = [index[name] for name in self.around if name in index]
        steps = {"before": [1], "after": [-1]}.get(
            self.relation, [step for step in range(-NEAR, NEAR + 1) if step != 0]
        )
        found = np.zeros(len(places), bool)
        for step in steps:
            found |= np.isin(words.neighbour(places, step), wanted)
        return found


def rule_of(label: str) -> Rule | None:
    """The rule that a label of words states; None for one in any other form, as a model writes.

    >>> rule_of('"refund", "money back" before "please"')
    Rule(words=('refund', 'money back'), piece='', relation='before', around=('please',), first=False, silent=False)
    >>> rule_of("references to money") is None
    True
    """
    for form in _FORMS:
        if (match := form.fullmatch(label)) is not None:
            told = match.groupdict()
            around = _unquoted(told.get("around"))
            return Rule(
                words=_unquoted(told.get("words")),
                piece=told.get("piece") or "",
                relation=(told.get("relation") or "near") if around else "",
                around=around,
                first=bool(told.get("first")),
                silent=bool(told.get("silent")),
            )
    return None


def _unquoted(listed: str | None) -> tuple[str, ...]:
    return tuple(part[1:-1] for part in re.findall(_QUOTED, listed or ""))


def _phrase_at(name: str, places: Ints, words: Words, index: dict[str, int]) -> NDArray[np.bool_]:
    """Where a word stands, or either word of a pair beside the other."""
    kinds = [index.get(part, -2) for part in name.split(" ")]
    own = words.kind[places]
    if len(kinds) == 1:
        alone: NDArray[np.bool_] = own == kinds[0]
        return alone
    behind, ahead = words.neighbour(places, -1), words.neighbour(places, 1)
    pair: NDArray[np.bool_] = ((own == kinds[0]) & (ahead == kinds[1])) | ((own == kinds[1]) & (behind == kinds[0]))
    return pair
