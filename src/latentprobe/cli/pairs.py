"""Two classifiers side by side on a terminal: before and after, or one and the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from latentprobe.cli.tables import visible

__all__ = ["print_comparison", "print_edit"]

#: Rows that flipped, as many as are shown; the files have all.
SHOWN = 8


def console() -> Console:
    """Standard output; where it is no terminal, wide enough that tables do not wrap."""
    found = Console()
    return found if found.is_terminal else Console(width=160)


def print_edit(found: Mapping[str, Any], out: Path | None) -> None:
    """What an edit did, and where it is."""
    screen = console()
    if "proposal" in found:
        _print_search(found["proposal"])
    for one in found["dropped"]:
        screen.print(Text(visible(f"dropped {one['feature']}  {one['label'] or ''}")), soft_wrap=True)
    how = f"fitted anew on {found['refitted_on']}" if found["refitted_on"] else "weights removed, nothing fitted"
    count = found["n_features"]
    screen.print(Text(visible(f"{count['before']} features before, {count['after']} after; {how}")), soft_wrap=True)
    if found["scores"] is not None:
        print_scores(found["scores"], "before", "after", found["data"])
    if out is not None:
        screen.print(Text(f"classifier: {out}"), soft_wrap=True)
    elif found["dropped"]:
        features = ",".join(str(one["feature"]) for one in found["dropped"])
        screen.print(f"write it: add --out FOLDER, or --drop {features} --out FOLDER", highlight=False, soft_wrap=True)


def print_comparison(found: Mapping[str, Any], out: Path | None) -> None:
    """Two classifiers: scores, rows, features."""
    screen = console()
    print_scores(found["scores"], found["first"], found["second"], found["data"])
    for side in ("first", "second"):
        if found[f"only_{side}"]:
            screen.print(Text(visible(f"{found[f'only_{side}']:,} test rows only in {found[side]}, left out")))
    features = found["features"]
    if features is None:
        screen.print("features of different SAEs, which cannot be told apart one by one")
    else:
        for name in ("came", "went"):
            shown = ", ".join(str(one["feature"]) for one in features[name][:SHOWN])
            screen.print(f"{len(features[name]):,} features {name}{': ' * bool(shown)}{shown}", highlight=False)
        screen.print(f"{features['kept']:,} features in both", highlight=False)
    if out is not None:
        screen.print(Text(f"written to {out}: comparison.json, comparison.html"), soft_wrap=True)


def _print_search(proposal: Mapping[str, Any]) -> None:
    """The steps, with their figures on the rows searched and on inner folds of them."""
    title = f"widest gap in {proposal['gap'].replace('_', ' ')} by {proposal['by']}: searched on "
    title += f"{proposal['n_searched']:,} rows (this table), judged on {proposal['n_held_out']:,} others"
    table = Table(title=Text(visible(title)), title_justify="left")
    for column in ("", "dropped", "last", "gap", "macro F1", "gap minus macro F1, inner folds"):
        table.add_column(column, justify="left" if column in ("", "last") else "right")
    for step in proposal["steps"]:
        last = "" if step["feature"] is None else f"{step['feature']} {step['label'] or ''}"[:40]
        table.add_row(
            "*" if step["proposed"] else "",
            str(step["n_dropped"]),
            Text(visible(last)),
            f"{step['searched']['gap']:.3f}",
            f"{step['searched']['macro_f1']:.3f}",
            f"{step['inner']['change']:+.3f} ± {step['inner']['error']:.3f}",
            style="bold" if step["proposed"] else None,
        )
    console().print(table)
    moved = proposal["threshold"]
    if moved is not None and moved["gap"] is not None:
        widest, score = moved["gap"]["widest"], moved["macro_f1"]
        line = (
            f"beside a moved threshold that flags as many rows: gap {widest['after']:.3f} for {widest['before']:.3f} "
        )
        line += f"({_change(widest)}), macro F1 {score['after']['value']:.3f} for {score['before']['value']:.3f}"
        console().print(line, highlight=False, markup=False, soft_wrap=True)


def print_scores(scores: Mapping[str, Any], first: str, second: str, name: str | None) -> None:
    """One table of scores and gaps, and the first rows that flipped."""
    screen = console()
    table = Table(title=Text(visible(f"{name or ''}: {scores['n_rows']:,} rows".lstrip(": "))), title_justify="left")
    table.add_column("")
    for column in (first, second, "change [95 %]"):
        table.add_column(column, justify="right")
    for label, one in _lines(scores):
        table.add_row(Text(visible(label)), *(_cell(one.get(side)) for side in ("before", "after")), _change(one))
    screen.print(table)
    flipped = scores["flipped"]
    share = flipped["share"]
    line = f"{flipped['n']:,} rows flipped ({share['value']:.1%} [{share['low']:.1%}, {share['high']:.1%}]): "
    line += f"{flipped['to_right']:,} turned right, {flipped['to_wrong']:,} turned wrong"
    screen.print(line, highlight=False)
    for row in flipped["rows"][:SHOWN]:
        said = f"  {row['id']}: {_name(row['before'])} -> {_name(row['after'])}, truly {_name(row['true'])}"
        screen.print(Text(visible(said), style="dim"), soft_wrap=True)


def _lines(scores: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Label and figures of each line."""
    yield "macro F1", scores["macro_f1"]
    yield "accuracy", scores["accuracy"]
    for one in scores["per_class"]:
        if "change" in one:
            yield f"F1 of {one['class']}", one
    for column, found in scores["by"].items():
        for measure, change in found["changes"].items():
            if change is not None:
                name = measure.replace("_", " ")
                yield f"{column}: widest gap in {name}", change["widest"]
                same = change["same"]
                yield f"  {same['highest']} - {same['lowest']}", same
                for value in (same["highest"], same["lowest"]):
                    sides = {side: found["scores"][side]["values"][value][measure] for side in ("before", "after")}
                    yield f"  {value}", sides


def _cell(one: Any) -> str:
    if one is None:
        return "-"
    if isinstance(one, Mapping):
        return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
    return f"{one:.3f}"


def _change(one: Mapping[str, Any]) -> str:
    return "{value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**one["change"]) if "change" in one else ""


def _name(classes: Any) -> str:
    return classes if isinstance(classes, str) else ", ".join(classes) or "(no label)"
