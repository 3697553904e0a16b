"""``latentprobe explain``: why a classifier decides a text as it does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def explain(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that `fit` or `run` wrote.")],
    text: Annotated[str, typer.Option(help="The text to decide.")],
    k: Annotated[int, typer.Option("--top", min=1, help="Features to show.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print the decision as JSON.")] = False,
) -> None:
    """Show the decision on a text, the features behind it, and the tokens that lit them.

    --json prints the object that `predict --explain` writes.
    """
    import json

    from latentprobe.cli.tables import print_decision
    from latentprobe.deploy import Classifier

    decision = next(iter(Classifier.load(bundle).decide([text], ["0"], explain=k)))
    if as_json:
        sys.stdout.write(json.dumps(decision, ensure_ascii=False, indent=2) + "\n")
    else:
        print_decision(text, decision)
