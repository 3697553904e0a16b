"""Texts that are nearly the same: retweets with another handle, templates with a word changed, a full stop more.

A near-copy on the other side of a split lets a probe recite instead of tell. Two texts are near-copies when the sets of
their character 5-grams overlap enough (Jaccard; Broder 1997). Candidates come from MinHash and locality-sensitive
hashing (datasketch), and every one is verified on the sets themselves: what is found is exact, what is missed is rare.
Knows nothing of splits.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

__all__ = ["clusters_of"]

_GRAM = 5
_PERMUTATIONS = 128
_MISSED = 0.001
"""Chance that two texts just at the threshold are no candidates. The library's own choice misses one in eight there; a
false candidate only costs a verification."""
_SEED = 1


def clusters_of(keys: Sequence[str], threshold: float) -> list[str]:
    """The name of the cluster of near-copies that each text belongs to, one a row.

    Args:
        keys: the normalized texts, one a row; empty ones are near nothing.
        threshold: the least share of 5-grams in common, 0.5 to 1, for two texts to be one cluster.

    Returns:
        The first of the cluster's texts in sorted order; the text itself where there is nothing near it. Clusters
        chain: of three texts, the outer two may have less in common than the threshold.

    >>> clusters_of(["you are such an idiot, mate", "you are such an idiot, mate!", "hello"], 0.8)
    ['you are such an idiot, mate', 'you are such an idiot, mate', 'hello']
    """
    texts = sorted(set(keys) - {""})
    parent = list(range(len(texts)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for place, candidates in enumerate(_candidates(texts, threshold)):
        own = grams(texts[place])
        for candidate in candidates:
            low, high = sorted((root(place), root(candidate)))
            if low != high and jaccard(own, grams(texts[candidate])) >= threshold:
                parent[high] = low
    names = {text: texts[root(place)] for place, text in enumerate(texts)} | {"": ""}
    return [names[key] for key in keys]


def _candidates(texts: Sequence[str], threshold: float) -> Iterator[list[int]]:
    """For each text, earlier ones that may be near it, in ascending order."""
    if len(texts) < 2:
        return
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=_PERMUTATIONS, params=_bands(threshold))
    hashed = MinHash.generator(
        ([gram.encode() for gram in grams(text)] for text in texts),
        num_perm=_PERMUTATIONS,
        seed=_SEED,
        hashfunc=zlib.crc32,
    )
    for place, sketch in enumerate(hashed):
        yield sorted(index.query(sketch))
        index.insert(place, sketch, check_duplication=False)


def _bands(threshold: float) -> tuple[int, int]:
    """(bands, rows a band): the fewest bands that miss a pair just at the threshold with a chance of `_MISSED`."""
    sizes = range(_PERMUTATIONS // 2, 0, -1)
    rows = next(rows for rows in sizes if (1 - threshold**rows) ** (_PERMUTATIONS // rows) <= _MISSED)
    return _PERMUTATIONS // rows, rows


def grams(text: str) -> frozenset[str]:
    """The character 5-grams of a text; a shorter text is its only one.

    >>> sorted(grams("abcdef"))
    ['abcde', 'bcdef']
    """
    return frozenset(text[start : start + _GRAM] for start in range(max(1, len(text) - _GRAM + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Share of what is in either that is in both.

    >>> jaccard(frozenset("ab"), frozenset("bc"))
    0.3333333333333333
    """
    return len(one & other) / len(one | other)
