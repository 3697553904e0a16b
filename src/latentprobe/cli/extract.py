"""``latentprobe extract``: only the features of an experiment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from latentprobe.cli.run import Json, Spec


def extract(
    spec: Spec,
    store: Annotated[Path, typer.Option(help="Folder the features go to.")],
    as_json: Json = False,
) -> None:
    """Compute and store the features of a spec, without fitting anything. What is stored already is kept.

    --json prints {"rows", "passed" (rows that went through a model), "sources": [{"model", "layer", "sae",
    "fingerprint"}]}.
    """
    import json

    from latentprobe.cli.progress import terminal
    from latentprobe.config import read_spec
    from latentprobe.experiment import extract_features

    with terminal() as reporter:
        extracted = extract_features(read_spec(spec), store, reporter=reporter)
    if as_json:
        sys.stdout.write(json.dumps(extracted, indent=2) + "\n")
        return
    for source in extracted["sources"]:
        seen = source["sae"] or "hidden states"
        sys.stdout.write(f"{store / source['fingerprint']}  {source['model']} layer {source['layer']}  {seen}\n")
