"""``latentprobe recommend``: what a comparison says to do, in plain words with numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from latentprobe.cli.run import Json, Out, Store


def recommend(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml|RUN_DIR", help="A spec to run, or a folder `run` wrote.")],
    out: Out = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Say whether SAE features help on these data, which layer, width, pooling and binarization, and what they cost.

    --json prints {"name", "helps": "yes" | "no" | "level", "setting", "sentences"}.
    """
    import json

    from latentprobe.cli.progress import terminal
    from latentprobe.report import read_run, recommendation

    folder = spec
    if not spec.is_dir():
        from latentprobe.config import read_spec

        experiment = read_spec(spec)
        from latentprobe.experiment import run_experiment

        folder = out or Path("runs") / experiment.name
        with terminal() as reporter:
            run_experiment(experiment, folder, store=store, reporter=reporter)
    run = read_run(folder)
    advice = recommendation(run.results, run.environment)
    if as_json:
        sys.stdout.write(json.dumps(advice, indent=2, ensure_ascii=False) + "\n")
        return
    from latentprobe.cli.tables import visible

    for sentence in advice["sentences"]:
        sys.stdout.write(f"* {visible(sentence)}\n")
