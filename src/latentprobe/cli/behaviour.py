"""``latentprobe behaviour``: label prompts by whether a target model answers them right."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from latentprobe.cli.run import DryRun, Json


def behaviour(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="Model, questions, and how they are asked.")],
    out: Annotated[
        Path | None, typer.Option(help="The table to write: .parquet, .jsonl or .csv. Needed but for --dry-run.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder where what the model said is kept. Default: the user's cache.")
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Ask a model questions and write which prompts it answered right, as a table that `run` reads.

    Columns: id, question, prompt, answered_right, answer, expected, confidence; further conditions have their name
    before theirs. FILE.manifest.json beside it says which model, with the hash of its weights. --json prints that,
    or with --dry-run the plan: {"name", "rows", "conditions", "prompts", "prompts_kept", "notes", ...}, and passes,
    references and estimates as of `run`.
    """
    import json

    from latentprobe.cli.progress import terminal
    from latentprobe.cli.tables import visible, write_plan
    from latentprobe.config import read_behaviour_spec
    from latentprobe.errors import OutputError

    asked = read_behaviour_spec(spec)  # first: what is wrong with it is said before torch is imported
    if dry_run:
        from latentprobe.experiment import plan

        write_plan(plan(asked, store), as_json=as_json)
        return
    if out is None:
        raise OutputError(
            "a table to write was expected", got="no --out", fix="add --out answers.parquet, or plan it with --dry-run"
        )
    from latentprobe.experiment.behaviour import run_behaviour

    with terminal() as reporter:
        manifest = run_behaviour(asked, out, store=store, reporter=reporter)
    if as_json:
        sys.stdout.write(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        return
    for name, told in manifest["conditions"].items():
        cut = f", {told['truncated']} prompts without the end of their context" if told["truncated"] else ""
        said = ", ".join(f"{visible(text)[:40]!r} {n}" for text, n in list(told["said"].items())[:3])
        sys.stdout.write(f"{name}: {told['right']} of {manifest['rows']} right{cut}; it said {said}\n")
    for note in manifest["notes"]:
        sys.stdout.write(f"note: {visible(note)}\n")
    sys.stdout.write(f"table: {out}\n")
