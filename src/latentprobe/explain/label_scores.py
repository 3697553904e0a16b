"""How true a label is: how well it tells the places of held-out text where its feature fires from those where it
does not.

A place is a word. Of each feature, places where it fires at all, weak ones too, and as many where it does not are drawn
by chance, each from another text, so that they count as independent; and once more places among the strongest tenth of
those where it fires, with as many of the same places where it does not. A label made of words is read as a rule; any
other is put to a judge that gives each place a number: the detection score of Paulo et al. (2024, arXiv 2410.13928),
with the place marked as in their fuzzing. The score is the area under the ROC curve, which is balanced accuracy where
the answer is yes or no, as that of a rule is. Chance is 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, mannwhitneyu, norm, rankdata

from latentprobe.explain.label_rules import Rule, rule_of
from latentprobe.explain.words import Excerpt, Ints, Words, excerpt, read_words
from latentprobe.store.token_activations import TokenActivations

__all__ = ["Judge", "LabelScore", "LabelScores", "area", "better_than_chance", "score_labels"]

#: Places where a feature fires and places where it does not, at most; with fewer than the least it is not scored.
PLACES, LEAST = 100, 10

#: Share of the words where a feature fires that are its strongest.
STRONGEST = 0.1


Judge = Callable[[str, Sequence[Excerpt]], "NDArray[np.float64] | list[float]"]
"""A label and some places to one number a place: the more, the more the label speaks of it."""


@dataclass(frozen=True)
class LabelScore:
    """What a label is worth.

    Attributes:
        score: area under the ROC curve, 0.5 is chance.
        low: of its 95 % interval, after DeLong (1988), with one wrong place added to either side so that a perfect
            score has an interval too; ``high`` likewise.
        p: of a score this high by chance, one-sided (Mann and Whitney).
        places: where the feature fires; as many where it does not.
        recall: of a rule, the share that it names of all held-out words where the feature fires, or of the strongest of
            them; None for a judge.
        precision: of a rule, the share of the words it names that have the feature; None where it names none.
    """

    score: float
    low: float
    high: float
    p: float
    places: int
    recall: float | None = None
    precision: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


class LabelScores(NamedTuple):
    """Feature -> score, of the labels that could be scored."""

    everywhere: dict[int, LabelScore]
    """Among all words where the feature fires."""
    strongest: dict[int, LabelScore]
    """Among the strongest tenth of them."""


def score_labels(
    texts: Sequence[str],
    tokens: TokenActivations,
    labels: Mapping[int, str],
    *,
    judge: Judge | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LabelScores:
    """The scores of each label whose feature fires, or is among its strongest, in at least ten of the texts.

    Args:
        texts: held-out ones: no label was made from them.
        tokens: every feature on every token of them.
        labels: feature -> label.
        judge: of labels that are no rule; without one they are not scored.
        seed: of the places drawn.
        progress: called with labels done and labels in all.

    Raises:
        CorpusError: no text has a word.
    """
    words = read_words(texts, tokens)
    named_by = _Reader(words)
    scored = LabelScores({}, {})
    for done, (feature, label) in enumerate(labels.items(), start=1):
        places = _places(*_word_values(*tokens.column(feature), words), words, np.random.default_rng([seed, feature]))
        rule = rule_of(label)
        if places is not None and rule is not None:
            _score_rule(scored, feature, places, named_by(rule))
        elif places is not None and judge is not None:
            _score_judged(scored, feature, places, partial(judge, label), words, texts, seed)
        if progress is not None:
            progress(done, len(labels))
    return scored


@dataclass(frozen=True)
class _Places:
    """Words of one feature: all where it fires and the strongest of them; and what was drawn to be asked about."""

    fires: Ints
    strong: Ints
    here: Ints
    brightest: Ints
    elsewhere: Ints
    """As many as ``here``."""


class _Reader:
    """Finds the words that a rule names, looking only where words of the rule stand."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._index = {name: kind for kind, name in enumerate(words.names)}
        self._order = np.argsort(words.kind, kind="stable")
        self._bounds = np.concatenate([[0], np.cumsum(np.bincount(words.kind, minlength=len(words.names)))])

    def __call__(self, rule: Rule) -> Ints:
        if rule.words:
            kinds = {self._index[part] for name in rule.words for part in name.split(" ") if part in self._index}
            parts = [self._order[self._bounds[kind] : self._bounds[kind + 1]] for kind in sorted(kinds)]
            places = np.concatenate([np.zeros(0, np.int64), *parts])
        else:
            places = np.arange(len(self._words.kind))
        return np.asarray(places[rule.applies(places, self._words, self._index)])


