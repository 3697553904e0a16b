"""What a run tells beside its table, as Markdown: certainty, curves, classifiers, classes and groups.

Each function takes the content of results.json and gives nothing where the run was not asked for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from render_reference import table

__all__ = ["certainty", "classes", "classifiers", "few", "groups", "number", "score"]

Results = Mapping[str, Any]

#: Classes are shown one by one where the largest has this many times the test rows of the smallest.
IMBALANCED = 2.0
#: ... and where there are at most this many.
CLASSES = 12

#: Measures of a group, and how they read.
MEASURES = {"macro_f1": "macro F1", "accuracy": "accuracy", "recall": "recall", "fpr": "false positive rate"}


def score(row: Results) -> str:
    """Macro F1 with its interval."""
    return f"{row['macro_f1']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def number(value: float | None) -> str:
    """A figure, or nothing."""
    return "" if value is None else f"{value:.3f}"


def certainty(results: Results) -> str:
    """What the test part can tell, how lucky its best row is, and what further splits say."""
    if not results.get("power"):
        return ""
    curse = results["winners_curse"]["sae"]
    said = [
        results["power"]["sentence"],
        f"The best SAE row on test is {curse['value']:+.3f} above the chosen one: the winner's curse.",
    ]
    if results.get("repeats"):
        gap, splits = results["repeats"]["difference"], len(results["repeats"]["splits"])
        between = f"{gap['mean']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}], p = {gap['p']:.3f}"
        said.append(f"Over {splits} splits, the chosen SAE row minus the best baseline is {between}.")
    return " ".join(said) + "\n"


def few(results: Results) -> str:
    """Macro F1 on test with the best k features, by each rule."""
    points = (results.get("curves") or {}).get("k_sparse")
    if not points:
        return ""
    counts = sorted({point["k"] for point in points})
    lines: dict[tuple[str, str], dict[int, float]] = {}
    for point in points:
        lines.setdefault((point["representation"], point["rule"]), {})[point["k"]] = point["macro_f1"]
    rows = [[name, rule, *(f"{scores[k]:.3f}" for k in counts)] for (name, rule), scores in lines.items()]
    heads = ["macro F1 on test with the best", "by", *(str(k) for k in counts)]
    return table(heads, rows, right=tuple(range(2, len(heads))))


def classifiers(results: Results) -> str:
    """Other classifiers on the chosen row and on the best of hidden states and of word counts."""
    probes = results.get("probes")
    if not probes:
        return ""
    rows = [
        [
            one["name"],
            one["probe"],
            score(one),
            f"{one['inner_macro_f1']:.3f}",
            number(one["ece_uncalibrated"]),
            number(one["ece"]),
        ]
        for one in probes
    ]
    heads = ["", "classifier", "macro F1 on test", "inner folds", "ECE before calibration", "after"]
    return table(heads, rows, right=(2, 3, 4, 5))


def _is_imbalanced(results: Results) -> bool:
    support = [row["support"] for row in results["selected_details"]["per_class"]]
    return len(support) <= CLASSES and max(support) > IMBALANCED * min(support)


def classes(results: Results) -> str:
    """F1 by class of the chosen row and of the best baseline, where classes differ in size."""
    if not _is_imbalanced(results):
        return ""
    pairs = zip(results["selected_details"]["per_class"], results["best_baseline_details"]["per_class"], strict=True)
    cells = [[one["class"], f"{one['support']:,}", f"{one['f1']:.3f}", f"{other['f1']:.3f}"] for one, other in pairs]
    heads = ["class", "test rows", "F1 of SAE features", "F1 of the best baseline"]
    return f"By class:\n\n{table(heads, cells, right=(1, 2, 3))}"


def groups(results: Results) -> str:
    """Of each column that says whom rows are about, the widest gap of the chosen row and of the best baseline."""
    return "\n".join(_gaps(column, told) for column, told in (results.get("by") or {}).items())


def _gaps(column: str, told: Results) -> str:
    roles = {one["role"]: one for one in told["scores"]}
    rows = []
    for measure, said in MEASURES.items():
        gaps = [roles[role]["gaps"].get(measure) for role in ("selected", "best baseline")]
        if gaps[0] is not None:
            rows.append([said, *("" if gap is None else _gap(gap) for gap in gaps)])
    heads = [f"widest gap by {column}, of {len(told['values'])} values", "SAE features", "best baseline"]
    return table(heads, rows, right=())


def _gap(gap: Results) -> str:
    return f"{gap['value']:.3f} [{gap['low']:.3f}, {gap['high']:.3f}] {gap['highest']} over {gap['lowest']}"
