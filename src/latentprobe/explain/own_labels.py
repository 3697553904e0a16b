"""Own labels of features, made of words alone: where a feature fires most, contrasted with where it does not.

The rule, for each feature: take its strongest tokens (one for each text and word, so that repeated texts count once),
join word pieces to whole words, and prefer words that carry much of the activation and on which the feature fires
often. Where no few words do, look for a shared word before, after or near, or a shared word piece. Words that two
features share are told apart by what stands around them. Calls no service; knows nothing of models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentprobe.explain.words import Excerpt, Ints, Words, excerpt, piece, read_words
from latentprobe.store.token_activations import TokenActivations

__all__ = ["describe_features", "label_excerpts"]

STRONGEST = 400
# Words as common as this ("the", "of") say little beside another word.
COMMON = 0.004
NEAR = 6
MIN_TEXTS = 3
MAX_WORDS = 4
LONGEST = 24


def describe_features(
    texts: Sequence[str],
    tokens: TokenActivations,
    features: Iterable[int],
    *,
    groups: Sequence[str] | None = None,
) -> dict[int, str]:
    """A label for each of some features that is on somewhere in the texts.

    Args:
        texts: those the tokens are of; some thousand, of the kind the classifier will read.
        tokens: every feature on every token.
        features: which to describe; two with the same words are told apart only if both are among them.
        groups: what kind of text each is; told where a feature fires on common words in one kind alone.

    Returns:
        Feature -> label, such as ``"refund", "money back"`` or ``"it" before "works"``. Quoted words are as they stand
        in the texts, letter case aside.

    Raises:
        CorpusError: no text has a word.
    """
    words = read_words(texts, tokens, groups)
    hits = {
        feature: strongest(*tokens.column(feature), words) for feature in features if len(tokens.column(feature)[0])
    }
    pieces = {feature: common_piece(texts, tokens, words, found) for feature, found in hits.items()}
    labels = {feature: describe(found, words, pieces[feature], detail=False) for feature, found in hits.items()}
    often = Counter(labels.values())
    return {
        feature: describe(hits[feature], words, pieces[feature], detail=True) if often[label] > 1 else label
        for feature, label in labels.items()
    }


@dataclass(frozen=True)
class Hits:
    """Strongest places of one feature: words, tokens and weights that sum to 1; how often each word fires at all."""

    places: Ints
    tokens: Ints
    weights: NDArray[np.float64]
    fired: dict[int, float]


def strongest(column: Ints, values: NDArray[np.float32], words: Words) -> Hits:
    """Take the strongest tokens of one feature, each pair of text and word once."""
    order = np.argsort(-values, kind="stable")[: 4 * STRONGEST]
    places = words.of_token[column[order]]
    pair = words.text[places] * len(words.names) + words.kind[places]
    first = np.sort(np.unique(pair, return_index=True)[1])
    strong = values[order][first] >= 0.6 * values[order][first][:10].mean()
    chosen = order[first[strong][:STRONGEST]]
    weights = values[chosen] / values[chosen].sum()
    everywhere = np.unique(words.of_token[column])
    kinds, counts = np.unique(words.kind[everywhere], return_counts=True)
    rates = counts / words.read[kinds]
    return Hits(words.of_token[column[chosen]], column[chosen], weights, dict(zip(kinds.tolist(), rates, strict=True)))


def shares(kinds: Ints, weights: NDArray[np.float64], texts: Ints) -> list[tuple[int, float]]:
    """Return (type, share of weight), greatest first, of types seen in enough different texts."""
    found, inverse = np.unique(kinds, return_inverse=True)
    weight = np.bincount(inverse, weights)
    different = np.unique(inverse * (texts.max() + 1) + texts) // (texts.max() + 1)
    enough = np.bincount(different, minlength=len(found)) >= min(MIN_TEXTS, len(np.unique(texts)))
    order = np.argsort(-weight, kind="stable")
    return [(int(found[i]), float(weight[i])) for i in order if enough[i]]


def quotable(name: str) -> bool:
    """Tell whether a word may stand in a label: no links, no other people's handles, nothing overlong."""
    return len(name) <= LONGEST and (not name.startswith("@") or name == "@user") and "http" not in name[1:]


