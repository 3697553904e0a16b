"""docs/claims.md: the claims of arXiv 2502.11367 beside what was measured here, each with a verdict.

Every figure comes from the files under results/; every verdict follows from the figures by a rule that stands here.
Published figures are those of the paper and of its repository's result files, linear probe, best of the grid chosen on
test. Knows nothing of how anything was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from render_reference import WRITTEN, table
from render_results import AGAIN
from render_transfers import away_cells, of_shift

__all__ = ["claims_page"]

Results = Mapping[str, Any]

INTRO = """# The paper's claims

"Sparse Autoencoder Features for Classifications and Transferability" (arXiv 2502.11367) makes five claims from Gemma 2
and Gemma Scope. Its weights do not run on a small machine; the [specs of its grid](../specs/paper) run unchanged where
they can be had. What stands here is the same shape in small: a sentence encoder of six blocks, our bundled SAEs, public
data; and [planted worlds](lab.md), where the right answer is known. A claim that fails in small may hold in large, and
the other way round: each verdict is about what was measured.

Made by `python scripts/run_results.py` and `python scripts/render_docs.py`.
"""

#: Data set -> best SAE row and best hidden state, as published: linear macro F1, chosen on test.
PUBLISHED = {
    "banking77": ("banking77", ".916 (layer 12, 16k, sum, binarized)", ".845"),
    "surge_toxicity": ("toxicity, best language", ".972 (layer 9, 16k, sum)", ".966"),
}


def claims_page(runs: Mapping[str, Results], transfers: Mapping[str, Results], lab: Results | None) -> str:
    """The page.

    Args:
        runs: results.json of `latentprobe run`, by name.
        transfers: transfer.json of `latentprobe transfer`, by name.
        lab: what `latentprobe lab --json` printed.
    """
    once = {name: results for name, results in runs.items() if name not in AGAIN}
    parts = [_first(runs), _layers(once, lab), _width_and_pooling(once, lab), _binarization(once, lab)]
    parts += [_transfer(transfers, lab), _regimes(runs), _published(runs)]
    return WRITTEN + INTRO + "\n" + "\n".join(part for part in parts if part)


def _first(runs: Mapping[str, Results]) -> str:
    """SAE features beat hidden states and bags of words."""
    rows, against = [], {"hidden": [], "words": [], "random": []}  # type: ignore[var-annotated]
    for name, results in runs.items():
        cells = [name, _interval(results["selected"])]
        for family in ("hidden", "words", "random"):
            found = _best(results, family)
            gap = None if found is None else _gap(results, found)
            cells.append("-" if gap is None else _signed(gap))
            if gap is not None and (name not in AGAIN or family == "random"):
                against[family].append(gap)
        rows.append(cells)
    heads = ["data", "SAE, macro F1 on test", "minus hidden states", "minus TF-IDF", "minus an untrained SAE"]
    said = [
        f"Against {what}: {_counted(gaps)}."
        for what, gaps in (
            ("hidden states of the same tokens", against["hidden"]),
            ("TF-IDF", against["words"]),
            ("an untrained SAE of the same width and sparsity", against["random"]),
        )
        if gaps
    ]
    holds = all(_answer(gap) == "ahead" for gap in against["hidden"]) and bool(against["hidden"])
    repeats = " ".join(_repeated(name, results) for name, results in runs.items() if results.get("repeats"))
    verdict = "holds" if holds else "doesn't hold here over hidden states"
    return _claim(
        "SAE features reach macro F1 above .8 and beat hidden states and bags of words",
        verdict,
        " ".join([*said, repeats]).strip(),
        table(heads, rows, right=(1, 2, 3, 4)),
    )


def _repeated(name: str, results: Results) -> str:
    gap = {**results["repeats"]["difference"], "value": results["repeats"]["difference"]["mean"]}
    splits = len(results["repeats"]["splits"])
    return f"Over {splits} splits of {name}, the chosen SAE row minus the best baseline is {_signed(gap)}."


def _layers(runs: Mapping[str, Results], lab: Results | None) -> str:
    return _along(
        runs,
        "layer",
        "Middle layers do best",
        _middle,
        "A sentence encoder of six blocks has few layers to tell apart.",
    ) + _planted(lab, "layers")


def _middle(values: Sequence[Any], best: Any) -> bool:
    return best not in (min(values), max(values))


def _width_and_pooling(runs: Mapping[str, Results], lab: Results | None) -> str:
    pooling = _along(
        runs,
        "pooling",
        "The sum over tokens is the pooling to take, and token-level top-N wins on single tasks",
        lambda values, best: best == "sum",
        "",
    )
    width = _along(runs, "width", "Wider SAEs do worse", lambda values, best: best == min(values), "")
    return "\n".join([pooling + _planted(lab, "pooling", "top-n", "length"), width + _planted(lab, "width")])


def _along(runs: Mapping[str, Results], axis: str, claim: str, holds: Any, remark: str) -> str:
    """A claim on the best value of a setting, judged by inner folds on every data set that varies it."""
    rows, right = [], []
    for name, results in runs.items():
        points = (results.get("curves") or {}).get(axis)
        if not points:
            continue
        scores = {point["value"]: point["best"]["inner_macro_f1"] for point in points}
        best = max(scores, key=lambda value: scores[value])
        right.append(holds(list(scores), best))
        told = [
            f"**{value}** {score:.3f}" if value == best else f"{value} {score:.3f}" for value, score in scores.items()
        ]
        rows.append([name, ", ".join(told)])
    if not rows:
        return ""
    verdict = "holds" if all(right) else "doesn't" if not any(right) else f"on {sum(right)} of {len(right)} data sets"
    text = (
        f"The value that is best on inner folds is the claimed one on {sum(right)} of {len(right)} data sets. {remark}"
    )
    return _claim(claim, verdict, text.strip(), table(["data", f"{axis}: best macro F1 on inner folds"], rows))


def _binarization(runs: Mapping[str, Results], lab: Results | None) -> str:
    """Binarized minus raw, for the same layer, SAE and pooling, over all runs."""
    gaps: dict[str, list[float]] = {}
    for results in runs.values():
        raw = {_setting(row): row["inner_macro_f1"] for row in _sae_rows(results) if row["binarize"] == "none"}
        for row in _sae_rows(results):
            if row["binarize"] != "none" and _setting(row) in raw:
                kind = f"{row['pooling']}, {_threshold(row['binarize'])}"
                gaps.setdefault(kind, []).append(row["inner_macro_f1"] - raw[_setting(row)])
    if not gaps:
        return ""
    rows = [
        [kind, str(len(found)), f"{mean(found):+.3f}", f"{_error(found):.3f}"] for kind, found in sorted(gaps.items())
    ]
    better = [kind for kind, found in gaps.items() if mean(found) > 2 * _error(found)]
    worse = [kind for kind, found in gaps.items() if mean(found) < -2 * _error(found)]
    verdict = "holds" if len(better) == len(gaps) else "doesn't" if not better else "for some poolings"
    text = (
        f"By more than two standard errors binarization is better for {_listed(better)} and worse for {_listed(worse)}."
    )
    heads = ["pooling and threshold", "pairs", "binarized minus raw, inner macro F1", "standard error"]
    return _claim("Binarization keeps or improves F1", verdict, text, table(heads, rows, right=(1, 2, 3))) + _planted(
        lab, "binarization"
    )


def _transfer(transfers: Mapping[str, Results], lab: Results | None) -> str:
    """Across languages and sources; modalities cannot be told from what runs here."""
    rows, said, verdicts = [], [], []
    for shift in ("languages", "sources"):
        found = of_shift(transfers, shift)
        for results in found:
            for kind in ("native", "transfer"):
                means = results["means"][kind]
                gap = results.get("mean_differences", {}).get(kind, {}).get("baseline")
                scores = [f"{means[family]:.3f}" for family in ("sae", "hidden", "tfidf")]
                rows.append([results["name"], kind, *scores, _signed(gap) if gap else "-"])
        areas = [cell["scores"]["sae"]["roc_auc"] for results in found for cell in away_cells(results)]
        known = [area for area in areas if area is not None]
        if known:
            verdicts.append(f"{_carried(mean(known))} across {shift}")
            said.append(
                f"Across {shift} the mean ROC-AUC of SAE features away from home is {mean(known):.3f} over "
                f"{len(known)} pairs, where .5 is chance."
            )
    if not rows:
        return ""
    said.append(
        "MiniLM is an English sentence encoder: it has little to carry from language to language. Across modalities "
        "nothing can be told here: the path runs, on a model too small to know."
    )
    heads = ["data", "cells", "SAE features", "hidden states", "TF-IDF", "SAE minus best baseline"]
    claim = "Features transfer across languages, models and modalities"
    figures = table(heads, rows, right=(2, 3, 4, 5))
    return _claim(claim, "; ".join(verdicts) or "can't be told here", " ".join(said), figures) + _planted(
        lab, "transfer"
    )


def _carried(area: float) -> str:
    """What a mean ROC-AUC away from home says."""
    return "holds" if area > 0.8 else "doesn't hold here" if area < 0.6 else "in part"


def _regimes(runs: Mapping[str, Results]) -> str:
    """The quiver test of Kantamneni and others 2025, where a run was asked for it."""
    rows = []
    for name, results in runs.items():
        for row in (results.get("regimes") or {}).get("conditions", ()):
            level = (
                "all levels"
                if row["level"] is None
                else f"{row['level']:g}"
                if _is_number(row["level"])
                else row["level"]
            )
            cells = [name, f"**{row['regime']}**" if row["level"] is None else row["regime"], level]
            cells += [
                f"{row['baseline']:.3f}",
                f"{row['all']:.3f}",
                _signed(row["gain"]),
                f"{100 * row['sae_chosen']:.0f} %",
            ]
            rows.append(cells)
    if not rows:
        return ""
    heads = ["data", "regime", "level", "baselines", "with SAE rows", "gain", "SAE row chosen"]
    return (
        "## Does it help to have SAE features among the choices?\n\nThe question of Kantamneni and others (2025, arXiv "
        "2502.16681): in each condition a row is chosen on inner folds, among the baselines alone and among all; macro "
        f"F1 on test, means over draws, the gain with a 95 % interval.\n\n{table(heads, rows, right=(3, 4, 5, 6))}"
    )


def _published(runs: Mapping[str, Results]) -> str:
    rows = []
    for name, (what, sae, hidden) in PUBLISHED.items():
        if name in runs:
            ours = _best(runs[name], "hidden")
            rows.append(
                [what, sae, hidden, name, _interval(runs[name]["selected"]), "-" if ours is None else _interval(ours)]
            )
    if not rows:
        return ""
    heads = ["published", "SAE", "hidden state", "here", "SAE", "hidden states"]
    return (
        "## Published figures\n\nOther models, other SAEs, and in part other data of the same kind: side by side, not "
        "against each other. Published are the maxima over the grid on test, ours were chosen on inner folds. "
        "On inputs that were the same, the published hidden-state probes differ by .056 on average from run to run.\n\n"
        + table(heads, rows, right=(1, 2, 4, 5))
    )


def _claim(claim: str, verdict: str, text: str, figures: str) -> str:
    return f"## {claim}\n\n**{verdict[0].upper()}{verdict[1:]}.** {text}\n\n{figures}"


def _planted(lab: Results | None, *names: str) -> str:
    """What the laboratory says of a claim."""
    found = [claim for claim in (lab or {}).get("claims", ()) if claim["name"] in names]
    return "".join(f"\nIn [planted worlds](lab.md#{claim['name']}): {claim['lesson']}\n" for claim in found)


def _best(results: Results, family: str) -> Mapping[str, Any] | None:
    """The baseline of a family that inner folds prefer."""
    rows = [row for row in results["rows"] if row["kind"] == "baseline" and _family(row) == family]
    return max(rows, key=lambda row: row["inner_macro_f1"], default=None)


def _family(row: Mapping[str, Any]) -> str:
    if row["name"].startswith("tfidf"):
        return "words"
    if str(row.get("sae")).startswith("random:"):
        return "random"
    plain = row.get("layer") is not None and row.get("sae") is None and not str(row.get("selection")).startswith("pca")
    return "hidden" if plain and "prompted" not in row["name"] else "other"


def _gap(results: Results, row: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(gap for gap in results["differences"] if gap["baseline"] == row["name"])
    return found


def _answer(gap: Mapping[str, Any]) -> str:
    if gap["low"] <= 0 <= gap["high"]:
        return "level"
    return "ahead" if gap["value"] > 0 else "behind"


def _counted(gaps: Sequence[Mapping[str, Any]]) -> str:
    answers = [_answer(gap) for gap in gaps]
    told = [f"{answer} on {answers.count(answer)}" for answer in ("ahead", "level", "behind") if answer in answers]
    return f"{', '.join(told)} of {len(gaps)} data sets"


def _sae_rows(results: Results) -> Iterator[Mapping[str, Any]]:
    return (row for row in results["rows"] if row["kind"] == "sae")


def _setting(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["model"], row["layer"], row["sae"], row["pooling"], row["selection"]


def _threshold(binarize: str) -> str:
    return "auto" if binarize == "auto" else f"> {float(binarize):g}"


def _error(values: Sequence[float]) -> float:
    """Standard error of a mean; of one value, no end."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _interval(row: Mapping[str, Any]) -> str:
    return f"{row['macro_f1']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _signed(gap: Mapping[str, Any]) -> str:
    return f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
