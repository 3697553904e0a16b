"""Whose features tell what which model answers right: every source backbone beside every target model.

Columns of right and wrong answers are the targets. All share one split, drawn over their combinations, and one
extraction; in each cell everything is chosen on the inner folds of its own target. Knows nothing of how the answers
came about: that is `latentprobe behaviour`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from latentprobe.config import ModelsSpec
from latentprobe.corpus import Target
from latentprobe.errors import SpecError
from latentprobe.experiment.environment import Reporter, Silent, Stopwatch, environment
from latentprobe.experiment.features import Plan, make_plan
from latentprobe.experiment.places import require_folder
from latentprobe.experiment.representations import representations
from latentprobe.files import atomic_folder, write_json, write_text
from latentprobe.learn import Representation, Split, evaluate, split, units_of
from latentprobe.learn.intervals import bootstrap_macro_f1, interval, paired_difference
from latentprobe.report.wording import family
from latentprobe.store import OutcomeStore

__all__ = ["right_answers", "run_models"]

#: Columns of a chosen row that identify it.
CHOSEN = ("name", "layer", "sae", "pooling", "binarize", "selection", "C", "n_features", "inner_macro_f1", "roc_auc")


def run_models(
    spec: ModelsSpec,
    out: Path,
    *,
    store: Path | None = None,
    jobs: int | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Compute the matrix of sources and targets and write it.

    Args:
        spec: the prompts, the columns of answers, and the sources.
        out: the folder of the results; earlier ones there are replaced, any other folder with content is refused.
        store: folder of the features. Default: ``$LATENTPROBE_STORE`` or the user's cache.
        jobs: processes for the probes. Default: one a core.
        reporter: who hears how far it is.

    Returns:
        ``out``, now holding spec.yaml, environment.json and models.json: {"name", "metric", "n_rows", "sources",
        "targets": [{"target", "own", "n_train", "n_test", "base_rate", "cells": [{"source", "what", "macro_f1", "low",
        "high", "minus_own", "minus_hidden", ...}]}]}. ``what`` is ``sae``, ``hidden`` or another family of a source, or
        the name of a baseline that has none. ``minus_own`` is paired with the SAE features of the target itself,
        ``minus_hidden`` with the source's hidden states; null where there are none.

    Raises:
        LatentprobeError: anything wrong with spec, data, models, SAEs or folders, before anything is computed.
    """
    reporter, watch = reporter or Silent(), Stopwatch()
    require_folder(out, "models.json")
    with watch.stage("read"):
        plan = make_plan(spec, store)
        answers = right_answers(plan)
        share = spec.data.test if isinstance(spec.data.test, float) else 0.0
        parts = split(plan.corpus, test=share, seed=spec.evaluate.seed)
    with watch.stage("extract"):
        plan.extract(reporter)
    with watch.stage("evaluate"):
        targets = []
        for number, (column, own) in enumerate(spec.targets.items()):
            targets.append(_target(spec, plan, parts, column, own, answers[:, number], jobs))
            reporter.progress("targets", number + 1, len(spec.targets))
    results = {
        "name": spec.name,
        "metric": spec.evaluate.metric,
        "n_rows": len(plan.corpus),
        "notes": list(plan.corpus.notes),
        "sources": [backbone.model for backbone in spec.backbones],
        "targets": targets,
    }
    with atomic_folder(out, ("spec.yaml", "environment.json", "models.json")) as folder:
        written = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_text(folder / "spec.yaml", written)
        write_json(
            folder / "environment.json", environment(plan.all_sources, spec.evaluate.seed, watch.seconds, plan.answers)
        )
        write_json(folder / "models.json", results)
    return out


def right_answers(plan: Plan) -> NDArray[np.float64]:
    """1 where a target answered right, 0 where wrong, nan where it was not asked, [n, targets]."""
    target = plan.corpus.target
    if target.kind == "multilabel":
        return np.asarray(target.y, np.float64)
    known = {"0": 0.0, "false": 0.0, "1": 1.0, "true": 1.0}
    if not {name.casefold() for name in target.classes} <= set(known):
        raise SpecError(
            "a target's column says true or false, or 1 or 0, for right and wrong",
            got=", ".join(target.classes[:5]),
            fix="name a column that `latentprobe behaviour` wrote, such as answered_right",
        )
    return np.array([known[target.classes[code].casefold()] for code in target.y])[:, None]


