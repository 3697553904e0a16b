"""The chosen classifier's explanations put to the test, on test rows and with the deployed classifier itself.

Features are removed from the latents of every token and the row is pooled anew; tokens are deleted from the text and
the language model reads what is left. Knows how this is done; what it means is told by `explain`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.corpus import Rows
from latentprobe.deploy import Bundle, Classifier
from latentprobe.deploy.encoding import EncodedBatch, encode_texts
from latentprobe.encode.backbone import Backbone
from latentprobe.encode.latents import TokenLatents
from latentprobe.encode.pooling import pool
from latentprobe.experiment.splicing import Answering, Removed, spliced
from latentprobe.explain.contributions import Contributions, contributions
from latentprobe.explain.faithfulness import SIZES, Picked, compared, pick, promise, verdict

__all__ = ["Judged", "ablation"]

#: Tokens deleted, and how often random parts are drawn: each costs passes of the language model, or only sums.
TOKENS, TOKEN_DRAWS, FEATURE_DRAWS = (1, 3), 2, 5


@dataclass(frozen=True, eq=False)
class Judged:
    """Rows with the class that was decided, whose score is followed."""

    bundle: Bundle
    decisions: NDArray[np.float64]
    """``[n, K]``."""
    classes: NDArray[np.int64]
    """The class followed in each row, ``[n]``: the decided one; of a multi-label task the likeliest."""

    @classmethod
    def of(cls, bundle: Bundle, decisions: NDArray[np.float64]) -> Judged:
        """Follow what the decisions themselves say."""
        binary = decisions.shape[1] == 1
        return cls(bundle, decisions, (decisions[:, 0] > 0) * 1 if binary else np.argmax(decisions, axis=1))

    def score(self, decisions: NDArray[np.float64], rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """The decision values of some rows as seen from the class followed, ``[b]``."""
        classes = self.classes[rows]
        if decisions.shape[1] == 1:
            return np.where(classes == 1, decisions[:, 0], -decisions[:, 0])
        return np.asarray(decisions[np.arange(len(classes)), classes])

    def lost(self, decisions: NDArray[np.float64], rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """By how much the calibrated probability of the class followed fell, ``[b]``."""
        before, after = (
            self.bundle.calibration.probabilities(values)[np.arange(len(rows)), self.classes[rows]]
            for values in (self.decisions[rows], decisions)
        )
        return np.asarray(before - after)

    def fell(self, decisions: NDArray[np.float64], rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """By how much the decision value fell, ``[b]``."""
        return self.score(self.decisions[rows], rows) - self.score(decisions, rows)

    def added(self, parts: Contributions, row: int) -> NDArray[np.float64]:
        """What each feature adds to the score followed, ``[a]``."""
        if len(self.bundle.probe.intercept) == 1:
            return np.asarray(parts.contributions[0] * (1 if self.classes[row] else -1), np.float64)
        return np.asarray(parts.contributions[self.classes[row]], np.float64)


def ablation(
    bundle: Bundle,
    texts: Rows,
    units: NDArray[Any],
    rates: NDArray[np.float64],
    *,
    resamples: int,
    seed: int,
    device: str = "auto",
    asked: Answering | str = "Nothing was asked.",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """What decisions lose without the features and the tokens that explanations name, beside random ones.

    Args:
        bundle: the classifier.
        texts: test rows; or images, of which only features are removed.
        units: of each row, drawn whole in the bootstrap.
        rates: share of training rows in which each feature is on, ``[width]``.
        resamples, seed: of the bootstrap and of the random parts.
        device: of the model.
        asked: the causal model with its task, or why there is none.
        progress: gets passes of the model done and in all.

    Returns:
        ``rows``, ``promise``, ``features``, ``tokens``, ``splicing`` and ``verdict``: see docs/faithfulness.md.
    """
    classifier = Classifier(bundle, device=device)
    backbone, bundle = classifier.backbone, classifier.bundle
    rng = np.random.default_rng(seed)
    passes = len(texts) * (1 + len(TOKENS) * (1 + TOKEN_DRAWS) * (not classifier.reads_images))
    batches = list(encode_texts(texts, backbone, bundle))
    decisions = np.zeros((len(texts), len(bundle.probe.intercept)))
    for batch in batches:
        decisions[batch.rows] = bundle.probe.decision(batch.pooled)
    judged = Judged.of(bundle, decisions)
    progress(len(texts), passes)
    how = {"units": units, "resamples": resamples, "seed": seed}
    removed: list[Removed | None] = [None] * len(texts)
    promised, features = _features(judged, batches, rates, rng, how, removed)
    tokens: dict[str, Any] = {"defined": False, "why": "The rows are images."}
    if not classifier.reads_images:
        tokens = _tokens(judged, batches, [str(text) for text in texts], backbone, rng, how)
        progress(passes, passes)
    gaps = {"features": features["comprehensiveness"]["mean"]}
    gaps["tokens"] = tokens["comprehensiveness"]["mean"] if tokens["defined"] else None
    return {
        "rows": len(texts),
        "verdict": verdict(promised, gaps),
        "promise": promised,
        "features": features,
        "tokens": tokens,
        "splicing": spliced(asked, [str(text) for text in texts], removed, how),
    }


# -- features ---------------------------------------------------------------------------------------------------------


def _features(
    judged: Judged,
    batches: Sequence[EncodedBatch],
    rates: NDArray[np.float64],
    rng: np.random.Generator,
    how: dict[str, Any],
    removed: list[Removed | None],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What removing features costs, and whether it is what their contributions promise; ``removed`` gets which."""
    n, sizes = len(judged.classes), len(SIZES)
    promised, fell = np.full((n, sizes), np.nan), np.full((n, sizes), np.nan)
    lost = {name: np.full((n, sizes), np.nan) for name in ("without", "without random", "only", "only random")}
    for batch in batches:
        parts = [contributions(judged.bundle.probe, batch.pooled[place]) for place in range(len(batch.rows))]
        added = [judged.added(part, row) for part, row in zip(parts, batch.rows, strict=True)]
        picks = [
            pick(own, np.log(rates[part.features] + 1e-6), most=max(SIZES), draws=FEATURE_DRAWS, rng=rng)
            for part, own in zip(parts, added, strict=True)
        ]
        some = [place for place, picked in enumerate(picks) if len(picked.named)]
        rows = [batch.rows[place] for place in some]
        for place, row in zip(some, rows, strict=True):
            own, picked = parts[place].features, picks[place]
            removed[row] = Removed(own[picked.named], tuple(own[drawn] for drawn in picked.random))
        for column, size in enumerate(SIZES):
            named = [parts[place].features[picks[place].named[:size]] for place in some]
            decisions = _decide(judged.bundle, batch, some, named, only=False)
            fell[rows, column] = judged.fell(decisions, rows)
            promised[rows, column] = [added[place][picks[place].named[:size]].sum() for place in some]
            lost["without"][rows, column] = judged.lost(decisions, rows)
            only = _decide(judged.bundle, batch, some, named, only=True)
            lost["only"][rows, column] = judged.lost(only, rows)
            for name in ("without random", "only random"):
                lost[name][rows, column] = _random(
                    judged, batch, some, parts, picks, size, only=name.startswith("only")
                )
    return promise(promised, fell), {
        "likeness": "firing rate on training rows",
        "comprehensiveness": compared(SIZES, lost["without"], lost["without random"], **how),
        "sufficiency": compared(SIZES, lost["only"], lost["only random"], **how, smaller_is_better=True),
    }


