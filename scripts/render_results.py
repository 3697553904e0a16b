"""What was measured as Markdown: the results page, and the blocks of the README.

Reads results.json files that `run_results.py` kept, its copy of the demonstration's output, and the cards of the
bundled SAEs. Every sentence follows from the numbers. Knows nothing of how they were made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from render_details import certainty, classes, classifiers, few, groups, number, score
from render_reference import WRITTEN, table

__all__ = ["demo_block", "read_results", "results_block", "results_page", "saes_block"]

#: Data sets in the order of the page, and what they are.
DATA_SETS = {
    "surge_toxicity": "1,000 comments, half of them toxic (Surge AI, MIT licence).",
    "xstest": "450 prompts in contrast pairs, safe and unsafe (XSTest, CC-BY-4.0): the same words on both sides.",
    "davidson": "24,783 tweets, hateful, offensive or neither (Davidson and others 2017, MIT licence).",
    "germeval2018": "8,541 German tweets, offensive or not, test part given (GermEval 2018, CC-BY-4.0).",
    "pubmedqa": "1,000 abstracts of medical papers, their question answered yes, no or maybe (PubMedQA, MIT licence).",
    "hatecheck_german": "3,645 German test cases of hate speech detection (Multilingual HateCheck, CC-BY-4.0).",
    "surge_full": "The comments of surge_toxicity with everything beside the table.",
    "banking77": "13,083 questions of bank customers in 77 classes, test part given (Banking77, CC-BY-4.0).",
}

#: The same rows as another's, which count once.
AGAIN = ("surge_full",)

#: Rows of SAE features that the page shows of each data set; the report of a run has all.
SHOWN = 8
#: Rows of each kind in the README's picture of the demonstration.
DEMO_ROWS = 4
#: A difference is called a win or a loss where its corrected p is below this.
SIGNIFICANT = 0.05
#: Verdicts as they read before "on 2 of 4 data sets", and before the name of a baseline.
COUNTED = {"win": "win", "ahead": "are ahead", "level": "are level", "behind": "are behind", "lose": "lose"}
SAID = {
    "win": "win against",
    "ahead": "are ahead of",
    "level": "are level with",
    "behind": "are behind",
    "lose": "lose against",
}

#: What stands below the tables of a data set, where the run was asked for it.
DETAILS = (classes, certainty, few, classifiers, groups)

INTRO = """# Results

Made by `python scripts/run_results.py`, on the embedded model and the bundled SAEs, with the specs in `specs/`.
Figures are macro F1 on test rows that no choice was made on, with 95 % bootstrap intervals over test rows. For SAE
features and for baselines alike, the row shown is the one that was best on inner folds of the training part. TF-IDF
is the better one of words and characters, by the same rule. "Difference" is paired: the chosen SAE row minus the best
baseline, on the same resamples of test rows. Seconds are of the whole command, the second run on stored features; peak
memory is of the first run, with all its processes. Seconds were measured beside other work on the machine: they are
upper bounds.

"Ahead" and "behind" say that the interval of the difference leaves out zero; "win" and "lose" that p stays below 0.05
after Holm's correction over the kinds of baselines of the data set; all else is "level".

The bundled SAEs have seen no text of `surge_toxicity` and `xstest`, and no test row of the others; of those, they were
trained on texts of the training part, without labels.
"""


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The measured results that are there, in the order of the page."""
    paths = [folder / f"{name}.json" for name in DATA_SETS]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def results_page(measured: Sequence[Mapping[str, Any]], further: Sequence[str]) -> str:
    """docs/results.md: one table over all data sets, then each by itself, then further parts."""
    machine = f"Measured on {measured[0]['measured']['cores']} cores, without an accelerator.\n"
    parts = [WRITTEN + INTRO, _summary(measured, costs=True), _standing(measured) + "\n", machine]
    return "\n".join([*parts, *(_one(results) for results in measured), *further])


def results_block(measured: Sequence[Mapping[str, Any]]) -> str:
    """The README's table of results."""
    return f"{_summary(measured, costs=False)}\n{_standing(measured)}\n"


