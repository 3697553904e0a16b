"""A transfer as its files describe it: transfer.json and predictions.parquet. Names and arranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from latentprobe.config import TransferSpec
from latentprobe.learn import Difference, Representation
from latentprobe.learn.cells import Cell, explored_means, kinds_of, mean_differences
from latentprobe.learn.intervals import holm
from latentprobe.learn.overlap import Chance, Weights, overlap, top_features
from latentprobe.learn.transfer import Domains, Transfer
from latentprobe.store.labels import FeatureLabel, shown_label

__all__ = ["overlap_of", "predictions_table", "results_of"]

#: Features that are shown with their texts, at most.
SHOWN = 20


def results_of(
    spec: TransferSpec,
    domains: Domains,
    representations: Sequence[Representation],
    result: Transfer,
    cells: Sequence[Cell],
    notes: Sequence[str],
) -> dict[str, Any]:
    """The content of transfer.json but for the features."""
    drawn = {"resamples": spec.evaluate.bootstrap, "seed": spec.evaluate.seed}
    return {
        "name": spec.name,
        "metric": spec.evaluate.metric,
        "target": domains.target.kind,
        "classes": list(domains.target.classes),
        "test": "given" if domains.given_test is not None else f"{spec.evaluate.outer_folds} folds",
        "domains": [_domain(domains, at) for at in range(len(domains.names))],
        "training_sets": [
            {"name": one.name, "kind": one.kind, "domains": [domains.names[member] for member in one.members]}
            for one in result.sets
        ],
        "families": list(result.families),
        "notes": list(notes),
        "cells": [_cell(cell, domains, result) for cell in cells],
        "means": _means(cells, kinds_of(result, domains), result),
        "mean_differences": {
            kind: {family: _difference(one) for family, one in own.items()}
            for kind, own in mean_differences(result, domains, **drawn).items()
        },
        "choices": [
            {
                "train": result.sets[one.training_set].name,
                "fold": one.fold,
                "family": one.family,
                "representation": representations[one.representation].name,
                "C": one.C,
                "inner_macro_f1": one.inner_macro_f1,
                "n_features": one.n_features,
            }
            for one in result.choices
        ],
        "representations": [
            {"kind": row.kind, "name": row.name, **row.columns, **means}
            for row, means in zip(representations, explored_means(result, domains), strict=True)
        ],
    }


def _domain(domains: Domains, at: int) -> dict[str, Any]:
    rows = domains.domain == at
    return {
        "name": domains.names[at],
        "rows": int(rows.sum()),
        "classes": domains.target.counts(rows),
        "trained": at in domains.trained,
        "translation_of": None if domains.source[at] == at else domains.names[domains.source[at]],
    }


def _cell(cell: Cell, domains: Domains, result: Transfer) -> dict[str, Any]:
    return {
        "train": result.sets[cell.training_set].name,
        "test": domains.names[cell.domain],
        "n_train": cell.n_train,
        "n_test": cell.n_test,
        "scores": {
            family: {"macro_f1": value, "low": low, "high": high, "roc_auc": cell.roc_auc[family]}
            for family, (value, low, high) in cell.scores.items()
        },
        "difference": {**_difference(cell.difference), "p_holm": cell.p_holm},
        "to_native": None if cell.to_native is None else _difference(cell.to_native),
    }


def _difference(difference: Difference) -> dict[str, float]:
    return {"value": difference.value, "low": difference.low, "high": difference.high, "p": difference.p}


def _means(
    cells: Sequence[Cell], kinds: Mapping[str, Sequence[tuple[int, int]]], result: Transfer
) -> dict[str, dict[str, float]]:
    """Mean macro F1 of each family over the cells of a kind."""
    score = {(cell.training_set, cell.domain): cell.scores for cell in cells}
    return {
        kind: {family: float(np.mean([score[place][family][0] for place in own])) for family in result.families}
        for kind, own in kinds.items()
    }


def overlap_of(
    spec: TransferSpec, domains: Domains, weights: Sequence[Weights], labels: Mapping[int, FeatureLabel]
) -> dict[str, Any]:
    """How alike the trained domains choose, pair by pair, and the features that several of them choose."""
    names = [domains.names[at] for at in domains.trained]
    compared = list(combinations(range(len(names)), 2))
    # So many that the smallest p stays below 0.05 when it is corrected for all pairs.
    permutations = max(spec.evaluate.bootstrap, 40 * len(compared))
    drawn = {"k": spec.overlap, "permutations": permutations, "seed": spec.evaluate.seed}
    pairs = [(a, b, *overlap(weights[a], weights[b], **drawn)) for a, b in compared]
    corrected = [holm([pair[which].p for pair in pairs]) for which in (2, 3)]  # type: ignore[union-attr]
    return {
        "top": spec.overlap,
        "pairs": [
            {
                "domains": [names[a], names[b]],
                "jaccard": {**_chance(shares), "p_holm": corrected[0][at]},
                "rank_correlation": {**_chance(ranks), "p_holm": corrected[1][at]},
            }
            for at, (a, b, shares, ranks) in enumerate(pairs)
        ],
        **_shared_features(spec, domains, names, weights, labels),
    }


def _chance(chance: Chance) -> dict[str, float]:
    return {"value": chance.value, "null_mean": chance.mean, "null_high": chance.high, "p": chance.p}


def _shared_features(
    spec: TransferSpec,
    domains: Domains,
    names: Sequence[str],
    weights: Sequence[Weights],
    labels: Mapping[int, FeatureLabel],
) -> dict[str, Any]:
    """Features among the top ones of at least two domains: of most domains first, then the heaviest on average."""
    tops = [top_features(own, spec.overlap) for own in weights]
    chosen, count = np.unique(np.concatenate(tops), return_counts=True)
    mean = np.mean([own.size for own in weights], axis=0)
    order = sorted(range(len(chosen)), key=lambda at: (-int(count[at]), -float(mean[chosen[at]]), int(chosen[at])))
    several = [int(chosen[at]) for at in order if count[at] > 1 or len(names) == 1]
    return {
        "chosen_by_all": int(np.sum(count == len(names))),
        "chosen_by_several": len(several),
        "features": [
            {
                "feature": feature,
                **shown_label(labels, feature),
                "domains": [name for name, top in zip(names, tops, strict=True) if feature in top],
                **_speaks_for(domains, names, weights, feature),
            }
            for feature in several[:SHOWN]
        ],
    }


def _speaks_for(domains: Domains, names: Sequence[str], weights: Sequence[Weights], feature: int) -> dict[str, Any]:
    """The class a feature weighs most for, either way, and its standardized weight for that class in each domain."""
    own = np.array([one.standardized[:, feature] for one in weights])
    row = int(np.argmax(np.abs(own).mean(axis=0)))
    name = domains.target.classes[1 if own.shape[1] == 1 else row]
    return {"class": name, "weights": dict(zip(names, own[:, row].tolist(), strict=True))}


def predictions_table(result: Transfer, domains: Domains, ids: Sequence[str]) -> pa.Table:
    """predictions.parquet: a row a training set and test row, with ``train``, ``test``, ``id``, ``true``, and of the
    chosen SAE features and the chosen baseline the predicted label and the calibrated probabilities."""
    classes = np.array(domains.target.classes, dtype=object)
    tables = []
    for at, one in enumerate(result.sets):
        rows = np.flatnonzero(result.predicted[at, "sae"] >= 0)
        columns: dict[str, Any] = {
            "train": [one.name] * len(rows),
            "test": [domains.names[code] for code in domains.domain[rows]],
            "id": [ids[int(row)] for row in rows],
            "true": classes[domains.target.y[rows]],
        }
        for family in ("sae", "baseline"):
            columns[f"{family}/label"] = classes[result.predicted[at, family][rows]]
            for code, name in enumerate(classes):
                columns[f"{family}/p/{name}"] = result.probabilities[at, family][rows, code]
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)