def _random(
    judged: Judged,
    batch: EncodedBatch,
    some: Sequence[int],
    parts: Sequence[Contributions],
    picks: Sequence[Picked],
    size: int,
    *,
    only: bool,
) -> NDArray[np.float64]:
    """What removing (or keeping only) as many random features costs, the mean over draws; nan where there are fewer."""
    rows = [batch.rows[place] for place in some]
    lost = np.zeros(len(some))
    for draw in range(FEATURE_DRAWS):
        chosen = [parts[place].features[picks[place].random[draw][:size]] for place in some]
        lost += judged.lost(_decide(judged.bundle, batch, some, chosen, only=only), rows)
    enough = [len(picks[place].random[0]) >= min(size, len(picks[place].named)) for place in some]
    return np.where(enough, lost / FEATURE_DRAWS, np.nan)


def _decide(
    bundle: Bundle, batch: EncodedBatch, places: Sequence[int], features: Sequence[NDArray[Any]], *, only: bool
) -> NDArray[np.float64]:
    """Decisions ``[len(places), K]`` with some features of each row set to zero on every token; or with ``only``, all
    others that the classifier uses."""
    latents, width = batch.latents, batch.latents.width
    lengths = np.diff(batch.ends, prepend=0)
    row = np.repeat(np.repeat(np.arange(len(lengths)), lengths), np.diff(latents.indptr)).astype(np.int64)
    keys = [place * width + own.astype(np.int64) for place, own in zip(places, features, strict=True)]
    told = np.isin(row * width + latents.indices, np.concatenate(keys) if keys else [])
    keep = (told | ~np.isin(latents.indices, bundle.probe.features)) if only else ~told
    indptr = np.concatenate([[0], np.cumsum(keep)])[latents.indptr]
    left = TokenLatents(indptr, latents.indices[keep], latents.values[keep], width)
    pooled = pool(left, lengths, [batch.pooling])
    matrix = batch.pooled.__class__(
        (pooled.values[batch.pooling], pooled.indices, pooled.indptr), shape=batch.pooled.shape
    )
    return bundle.probe.decision(matrix[list(places)])


