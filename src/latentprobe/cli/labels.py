"""``latentprobe labels``: what an SAE's features stand for, in words; offline afterwards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from latentprobe.cli.run import Json

app = typer.Typer(help="Labels of an SAE's features: import them, make your own, measure how true they are.")

Sae = Annotated[str, typer.Option(help="Such as bundled:minilm-l3-4k, or a folder.")]


@app.command("import")
def import_(
    source: Annotated[
        Path,
        typer.Argument(help="Neuronpedia's export folder or API answer, .csv, .jsonl, .json, or delphi's folder."),
    ],
    sae: Annotated[
        str | None, typer.Option(help="The SAE they are of. Default: as the files say, by Neuronpedia's id.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read labels from files into one local table, shown from then on wherever the SAE's features are.

    They take the place of labels that come with the SAE. Labels of another model, SAE or width are refused. A table
    needs the columns feature and label (or index and description); nothing is fetched. --json prints {"sae", "labels",
    "source", "sha256", "files", "made", "how", "model", "source_id", "width", "types", "explainers", "file"}.
    """
    from latentprobe.experiment.labelling import import_labels

    told = import_labels(source, sae=sae)
    _say(told, f"{told['labels']} labels of {told['sae']} imported from {told['source']}", as_json=as_json)


@app.command("show")
def show(
    sae: Annotated[str, typer.Argument(metavar="REF", help="Such as bundled:minilm-l3-4k, or a folder.")],
    feature: Annotated[list[int] | None, typer.Option(help="Show the label of this feature; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Where the labels of an SAE come from, how many there are, and those of some features with their scores.

    --json prints the provenance with {"sae", "labels", "scored", "features": {feature: {"label", "type", "explainer",
    "score", "low", "high"} or null}}.
    """
    from latentprobe.experiment.labelling import shown_labels

    told = shown_labels(sae, feature or ())
    where = f": {told['source']}" if told["labels"] else ""
    _say(told, f"{told['labels']} labels of {sae}, {told['scored']} of them scored{where}", as_json=as_json)
    if not as_json:
        for number, row in told["features"].items():
            sys.stdout.write(f"{number}: {_label(row)}\n")


def _label(row: dict[str, Any] | None) -> str:
    """One label with its score, as a line."""
    from latentprobe.cli.tables import visible

    if row is None:
        return "no label"
    score = "" if row["score"] is None else f"  (score {row['score']:.2f}, {row['low']:.2f} to {row['high']:.2f})"
    return visible(row["label"]) + score


def _say(told: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    """The result as JSON, or a sentence."""
    import json

    from latentprobe.cli.tables import visible

    sys.stdout.write((json.dumps(told, indent=2, ensure_ascii=False) if as_json else visible(sentence)) + "\n")
