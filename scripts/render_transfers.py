"""Transfers as Markdown, for the results page: the matrix of each, what is gained or lost away from home, and overlap.

Reads what `run_results.py` kept of transfer.json and matching.json. Every sentence follows from the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

from render_reference import table

__all__ = ["away_cells", "matching_part", "of_shift", "transfers_part"]

Results = Mapping[str, Any]

#: Names of transfers in the order of the page: what shifts, and what they are.
WHAT = {
    "textdetox-languages": ("languages", "400 pairs of a toxic sentence and its neutral rewriting in each of nine."),
    "xlmt-languages": ("languages", "Sentiment of tweets in eight, three classes, test parts given (XLM-T)."),
    "hatecheck-languages": ("languages", "36,582 test cases of hate speech detection in ten (Multilingual HateCheck)."),
    "demo-languages": ("languages", "Short messages that come along in four, made for the demonstration."),
    "toxicity-sources": ("sources", "Toxic or not, in three English sources: comments, tweets, and rewritten pairs."),
}

#: Kinds of cells, and how they read.
KINDS = {
    "native": "trained at home",
    "transfer": "trained elsewhere",
    "all": "trained on all",
    "leave_one_out": "trained on all others",
}

INTRO = """## Transfer

Train on one domain, test on each: everything is chosen on inner folds of the training domain, and all families are
fitted on the same rows. In a matrix, macro F1 on test rows of SAE features comes first, then that of the baseline that
inner folds prefer; native cells are bold. Where ROC-AUC is near chance, differences in macro F1 away from home come
from where thresholds fall. A mean difference has a 95 % interval over units (texts, pairs, templates), which are drawn
from all domains at once. [How it is kept fair](transfer.md); intervals of each cell are in `results/`.
"""


def transfers_part(transfers: Mapping[str, Results]) -> str:
    """All transfers, by name."""
    return "\n".join([INTRO, *(_one(transfers[name], what) for name, (_, what) in WHAT.items() if name in transfers)])


def _one(results: Results, what: str) -> str:
    cost = results.get("measured")
    seconds = f" {cost['seconds']:.0f} s, {cost['seconds_again']:.0f} s from stored fits." if cost else ""
    notes = " ".join(results["notes"])
    return "\n".join(
        [
            f"### {results['name']}\n\n{what}{seconds} {notes}".rstrip() + "\n",
            _matrix(results),
            _sentence(results) + "\n",
            _means(results),
        ]
    )


def _matrix(results: Results) -> str:
    """A line a training set, a column a domain."""
    names = [domain["name"] for domain in results["domains"]]
    cells = {(cell["train"], cell["test"]): cell["scores"] for cell in results["cells"]}
    alone = [one["name"] for one in results["training_sets"] if one["kind"] != "leave_one_out"]
    rows = [[train, *(_cell(cells.get((train, test)), train == test) for test in names)] for train in alone]
    rows.append(["all others", *(_cell(cells.get((f"all but {test}", test)), native=False) for test in names)])
    if not any(rows[-1][1:]):
        rows.pop()
    return table(["trained on", *names], rows, right=tuple(range(1, len(names) + 1)))


def _cell(scores: Results | None, native: bool) -> str:
    if scores is None:
        return ""
    ours, theirs = (f"{scores[family]['macro_f1']:.2f}" for family in ("sae", "baseline"))
    return f"**{ours}** / {theirs}" if native else f"{ours} / {theirs}"


def _means(results: Results) -> str:
    """Means over the cells of each kind, and what separates SAE features and each other family there."""
    gaps = results.get("mean_differences") or {}
    families = [family for family in results["families"] if family not in ("sae", "majority")]
    rows = []
    for kind, means in results["means"].items():
        cells = [KINDS.get(kind, kind), f"{means['sae']:.3f}"]
        for family in families:
            gap = gaps.get(kind, {}).get(family)
            cells.append(f"{means[family]:.3f}" + (f" ({_signed(gap)})" if gap else ""))
        rows.append(cells)
    named = {"baseline": "best baseline", "hidden": "hidden states", "tfidf": "TF-IDF"}
    heads = ["mean macro F1", "SAE features", *(f"{named.get(f, f)} (SAE minus it)" for f in families)]
    return table(heads, rows, right=tuple(range(1, len(heads))))


def _sentence(results: Results) -> str:
    """Whether anything transfers, beside chance and beside the baselines, and whether the same features are chosen."""
    said = []
    away = list(away_cells(results))
    areas = [cell["scores"]["sae"]["roc_auc"] for cell in away if cell["scores"]["sae"]["roc_auc"] is not None]
    if areas:
        said.append(f"Away from home the mean ROC-AUC of SAE features is {mean(areas):.3f}, where .5 is chance.")
    clear = [cell["difference"]["value"] for cell in results["cells"] if cell["difference"]["p_holm"] < 0.05]
    ahead = sum(value > 0 for value in clear)
    said.append(
        f"Of {len(results['cells'])} cells SAE features are surely ahead of the best baseline in {ahead} and behind in "
        f"{len(clear) - ahead} (p below 0.05 after Holm's correction)."
    )
    pairs = results["overlap"]["pairs"]
    if pairs:
        alike = sum(pair["jaccard"]["p_holm"] < 0.05 for pair in pairs)
        shares = mean(pair["jaccard"]["value"] for pair in pairs)
        null = mean(pair["jaccard"]["null_mean"] for pair in pairs)
        said.append(
            f"The top {results['overlap']['top']} features of two domains overlap by {shares:.3f} (Jaccard, mean over "
            f"{len(pairs)} pairs), by chance {null:.3f}; by more than chance in {alike} pairs; "
            f"{results['overlap']['chosen_by_all']} are chosen everywhere."
        )
    return " ".join(said)


def away_cells(results: Results) -> Iterator[Results]:
    """Cells of one domain to train on and another one to test on."""
    single = {one["name"] for one in results["training_sets"] if one["kind"] == "domain"}
    return (cell for cell in results["cells"] if cell["train"] in single and cell["train"] != cell["test"])


def matching_part(results: Results) -> str:
    """Which features of one SAE are those of another, and the probe that was carried over."""
    first, second = (f"layer {results[side]['layer']} {_short(results[side]['sae'])}" for side in ("first", "second"))
    rows = [
        [
            probe["name"],
            f"{probe['macro_f1']:.3f} [{probe['low']:.3f}, {probe['high']:.3f}]",
            _signed(probe["minus_own"]),
        ]
        for probe in results["probes"]
    ]
    by_chance, partners = results["median_correlation_of_shuffled_rows"], results["matched_one_to_one"]
    text = (
        f"Features of {first} and their partners in {second}, by correlation over training texts without labels: "
        f"{results['matched']:.1%} have a partner that beats all shuffles of the rows (by chance "
        f"{results['matched_by_chance']:.0%}), {partners:.1%} where each partner is taken once. The median correlation "
        f"is {results['median_correlation']:.2f}, over shuffled rows {by_chance:.2f}. The toxicity probe of the first, "
        "its weights carried over to the partners, on the test rows:"
    )
    heads = ["probe", "macro F1 on test", "minus the second's own probe"]
    return f"## Features matched\n\n{text}\n\n{table(heads, rows, right=(1, 2))}"


def _short(reference: str) -> str:
    return reference.removeprefix("bundled:")


def _signed(gap: Results) -> str:
    return f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"


def of_shift(transfers: Mapping[str, Results], what: str) -> Sequence[Results]:
    """The transfers across languages, or across sources."""
    return [transfers[name] for name, (shift, _) in WHAT.items() if shift == what and name in transfers]