def _score_rule(scored: LabelScores, feature: int, places: _Places, named: Ints) -> None:
    """Add the scores of a label that names words."""
    off, in_all = np.isin(places.elsewhere, named), len(named)
    precision = float(np.isin(places.fires, named).sum() / in_all) if in_all else None
    for found, asked, every in (
        (scored.everywhere, places.here, places.fires),
        (scored.strongest, places.brightest, places.strong),
    ):
        if len(asked) >= LEAST:
            recall = float(np.isin(every, named).mean())
            found[feature] = area(np.isin(asked, named), off[: len(asked)], recall=recall, precision=precision)


def _score_judged(
    scored: LabelScores,
    feature: int,
    places: _Places,
    judge: Callable[[Sequence[Excerpt]], NDArray[np.float64] | list[float]],
    words: Words,
    texts: Sequence[str],
    seed: int,
) -> None:
    """Add the scores of a judge, who sees each place once, in an order that tells nothing."""
    asked = np.unique(np.concatenate([places.here, places.brightest, places.elsewhere]))
    order = np.random.default_rng(seed).permutation(len(asked))
    told = np.empty(len(asked))
    told[order] = judge([excerpt(int(place), words, texts) for place in asked[order]])
    here, brightest, off = (
        told[np.searchsorted(asked, own)] for own in (places.here, places.brightest, places.elsewhere)
    )
    scored.everywhere[feature] = area(here, off)
    if len(brightest) >= LEAST:
        scored.strongest[feature] = area(brightest, off[: len(brightest)])


def area(
    here: NDArray[Any], elsewhere: NDArray[Any], *, recall: float | None = None, precision: float | None = None
) -> LabelScore:
    """The score of what a label says of places where its feature fires and of places where it does not.

    >>> area(np.array([1, 1, 0, 1]), np.array([0, 0, 1, 0])).score
    0.75
    """
    here, elsewhere = here.astype(np.float64), elsewhere.astype(np.float64)
    score, _ = _delong(here, elsewhere)
    low_end, high_end = min(here.min(), elsewhere.min()), max(here.max(), elsewhere.max())
    if low_end == high_end:
        p = 1.0
        high_end = low_end + 1
    else:
        p = float(mannwhitneyu(here, elsewhere, alternative="greater", method="asymptotic").pvalue)
    _, variance = _delong(np.append(here, low_end), np.append(elsewhere, high_end))
    half = float(norm.ppf(0.975)) * variance**0.5
    return LabelScore(score, max(0.0, score - half), min(1.0, score + half), p, len(here), recall, precision)


def better_than_chance(scores: Mapping[int, LabelScore], rate: float = 0.05) -> set[int]:
    """Features whose labels predict better than chance, at a false discovery rate (Benjamini and Hochberg, 1995)."""
    if not scores:
        return set()
    adjusted = false_discovery_control([score.p for score in scores.values()])
    return {feature for feature, p in zip(scores, adjusted, strict=True) if p <= rate}


def _delong(here: NDArray[np.float64], elsewhere: NDArray[np.float64]) -> tuple[float, float]:
    """Area under the curve and its variance, from midranks (Sun and Xu, 2014)."""
    m, n = len(here), len(elsewhere)
    ranks = rankdata(np.concatenate([here, elsewhere]))
    above = (ranks[:m] - rankdata(here)) / n
    below = 1 - (ranks[m:] - rankdata(elsewhere)) / m
    return float(above.mean()), float(above.var(ddof=1) / m + below.var(ddof=1) / n)


def _word_values(column: Ints, values: NDArray[np.float32], words: Words) -> tuple[Ints, NDArray[np.float32]]:
    """The words where a feature fires, and how strongly: the value of the strongest token of each."""
    fires, inverse = np.unique(words.of_token[column], return_inverse=True)
    strength = np.zeros(len(fires), np.float32)
    np.maximum.at(strength, inverse, values)
    return fires, strength


def _places(fires: Ints, strength: NDArray[np.float32], words: Words, random: np.random.Generator) -> _Places | None:
    """Words to ask about, each group with every word from another text; None where the feature fires too seldom."""
    here = _one_a_text(random.permutation(fires), words)[:PLACES]
    drawn = random.integers(len(words.kind), size=20 * PLACES)
    elsewhere = _one_a_text(drawn[~np.isin(drawn, fires)], words)[: len(here)]
    if min(len(here), len(elsewhere)) < LEAST:
        return None
    strong = np.sort(fires[np.argsort(-strength, kind="stable")[: int(STRONGEST * len(fires))]])
    brightest = _one_a_text(random.permutation(strong), words)[: len(elsewhere)]
    return _Places(fires, strong, here[: len(elsewhere)], brightest, elsewhere)


def _one_a_text(places: Ints, words: Words) -> Ints:
    """The first place of each text, in the order they came."""
    return places[np.sort(np.unique(words.text[places], return_index=True)[1])]
