"""The blocks beside the table as sections of the page: certainty, further splits, groups, other classifiers, leakage.

Each is None where the run has no such block. Words and rounds what is there; computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentprobe.report import wording
from latentprobe.visible import shortened

__all__ = ["certainty", "classifiers", "groups", "leakage", "reconstruction", "repeats", "truth"]

Section = dict[str, Any]

_KINDS = {"sae": "SAE rows", "baseline": "baselines"}
_MEASURES = {"macro_f1": "F1", "accuracy": "accuracy", "recall": "recall", "fpr": "false positives"}
_PROBES = {
    "linear": "linear",
    "tree": "decision tree",
    "boosting": "gradient boosting",
    "centroid": "nearest centroid",
    "l1_path": "linear, L1 path",
}


def certainty(results: Section) -> Section | None:
    """What the size of the test part allows to tell, the effect size, and the winner's curse."""
    power, curse = results.get("power"), results.get("winners_curse") or {}
    if not power:
        return None
    return {
        "power": power["sentence"],
        "rows_needed": [(gap, f"{rows:,}") for gap, rows in power["rows_needed"].items()],
        "effect": _effect(results.get("effect")),
        "curse": [
            {
                "kind": _KINDS.get(kind, kind),
                "rows": one["rows"],
                "chosen": one["chosen"],
                "chosen_score": wording.number(one["chosen_macro_f1"], 3),
                "best": one["best_on_test"],
                "best_score": wording.number(one["best_macro_f1"], 3),
                "value": wording.signed(one["value"], 3),
            }
            for kind, one in curse.items()
        ],
    }


def _effect(effect: Mapping[str, Any] | None) -> str | None:
    if not effect:
        return None
    if effect["value"] is None:
        return "Selected and best baseline are right on the same test rows."
    return (
        f"Where only one of the two does better, the selected classifier does on {effect['wins']:,} and the best "
        f"baseline on {effect['losses']:,}: an effect size, {effect['measure']}, of {wording.signed(effect['value'])} "
        f"{wording.interval(effect['low'], effect['high'], plus=True)} "
        "(Cohen 1988: .05 is small, .15 medium, .25 large)."
    )


def truth(results: Section) -> Section | None:
    """Whether the explanations are true: the verdict, and what decisions lose beside random removals."""
    block = results.get("faithfulness")
    if not block:
        return None
    tests = (
        ("features", "without the features an explanation names"),
        ("sufficiency", "with only these features"),
        ("tokens", "without the tokens it names, read again by the model"),
        ("splicing", "in the model's own answer, without these features"),
    )
    return {
        "faithful": block["faithful"],
        "says": block["says"],
        "rows": block["rows"],
        "lines": [
            (what, wording.signed(block[key]["value"], 3), wording.interval(block[key]["low"], block[key]["high"], 3))
            for key, what in tests
            if block.get(key)
        ],
        "stability": [
            (name, wording.number(value)) for name, value in (block.get("stability") or {}).items() if value is not None
        ],
    }


def repeats(results: Section) -> Section | None:
    """Each split with what was chosen on it, and the mean difference."""
    block = results.get("repeats")
    if not block:
        return None
    ours, theirs, gap = block["selected"], block["best_baseline"], block["difference"]
    means = [f"{wording.number(one['mean'], 3)} (sd {wording.number(one['sd'], 3)})" for one in (ours, theirs)]
    summary = (
        f"Over {len(block['splits'])} splits ({block['scheme']}) the selected row reaches macro F1 {means[0]} on "
        f"average and the best baseline {means[1]}; the difference is {wording.signed(gap['mean'], 3)} "
        f"{wording.interval(gap['low'], gap['high'], 3, plus=True)}, p {wording.probability(gap['p'])}."
    )
    return {
        "summary": summary,
        "pooled": _pooled(block.get("pooled")),
        "lines": [
            {
                "split": f"seed {one['seed']}" + ("" if one["fold"] is None else f", fold {one['fold'] + 1}"),
                "n_test": one["n_test"],
                "selected": one["selected"],
                "score": wording.number(one["macro_f1"], 3),
                "score_value": one["macro_f1"],
                "baseline": one["best_baseline"],
                "baseline_score": wording.number(one["baseline_macro_f1"], 3),
                "baseline_value": one["baseline_macro_f1"],
                "difference": wording.signed(one["difference"], 3),
                "difference_value": one["difference"],
            }
            for one in block["splits"]
        ],
    }