def akin(one: str, other: str) -> bool:
    """Tell whether two words look like forms of one word, or whether one phrase contains the other."""
    if f" {one} " in f" {other} " or f" {other} " in f" {one} ":
        return True
    alike = 0
    while alike < min(len(one), len(other)) and one[alike] == other[alike]:
        alike += 1
    return alike >= max(3, 0.6 * max(len(one), len(other)))


def quote(names: list[str]) -> str:
    """Return the first few names in quotes, one form of each word."""
    kept: list[str] = []
    for name in names:
        if len(kept) < MAX_WORDS and not any(akin(name, other) for other in kept):
            kept.append(name)
    return ", ".join("'\"'" if name == '"' else f'"{name}"' for name in kept)


def phrase(kind: int, hits: Hits, words: Words) -> str:
    """Return the word, with a neighbour where that neighbour is much of what makes the feature fire there."""
    mine = words.kind[hits.places] == kind
    places, weights = hits.places[mine], hits.weights[mine]
    total = words.share[kind] * len(words.kind)
    name = words.names[kind]
    for step in (-1, 1):
        near = shares(words.neighbour(places, step), weights / weights.sum(), words.text[places])
        if not near or near[0][0] < 0 or len(places) < MIN_TEXTS:
            continue
        other, share = near[0]
        pair = other * len(words.names) + kind if step < 0 else kind * len(words.names) + other
        usual = words.pairs.get(pair, 0) / total
        neighbour = words.names[other]
        least, lift = (0.8, 2.5) if words.share[other] > COMMON else (0.5, 1.5)
        if share >= max(least, lift * usual) and neighbour[0].isalnum() and quotable(neighbour):
            return f"{neighbour} {name}" if step < 0 else f"{name} {neighbour}"
    return name


def own_words(hits: Hits, words: Words) -> tuple[list[int], float]:
    """Return the few word types that carry the feature, best first, and their share of its weight."""
    found = shares(words.kind[hits.places], hits.weights, words.text[hits.places])
    found = [(kind, share) for kind, share in found if quotable(words.names[kind])]
    scored = sorted(found, key=lambda item: -item[1] * hits.fired[item[0]] ** 0.3)[: MAX_WORDS + 4]
    if not scored:
        return [], 0.0
    best = max(share for _, share in scored)
    kept = [(kind, share) for kind, share in scored if share >= 0.12 * best]
    return [kind for kind, _ in kept], sum(share for _, share in kept)


def beside(hits: Hits, words: Words, step: int, least: float) -> list[str]:
    """Return up to three words that mostly stand right before (-1) or after (1), unusually often for them."""
    found = shares(words.neighbour(hits.places, step), hits.weights, words.text[hits.places])
    if found and found[0][0] < 0 and found[0][1] >= max(0.6, least) and step < 0:
        return [""]
    told = [(kind, share) for kind, share in found if kind >= 0 and share >= max(0.08, 4 * words.share[kind])][:3]
    if sum(share for _, share in told) < least or not all(quotable(words.names[kind]) for kind, _ in told):
        return []
    return [words.names[kind] for kind, share in told if share >= 0.2 * told[0][1]]


def nearby(hits: Hits, words: Words, least: float, but: set[int]) -> list[str]:
    """Return up to three words that often stand within a few places, and seldom do elsewhere."""
    around = np.stack([words.neighbour(hits.places, step) for step in range(-NEAR, NEAR + 1) if step])
    one_each = np.unique((around + 1) * len(hits.places) + np.arange(len(hits.places)))
    kinds, rows = one_each // len(hits.places) - 1, one_each % len(hits.places)
    found = shares(kinds, hits.weights[rows], words.text[hits.places][rows])
    told = []
    for kind, share in found[:60]:
        if kind < 0:
            continue
        usual = 1 - (1 - words.share[kind]) ** (2 * NEAR)
        name = words.names[kind]
        if kind in but or not (name[0].isalnum() and quotable(name)):
            continue
        if share >= max(least, 4 * usual):
            told.append((share * np.log(share / usual), name))
    return [name for _, name in sorted(told, reverse=True)[:2]]


