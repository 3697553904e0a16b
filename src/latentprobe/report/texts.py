"""A run as text for other places: Markdown for a message or a repository, LaTeX and CSV for a paper.

The same choice of rows as on the first screen of the page; CSV has them all. Everything of the run is escaped for the
format it goes into. Knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from latentprobe.report import wording
from latentprobe.report.other_texts import COMPARISON_FORMATS, TRANSFER_FORMATS
from latentprobe.report.run_files import RunFiles, read_comparison, read_run, read_transfer
from latentprobe.report.sections import contenders
from latentprobe.report.tables import csv_table, latex_table, markdown, markdown_table
from latentprobe.visible import shortened

__all__ = ["FORMATS", "as_csv", "as_latex", "as_markdown", "text_of"]

_HEAD = ("", "Representation", "Macro F1", "95 % interval", "Inner F1", "Accuracy", "Features")


def as_markdown(run: RunFiles) -> str:
    """The outcome, the main rows, class by class, differences, and the first features of each class."""
    results = run.results
    parts = [f"# {markdown(results['name'])}", " ".join(map(markdown, wording.headline(results)))]
    parts.append(markdown_table(_HEAD, ([*line] for line in _main(results)), left=2))
    per_class = (results.get("selected_details") or {}).get("per_class") or []
    if per_class:
        keys = ("precision", "recall", "f1")
        lines = [[one["class"], *(wording.number(one[key], 3) for key in keys), one["support"]] for one in per_class]
        parts += ["## Class by class", markdown_table(("Class", "Precision", "Recall", "F1", "Test rows"), lines)]
    if results.get("differences"):
        lines = [
            [
                one["baseline"],
                wording.signed(one["value"], 3),
                wording.interval(one["low"], one["high"], 3, plus=True),
                wording.probability(one.get("p_holm")),
            ]
            for one in results["differences"]
        ]
        head = ("Baseline", "Difference", "95 % interval", "p, corrected (Holm)")
        parts += ["## Selected minus each baseline", markdown_table(head, lines)]
    named = [(one["class"], one["features"][:5]) for one in run.evidence.get("classes") or [] if one["features"]]
    if named:
        lines = [[name, "; ".join(_feature(feature) for feature in found)] for name, found in named]
        parts += ["## What makes each class", markdown_table(("Class", "Features"), lines, left=2)]
    return "\n\n".join(parts) + "\n"


def as_latex(run: RunFiles) -> str:
    """The main rows as a table for the booktabs package."""
    return latex_table(_HEAD, _main(run.results), left=2)


def as_csv(run: RunFiles) -> str:
    """All rows with all their columns, as results.json names them."""
    return csv_table(run.results["rows"])


def _main(results: dict[str, Any]) -> list[list[str]]:
    """The lines of the first screen: the chosen row and the best of each kind of baseline."""
    best = results["best_baseline"]
    return [
        [
            "selected" if row["kind"] == "sae" else "best baseline" if row == best else "",
            wording.representation(row),
            wording.number(row["macro_f1"], 3),
            wording.interval(row["low"], row["high"], 3),
            wording.number(row["inner_macro_f1"], 3),
            wording.number(row["accuracy"], 3),
            "–" if row["n_features"] is None else f"{row['n_features']:,}",
        ]
        for row in contenders(results)
    ]


def _feature(feature: Mapping[str, Any]) -> str:
    label = feature["label"]
    return f"{shortened(label, 60)} ({feature['feature']})" if label else f"feature {feature['feature']}"


def text_of(folder: Path, form: str) -> str:
    """What a run, a transfer, a comparison or an edit left, in another format.

    Args:
        folder: what one of these verbs wrote.
        form: ``markdown``, ``latex`` or ``csv``.

    Raises:
        SpecError: the folder is none of these, or a file in it cannot be read.
    """
    if (folder / "transfer.json").is_file():
        return TRANSFER_FORMATS[form](read_transfer(folder).results)
    for name in ("comparison.json", "edit.json"):
        if (folder / name).is_file():
            return COMPARISON_FORMATS[form](read_comparison(folder / name))
    return FORMATS[form](read_run(folder))


FORMATS: Mapping[str, Callable[[RunFiles], str]] = {"markdown": as_markdown, "latex": as_latex, "csv": as_csv}