# -- tokens -----------------------------------------------------------------------------------------------------------


def token_scores(judged: Judged, batch: EncodedBatch, place: int) -> NDArray[np.float64]:
    """What each token of a row adds to the score followed, ``[tokens]``; with the intercept they sum to it.

    A token has of each feature's contribution the share of the pooled value that it made.
    """
    own = batch.tokens_of(place)
    bounds = batch.latents.indptr[own.start : own.stop + 1]
    entries = slice(int(bounds[0]), int(bounds[-1]))
    parts = contributions(judged.bundle.probe, batch.pooled[place])
    added = np.zeros(batch.latents.width)
    added[parts.features] = judged.added(parts, batch.rows[place])
    token = np.repeat(np.arange(own.stop - own.start), np.diff(bounds))
    made = batch.shares[entries] * added[batch.latents.indices[entries]]
    return np.asarray(np.bincount(token, weights=made, minlength=own.stop - own.start), np.float64)


def _tokens(
    judged: Judged,
    batches: Sequence[EncodedBatch],
    texts: Sequence[str],
    backbone: Backbone,
    rng: np.random.Generator,
    how: dict[str, Any],
) -> dict[str, Any]:
    """What deleting tokens from the text costs, when the model reads what is left."""
    n, sizes = len(texts), len(TOKENS)
    changed: list[str] = []
    where: list[tuple[int, int, int]] = []  # row, column and draw of each changed text; draw -1 is the named one
    promised = np.full((n, sizes), np.nan)
    for batch in batches:
        for place, row in enumerate(batch.rows):
            spans = batch.spans[batch.tokens_of(place)]
            is_text = spans[:, 1] > spans[:, 0]
            spans, added = spans[is_text], token_scores(judged, batch, place)[is_text]
            length = (spans[:, 1] - spans[:, 0]).astype(np.float64)
            picked = pick(added, length, most=max(TOKENS), draws=TOKEN_DRAWS, rng=rng)
            for column, size in enumerate(TOKENS):
                if min(len(picked.named), len(picked.random[0])) < size:
                    continue
                promised[row, column] = added[picked.named[:size]].sum()
                for draw, chosen in enumerate([picked.named, *picked.random], start=-1):
                    changed.append(without(texts[row], spans[chosen[:size]]))
                    where.append((row, column, draw))
    decisions = np.zeros((len(changed), judged.decisions.shape[1]))
    for batch in encode_texts(changed, backbone, judged.bundle):
        decisions[batch.rows] = judged.bundle.probe.decision(batch.pooled)
    rows, columns, draws = np.array(where, np.int64).reshape(-1, 3).T
    named, random, fell = (np.full((n, sizes), np.nan) for _ in range(3))
    if len(rows):
        lost, is_named = judged.lost(decisions, rows), draws < 0
        named[rows[is_named], columns[is_named]] = lost[is_named]
        fell[rows[is_named], columns[is_named]] = judged.fell(decisions, rows)[is_named]
        random[rows[~is_named], columns[~is_named]] = 0
        np.add.at(random, (rows[~is_named], columns[~is_named]), lost[~is_named] / TOKEN_DRAWS)
    return {
        "defined": True,
        "likeness": "characters",
        "promise": promise(promised, fell),
        "comprehensiveness": compared(TOKENS, named, random, **how),
    }


def without(text: str, spans: NDArray[Any]) -> str:
    """A text without some of its characters.

    >>> without("a very bad dog", np.array([[7, 10], [2, 6]]))
    'a   dog'
    """
    kept, end = [], 0
    for start, stop in sorted((int(start), int(stop)) for start, stop in spans):
        kept.append(text[end : max(start, end)])
        end = max(end, stop)
    return "".join([*kept, text[end:]])
