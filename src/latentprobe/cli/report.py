"""``latentprobe report``: the HTML page of a finished run, made again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def report(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A folder that `run` or `transfer` wrote.")],
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write report.html of a finished run again, and say where it is."""
    from latentprobe.report import write_report, write_transfer_report

    path = (write_transfer_report if (run_dir / "transfer.json").is_file() else write_report)(run_dir)
    sys.stdout.write(f"{path}\n")
    if open_it:
        typer.launch(path.resolve().as_uri())
