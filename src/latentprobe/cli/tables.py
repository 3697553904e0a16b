"""Results as text for a terminal: tables, decisions with highlighted tokens, plans. Colours only on a terminal.

Texts of users are printed as they are but for control characters, which could steer the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "LISTED",
    "print_check",
    "print_counts",
    "print_decision",
    "print_facts",
    "print_matching",
    "print_models",
    "print_results",
    "print_saes",
    "visible",
    "wide_console",
    "write_plan",
]

#: Rows of each kind that the table of a run shows; the report has all of them.
SHOWN = 6

#: SAEs that a terminal shows one by one; more are counted.
LISTED = 100


def wide_console() -> Console:
    """Standard output; where it is no terminal, wide enough that tables do not wrap."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def visible(text: str) -> str:
    """Control characters replaced by a visible sign; all else as it is, one character for one.

    >>> visible("a\\x1b[31mb")
    'a\\ufffd[31mb'
    """
    return "".join(c if c.isprintable() or c in " \n\t" else "\ufffd" for c in text)


def _interval(row: Mapping[str, Any]) -> str:
    return f"{row['macro_f1']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def print_results(results: Mapping[str, Any], folder: Path) -> None:
    """The best rows of a run, the difference, and where everything is."""
    console = wide_console()
    best = {kind: _best(results["rows"], kind) for kind in ("sae", "baseline")}
    table = Table(title=f"{results['name']}: {results['n_train']} rows to train, {results['n_test']} to test")
    for column in ("", "representation", "macro F1 on test [95 %]", "inner folds", "accuracy", "features", "C"):
        table.add_column(column, justify="left" if column in ("", "representation") else "right")
    for kind in ("sae", "baseline"):
        for row in best[kind]:
            chosen = row["name"] in (results["selected"]["name"], results["best_baseline"]["name"])
            table.add_row(
                "*" if chosen else "",
                Text(row["name"]),
                _interval(row),
                f"{row['inner_macro_f1']:.3f}",
                f"{row['accuracy']:.3f}",
                str(row["n_features"]),
                "" if row["C"] is None else f"{row['C']:g}",
                style="bold" if chosen else "",
            )
        table.add_section()
    console.print(table)
    hidden = len(results["rows"]) - sum(len(rows) for rows in best.values())
    if hidden > 0:
        more = f"{hidden} more row{'s' * (hidden > 1)}"
        console.print(f"* chosen on inner folds; {more}, all exploration, in the report", style="dim")
    for note in results["notes"]:
        console.print(Text(f"note: {visible(note)}", style="dim"))
    gap = results["difference"]
    console.print(
        f"SAE features minus {results['best_baseline']['name']}: "
        f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}], p = {gap['p']:.3f}",
        markup=False,
        highlight=False,
    )
    console.print(f"report:     {folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"classifier: {folder / 'bundle'}", markup=False, highlight=False, soft_wrap=True)


def _best(rows: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    from latentprobe.report.wording import main_rows

    own = main_rows([row for row in rows if row["kind"] == kind])
    return sorted(own, key=lambda row: -row["inner_macro_f1"])[:SHOWN]


def print_decision(text: str, decision: Mapping[str, Any]) -> None:
    """One decision: the text with its lit tokens, then the features by contribution."""
    from latentprobe.label_wording import worth_in_short

    console = wide_console()
    shown = Text(visible(text))
    for feature in reversed(decision["features"]):  # a token of several features has the colour of the strongest
        for token in feature["tokens"]:
            shown.stylize(_colour(feature), token["start"], token["end"])
    console.print(shown)
    label = decision["label"] if isinstance(decision["label"], str) else ", ".join(decision["label"]) or "(no label)"
    line = f"-> {label}  score {decision['score']:.3f}"
    if decision["threshold"] is not None:
        line += f"  threshold {_numbers(decision['threshold'])}  {'flagged' if decision['flagged'] else 'not flagged'}"
    console.print(Text(visible(line), style="bold"))
    if not decision["features"]:
        console.print("no feature that this classifier uses is on in this text", style="dim")
        return
    table = Table(box=None, pad_edge=False)
    scored = any(feature["label_score"] for feature in decision["features"])
    for column in ("contribution", "feature", "label", *(["label score"] if scored else []), "tokens"):
        table.add_column(column, justify="right" if column in ("contribution", "feature") else "left")
    for feature in decision["features"]:
        lit = dict.fromkeys(token["text"] for token in feature["tokens"])
        table.add_row(
            Text(f"{feature['contribution']:+.3f}", style=_colour(feature)),
            str(feature["feature"]),
            Text(visible(feature["label"] or "")),
            *([worth_in_short(feature["label_score"])] if scored else []),
            Text(visible(" ".join(lit))),
        )
    console.print(table)
    if scored:
        told = "label score: where the feature is strongest · wherever it is on, in held-out text; 0.5 is chance"
        console.print(told, style="dim", highlight=False, soft_wrap=True)


def _colour(feature: Mapping[str, Any]) -> str:
    """Blue for, orange against: told apart by everybody, and by being underlined too."""
    return "bold not underline bright_blue" if feature["contribution"] > 0 else "bold underline dark_orange"


def _numbers(value: float | Mapping[str, float]) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number:.3f}" for name, number in value.items())
    return f"{value:.3f}"


def print_saes(rows: Sequence[Mapping[str, Any]], source: str) -> None:
    """SAEs, a line each, and how others are named. Plain columns: rich takes seconds for ten thousand rows."""
    columns = ("reference", "model", "hook", "width", "l0", "explained_variance")
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    notes = ["", *(f"not read: {row['refused']}" if row.get("refused") else "" for row in rows)]
    _print_columns([[column.replace("_", " ") for column in columns], *cells], notes)
    _print_source(rows, source)


def print_counts(rows: Sequence[Mapping[str, Any]], source: str) -> None:
    """How many SAEs there are of each model, or of each release where they are of one model; and how to see them."""
    models = dict.fromkeys(str(row["model"]) for row in rows)
    column = "model" if len(models) > 1 else "release"
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        name = row["model"] if column == "model" else _release(row["reference"])
        groups.setdefault(str(name), []).append(row)
    lines = [[column, "SAEs", "layers", "width", "not read"]]
    for name, own in sorted(groups.items(), key=lambda group: -len(group[1])):
        unread = sum(bool(row.get("refused")) for row in own)
        lines.append(
            [name, f"{len(own):,}", _range(own, "layer"), _range(own, "width"), f"{unread:,}" if unread else "-"]
        )
    _print_columns(lines, [""] * len(lines))
    name = lines[1][0]
    narrower = f"--model {name}" if column == "model" else f"--model {next(iter(models))} --release {name}"
    _print_source(rows, source, f"one by one: {narrower} --layer N, or latentprobe saes list | less")


def _release(reference: str) -> str:
    """The release of SAELens' table in a reference, or the scheme of another."""
    return reference.removeprefix("saelens:").split("/" if reference.startswith("saelens:") else ":")[0]


def _range(rows: Sequence[Mapping[str, Any]], column: str) -> str:
    known = sorted({row[column] for row in rows if row.get(column) is not None})
    return "-" if not known else str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"


def _print_columns(lines: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    """Lines of cells under each other, each with a note behind it."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sys.stdout.writelines(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=True)), note]).rstrip() + "\n"
        for line, note in zip(lines, notes, strict=True)
    )


def _print_source(rows: Sequence[Mapping[str, Any]], source: str, *more: str) -> None:
    unread, console = sum(bool(row.get("refused")) for row in rows), Console()
    for line in (
        f"{len(rows):,} SAEs, {unread:,} of which are not read; known from {source}",
        *more,
        "others: a folder, a file of a published name, or hf:ORG/REPO/PATH",
    ):
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)


def print_check(checked: Mapping[str, Any]) -> None:
    """Figures beside what was published, and the verdict."""
    console, published = Console(), checked["published"]
    where = f"{checked['hook']} of {checked['model']}, {checked['tokens']:,} tokens"
    console.print(Text(f"{checked['reference']}: {where}"), soft_wrap=True)
    for name in ("l0", "dead_share", "explained_variance", "cosine", "norm_ratio"):
        beside = f"   published {_cell(published[name])}" if name in published else ""
        console.print(Text(f"{name.replace('_', ' ') + ':':<22}{_cell(checked[name])}{beside}"), soft_wrap=True)
    for name in ("cross_entropy", "origin"):
        if checked[name] is not None:
            console.print(Text(f"{name.replace('_', ' ') + ':':<22}{_cell(checked[name])}"), soft_wrap=True)
    console.print(Text(f"verdict: {checked['verdict']}", style="bold"))
    for reason in checked["reasons"]:
        console.print(Text(f"  {reason}"), soft_wrap=True)


def print_facts(facts: Mapping[str, Any]) -> None:
    """One SAE, a line a fact."""
    console = wide_console()
    for name, value in facts.items():
        console.print(Text(f"{name + ':':<22}{_cell(value)}"), soft_wrap=True)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_cell(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(_cell(part) for part in value) or "-"
    return str(value)


def write_plan(planned: Mapping[str, Any], *, as_json: bool) -> None:
    """What some work would do: as JSON; or a line a fact, a pass, a reference and an estimate."""
    if as_json:
        sys.stdout.write(json.dumps(planned, indent=2) + "\n")
        return
    apart = ("passes", "references", "estimates")
    print_facts({name: value for name, value in planned.items() if name not in apart})
    console = wide_console()
    for one in planned["passes"]:
        of = "" if one["sources"] is None else f" for {one['sources']} source{'s' * (one['sources'] != 1)}"
        did = f"{visible(one['model'])}, {one['does']} {one['rows']:,} rows{of}"
        console.print(Text(f"{'pass:':<22}{did}"), soft_wrap=True)
    for one in planned["references"]:
        where = "here" if one["here"] else "to be fetched, known" if one["known"] else "to be fetched, not known here"
        size = "" if one["bytes"] is None else f", {_size(one['bytes'])}"
        console.print(Text(f"{one['kind'] + ':':<22}{visible(one['reference'])} ({where}{size})"), soft_wrap=True)
    for name, estimate in planned["estimates"].items():
        value = estimate["value"]
        shown = "-" if value is None else _size(value) if name.endswith("bytes") else f"{value:,}"
        label = f"estimated {name.removesuffix('_bytes')}:"
        console.print(Text(f"{label:<22}{shown} ({estimate['how']})"), soft_wrap=True)


def _size(count: int) -> str:
    """Bytes as people say them.

    >>> _size(300), _size(5_000_000)
    ('300 B', '4.8 MiB')
    """
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def print_models(results: Mapping[str, Any], folder: Path) -> None:
    """Whose features tell what each target answers right."""
    console = wide_console()
    for target in results["targets"]:
        rows = f"{target['n_train']} rows to train, {target['n_test']} to test"
        table = Table(title=f"{visible(target['target'])}: right or wrong, {rows}")
        for column in ("source", "what", "macro F1 on test [95 %]"):
            table.add_column(column, justify="right" if column.startswith("macro") else "left")
        for cell in target["cells"]:
            table.add_row(Text(visible(cell["source"] or "")), Text(visible(cell["what"])), _interval(cell))
        console.print(table)
    _where(console, folder / "models.json")


def print_matching(results: Mapping[str, Any], folder: Path) -> None:
    """How much of one SAE is found in the other, and what a probe keeps on its way."""
    console = wide_console()
    found, by_chance = results["matched"], results["matched_by_chance"]
    console.print(
        f"{found:.1%} of {results['first']['features']:,} features have a partner (by chance {by_chance:.1%}), "
        f"{results['matched_one_to_one']:.1%} one of their own; "
        f"median correlation {results['median_correlation']:.2f}, "
        f"on shuffled rows {results['median_correlation_of_shuffled_rows']:.2f}",
        highlight=False,
    )
    table = Table(title="macro F1 on test")
    for column in ("probe", "macro F1 on test [95 %]"):
        table.add_column(column)
    for probe in results["probes"]:
        table.add_row(Text(visible(probe["name"])), _interval(probe))
    console.print(table)
    _where(console, folder / "matching.json")


def _where(console: Console, path: Path) -> None:
    console.print(f"results: {path}", markup=False, highlight=False, soft_wrap=True)
