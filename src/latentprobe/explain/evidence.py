"""The features that make each class, with the training texts and tokens that light them most.

Reads stored features only: the positions of tokens were recorded when the texts were encoded. Knows nothing of models,
tokenizers or pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.corpus import normalized
from latentprobe.explain.contributions import class_weights
from latentprobe.store import SparseFeatures
from latentprobe.store.labels import FeatureLabel, shown_label

if TYPE_CHECKING:
    from latentprobe.corpus import Target
    from latentprobe.learn.probes import FittedProbe

__all__ = ["class_evidence", "excerpt"]

QUANTILES = (0.9, 0.75, 0.5, 0.25, 0.1)
"""Of a feature's values, where further texts are taken: its maxima alone make every feature look clear."""

EXCERPT = 240
"""Characters of a text that are shown around a token, at most."""


@dataclass(frozen=True)
class _Class:
    """One class as the probe and the training rows see it."""

    name: str
    weights: NDArray[np.float64]
    """``[m]``, positive speaks for the class."""
    inside: NDArray[np.bool_]
    """Training rows of the class."""
    outside: NDArray[np.bool_]
    """Training rows known not to be of the class."""


@dataclass(frozen=True)
class _Rows:
    """The training rows: features, what the probe sees of them, and how they are named."""

    features: SparseFeatures
    values: NDArray[np.float32]
    inputs: sp.csr_matrix
    by_feature: sp.csc_matrix
    """Number of each stored entry, ``[rows, width]``."""
    texts: list[str]
    keys: list[str]
    true: list[str]
    images: bool


def class_evidence(
    features: SparseFeatures,
    pooling: str,
    probe: FittedProbe,
    target: Target,
    texts: Sequence[str],
    rows: NDArray[np.intp],
    labels: Mapping[int, FeatureLabel],
    *,
    images: bool = False,
    top: int = 12,
    examples: int = 4,
) -> list[dict[str, Any]]:
    """The features that speak most for each class on the training rows, and where they are lit.

    A feature is ranked for a class by its mean contribution to the class's score over the class's rows minus that over
    the other rows. Only features that speak *for* the class are named: positive weight and positive difference. A
    feature that helps by being absent is found with the class it is present in.

    Args:
        features: pooled features of all rows.
        pooling: the pooling the probe was fitted on.
        probe: the fitted probe.
        target: classes and codes of all rows.
        texts: all texts, in the order of ``features``.
        rows: positions of the training rows.
        labels: feature number to its label, where there is one.
        images: the rows are images: ``texts`` are their names, and a token is a patch.
        top: features a class, at most.
        examples: texts a feature, at most: the strongest first, all different. Where the feature is on in at least
            twice as many different texts, the last one is taken from the middle of its values ("typical").

    Returns:
        One plain dict a class (both classes of a binary target; every label column of a multi-label one), ready for
        JSON: "class", "n_train" and "features", each with "feature", "label", "label_score" (what the label is worth,
        as ``FeatureLabel`` says; None where that is not known), "weight", "mean_contribution" (the difference it is
        ranked by), "rate" (class to share of its training rows with the feature on), "rate_others"
        (share of the rows outside this class) and "examples": "id", "text" (an excerpt), "start" and "end" of the
        token in it, "cut_before" and "cut_after" (whether the text goes on there), "value", "typical", "true" (the
        class, or all labels) and "own" (whether the row is of this class); and "spread": the same of one text at each
        of five quantiles of the feature's values where it is on, with "quantile".
    """
    rows = np.asarray(rows, dtype=np.intp)
    part = features.take(rows)
    entries = sp.csr_matrix((np.arange(len(part.indices)), part.indices, part.indptr), shape=(len(part), part.width))
    chosen = [texts[row] for row in rows]
    data = _Rows(
        part,
        part.values[pooling],
        sp.csr_matrix(probe.values(part.csr(pooling))),
        entries.tocsc(),
        chosen,
        [normalized(text) for text in chosen],
        _true_names(target, rows),
        images,
    )
    classes = _classes(probe, target, rows)
    on = data.inputs.tocsc()
    return [
        {
            "class": this.name,
            "n_train": int(this.inside.sum()),
            "features": [
                {
                    "feature": int(probe.features[column]),
                    **shown_label(labels, int(probe.features[column])),
                    "weight": float(this.weights[column]),
                    "mean_contribution": gap,
                    **_rates(on, column, this, classes),
                    **_examples(data, probe, column, this.inside, examples),
                }
                for column, gap in _ranked(data.inputs, this, top)
            ],
        }
        for this in classes
    ]