def demo_block(output: str) -> str:
    """The README's picture of the demonstration: the best rows of its table and its first decision, as printed."""
    comparison, decision = output.rstrip().split("\n\n")[:2]
    lines, own = [], 0
    for line in comparison.strip("\n").splitlines():
        own = own + 1 if line.startswith("│") else 0
        if own <= DEMO_ROWS:
            lines.append(line.rstrip())
    return "\n".join(["```text", *lines, "", *(line.rstrip() for line in decision.splitlines()), "```", ""])


def saes_block(folder: Path) -> str:
    """The README's table of the bundled SAEs, from their cards."""
    rows = []
    for path in sorted(folder.glob("*/card.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        plan, held_out = card["plan"], card["held_out"]
        rows.append(
            [
                f"`bundled:{plan['name']}`",
                str(plan["layer"]),
                f"{plan['d_sae']:,}",
                f"{held_out['l0_mean']:.1f}",
                f"{held_out['explained_variance']:.3f}",
                f"{100 * card['training']['dead_share']:.1f} %",
                f"{100 * held_out['densest_share']:.0f} %",
            ]
        )
    heads = ["SAE", "layer", "width", "active a token", "explained variance", "dead", "densest latent, of tokens"]
    return table(heads, rows, right=(1, 2, 3, 4, 5, 6))


def _summary(measured: Sequence[Mapping[str, Any]], *, costs: bool) -> str:
    """One row a data set."""
    heads = ["data", "rows", "classes", "SAE features", "best baseline", "TF-IDF", "difference"]
    heads += ["seconds, first and second run", "peak GiB"] * costs
    rows = []
    for results in measured:
        cost = results["measured"]
        name = results["name"]
        cells = [
            f"[{name}](#{name})" if costs else name,
            f"{results['n_rows']:,}",
            str(len(results["classes"])),
            score(results["selected"]),
            f"{score(results['best_baseline'])} {results['best_baseline']['name']}",
            score(_tfidf(results)),
            _gap(results["difference"]),
        ]
        cells += [f"{cost['seconds']:.0f} / {cost['seconds_again']:.0f}", f"{cost['peak_gib']:.1f}"] if costs else []
        rows.append(cells)
    return table(heads, rows, right=(1, 2))


def _gap(gap: Mapping[str, float]) -> str:
    return f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"


def _tfidf(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The TF-IDF row that did best on inner folds."""
    rows = [row for row in results["rows"] if row["name"].startswith("tfidf")]
    return max(rows, key=lambda row: row["inner_macro_f1"])


def _verdict(gap: Mapping[str, float]) -> str:
    """Ahead or behind where the interval leaves out zero; a win or a loss where the corrected p says so too."""
    if gap["low"] <= 0 <= gap["high"]:
        return "level"
    if gap["p_holm"] < SIGNIFICANT:
        return "win" if gap["value"] > 0 else "lose"
    return "ahead" if gap["value"] > 0 else "behind"


def _standing(measured: Sequence[Mapping[str, Any]]) -> str:
    """How often SAE features win, are level and lose, against the best baseline and against TF-IDF."""
    measured = [results for results in measured if results["name"] not in AGAIN]
    sentences = []
    for whom, names in (
        ("the best baseline", [results["best_baseline"]["name"] for results in measured]),
        ("TF-IDF", [_tfidf(results)["name"] for results in measured]),
    ):
        gaps = [_difference_from(results, name) for results, name in zip(measured, names, strict=True)]
        verdicts = [_verdict(gap) for gap in gaps]
        counts = [f"{said} on {verdicts.count(verdict)}" for verdict, said in COUNTED.items() if verdict in verdicts]
        sentences.append(f"Against {whom}, SAE features {', '.join(counts)} of {len(measured)} data sets.")
    return " ".join(sentences)


def _difference_from(results: Mapping[str, Any], baseline: str) -> Mapping[str, float]:
    found: Mapping[str, float] = next(gap for gap in results["differences"] if gap["baseline"] == baseline)
    return found


def _one(results: Mapping[str, Any]) -> str:
    """One data set: what came out, its best rows, and what else the run was asked for."""
    sae = sorted((row for row in results["rows"] if row["kind"] == "sae"), key=_by_inner)
    baselines = sorted((row for row in results["rows"] if row["kind"] == "baseline"), key=_by_inner)
    tested = {gap["baseline"] for gap in results["differences"] if gap["p_holm"] is not None}
    parts = [
        f"## {results['name']}\n\n{DATA_SETS[results['name']]} {_counts(results)}\n\n{_sentence(results)}\n",
        f"SAE features, the best {min(SHOWN, len(sae))} of {len(sae)} rows by inner folds:\n\n{_rows(sae[:SHOWN])}",
        f"Baselines, of {len(baselines)} rows the one of each kind that inner folds prefer:\n\n"
        + _rows([row for row in baselines if row["name"] in tested]),
    ]
    return "\n".join(parts + [block for block in (told(results) for told in DETAILS) if block])


def _counts(results: Mapping[str, Any]) -> str:
    notes = "".join(f" {note}" for note in results["notes"])
    return f"{results['n_train']:,} rows to train, {results['n_test']:,} to test.{notes}"


def _by_inner(row: Mapping[str, Any]) -> float:
    return -float(row["inner_macro_f1"])


def _sentence(results: Mapping[str, Any]) -> str:
    """What the differences say."""
    best, tfidf = results["best_baseline"]["name"], _tfidf(results)["name"]
    against = [_against(name, _difference_from(results, name)) for name in dict.fromkeys([best, tfidf])]
    chosen = results["selected"]
    higher = [row for row in results["rows"] if row["kind"] == "sae" and row["macro_f1"] > chosen["macro_f1"]]
    exploration = f" {len(higher)} of the SAE rows not chosen score higher on test." if higher else ""
    inner = (
        f"Chosen on inner folds: {chosen['name']}, which has {chosen['inner_macro_f1']:.3f} there; "
        f"the best baseline has {results['best_baseline']['inner_macro_f1']:.3f}."
    )
    return f"{inner} On test, SAE features {' and '.join(against)}.{exploration}"


def _against(name: str, gap: Mapping[str, float]) -> str:
    return f"{SAID[_verdict(gap)]} {name} ({_gap(gap)}, p = {gap['p_holm']:.3f} after Holm's correction)"


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the table of a run, the chosen one marked."""
    heads = ["", "macro F1 on test", "inner folds", "accuracy", "ROC-AUC", "ECE", "features", "C"]
    cells = [
        [
            f"**{row['name']}**" if row["selected"] else row["name"],
            score(row),
            f"{row['inner_macro_f1']:.3f}",
            f"{row['accuracy']:.3f}",
            number(row["roc_auc"]),
            number(row["ece"]),
            f"{row['n_features']:,}",
            "" if row["C"] is None else f"{row['C']:g}",
        ]
        for row in rows
    ]
    return table(heads, cells, right=(2, 3, 4, 5, 6, 7))


def labels_block(measured: dict[str, Any]) -> str:
    """How true the labels of the bundled SAEs are, as Markdown."""
    texts = sum(measured["texts"].values())
    lines = [
        f"The labels of the bundled SAEs, on {texts:,} held-out texts ({measured['tokens']:,} tokens of "
        f"{', '.join(measured['texts'])}), none of which an SAE was trained on or a label made from:",
        "",
        "| SAE | words | labels scored | better than chance | of another latent | score, quartiles | above 0.7 | "
        "recall |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in measured["saes"].items():
        for key, where in (("strongest", "where strongest"), ("everywhere", "wherever on")):
            told = row[key]
            low, middle, high = told["score_quartiles"]
            lines.append(
                f"| {name} | {where} | {told['scored']:,} of {row['labels']:,} | {told['share_better']:.1%} | "
                f"{told['share_better_of_another']:.1%} | {low:.2f}, {middle:.2f}, {high:.2f} | "
                f"{told['share_above_0.7']:.1%} | {told['median_recall']:.2f} |"
            )
    precision = [row["median_precision"] for row in measured["saes"].values()]
    return "\n".join(
        [
            *lines,
            "",
            "Of another latent: the same with each label given to a latent drawn by chance, to check the measure.",
            "Recall: of all such words, the share that the label names; the median. Of the words that a label names,",
            f"{min(precision):.0%} to {max(precision):.0%} have the latent, the medians of all. Not scored: labels",
            "without a word, and latents that are on, or at their strongest, in fewer than ten of the texts.",
            "",
        ]
    )
