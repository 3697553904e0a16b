"""The texts in which one feature is strongest, with the token that lights it most. Reads stored features only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from latentprobe.corpus import normalized
from latentprobe.explain.evidence import excerpt, patch_excerpt
from latentprobe.store import SparseFeatures

__all__ = ["strongest"]


def strongest(
    features: SparseFeatures, pooling: str, feature: int, texts: Sequence[str], *, images: bool = False, limit: int = 2
) -> list[dict[str, Any]]:
    """The texts, all different, that light a feature most.

    Args:
        features: pooled features of all rows.
        pooling: which of its values decide.
        feature: number of the feature.
        texts: one a row; the names of images.
        images: whether the rows are images: a token is a patch.
        limit: texts at most.

    Returns:
        "id", "text" (an excerpt), "start" and "end" of the token in it, "cut_before", "cut_after", "value"; the
        strongest first.
    """
    entries = np.flatnonzero((features.indices == feature) & (features.values[pooling] > 0))
    rows = np.searchsorted(features.indptr, entries, side="right") - 1
    order = np.argsort(-features.values[pooling][entries], kind="stable")
    distinct: dict[str, int] = {}
    for at in order:
        distinct.setdefault(normalized(texts[rows[at]]), int(at))
        if len(distinct) == limit:
            break
    return [_shown(features, pooling, int(rows[at]), int(entries[at]), texts, images) for at in distinct.values()]


def _shown(
    features: SparseFeatures, pooling: str, row: int, entry: int, texts: Sequence[str], images: bool
) -> dict[str, Any]:
    start, end = int(features.peak_start[entry]), int(features.peak_end[entry])
    if images:
        shown = patch_excerpt(texts[row], start, end, int(features.n_tokens[row]))
    else:
        shown = excerpt(texts[row], start, end)
    return {"id": features.ids[row], **shown, "value": float(features.values[pooling][entry])}