def excerpt(text: str, start: int, end: int, *, limit: int = EXCERPT) -> dict[str, Any]:
    """At most ``limit`` characters of a text around ``text[start:end]``, cut where words end.

    >>> excerpt("the quick brown fox jumps over the lazy dog", 16, 19, limit=20)["text"]
    'brown fox jumps'
    """
    end = min(end, start + limit, len(text))
    start = min(start, end)
    left = max(0, min((start + end - limit) // 2, len(text) - limit))
    right = min(len(text), left + limit)
    if left > 0:
        left = _word_border(text, left, start)
    if right < len(text):
        right = _word_border(text, right, end)
    return {
        "text": text[left:right],
        "start": start - left,
        "end": end - left,
        "cut_before": left > 0,
        "cut_after": right < len(text),
    }


def patch_excerpt(name: str, start: int, end: int, tokens: int) -> dict[str, Any]:
    """What :func:`excerpt` is to a token, for a patch of an image: its file, with the patch in place of the token.

    Patches, rows and columns are counted from 0, in reading order. Row and column are told where the tokens of the
    image make a square.

    Args:
        name: of the image.
        start, end: the patch and one past it; equal for a token of no patch.
        tokens: selected tokens of the image.

    >>> patch_excerpt("cats/1.png", 6, 7, 16)["text"]
    'cats/1.png: patch 6, row 1, column 2'
    """
    where = ""
    if end > start:
        side = math.isqrt(tokens)
        where = f"patch {start}" + f", row {start // side}, column {start % side}" * (side * side == tokens)
    text = f"{name}: {where}" if where else name
    return {"text": text, "start": len(text) - len(where), "end": len(text), "cut_before": False, "cut_after": False}


def _shown(data: _Rows, row: int, entry: int) -> dict[str, Any]:
    """The excerpt of a row around the token that lights a feature most."""
    start, end = int(data.features.peak_start[entry]), int(data.features.peak_end[entry])
    if data.images:
        return patch_excerpt(data.texts[row], start, end, int(data.features.n_tokens[row]))
    return excerpt(data.texts[row], start, end)


def _word_border(text: str, edge: int, token: int) -> int:
    """The first place between ``edge`` and the token where a word begins (or, coming from the right, ends).

    Where there is none (a script without spaces, one endless word) the text is cut at the edge itself.
    """
    if edge <= token:
        starts = (i for i in range(edge, token + 1) if text[i - 1].isspace() and not text[i : i + 1].isspace())
        return next(starts, edge)
    ends = (i for i in range(edge, token - 1, -1) if text[i].isspace() and not text[i - 1 : i].isspace())
    return next(ends, edge)


def _classes(probe: FittedProbe, target: Target, rows: NDArray[np.intp]) -> list[_Class]:
    """Each class with its weights and rows; unlabelled rows of a label column are on neither side."""
    y = target.y[rows]
    columns = [y[:, k] for k in range(len(target.classes))] if target.kind == "multilabel" else None
    return [
        _Class(
            name,
            class_weights(probe, k),
            (columns[k] == 1) if columns else (y == k),
            (columns[k] == 0) if columns else (y != k),
        )
        for k, name in enumerate(target.classes)
    ]


def _true_names(target: Target, rows: NDArray[np.intp]) -> list[str]:
    """The true class of each row; for several labels all that are set, joined by commas."""
    if target.kind != "multilabel":
        return [target.classes[code] for code in target.y[rows]]
    names = np.array(target.classes, dtype=object)
    return [", ".join(names[row == 1]) for row in target.y[rows]]


def _ranked(inputs: sp.csr_matrix, this: _Class, top: int) -> list[tuple[int, float]]:
    """Columns of the probe that speak for the class, with the difference of mean contributions, largest first."""
    gap = this.weights * (_column_means(inputs[this.inside]) - _column_means(inputs[this.outside]))
    gap[this.weights <= 0] = 0
    order = np.argsort(-gap, kind="stable")[:top]
    return [(int(column), float(gap[column])) for column in order if gap[column] > 0]


def _column_means(matrix: sp.csr_matrix) -> NDArray[np.float64]:
    """Mean of each column; zeros for a matrix without rows."""
    sums: NDArray[np.float64] = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
    return sums / max(1, int(matrix.shape[0]))


def _rates(on: sp.csc_matrix, column: int, this: _Class, classes: Sequence[_Class]) -> dict[str, Any]:
    """In what share of the rows of each class, and of those outside this one, the feature is on."""
    lit = on.indices[on.indptr[column] : on.indptr[column + 1]]

    def share(members: NDArray[np.bool_]) -> float:
        return round(float(members[lit].sum() / max(1, members.sum())), 4)

    return {"rate": {other.name: share(other.inside) for other in classes}, "rate_others": share(this.outside)}


def _examples(
    data: _Rows, probe: FittedProbe, column: int, inside: NDArray[np.bool_], count: int
) -> dict[str, list[dict[str, Any]]]:
    """The texts in which a feature is strongest, and a typical one, with the token that lights it most; and one at
    each of some quantiles of its values.

    ``inside`` tells which rows are of the class the feature is shown for; the texts may come from any.
    """
    feature = int(probe.features[column])
    span = slice(data.by_feature.indptr[feature], data.by_feature.indptr[feature + 1])
    entries, rows = data.by_feature.data[span], data.by_feature.indices[span]
    lit = data.values[entries] > (0 if probe.thresholds is None else probe.thresholds[column])
    entries, rows = entries[lit], rows[lit]
    order = np.argsort(-data.values[entries], kind="stable")
    distinct: dict[str, int] = {}
    for i in order:
        distinct.setdefault(data.keys[rows[i]], int(i))
    ranked = list(distinct.values())
    has_middle = count > 1 and len(ranked) >= 2 * count
    shown = ranked[:count] if not has_middle else [*ranked[: count - 1], ranked[len(ranked) // 2]]
    places = {round((1 - quantile) * (len(ranked) - 1)): quantile for quantile in QUANTILES}

    def told(i: int) -> dict[str, Any]:
        return {
            "id": data.features.ids[rows[i]],
            **_shown(data, int(rows[i]), int(entries[i])),
            "value": float(data.values[entries[i]]),
            "true": data.true[rows[i]],
            "own": bool(inside[rows[i]]),
        }

    typical = [has_middle and position == len(shown) - 1 for position in range(len(shown))]
    return {
        "examples": [told(i) | {"typical": is_typical} for i, is_typical in zip(shown, typical, strict=True)],
        "spread": [told(ranked[place]) | {"quantile": quantile} for place, quantile in places.items() if ranked],
    }
