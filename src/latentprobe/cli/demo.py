"""``latentprobe demo``: the whole main job on the embedded model, SAEs and data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from latentprobe.cli.run import Json, Store


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("demo"),
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Is a customer's message hostile? Run the whole comparison on packaged data, and decide three new messages.

    --json prints results.json.
    """
    import json

    from latentprobe.cli.progress import terminal
    from latentprobe.cli.tables import print_decision, print_results
    from latentprobe.deploy import Classifier
    from latentprobe.experiment import run_experiment
    from latentprobe.experiment.demo import EXAMPLES, demo_spec

    with terminal() as reporter:
        reporter.say("432 customer messages, written for this demonstration: which are hostile?")
        folder = run_experiment(demo_spec(), out, store=store, reporter=reporter)
    results = (folder / "results.json").read_text(encoding="utf-8")
    if as_json:
        sys.stdout.write(results)
        return
    print_results(json.loads(results), folder)
    classifier = Classifier.load(folder / "bundle")
    for text, decision in zip(EXAMPLES, classifier.decide(EXAMPLES, explain=5), strict=True):
        sys.stdout.write("\n")
        print_decision(text, decision)
    sys.stdout.write(
        f"\nNow open {folder / 'report.html'}, or try your own:\n"
        f'  latentprobe explain {folder / "bundle"} --text "..."\n'
        "  latentprobe fit yours.csv --text COLUMN --label COLUMN --out my-classifier\n"
        "  latentprobe predict my-classifier more.csv --text COLUMN --explain 3\n"
        f"  latentprobe run SPEC.yaml          (start from {folder / 'spec.yaml'})\n"
    )
