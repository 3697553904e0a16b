"""``latentprobe lab``: each claim tested where the answer is known."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from latentprobe.cli.run import Json


def lab(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A claim, such as pooling. Default: all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for lab.json and lab.html. Default: none.")] = None,
    as_json: Json = False,
) -> None:
    """Put each claim to the test in planted worlds: some where it should hold, some where it should fail.

    --json prints {"name", "seeds", "claims": [{"name", "question", "said", "better", "than", "rows", "as_planted",
    "verdict", "lesson", "cases": [{"when", "planted", "outcome", "difference", "figures", "world"}]}]}, which is also
    what lab.json holds.
    """
    import json

    from latentprobe.cli.progress import terminal
    from latentprobe.experiment.lab import run_lab, write_lab
    from latentprobe.experiment.places import require_folder

    if out is not None:
        require_folder(out, "lab.json")
    with terminal() as reporter:
        results = run_lab([] if name is None else [name], reporter=reporter)
    if out is not None:
        write_lab(results, out)
    if as_json:
        sys.stdout.write(json.dumps(results, indent=2) + "\n")
        return
    for claim in results["claims"]:
        _print_claim(claim)
    if out is not None:
        sys.stdout.write(f"written to {out}: lab.json, lab.html\n")


def _print_claim(claim: Mapping[str, Any]) -> None:
    """One claim: a column a case, a line a figure, then the verdict."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # wide enough that tables do not wrap
    table = Table(title=f"{claim['name']}: {claim['question']}", title_justify="left")
    table.add_column("", no_wrap=True)
    for case in claim["cases"]:
        table.add_column(case["when"], justify="right", max_width=34)
    for row, figure in enumerate(claim["cases"][0]["figures"]):
        cells = [case["figures"][row] for case in claim["cases"]]
        style = "bold" if figure["name"] in (claim["better"], claim["than"]) else None
        table.add_row(
            figure["name"], *("{value:.3f} [{low:.3f}, {high:.3f}]".format(**cell) for cell in cells), style=style
        )
    table.add_section()
    difference = "{value:+.3f} [{low:+.3f}, {high:+.3f}]"
    table.add_row(
        f"{claim['better']} - {claim['than']}", *(difference.format(**case["difference"]) for case in claim["cases"])
    )
    planted = {True: "to hold", False: "to fail", None: "in between"}
    table.add_row("planted", *(planted[case["planted"]] for case in claim["cases"]))
    table.add_row("came out", *(case["outcome"] for case in claim["cases"]))
    console.print(table)
    console.print(f"{claim['verdict']}\n{claim['lesson']}\n", highlight=False, markup=False)