@dataclass(frozen=True, eq=False)
class _Cell:
    """What was chosen for one target from one source, or without any."""

    source: str | None
    what: str
    row: dict[str, Any]
    predicted: NDArray[np.int64]


def _target(
    spec: ModelsSpec,
    plan: Plan,
    parts: Split,
    column: str,
    own: str | None,
    answers: NDArray[np.float64],
    jobs: int | None,
) -> dict[str, Any]:
    """All cells of one target, on the rows it was asked."""
    known = ~np.isnan(answers)
    target = Target("binary", ("wrong", "right"), np.where(known, answers, 0).astype(np.int64))
    asked = Split(parts.train[known[parts.train]], parts.test[known[parts.test]])
    for name, rows in (("training", asked.train), ("test", asked.test)):
        if len(np.unique(target.y[rows])) < 2:
            raise SpecError(
                f"right and wrong answers of each target are needed among the {name} rows",
                got=f"{column}: {int(target.y[rows].sum())} right of {len(rows)}",
                fix="leave that target out, or ask it more questions",
            )
    cells = list(_cells(spec, plan, asked, target, jobs))
    truth, units = target.take(asked.test), units_of(plan.corpus)[asked.test]
    settings = {"resamples": spec.evaluate.bootstrap, "seed": spec.evaluate.seed}
    resampled = bootstrap_macro_f1(truth, [cell.predicted for cell in cells], units, **settings)
    place = {(cell.source, cell.what): number for number, cell in enumerate(cells)}

    def minus(number: int, other: int | None) -> dict[str, float] | None:
        if other is None or other == number:
            return None
        value = cells[number].row["macro_f1"] - cells[other].row["macro_f1"]
        gap = paired_difference(value, resampled[number], resampled[other])
        return {"value": gap.value, "low": gap.low, "high": gap.high, "p": gap.p}

    listed = []
    for number, cell in enumerate(cells):
        low, high = interval(resampled[number])
        listed.append(
            {"source": cell.source, "what": cell.what, "macro_f1": cell.row["macro_f1"], "low": low, "high": high}
            | {name: cell.row.get(name) for name in CHOSEN}
            | {
                "minus_own": None if own is None else minus(number, place[own, "sae"]),
                "minus_hidden": minus(number, place[cell.source, "hidden"]) if cell.what == "sae" else None,
            }
        )
    return {
        "target": column,
        "own": own,
        "n_train": len(asked.train),
        "n_test": len(asked.test),
        "base_rate": float(truth.y.mean()),
        "cells": listed,
    }


def _cells(spec: ModelsSpec, plan: Plan, parts: Split, target: Target, jobs: int | None) -> Iterator[_Cell]:
    """The SAE row and the hidden row that the inner folds choose for each source, then the rows without a source."""
    rows = representations(spec, plan.all_sources, plan.corpus, plan.store, plan.answers)
    sources: list[str | None] = [backbone.model for backbone in spec.backbones]
    for source in [*sources, None]:
        own = [row for row in rows if (row.columns["model"] if row.columns["layer"] is not None else None) == source]
        for what in _whats(own):
            some = [row for row in own if _what(row) == what]
            best, predicted = _best(some, spec, plan, parts, target, jobs)
            yield _Cell(source, what, best, predicted)


def _what(row: Representation) -> str:
    """What stands in one cell together: of a layer, a kind of features; else the baseline itself."""
    named: dict[str, Any] = {"kind": row.kind, "name": row.name, **row.columns}
    return row.name if row.columns["layer"] is None else family(named)


def _whats(rows: list[Representation]) -> list[str]:
    return list(dict.fromkeys(map(_what, rows)))


def _best(
    rows: list[Representation], spec: ModelsSpec, plan: Plan, parts: Split, target: Target, jobs: int | None
) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """The row with the best inner macro F1 and its predictions on the test rows."""
    evaluation = evaluate(
        rows,
        target,
        units_of(plan.corpus),
        parts,
        spec.probe,
        spec.evaluate,
        jobs=jobs,
        memory=OutcomeStore(plan.store.root / "outcomes"),
    )
    best = evaluation.selected if evaluation.selected is not None else evaluation.best_baseline
    assert best is not None
    return evaluation.rows[best], evaluation.details[best].predicted
