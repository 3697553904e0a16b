"""``latentprobe report``: the HTML page of a finished run, made again, or its tables as text."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """What a run can be shown as."""

    html = "html"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"


def report(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A folder that `run` or `transfer` wrote.")],
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            metavar="html|markdown|latex|csv",
            help="html writes the page; the others go to standard output.",
        ),
    ] = Format.html,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write report.html of a finished run again, and say where it is; or print the run in another format.

    markdown: outcome, main rows, classes, differences, features. latex: the main rows, for booktabs. csv: all rows. Of
    a transfer: outcome and matrices; the matrix; all cells. These three also take the folders that `compare --out` and
    `edit` wrote: every score before and after.
    """
    from latentprobe.report import text_of, write_report, write_transfer_report

    if form is not Format.html:
        sys.stdout.write(text_of(run_dir, form.value))
        return
    path = (write_transfer_report if (run_dir / "transfer.json").is_file() else write_report)(run_dir)
    sys.stdout.write(f"{path}\n")
    if open_it:
        typer.launch(path.resolve().as_uri())
