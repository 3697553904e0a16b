"""Test rows with what was decided on them, and the features and tokens that decided.

Reads stored features only, like the evidence of classes; of each feature it knows the token that lights it most. Knows
nothing of models, tokenizers or pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.explain.contributions import top_contributions
from latentprobe.explain.evidence import excerpt, patch_excerpt
from latentprobe.store import SparseFeatures
from latentprobe.store.labels import FeatureLabel, shown_label

if TYPE_CHECKING:
    from latentprobe.corpus import Target
    from latentprobe.learn.probes import FittedProbe

__all__ = ["decided_rows"]

ROWS = 10_000
"""Rows that are told of, at most."""
LONGEST = 600
"""Characters of a row that are kept, at most."""
TOKEN = 40
"""Characters of a token that are kept, at most."""


def decided_rows(
    features: SparseFeatures,
    pooling: str,
    probe: FittedProbe,
    target: Target,
    texts: Sequence[str],
    rows: NDArray[np.intp],
    predicted: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    labels: Mapping[int, FeatureLabel],
    *,
    images: bool = False,
    top: int = 6,
    most: int = ROWS,
) -> list[dict[str, Any]]:
    """Each row with its decision and the features that moved it most.

    Of more than ``most`` rows the wrong ones are kept first, then right ones at even distances.

    Args:
        features: pooled features of all rows.
        pooling: the pooling the probe was fitted on.
        probe: the fitted probe.
        target: classes and codes of all rows.
        texts: all texts, in the order of ``features``; of images their names.
        rows: positions of the rows, ``[n]``.
        predicted: codes given, ``[n]``; of several labels 0 or 1, ``[n, K]``.
        probabilities: calibrated, ``[n, classes]``.
        labels: feature number to its label, where there is one.
        images: the rows are images.
        top: features a row, at most.
        most: rows, at most.

    Returns:
        Plain dicts in the order of ``rows``: "id", "true" and "predicted" (lists of names), "right", "towards" (the
        class that "score" and contributions speak of: the one given, or the likeliest of several labels), "score" (its
        probability), "text" (an excerpt), "cut_before", "cut_after", and "features": "feature", "label",
        "label_score", "contribution", "value", "token", "start" and "end" of the token in the excerpt, both -1 where it
        is outside.
    """
    y = target.y[rows]
    right = (predicted == y).reshape(len(rows), -1)
    right = (right | (y < 0).reshape(right.shape)).all(axis=1)
    matrix = features.csr(pooling)
    told = []
    for place in _kept(right, most):
        row = int(rows[place])
        given = int(np.argmax(probabilities[place])) if target.kind == "multilabel" else int(predicted[place])
        lit = [
            {
                "feature": part.feature,
                **shown_label(labels, part.feature),
                "contribution": part.contribution,
                "value": part.value,
                **_peak(features, texts[row], row, part.feature, images=images),
            }
            for part in top_contributions(probe, matrix[row], given, top)
        ]
        told.append(
            {
                "id": features.ids[row],
                "true": _names(target, y[place]),
                "predicted": _names(target, predicted[place]),
                "right": bool(right[place]),
                "towards": target.classes[given],
                "score": float(probabilities[place, given]),
                **_text(texts[row], lit),
                "features": lit,
            }
        )
    return told


def _kept(right: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """Places of the rows that are told of, ascending."""
    wrong, others = np.flatnonzero(~right)[:most], np.flatnonzero(right)
    room = min(most - len(wrong), len(others))
    spread = others[np.linspace(0, len(others) - 1, room).astype(np.intp)] if room else others[:0]
    return np.sort(np.concatenate([wrong, spread]))


def _names(target: Target, codes: Any) -> list[str]:
    if target.kind != "multilabel":
        return [target.classes[int(codes)]]
    return [name for name, value in zip(target.classes, codes, strict=True) if value == 1]


def _peak(features: SparseFeatures, text: str, row: int, feature: int, *, images: bool) -> dict[str, Any]:
    """The token that lights a feature most: as it reads, and where; a patch of an image is nowhere in its name."""
    begin, end = features.indptr[row], features.indptr[row + 1]
    entry = begin + int(np.searchsorted(features.indices[begin:end], feature))
    first, last = int(features.peak_start[entry]), int(features.peak_end[entry])
    if images:
        told = patch_excerpt("", first, last, int(features.n_tokens[row]))
        return {"token": told["text"].removeprefix(": "), "start": -1, "end": -1}
    return {"token": text[first : min(last, first + TOKEN)], "start": first, "end": last}


def _text(text: str, lit: list[dict[str, Any]]) -> dict[str, Any]:
    """The excerpt around the token of the first feature; moves the places of all tokens into it."""
    place = next((one for one in lit if one["start"] >= 0), {"start": 0, "end": 0})
    start = place["start"]
    shown = excerpt(text, start, place["end"], limit=LONGEST)
    left = min(start, len(text)) - shown["start"]
    for one in lit:
        inside = left <= one["start"] < one["end"] <= left + len(shown["text"])
        one["start"], one["end"] = (one["start"] - left, one["end"] - left) if inside else (-1, -1)
    return {key: shown[key] for key in ("text", "cut_before", "cut_after")}
