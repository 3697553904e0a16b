"""What a run says of why its classifier decides as it does, and how far that is true.

Gathers what `explain` needs: features from the store, other training rows, the deployed classifier. Computes nothing
itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from latentprobe.corpus import Rows
from latentprobe.deploy import Bundle
from latentprobe.encode.sources import PlannedSource
from latentprobe.experiment.environment import Reporter
from latentprobe.experiment.faithfulness import ablation
from latentprobe.experiment.features import Plan
from latentprobe.experiment.splicing import answering
from latentprobe.explain.evidence import class_evidence
from latentprobe.explain.redundancy import BOUND, redundancy_groups, without_features
from latentprobe.explain.stability import stability
from latentprobe.learn import Evaluation, Recipe, Split, inner_folds, split, units_of
from latentprobe.learn.probes import refit
from latentprobe.store import SparseFeatures
from latentprobe.store.labels import FeatureLabel

__all__ = ["evidence_of", "summary_of", "tested"]

#: Groups that are removed, and probes fitted on other rows, each on so many rows at most: bounds what it costs.
GROUPS, FITS, FIT_ROWS = 10, 3, 4000


def evidence_of(
    plan: Plan,
    parts: Split,
    evaluation: Evaluation,
    source: PlannedSource,
    labels: Mapping[int, FeatureLabel],
    row: dict[str, Any],
) -> dict[str, Any]:
    """The content of evidence.json: the features of each class of the selected row, on training rows; which of them
    fire together; and what the classifier is worth without them, on test rows."""
    probe, corpus = evaluation.probe, plan.corpus
    assert probe is not None
    features = _features(plan, source, row)
    classes = class_evidence(
        features,
        row["pooling"],
        probe,
        corpus.target,
        corpus.texts if corpus.images is None else [image.name for image in corpus.images],
        parts.train,
        labels,
        images=corpus.images is not None,
    )
    pooled = features.csr(row["pooling"])
    groups = redundancy_groups(probe, pooled[parts.train])
    removed = [
        *([part["feature"] for part in one["features"]] for one in classes),
        *(group["features"] for group in groups[:GROUPS]),
    ]
    how = plan.spec.evaluate
    without = without_features(
        probe,
        pooled[parts.test],
        corpus.target.take(parts.test),
        units_of(corpus)[parts.test],
        removed,
        resamples=how.bootstrap,
        seed=how.seed,
    )
    for one, told in zip([*classes, *groups], without, strict=False):
        one["without"] = told
    told = {key: row[key] for key in ("model", "layer", "sae", "pooling", "binarize")}
    return told | {"classes": classes, "redundancy": {"bound": BOUND, "groups": groups}}


def tested(
    plan: Plan,
    parts: Split,
    evaluation: Evaluation,
    source: PlannedSource,
    row: dict[str, Any],
    bundle: Bundle,
    reporter: Reporter,
) -> dict[str, Any] | None:
    """The content of faithfulness.json; None where the spec does not ask for it."""
    asked, how, corpus = plan.spec.explain, plan.spec.evaluate, plan.corpus
    if not asked.faithfulness:
        return None
    features = _features(plan, source, row)
    pooled = features.csr(row["pooling"])
    train = pooled[parts.train]
    rates = np.bincount(train.indices, minlength=train.shape[1]) / len(parts.train)
    chosen = parts.test
    if len(chosen) > asked.rows:
        chosen = np.sort(np.random.default_rng(how.seed).choice(chosen, asked.rows, replace=False))
    texts: Rows = [corpus.rows[number] for number in chosen]
    (backbone,) = (spec for spec, own in zip(plan.spec.backbones, plan.sources, strict=True) if source in own)
    found = ablation(
        bundle,
        texts,
        units_of(corpus)[chosen],
        rates,
        resamples=how.bootstrap,
        seed=how.seed,
        device=backbone.device,
        asked=answering(plan, source, backbone),
        progress=lambda done, total: reporter.progress("test explanations", done, total),
    )
    told = {key: row[key] for key in ("model", "layer", "sae", "pooling", "binarize", "selection")}
    return told | found | {"stability": _stability(plan, parts, pooled, row)}


def summary_of(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """The content of ``faithfulness`` in results.json."""
    if found is None:
        return None
    tokens, splicing = found["tokens"], found["splicing"]
    return {
        **found["verdict"],
        "rows": found["rows"],
        "features": found["features"]["comprehensiveness"]["mean"],
        "sufficiency": found["features"]["sufficiency"]["mean"],
        "tokens": tokens["comprehensiveness"]["mean"] if tokens["defined"] else None,
        "splicing": splicing["moved"]["mean"] if splicing["defined"] else None,
        "stability": {name: None if one is None else one["jaccard"] for name, one in found["stability"].items()},
    }


def _features(plan: Plan, source: PlannedSource, row: dict[str, Any]) -> SparseFeatures:
    features = plan.store.read(source.fingerprint, [row["pooling"]])
    assert isinstance(features, SparseFeatures)
    return features


def _stability(plan: Plan, parts: Split, pooled: sp.csr_matrix, row: dict[str, Any]) -> dict[str, Any]:
    """How alike the probes of inner folds are, and those of other draws of the test part, where it is drawn."""
    how, corpus = plan.spec.evaluate, plan.corpus
    if row["C"] is None:
        return {"folds": None, "seeds": None}
    folds = inner_folds(corpus.target.take(parts.train), units_of(corpus)[parts.train], how.folds, how.seed)
    drawn: dict[str, list[NDArray[np.int64]]] = {"folds": [parts.train[fit] for fit, _ in folds[:FITS]], "seeds": []}
    if isinstance(plan.spec.data.test, float):
        seeds = range(how.seed + 1, how.seed + 1 + FITS)
        drawn["seeds"] = [split(corpus, test=plan.spec.data.test, seed=seed).train for seed in seeds]
    return {name: _alike(plan, rows, pooled, parts, row) if rows else None for name, rows in drawn.items()}


def _alike(
    plan: Plan, drawn: Sequence[NDArray[np.int64]], pooled: sp.csr_matrix, parts: Split, row: dict[str, Any]
) -> dict[str, Any]:
    written = row["binarize"]
    recipe = Recipe("sparse", written if written in ("none", "auto") else float(written), row["selection"])
    target = plan.corpus.target
    probes = [
        refit(pooled[rows], target.take(rows), recipe, plan.spec.probe, row["C"])
        for rows in (_some(rows, target.y) for rows in drawn)
    ]
    return stability(probes, pooled[parts.train]) | {"rows": min(FIT_ROWS, len(drawn[0]))}


def _some(rows: NDArray[np.int64], y: NDArray[Any]) -> NDArray[np.int64]:
    """At most ``FIT_ROWS`` of the rows, with the classes in their shares, and none without rows."""
    if len(rows) <= FIT_ROWS or y.ndim == 2:
        return rows[:FIT_ROWS]
    by_class = rows[np.argsort(y[rows], kind="stable")]
    first = by_class[np.unique(y[by_class], return_index=True)[1]]
    even = by_class[np.linspace(0, len(rows) - 1, FIT_ROWS).astype(np.int64)]
    return np.unique(np.concatenate([first, even]))
