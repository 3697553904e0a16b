"""``latentprobe run``: one experiment, from a spec to a folder of results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

Spec = Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="The experiment; the README shows one.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the results. Default: runs/NAME.")]
Store = Annotated[Path | None, typer.Option(help="Folder of the features. Default: the user's cache.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON on stdout.")]


def run(
    spec: Spec,
    out: Out = None,
    store: Store = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only plan it: work, downloads, estimates of room and time.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run one experiment: extract once, compare everything, write table, classifier and report.

    --json prints results.json, or with --dry-run the plan, which fetches nothing: {"name", "rows", "classes", "notes",
    "sources", "sources_to_extract", "rows_through_a_model", "representations", "probe_fits", "store", "references":
    [{"kind", "reference", "here", "download", "known", "bytes"}], "estimates": {"tokens" | "store_bytes" |
    "memory_bytes" | "seconds": {"value", "how"}}}; null where it cannot be said.
    """
    import json

    from latentprobe.cli.progress import terminal
    from latentprobe.cli.tables import print_plan, print_results
    from latentprobe.config import read_spec

    experiment = read_spec(spec)  # first: what is wrong with it is said before torch is imported
    from latentprobe.experiment import plan, run_experiment

    if dry_run:
        planned = plan(experiment, store)
        if as_json:
            sys.stdout.write(json.dumps(planned, indent=2) + "\n")
        else:
            print_plan(planned)
        return
    with terminal() as reporter:
        folder = run_experiment(experiment, out or Path("runs") / experiment.name, store=store, reporter=reporter)
    results = (folder / "results.json").read_text(encoding="utf-8")
    if as_json:
        sys.stdout.write(results)
    else:
        print_results(json.loads(results), folder)
