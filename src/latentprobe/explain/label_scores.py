"""How true a label is: how well it tells the places of held-out text where its feature fires from those where it
does not.

A place is a word. Of each feature, places where it fires at all, weak ones too, and as many where it does not are drawn
by chance, each from another text, so that they count as independent. A label made of words is read as a rule; any other
is put to a judge that gives each place a number: the detection score of Paulo et al. (2024, arXiv 2410.13928), with the
place marked as in their fuzzing. The score is the area under the ROC curve, which is balanced accuracy where the answer
is yes or no, as that of a rule is. Chance is 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, mannwhitneyu, norm, rankdata

from latentprobe.explain.label_rules import Rule, rule_of
from latentprobe.explain.words import Excerpt, Ints, Words, excerpt, read_words
from latentprobe.store.token_activations import TokenActivations

__all__ = ["Judge", "LabelScore", "area", "better_than_chance", "score_labels"]

#: Places where a feature fires and places where it does not, at most; with fewer than the least it is not scored.
PLACES, LEAST = 100, 10


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
        recall: of a rule, the share of all held-out words with the feature that it names; None for a judge.
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


def score_labels(
    texts: Sequence[str],
    tokens: TokenActivations,
    labels: Mapping[int, str],
    *,
    judge: Judge | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, LabelScore]:
    """A score for each label whose feature fires in at least ten of the texts.

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
    scored = {}
    for done, (feature, label) in enumerate(labels.items(), start=1):
        fires = np.unique(words.of_token[tokens.column(feature)[0]])
        here, elsewhere = _places(fires, words, np.random.default_rng([seed, feature]))
        rule = rule_of(label)
        if len(here) >= LEAST and len(elsewhere) >= LEAST:
            if rule is not None:
                named = named_by(rule)
                hits = int(np.isin(fires, named).sum())
                scored[feature] = area(
                    np.isin(here, named),
                    np.isin(elsewhere, named),
                    recall=hits / len(fires),
                    precision=hits / len(named) if len(named) else None,
                )
            elif judge is not None:
                scored[feature] = _judged(judge, label, here, elsewhere, words, texts, seed)
        if progress is not None:
            progress(done, len(labels))
    return scored


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


def _judged(
    judge: Judge, label: str, here: Ints, elsewhere: Ints, words: Words, texts: Sequence[str], seed: int
) -> LabelScore:
    """The score of a judge, who sees the places in an order that tells nothing."""
    places = np.concatenate([here, elsewhere])
    order = np.random.default_rng(seed).permutation(len(places))
    told = np.empty(len(places))
    told[order] = judge(label, [excerpt(int(place), words, texts) for place in places[order]])
    return area(told[: len(here)], told[len(here) :])


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


def _places(fires: Ints, words: Words, random: np.random.Generator) -> tuple[Ints, Ints]:
    """Some of the words where a feature fires, and as many where it does not, each from another text."""
    here = _one_a_text(random.permutation(fires), words)[:PLACES]
    drawn = random.integers(len(words.kind), size=20 * PLACES)
    elsewhere = _one_a_text(drawn[~np.isin(drawn, fires)], words)[: len(here)]
    return here[: len(elsewhere)], elsewhere


def _one_a_text(places: Ints, words: Words) -> Ints:
    """The first place of each text, in the order they came."""
    return places[np.sort(np.unique(words.text[places], return_index=True)[1])]
