"""A transfer as the sections of its page: outcome, heat maps, choices, overlap of features, all representations.

Sorts, counts and words what transfer.json says. Knows nothing of HTML beyond the pictures of ``charts``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from latentprobe.label_wording import MEANING, worth
from latentprobe.report import wording
from latentprobe.report.charts import bar

__all__ = ["choices", "matrices", "overlap", "representations", "summary"]

Section = dict[str, Any]

_FAMILIES = {
    "sae": "Readable (SAE features)",
    "baseline": "Best baseline",
    "hidden": "Hidden states",
    "tfidf": "Word counts (TF-IDF)",
    "majority": "Most frequent class",
    "length": "Text length",
}
_KINDS = {
    "native": "Native: trained and tested on the same domain",
    "transfer": "Transferred: trained on one, tested on another",
    "all": "Trained on all domains",
    "leave_one_out": "Trained on all but the one tested",
}


def summary(results: Section, environment: Section) -> Section:
    """The first screen: what transfer costs, beside the baselines, and how many cells tell a difference."""
    means = results["means"]
    ours, theirs = means["native"]["sae"], means["native"]["baseline"]
    headline = [
        f"Trained and tested on the same domain, readable classifiers reach macro F1 {wording.number(ours)} on average "
        f"over {wording.counted(sum(one['trained'] for one in results['domains']), 'domain')}; the best baselines "
        f"{wording.number(theirs)}."
    ]
    if "transfer" in means:
        away = means["transfer"]
        headline.append(
            f"Tested on a domain they have not seen, {wording.number(away['sae'])}; "
            f"the best baselines {wording.number(away['baseline'])}."
        )
    if gap := (results.get("mean_differences") or {}).get("transfer"):
        headline.append(_on_average(gap["baseline"]))
    headline.append(_told(results))
    stages = environment.get("seconds") or {}
    facts = [
        ("domains", f"{len(results['domains']):,}"),
        ("rows", f"{sum(one['rows'] for one in results['domains']):,}"),
        ("classes", f"{len(results['classes']):,}"),
        ("test part", results["test"]),
        *([("compute time", wording.seconds(sum(stages.values())))] if stages else []),
    ]
    kinds = list(means)
    return {
        "headline": headline,
        "facts": facts,
        "families": [_family(family) for family in results["families"]],
        "means": [
            {
                "kind": _kind(kind),
                "cells": [_number_cell(means[kind][family]) for family in results["families"]],
            }
            for kind in kinds
        ],
    }


def _on_average(gap: Section) -> str:
    """What separates SAE features and the best baselines away from home, over all cells."""
    between = f"{wording.signed(gap['value'], 3)} [{wording.signed(gap['low'], 3)}, {wording.signed(gap['high'], 3)}]"
    unclear = "" if gap["low"] > 0 or gap["high"] < 0 else ", which may be chance"
    return f"That is a difference of {between}{unclear}."


def _told(results: Section) -> str:
    """How many cells tell SAE features and the best baseline apart."""
    clear = [cell["difference"] for cell in results["cells"] if cell["difference"]["p_holm"] < 0.05]
    ahead = sum(one["value"] > 0 for one in clear)
    return (
        f"Of {wording.counted(len(results['cells']), 'comparison')} with the best baseline on the same rows, the "
        f"readable classifier is clearly better in {ahead:,} and clearly worse in {len(clear) - ahead:,}."
    )


def _kind(kind: str) -> str:
    plain = kind.removesuffix(", translated")
    return _KINDS.get(plain, plain) + (" (texts translated)" if plain != kind else "")


def _family(family: str) -> str:
    return _FAMILIES.get(family, family)


def _number_cell(value: float) -> Section:
    return {"text": wording.number(value, 3), "value": value}


def matrices(results: Section) -> list[Section]:
    """Heat maps: SAE features, the best baseline, and their difference; then the cost against native training."""
    every = [cell["scores"][family]["macro_f1"] for cell in results["cells"] for family in ("sae", "baseline")]
    low, high = min(every), max(every)

    def score(family: str) -> Callable[[Section], Section | None]:
        return lambda cell: _score_cell(cell, family, low, high)

    found = [
        _matrix(results, "sae", "Readable classifiers", "Macro F1 of SAE features.", score("sae")),
        _matrix(results, "baseline", "Best baselines", "Macro F1 of the baseline chosen alike.", score("baseline")),
        _matrix(
            results, "difference", "Readable minus baseline",
            "Coloured where the difference is more than chance explains (p below 0.05, corrected for all cells): "
            "blue, the readable classifier is better; orange, the baseline.",
            lambda cell: _difference_cell(cell["difference"], cell["difference"]["p_holm"]),
        ),
        _matrix(
            results, "cost", "What transfer costs",
            "SAE features trained elsewhere minus SAE features trained on the domain itself, on the same rows; "
            "coloured where the interval leaves out 0.",
            lambda cell: None if cell["to_native"] is None else _difference_cell(cell["to_native"], None),
        ),
    ]  # fmt: skip
    return found


def _matrix(results: Section, key: str, title: str, hint: str, shown: Callable[[Section], Section | None]) -> Section:
    columns = [domain["name"] for domain in results["domains"]]
    cells = {(cell["train"], cell["test"]): cell for cell in results["cells"]}
    lines = []
    for one in results["training_sets"]:
        found = [cells.get((one["name"], name)) for name in columns]
        native = [one["kind"] == "domain" and one["domains"] == [name] for name in columns]
        line = [(shown(cell) if cell else None) for cell in found]
        lines.append(
            {
                "name": one["name"],
                "kind": one["kind"],
                "cells": [
                    {**(cell or {"text": "", "title": "", "look": "empty"}), "right": diagonal}
                    for cell, diagonal in zip(line, native, strict=True)
                ],
            }
        )
    return {"key": key, "title": title, "hint": hint, "columns": columns, "upright": len(columns) > 6, "lines": lines}


def _score_cell(cell: Section, family: str, low: float, high: float) -> Section:
    score = cell["scores"][family]
    share = (score["macro_f1"] - low) / ((high - low) or 1.0)
    between = wording.interval(score["low"], score["high"], 3)
    return {
        "text": wording.number(score["macro_f1"]),
        "title": f"{wording.number(score['macro_f1'], 3)} {between}; ROC-AUC {wording.number(score['roc_auc'], 3)}; "
        f"{wording.counted(cell['n_train'], 'row')} to "
        f"train, {cell['n_test']:,} to test",
        "look": f"heat-{max(0, min(10, round(10 * share)))}",
    }


def _difference_cell(one: Section, p: float | None) -> Section:
    clear = p < 0.05 if p is not None else one["low"] > 0 or one["high"] < 0
    between = wording.interval(one["low"], one["high"], 3, plus=True)
    corrected = f", corrected p {wording.probability(p)}" if p is not None else ""
    return {
        "text": wording.signed(one["value"]),
        "title": f"{wording.signed(one['value'], 3)} {between}{corrected}",
        "look": "heat-0" if not clear else "heat-3" if one["value"] > 0 else "cold",
    }


def choices(results: Section) -> list[Section]:
    """What each training set chose, and in how many folds."""
    lines = []
    for one in results["training_sets"]:
        own = [choice for choice in results["choices"] if choice["train"] == one["name"]]
        lines.append({"name": one["name"], **{family: _most_often(own, family) for family in ("sae", "baseline")}})
    return lines


def _most_often(own: Sequence[Section], family: str) -> Section:
    names = Counter(choice["representation"] for choice in own if choice["family"] == family)
    inner = [choice["inner_macro_f1"] for choice in own if choice["family"] == family]
    (name, times), total = names.most_common(1)[0], sum(names.values())
    return {
        "name": name,
        "times": f"{times} of {total}" if total > 1 else "",
        "inner": wording.number(sum(inner) / len(inner), 3),
    }


def overlap(results: Section) -> Section:
    """How alike domains choose, and the features that several of them choose."""
    found = results["overlap"]
    names = [domain["name"] for domain in results["domains"] if domain["trained"]]
    pairs = {frozenset(pair["domains"]): pair for pair in found["pairs"]}
    return {
        "top": found["top"],
        "representation": found["representation"]["name"],
        "names": names,
        "upright": len(names) > 6,
        "maps": [
            {
                "title": title,
                "lines": [
                    {"name": a, "cells": [_overlap_cell(pairs.get(frozenset((a, b))), key) for b in names]}
                    for a in names
                ],
            }
            for key, title in (
                ("jaccard", f"Share of the top {found['top']} features in common (Jaccard)"),
                ("rank_correlation", "Rank correlation of the weights"),
            )
            if pairs
        ],
        "all": found["chosen_by_all"],
        "several": found["chosen_by_several"],
        "features": [_feature(feature, len(names)) for feature in found["features"]],
        "meaning": MEANING if any(worth(feature.get("label_score")) for feature in found["features"]) else None,
    }


def _overlap_cell(pair: Section | None, key: str) -> Section:
    if pair is None:
        return {"text": "", "title": "", "look": "empty"}
    one = pair[key]
    title = (
        f"{wording.number(one['value'], 3)}; by chance {wording.number(one['null_mean'], 3)}, at most "
        f"{wording.number(one['null_high'], 3)} in 97.5 %; corrected p {wording.probability(one['p_holm'])}"
    )
    look = f"heat-{max(1, min(10, round(10 * one['value'])))}" if one["p_holm"] < 0.05 else "heat-0"
    return {"text": wording.number(one["value"]), "title": title, "look": look}


def _feature(feature: Section, n: int) -> Section:
    heaviest = max(map(abs, feature["weights"].values())) or 1.0
    return {
        "feature": feature["feature"],
        "label": feature["label"],
        "label_score": feature.get("label_score"),
        "class": feature["class"],
        "count": f"{len(feature['domains'])} of {n}",
        "weights": [
            {
                "domain": name,
                "chosen": name in feature["domains"],
                "weight": wording.signed(weight),
                "svg": bar(
                    abs(weight) / heaviest, title=wording.signed(weight), kind="here" if weight > 0 else "other"
                ),
            }
            for name, weight in feature["weights"].items()
        ],
        "examples": [
            {"domain": name, **_example(example)}
            for name in feature["domains"]
            for example in feature["examples"].get(name, [])[:1]
        ],
    }


def _example(example: Section) -> Section:
    text, start, end = example["text"], example["start"], example["end"]
    return {
        "before": text[:start],
        "token": text[start:end],
        "after": text[end:],
        "cut_before": example["cut_before"],
        "cut_after": example["cut_after"],
        "id": example["id"],
    }


def representations(results: Section) -> list[Section]:
    """Every representation, by what inner folds say; the scores beside it are exploration."""
    keys = ("inner_macro_f1", "native_macro_f1", "transfer_macro_f1")
    lines = [
        {
            "name": row["name"],
            "kind": row["kind"],
            "cells": [{"text": wording.number(row[key], 3), "value": row[key]} for key in keys],
        }
        for row in results["representations"]
    ]
    return sorted(lines, key=lambda line: -line["cells"][0]["value"])
