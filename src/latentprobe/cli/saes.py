"""``latentprobe saes``: what SAEs can be loaded, and what is known of one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from latentprobe.cli.run import Json

app = typer.Typer(help="SAEs: which there are, and what one of them is.", no_args_is_help=True)


@app.command("list")
def list_saes(as_json: Json = False) -> None:
    """The SAEs that come with latentprobe, and the forms of reference to others.

    --json prints a list of {"reference", "model", "layer", "hook", "width", "architecture", "l0",
    "explained_variance"}.
    """
    import json

    from latentprobe.cli.tables import print_saes
    from latentprobe.encode.formats import describe, list_bundled

    described = [describe(card.reference) for card in list_bundled()]
    if as_json:
        sys.stdout.write(json.dumps(described, indent=2) + "\n")
    else:
        print_saes(described)


@app.command("show")
def show(
    reference: Annotated[str, typer.Argument(metavar="REF", help="Such as bundled:minilm-l3-4k, or a folder.")],
    as_json: Json = False,
) -> None:
    """Everything known of one SAE: model, hook point, width, files, measured figures.

    --json prints it as one object; "files" maps each file's name to its path.
    """
    import json

    from latentprobe.cli.tables import print_facts
    from latentprobe.encode.formats import describe

    facts = describe(reference)
    if as_json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        print_facts(facts)
