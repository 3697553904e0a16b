"""A transfer, an edit and a comparison as Markdown, LaTeX and CSV; what belongs to a run stands in `texts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from latentprobe.report import transfer, wording
from latentprobe.report.comparison import score_lines
from latentprobe.report.tables import csv_table, latex_table, markdown, markdown_table

__all__ = ["COMPARISON_FORMATS", "TRANSFER_FORMATS"]

Results = Mapping[str, Any]

_HEAD = ("Score", "Before", "After", "Change", "95 % interval")


def transfer_markdown(results: Results) -> str:
    """The outcome, means, and the matrices of SAE features and of the best baselines."""
    told = transfer.summary(dict(results), {})
    means = [[line["kind"], *(cell["text"] for cell in line["cells"])] for line in told["means"]]
    parts = [f"# {markdown(results['name'])}", " ".join(map(markdown, told["headline"]))]
    parts += ["## Mean macro F1", markdown_table(("", *told["families"]), means)]
    for family, title in (("sae", "SAE features"), ("baseline", "Best baselines")):
        parts += [f"## {title}", markdown_table(_names(results), _matrix(results, family))]
    return "\n\n".join(parts) + "\n"


def transfer_latex(results: Results) -> str:
    """Macro F1 of SAE features, with that of the best baseline behind it."""
    ours, theirs = _matrix(results, "sae"), _matrix(results, "baseline")
    lines = [
        [first[0], *(f"{a} / {b}" if a else "" for a, b in zip(first[1:], second[1:], strict=True))]
        for first, second in zip(ours, theirs, strict=True)
    ]
    return latex_table(_names(results), lines)


def transfer_csv(results: Results) -> str:
    """A line a cell: rows, the scores of each family, and the difference from the best baseline."""
    return csv_table(
        [
            {key: cell[key] for key in ("train", "test", "n_train", "n_test")}
            | {f"{family}/{name}": value for family, own in cell["scores"].items() for name, value in own.items()}
            | {f"sae - baseline/{name}": value for name, value in cell["difference"].items()}
            for cell in results["cells"]
        ]
    )


def _names(results: Results) -> Sequence[str]:
    return ["Trained on", *(domain["name"] for domain in results["domains"])]


def _matrix(results: Results, family: str) -> list[list[str]]:
    """A line a training set, a column a domain; nothing where it was not tested."""
    scores = {(cell["train"], cell["test"]): cell["scores"][family]["macro_f1"] for cell in results["cells"]}
    return [
        [one["name"], *(_number(scores.get((one["name"], name))) for name in _names(results)[1:])]
        for one in results["training_sets"]
    ]


def _number(value: float | None) -> str:
    return "" if value is None else wording.number(value, 3)


def comparison_markdown(found: Results) -> str:
    """Every score before and after, with its change, and the features that came and went."""
    parts = [f"# {markdown(_title(found))}"]
    if found["scores"] is not None:
        flipped = found["scores"]["flipped"]
        parts.append(f"{flipped['n']:,} of {found['scores']['n_rows']:,} rows flip.")
    parts.append(markdown_table(_HEAD, _lines(found)))
    lists = {"Dropped": found.get("dropped")} | {
        name.capitalize(): (found.get("features") or {}).get(name) for name in ("came", "went")
    }
    for name, own in lists.items():
        if own:
            rows = [[one["feature"], one["label"] or ""] for one in own]
            parts += [f"## {name}", markdown_table(("Feature", "Label"), rows, left=2)]
    return "\n\n".join(parts) + "\n"


def comparison_latex(found: Results) -> str:
    """Every score before and after, with its change."""
    return latex_table(_HEAD, _lines(found))


def comparison_csv(found: Results) -> str:
    """A line a score: before and after with their intervals, and the paired change with its."""
    scores = found["scores"]
    return csv_table([] if scores is None else [line["plain"] for line in score_lines(scores)])


def _title(found: Results) -> str:
    return f"{found['second']} in place of {found['first']}" if "second" in found else "Before and after an edit"


def _lines(found: Results) -> list[list[str]]:
    scores = found["scores"]
    keys = ("name", "before", "after", "change", "interval")
    return [] if scores is None else [[line[key] for key in keys] for line in score_lines(scores)]


TRANSFER_FORMATS: Mapping[str, Callable[[Results], str]] = {
    "markdown": transfer_markdown,
    "latex": transfer_latex,
    "csv": transfer_csv,
}
COMPARISON_FORMATS: Mapping[str, Callable[[Results], str]] = {
    "markdown": comparison_markdown,
    "latex": comparison_latex,
    "csv": comparison_csv,
}
