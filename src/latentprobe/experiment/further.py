"""What a run adds to its table where the spec asks for it: curves, and the four regimes.

Nothing here chooses anything: the selected row and the best baseline are settled before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from latentprobe.experiment.environment import Reporter
from latentprobe.experiment.features import Plan
from latentprobe.experiment.statistics import best_of_families
from latentprobe.learn import (
    Evaluation,
    Representation,
    Split,
    along,
    conditions,
    evaluate,
    k_sparse_representations,
    quiver,
    units_of,
)

__all__ = ["curves", "regimes"]


def curves(
    plan: Plan,
    parts: Split,
    rows: Sequence[Representation],
    evaluation: Evaluation,
    jobs: int | None,
) -> dict[str, Any]:
    """The content of ``curves`` in results.json: along each setting, and k-sparse where the spec asks for it."""
    found: dict[str, Any] = along(evaluation.rows)
    if plan.spec.k_sparse:
        best = (evaluation.selected, *best_of_families(rows, evaluation))
        chosen = [rows[index] for index in best if index is not None]
        target = plan.corpus.target
        made, told = k_sparse_representations(chosen, plan.spec.k_sparse, n_classes=len(target.classes))
        scored = evaluate(
            made,
            target,
            units_of(plan.corpus),
            parts,
            plan.spec.probe,
            plan.spec.evaluate,
            jobs=jobs,
            memory=plan.outcomes,
        ).rows
        keys = ("kind", "n_features", "inner_macro_f1", "macro_f1", "low", "high")
        found["k_sparse"] = [point | {key: row[key] for key in keys} for point, row in zip(told, scored, strict=True)]
    return found


def regimes(
    plan: Plan, parts: Split, rows: Sequence[Representation], jobs: int | None, reporter: Reporter
) -> dict[str, Any] | None:
    """The content of ``regimes`` in results.json; None where the spec does not ask for them."""
    spec = plan.spec.regimes
    if spec is None:
        return None
    settings = plan.spec.evaluate
    made, left_out = conditions(spec, plan.corpus.target, parts, plan.corpus.columns, seed=settings.seed)
    # As in the paper of the quiver test: SAE rows beside what is used without SAEs.
    usual = [row for row in rows if row.kind != "both" and row.family not in ("random", "pca")]
    candidates = [row for row in usual if row.binarize == "none" and row.selection == "all"]
    told, more = quiver(
        candidates,
        made,
        units_of(plan.corpus),
        plan.spec.probe,
        settings,
        jobs=jobs,
        memory=plan.outcomes,
        progress=lambda done, total: reporter.progress("regimes", done, total),
    )
    kinds = [row.kind for row in candidates]
    return {
        "candidates": {kind: kinds.count(kind) for kind in ("sae", "baseline")},
        "conditions": told,
        "left_out": [*left_out, *more],
    }
