"""A run as text for other places: Markdown for a message or a repository, LaTeX and CSV for a paper.

The same choice of rows as on the first screen of the page; CSV has them all. Everything of the run is escaped for the
format it goes into. Knows nothing of HTML.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from latentprobe.report import wording
from latentprobe.report.run_files import RunFiles
from latentprobe.report.sections import contenders
from latentprobe.visible import shortened, visible

__all__ = ["FORMATS", "as_csv", "as_latex", "as_markdown"]

_HEAD = ("", "Representation", "Macro F1", "95 % interval", "Inner F1", "Accuracy", "Features")
_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$",
    "<": r"\textless{}", ">": r"\textgreater{}", "–": "--",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip


def as_markdown(run: RunFiles) -> str:
    """The outcome, the main rows, class by class, differences, and the first features of each class."""
    results = run.results
    parts = [f"# {_md(results['name'])}", " ".join(map(_md, wording.headline(results)))]
    parts.append(_md_table(_HEAD, ([*line] for line in _main(results)), left=2))
    per_class = (results.get("selected_details") or {}).get("per_class") or []
    if per_class:
        keys = ("precision", "recall", "f1")
        lines = [[one["class"], *(wording.number(one[key], 3) for key in keys), one["support"]] for one in per_class]
        parts += ["## Class by class", _md_table(("Class", "Precision", "Recall", "F1", "Test rows"), lines)]
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
        parts += ["## Selected minus each baseline", _md_table(head, lines)]
    named = [(one["class"], one["features"][:5]) for one in run.evidence.get("classes") or [] if one["features"]]
    if named:
        lines = [[name, "; ".join(_feature(feature) for feature in found)] for name, found in named]
        parts += ["## What makes each class", _md_table(("Class", "Features"), lines, left=2)]
    return "\n\n".join(parts) + "\n"


def as_latex(run: RunFiles) -> str:
    """The main rows as a table for the booktabs package."""
    lines = [r"\begin{tabular}{llrrrrr}", r"\toprule", " & ".join(map(_tex, _HEAD)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(_tex, line)) + r" \\" for line in _main(run.results)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def as_csv(run: RunFiles) -> str:
    """All rows with all their columns, as results.json names them."""
    rows = run.results["rows"]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(row.get(column)) for column in columns] for row in rows)
    return out.getvalue()


def _plain(value: Any) -> Any:
    """A cell: text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in "=+-@\t\r" and value else value
    return str(value) if isinstance(value, Mapping) else value


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


def _md(value: Any) -> str:
    """Text in Markdown: nothing in it is markup, a link or HTML."""
    text = visible(str(value)).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", text)


def _md_table(head: Sequence[str], lines: Iterable[Sequence[Any]], *, left: int = 1) -> str:
    under = ["---" if i < left else "---:" for i in range(len(head))]
    rows = [head, under, *([_md(cell) for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in visible(text))


FORMATS: Mapping[str, Callable[[RunFiles], str]] = {"markdown": as_markdown, "latex": as_latex, "csv": as_csv}
