"""The matrix of a transfer: each training set on each domain, with intervals and paired differences.

All scores of a domain come from the same resamples of its rows, so that SAE features and baselines, and the transferred
and the native classifier, are compared on the same rows. Knows nothing of how predictions were made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from latentprobe.learn.intervals import (
    Difference,
    bootstrap_macro_f1,
    holm,
    interval,
    paired_difference,
    resampled_weights,
    weighted_macro_f1,
)
from latentprobe.learn.metrics import macro_f1, roc_auc
from latentprobe.learn.transfer import Domains, Transfer

__all__ = ["Cell", "cells", "explored_means", "kinds_of", "mean_differences"]

_RESAMPLES_A_CELL = 80
"""Resamples for each comparison of the matrix, at least: the smallest p they can give, 2 in that many, stays below 0.05
when Holm multiplies it by the number of comparisons."""


@dataclass(frozen=True)
class Cell:
    """One training set on one domain."""

    training_set: int
    domain: int
    n_train: int
    """Rows fitted on, mean over the folds."""
    n_test: int
    scores: Mapping[str, tuple[float, float, float]]
    """Family to macro F1 and its 95 % interval."""
    roc_auc: Mapping[str, float | None]
    """Family to ROC-AUC: where it is high and macro F1 is not, the order transfers and the threshold does not."""
    difference: Difference
    """SAE features minus the best baseline."""
    p_holm: float
    """Its p corrected for all cells of the matrix."""
    to_native: Difference | None
    """SAE features trained here minus SAE features trained on the domain itself; None where that is the same, or the
    domain is not trained on."""


def cells(result: Transfer, domains: Domains, *, resamples: int, seed: int) -> list[Cell]:
    """Every cell, in the order of training sets and domains; from at least ``resamples`` resamples."""
    resamples = max(resamples, _RESAMPLES_A_CELL * sum(len(one.tests) for one in result.sets))
    found = [cell for domain in range(len(domains.names)) for cell in _column(result, domains, domain, resamples, seed)]
    corrected = holm([cell.difference.p for cell in found])
    found = [replace(cell, p_holm=p) for cell, p in zip(found, corrected, strict=True)]
    return sorted(found, key=lambda cell: (cell.training_set, cell.domain))


def _column(result: Transfer, domains: Domains, domain: int, resamples: int, seed: int) -> list[Cell]:
    """The cells of one domain."""
    trained = [index for index, one in enumerate(result.sets) if domain in one.tests]
    families = result.families
    rows = np.flatnonzero((domains.domain == domain) & (result.predicted[trained[0], "sae"] >= 0))
    truth = domains.target.take(rows)
    keys = [(one, family) for one in trained for family in families]
    predicted = {key: result.predicted[key][rows] for key in keys}
    drawn = bootstrap_macro_f1(
        truth, [predicted[key] for key in keys], domains.units[rows], resamples=resamples, seed=seed
    )
    resampled = dict(zip(keys, drawn, strict=True))
    value = {key: macro_f1(truth, predicted[key]) for key in keys}

    def against(first: tuple[int, str], second: tuple[int, str]) -> Difference:
        return paired_difference(value[first] - value[second], resampled[first], resampled[second])

    native = next((one for one in trained if result.sets[one].members == (domain,)), None)
    return [
        Cell(
            one,
            domain,
            n_train=_mean_rows(result, one),
            n_test=len(rows),
            scores={family: (value[one, family], *interval(resampled[one, family])) for family in families},
            roc_auc={family: roc_auc(truth, result.probabilities[one, family][rows]) for family in families},
            difference=against((one, "sae"), (one, "baseline")),
            p_holm=1.0,
            to_native=None if native in (None, one) else against((one, "sae"), (native, "sae")),
        )
        for one in trained
    ]


def _mean_rows(result: Transfer, training_set: int) -> int:
    return round(np.mean([c.n_train for c in result.choices if c.training_set == training_set and c.family == "sae"]))


def kinds_of(result: Transfer, domains: Domains) -> dict[str, list[tuple[int, int]]]:
    """The cells, each a training set and a domain, by kind: native, transfer, all, leave_one_out; each also
    ``translated``."""
    kinds: dict[str, list[tuple[int, int]]] = {}
    for training_set, one in enumerate(result.sets):
        for domain in one.tests:
            kind: str = one.kind
            if one.kind == "domain":
                kind = "native" if domain in one.members else "transfer"
            if domains.source[domain] != domain:
                kind = f"{kind}, translated"
            kinds.setdefault(kind, []).append((training_set, domain))
    return kinds


def mean_differences(
    result: Transfer, domains: Domains, *, resamples: int, seed: int
) -> dict[str, dict[str, Difference]]:
    """Of each kind of cell the mean macro F1 of SAE features minus that of each other family.

    Here units are drawn over all domains at once, so that a unit with rows in several counts in all of them alike.
    """
    tested = np.flatnonzero(np.any([predicted >= 0 for predicted in result.predicted.values()], axis=0))
    value: dict[tuple[int, str, int], float] = {}
    scored = []
    for domain in range(len(domains.names)):
        at = np.flatnonzero(domains.domain[tested] == domain)
        truth = domains.target.take(tested[at])
        keys = [(one, f, domain) for one, own in enumerate(result.sets) if domain in own.tests for f in result.families]
        predicted = [result.predicted[one, family][tested[at]] for one, family, _ in keys]
        value |= {key: macro_f1(truth, own) for key, own in zip(keys, predicted, strict=True)}
        scored.append((keys, at, weighted_macro_f1(truth, predicted)))
    blocks: dict[tuple[int, str, int], list[NDArray[np.float64]]] = {key: [] for key in value}
    for weights in resampled_weights(domains.units[tested], resamples=resamples, seed=seed):
        for keys, at, score in scored:
            for key, scores in zip(keys, score(weights[at]), strict=True):
                blocks[key].append(scores)
    resampled = {key: np.concatenate(own) for key, own in blocks.items()}

    def against(family: str, own: Sequence[tuple[int, int]]) -> Difference:
        means = [np.mean([resampled[one, f, domain] for one, domain in own], axis=0) for f in ("sae", family)]
        values = [np.mean([value[one, f, domain] for one, domain in own]) for f in ("sae", family)]
        return paired_difference(float(values[0] - values[1]), *means)

    others = [family for family in result.families if family != "sae"]
    return {kind: {f: against(f, own) for f in others} for kind, own in kinds_of(result, domains).items()}


def explored_means(result: Transfer, domains: Domains) -> list[dict[str, float | None]]:
    """Of each representation, over the single domains: mean inner, native and transferred macro F1."""
    singles = list(enumerate(result.sets[: len(domains.trained)]))
    found: list[dict[str, float | None]] = []
    for row in range(len(result.inner)):
        scores = [
            (domain in one.members, _score(domains, result.explored[index, row], domain))
            for index, one in singles
            for domain in one.tests
        ]
        away = [score for native, score in scores if not native]
        found.append(
            {
                "inner_macro_f1": float(result.inner[row].mean()),
                "native_macro_f1": float(np.mean([score for native, score in scores if native])),
                "transfer_macro_f1": float(np.mean(away)) if away else None,
            }
        )
    return found


def _score(domains: Domains, predicted: NDArray[np.int64], domain: int) -> float:
    rows = np.flatnonzero((domains.domain == domain) & (predicted >= 0))
    return macro_f1(domains.target.take(rows), predicted[rows])