def _pooled(block: Mapping[str, Any] | None) -> str | None:
    if not block:
        return None
    parts = [
        f"{wording.number(block[name]['value'], 3)} {wording.interval(block[name]['low'], block[name]['high'], 3)}"
        for name in ("selected", "best_baseline")
    ]
    gap = block["difference"]
    return (
        f"Over all {block['n']:,} rows, each predicted by folds that had not seen it: {parts[0]} against {parts[1]}, "
        f"difference {wording.signed(gap['value'], 3)} {wording.interval(gap['low'], gap['high'], 3, plus=True)}."
    )


def groups(results: Section) -> list[Section] | None:
    """For each column the selected row and the best baseline, value by value, and their gaps."""
    block = results.get("by")
    if not block:
        return None
    return [_column(name, one) for name, one in block.items()]


def _column(name: str, block: Mapping[str, Any]) -> Section:
    shown = [one for role in ("selected", "best baseline") for one in block["scores"] if one["role"] == role]
    measures = [measure for measure in _MEASURES if any(measure in one["gaps"] for one in shown)]
    lines = [
        {
            "value": value,
            "n": shown[0]["values"][value]["n"],
            "scores": [_cell(one["values"][value].get(measure)) for one in shown for measure in measures],
        }
        for value in block["values"]
    ]
    left_out = block["left_out"]
    return {
        "name": name,
        "who": [one["role"] for one in shown],
        "measures": [_MEASURES[measure] for measure in measures],
        "lines": lines,
        "gaps": [_cell(one["gaps"].get(measure)) for one in shown for measure in measures],
        "left_out": _left_out(left_out) if left_out["rows"] else None,
    }


def _left_out(left_out: Mapping[str, int]) -> str:
    return (
        f"Not scored, as there are too few test rows of each: {wording.counted(left_out['values'], 'value')} with "
        f"{wording.counted(left_out['rows'], 'row')} together."
    )


def _cell(score: Mapping[str, Any] | None) -> tuple[str, str]:
    if score is None:
        return "–", ""
    return wording.number(score["value"]), wording.interval(score["low"], score["high"])


def reconstruction(results: Section) -> Section | None:
    """What each SAE rebuilds of each model's states, beside how well its features classify."""
    block = results.get("reconstruction")
    if not block:
        return None
    lines = [
        {
            "model": place["model"],
            "layer": place["layer"],
            "sae": place["sae"],
            "trained_on": place["trained_on"] or "–",
            "figures": [
                wording.number(place["figures"][name], 3)
                for name in ("l0", "explained_variance", "cosine", "norm_ratio")
            ],
            "score": wording.number(place["best"]["macro_f1"], 3),
            "interval": wording.interval(place["best"]["low"], place["best"]["high"], 3),
            "best": place["best"]["name"],
        }
        for place in block["places"]
    ]
    return {"rows": block["rows"], "lines": lines}


def classifiers(results: Section) -> list[Section] | None:
    """Every classifier on each of the chosen rows."""
    block: Sequence[Mapping[str, Any]] | None = results.get("probes")
    if not block:
        return None
    return [
        {
            "name": one["name"],
            "probe": _PROBES.get(one["probe"], one["probe"]),
            "setting": ", ".join(f"{key.replace('_', ' ')} {_setting(value)}" for key, value in one["setting"].items()),
            "inner": wording.number(one["inner_macro_f1"], 3),
            "inner_value": one["inner_macro_f1"],
            "score": wording.number(one["macro_f1"], 3),
            "score_value": one["macro_f1"],
            "interval": wording.interval(one["low"], one["high"], 3),
            "before": wording.number(one["ece_uncalibrated"], 3),
            "before_value": one["ece_uncalibrated"],
            "after": wording.number(one["ece"], 3),
            "after_value": one["ece"],
            "n_features": one["n_features"],
        }
        for one in block
    ]


def _setting(value: Any) -> str:
    return "none" if value is None else shortened(f"{value:g}" if isinstance(value, float) else str(value), 20)


def leakage(results: Section) -> str | None:
    """How many rows stand more than once, or nearly."""
    block = results.get("leakage")
    if not block:
        return None
    said = [f"Rows that stand more than once: {block['exact_copies']:,}."]
    if block["near_duplicates"] is not None:
        said.append(
            f"Rows with a near-copy (at least {wording.percent(block['near_duplicates'])} of their character 5-grams "
            f"in common): {block['near_copies']:,}, in {block['clusters']:,} sets. Copies and near-copies stand on one "
            "side."
        )
    return " ".join(said)