def common_piece(texts: Sequence[str], tokens: TokenActivations, words: Words, hits: Hits) -> str:
    """Return the piece inside words that the feature fires on, or nothing."""
    weight: Counter[str] = Counter()
    for token, share in zip(hits.tokens.tolist(), hits.weights.tolist(), strict=True):
        weight[piece(texts, tokens, token) if words.inside[token] else ""] += share
    best, share = weight.most_common(1)[0]
    return best if share >= 0.5 and best.isalnum() else ""


def home(hits: Hits, words: Words, kinds: set[int]) -> str:
    """Return the one kind of text that the feature fires in, where its words stand in other kinds too."""
    if len(words.group_names) == 1:
        return ""
    weight = np.bincount(words.group[words.text[hits.places]], hits.weights, minlength=len(words.group_names))
    usual = words.in_group[list(kinds)].sum(0)
    best = int(weight.argmax())
    return words.group_names[best] if weight[best] >= max(0.7, 1.3 * usual[best] / usual.sum()) else ""


def context(hits: Hits, words: Words, but: set[int], least: float) -> str:
    """Return what tells the places of common words where the feature fires from those where it doesn't."""
    for step, where in ((1, "before"), (-1, "after")):
        if told := beside(hits, words, step, least):
            return f" {where} {quote(told[:2])}" if told[0] else " first in a text"
    if near := nearby(hits, words, 0.6 * least, but):
        return f" near {quote(near)}"
    group = home(hits, words, but)
    return f" in {group}" if group else ""


def topic(hits: Hits, words: Words, kinds: list[int]) -> str:
    """Return what stands around a feature that fires on several common words alike, or nothing."""
    common = [k for k in kinds if words.share[k] > COMMON / 4 or not words.names[k][0].isalnum()]
    if len(kinds) < 3 or len(common) < len(kinds):
        return ""
    if near := nearby(hits, words, 0.2, set(kinds)):
        return f"common words near {quote(near)}"
    group = home(hits, words, set(kinds))
    return f"common words in {group}: {quote([words.names[k] for k in kinds[:3]])}" if group else ""


def describe(hits: Hits, words: Words, piece_inside: str, *, detail: bool) -> str:
    """Return the label of one feature that is on somewhere; detail asks for context that tells it from a namesake."""
    kinds, covered = own_words(hits, words)
    quoted = quote([phrase(kind, hits, words) for kind in kinds])
    if around := topic(hits, words, kinds):
        return around
    fired = float(np.mean([hits.fired[kind] for kind in kinds])) if kinds else 0.0
    if covered >= 0.5:
        wanted = detail or (fired < 0.5 and len(kinds) <= 2)
        return quoted + (context(hits, words, set(kinds), 0.25 if detail else 0.5) if wanted else "")
    if piece_inside:
        few = ", ".join(quoted.split(", ")[:2])
        return f'"-{piece_inside}" in words such as {few}' if few else f'"-{piece_inside}" inside words'
    for step, where in ((-1, "after"), (1, "before")):
        if told := beside(hits, words, step, 0.5):
            return f"{where} {quote(told)}" if told[0] else "first word of a text"
    near = nearby(hits, words, 0.4, set(kinds))
    if near and covered < 0.25:
        return f"near {quote(near)}"
    if covered >= 0.35 or fired >= 0.6:
        return quoted + (context(hits, words, set(kinds), 0.25) if detail else "")
    return f"mixed: {quoted}" if quoted else "mixed"


def label_excerpts(
    texts: Sequence[str], tokens: TokenActivations, features: Iterable[int], *, each: int = 15, seed: int = 0
) -> dict[int, tuple[list[Excerpt], list[Excerpt]]]:
    """For each feature that is on somewhere its strongest places, and as many drawn by chance where it is not.

    Raises:
        CorpusError: no text has a word.
    """
    words = read_words(texts, tokens)
    chosen = {}
    for feature in features:
        column, values = tokens.column(feature)
        if not len(column):
            continue
        hits = strongest(column, values, words)
        drawn = np.random.default_rng([seed, feature]).permutation(len(words.kind))[: 50 * each]
        silent = drawn[~np.isin(drawn, words.of_token[column])]
        chosen[feature] = (
            [excerpt(int(place), words, texts) for place in hits.places[:each]],
            [excerpt(int(place), words, texts) for place in silent[:each]],
        )
    return chosen
