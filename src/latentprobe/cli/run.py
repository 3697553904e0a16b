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
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only plan it: passes, downloads, estimates of tokens, room, memory and time.")
]


def run(
    spec: Spec,
    out: Out = None,
    store: Store = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run one experiment: extract once, compare everything, write table, classifier and report.

    --json prints results.json, or with --dry-run the plan, which fetches nothing: {"name", "rows", "classes", "notes",
    "representations", "probe_fits", "sources", "sources_to_extract", "passes": [{"model", "does": "extract" | "ask",
    "rows", "sources"}], "rows_through_a_model", "store", "references": [{"kind", "reference", "here", "download",
    "known", "bytes"}], "estimates": {"tokens" | "store_bytes" | "memory_bytes" | "seconds": {"value", "how"}}}; null
    where it cannot be said.
    """
    import json

    from latentprobe.cli.progress import terminal
    from latentprobe.cli.tables import print_results, write_plan
    from latentprobe.config import read_spec

    experiment = read_spec(spec)  # first: what is wrong with it is said before torch is imported
    from latentprobe.experiment import plan, run_experiment

    if dry_run:
        write_plan(plan(experiment, store), as_json=as_json)
        return
    with terminal() as reporter:
        folder = run_experiment(experiment, out or Path("runs") / experiment.name, store=store, reporter=reporter)
    results = (folder / "results.json").read_text(encoding="utf-8")
    if as_json:
        sys.stdout.write(results)
    else:
        print_results(json.loads(results), folder)
