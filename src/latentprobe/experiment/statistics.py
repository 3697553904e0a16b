"""What stands beside the table of a run: leakage, power, the winner's curse, repeats, groups, other classifiers.

Each is a block of results.json of its own; one that was not asked for is null. Computes nothing itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from latentprobe.corpus import Corpus
from latentprobe.experiment.environment import Reporter
from latentprobe.experiment.features import Plan
from latentprobe.learn import Evaluation, Representation, Split, units_of
from latentprobe.learn.evaluate import task_of
from latentprobe.learn.fairness import by_value
from latentprobe.learn.other_probes import other_probes
from latentprobe.learn.power import power_of, winners_curse
from latentprobe.learn.repeats import Trial, repeated

__all__ = ["best_of_families", "leakage_of", "statistics_of"]


def statistics_of(
    plan: Plan,
    rows: Sequence[Representation],
    parts: Split,
    evaluation: Evaluation,
    trials: Sequence[Trial],
    jobs: int | None,
    reporter: Reporter,
) -> dict[str, Any]:
    """The blocks that come after the table: ``notes``, ``effect``, ``leakage`` and so on, by their keys in
    results.json."""
    selected, best = evaluation.selected, evaluation.best_baseline
    assert selected is not None and best is not None and evaluation.difference is not None
    score = evaluation.rows[selected]["macro_f1"]
    moved = f"Moved from the test part to training, where near-copies of them stand: {parts.moved:,}."
    return {
        "notes": [*plan.corpus.notes, *([moved] if parts.moved else [])],
        "effect": effect_of(evaluation),
        "leakage": leakage_of(plan, parts),
        "power": power_of(evaluation.difference, score, len(parts.test)),
        "winners_curse": winners_curse(evaluation.rows, {"sae": selected, "baseline": best}),
        "repeats": _repeats(plan, rows, trials, jobs, reporter) if trials else None,
        "by": _by(plan, parts, evaluation),
        "probes": _probes(plan, rows, parts, evaluation, jobs) if plan.spec.probe.also else None,
    }


def effect_of(evaluation: Evaluation) -> dict[str, Any]:
    """The effect size of the selected row beside the best baseline."""
    (effect,) = (c.effect for c in evaluation.comparisons if c.baseline == evaluation.best_baseline)
    return {"measure": "Cohen's g", **asdict(effect)}


def leakage_of(plan: Plan, parts: Split) -> dict[str, Any]:
    """How many rows stand more than once, or nearly, and what was done so that none stands on both sides.

    ``exact_copies`` and ``near_copies`` count rows that have another such row; ``clusters`` the sets of texts that are
    near each other, ``largest_cluster`` the rows of the largest; without a search for near-copies, these are null.
    """
    corpus = plan.corpus
    keys = corpus.keys
    times = Counter(key for key in keys if key)
    found: dict[str, Any] = {
        "near_duplicates": None if corpus.near is None else plan.spec.data.near_duplicates,
        "exact_copies": sum(n for n in times.values() if n > 1),
        "near_copies": None,
        "clusters": None,
        "largest_cluster": None,
        "moved_to_train": parts.moved,
        "moved_to_test": corpus.moved_to_test,
    }
    return found | _near(corpus)


def _near(corpus: Corpus) -> dict[str, int]:
    if corpus.near is None:
        return {}
    members: dict[str, Counter[str]] = {}
    for name, key in zip(corpus.near, corpus.keys, strict=True):
        if key:
            members.setdefault(name, Counter())[key] += 1
    clusters = [texts for texts in members.values() if len(texts) > 1]
    return {
        "near_copies": sum(texts.total() for texts in clusters),
        "clusters": len(clusters),
        "largest_cluster": max((texts.total() for texts in clusters), default=0),
    }


def _repeats(
    plan: Plan, rows: Sequence[Representation], trials: Sequence[Trial], jobs: int | None, reporter: Reporter
) -> dict[str, Any]:
    done = 0

    def advance(place: int, line: str) -> None:
        nonlocal done
        done += 1
        reporter.progress("repeat", done, len(rows) * len(trials))

    return repeated(
        rows,
        plan.corpus.target,
        units_of(plan.corpus),
        trials,
        plan.spec.probe,
        plan.spec.evaluate,
        jobs=jobs,
        memory=plan.outcomes,
        progress=advance,
    )


def _by(plan: Plan, parts: Split, evaluation: Evaluation) -> dict[str, Any] | None:
    """For each column of ``data.by``: the selected row and every baseline, value by value."""
    corpus, how = plan.corpus, plan.spec.evaluate
    if not corpus.columns:
        return None
    target, units = corpus.target.take(parts.test), units_of(corpus)[parts.test]
    predicted = {index: detail.predicted for index, detail in sorted(evaluation.details.items())}
    roles = {evaluation.best_baseline: "best baseline", evaluation.selected: "selected"}
    found = {}
    for column, values in corpus.columns.items():
        own = [values[row] for row in parts.test]
        one = by_value(target, predicted, own, units, resamples=how.bootstrap, seed=how.seed)
        scores = [
            {"name": evaluation.rows[index]["name"], "role": roles.get(index, "baseline"), **of_it}
            for index, of_it in one["scores"].items()
            if one["values"]
        ]
        found[column] = one | {"scores": scores}
    return found


def _probes(
    plan: Plan, rows: Sequence[Representation], parts: Split, evaluation: Evaluation, jobs: int | None
) -> list[dict[str, Any]]:
    """The linear probe and the others on the selected row, the best hidden row and the best TF-IDF row."""
    how, corpus = plan.spec.evaluate, plan.corpus
    chosen = [index for index in (evaluation.selected, *best_of_families(rows, evaluation)) if index is not None]
    task = task_of(corpus.target, units_of(corpus), parts, plan.spec.probe, how)
    others = other_probes(
        plan.spec.probe.also,
        rows,
        chosen,
        task,
        units_of(corpus),
        resamples=how.bootstrap,
        seed=how.seed,
        jobs=jobs,
        memory=plan.outcomes,
    )
    linear = []
    for index in chosen:
        row = evaluation.rows[index]
        same = {key: value for key, value in row.items() if key in others[0]}
        linear.append(same | {"probe": "linear", "setting": {"C": row["C"]}, "path": None})
    return [one for first in linear for one in (first, *(other for other in others if other["name"] == first["name"]))]


def best_of_families(rows: Sequence[Representation], evaluation: Evaluation) -> list[int | None]:
    """The rows of hidden states and of TF-IDF that inner folds prefer; None where there is none."""
    families = (("dense",), ("words", "characters"))
    own = [[i for i, row in enumerate(rows) if row.kind == "baseline" and row.features in some] for some in families]
    return [
        max(indices, key=lambda index: float(evaluation.rows[index]["inner_macro_f1"]), default=None) for indices in own
    ]
