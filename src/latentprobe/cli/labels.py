"""``latentprobe labels``: what an SAE's features stand for, in words; offline afterwards."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from latentprobe.cli.run import Json

app = typer.Typer(help="Labels of an SAE's features: import them, make your own, measure how true they are.")

Sae = Annotated[str, typer.Option(help="Such as bundled:minilm-l3-4k, or a folder.")]
Texts = Annotated[Path, typer.Option(help="File with texts: one a line, or a table with a column 'text'.")]
TextColumn = Annotated[str, typer.Option(help="Column with the texts.")]
Model = Annotated[str | None, typer.Option(help="Hugging Face id, folder or minilm. Default: the SAE's own.")]
Features = Annotated[str | None, typer.Option(help="Only these, such as 3,17,40-49. Default: all.")]
Endpoint = Annotated[
    str | None,
    typer.Option(help="OpenAI-compatible address such as http://localhost:8000/v1. Excerpts of your texts are sent."),
]
EndpointModel = Annotated[str | None, typer.Option(help="Name of the model there. Its key: $LATENTPROBE_ENDPOINT_KEY.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


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


@app.command("make")
def make(
    sae: Sae,
    texts: Texts,
    text: TextColumn = "text",
    model: Model = None,
    features: Features = None,
    endpoint: Endpoint = None,
    endpoint_model: EndpointModel = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make labels of your own: the words and contexts that light a feature, contrasted with those that do not.

    Give some thousand texts of the kind your classifier will read. A fifth is held out, and the labels are scored on
    it at once. No service is needed; with --endpoint a chat model writes the labels of --features instead, and judges
    them. --json prints {"sae", "labels", "scored", "better_than_chance", "median_score", "strongest": {"scored",
    "better_than_chance", "median_score"}, "source", "sha256", "made", "how", "model", "width", "texts",
    "scored_on": {"texts", "held_out", "judges"}, "over", "file"}.
    """
    from latentprobe.experiment.own_labelling import make_labels

    told = _told(make_labels, sae, texts, text, model, features, _chat(endpoint, endpoint_model), device)
    _say(told, f"{told['labels']} labels of {sae}; {_worth(told)}", as_json=as_json)


@app.command("score")
def score(
    sae: Sae,
    texts: Texts,
    text: TextColumn = "text",
    model: Model = None,
    features: Features = None,
    endpoint: Endpoint = None,
    endpoint_model: EndpointModel = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure how well labels predict where their features fire on held-out texts; 0.5 is chance, 1 is always.

    Two scores a label: among the strongest tenth of the words that light the feature, and among all of them. A label of
    words is read as a rule. Any other is judged by a chat model with --endpoint, or else by how like it is to the
    places, to MiniLM, which is a weaker judge. The scores are kept with the labels and shown beside them.
    --json prints as `labels make`.
    """
    from latentprobe.experiment.own_labelling import score_own_labels

    told = _told(score_own_labels, sae, texts, text, model, features, _chat(endpoint, endpoint_model), device)
    _say(told, _worth(told), as_json=as_json)


@app.command("show")
def show(
    sae: Annotated[str, typer.Argument(metavar="REF", help="Such as bundled:minilm-l3-4k, or a folder.")],
    feature: Annotated[list[int] | None, typer.Option(help="Show the label of this feature; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Where the labels of an SAE come from, how many there are, and those of some features with their scores.

    --json prints the provenance with {"sae", "labels", "scored", "features": {feature: {"label", "type", "explainer",
    "score", "low", "high", "strongest", "strongest_low", "strongest_high"} or null}}.
    """
    from latentprobe.experiment.labelling import shown_labels

    told = shown_labels(sae, feature or ())
    where = f": {told['source']}" if told["labels"] else ""
    _say(told, f"{told['labels']} labels of {sae}, {told['scored']} of them scored{where}", as_json=as_json)
    if not as_json:
        for number, row in told["features"].items():
            sys.stdout.write(f"{number}: {_label(row)}\n")


def _told(
    work: Callable[..., dict[str, Any]],
    sae: str,
    texts: Path,
    text: str,
    model: str | None,
    features: str | None,
    chat: Any,
    device: str,
) -> dict[str, Any]:
    """What making or scoring tells, with its progress on the terminal."""
    from latentprobe.cli.progress import terminal

    with terminal() as reporter:
        return work(sae, texts, text=text, model=model, features=features, chat=chat, device=device, reporter=reporter)


def _chat(endpoint: str | None, model: str | None) -> Any:
    """The chat model that was named, if one was."""
    from latentprobe.errors import SpecError
    from latentprobe.experiment.chat import Chat

    if (endpoint is None) != (model is None):
        raise SpecError(
            "an endpoint and the name of a model there were expected",
            got="one without the other",
            fix="give both --endpoint and --endpoint-model, or neither",
        )
    return None if endpoint is None else Chat(endpoint, str(model))


def _worth(told: dict[str, Any]) -> str:
    """What the labels are worth, as a phrase."""
    if not told["scored"]:
        return "none scored: too few held-out texts light their features"
    strongest = told["strongest"]
    where_strong = (
        f"; where the feature is strongest {strongest['better_than_chance']} of {strongest['scored']}, median score "
        f"{strongest['median_score']:.2f}"
        if strongest["scored"]
        else ""
    )
    return (
        f"{told['scored']} scored, {told['better_than_chance']} of them better than chance, median score "
        f"{told['median_score']:.2f} (0.5 is chance){where_strong}"
    )


def _label(row: dict[str, Any] | None) -> str:
    """One label with its scores, as a line."""
    from latentprobe.cli.tables import visible
    from latentprobe.label_wording import worth

    if row is None:
        return "no label"
    told = worth(row)
    return visible(row["label"]) + (f"  (score {told})" if told else "")


def _say(told: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    """The result as JSON, or a sentence."""
    import json

    from latentprobe.cli.tables import visible

    sys.stdout.write((json.dumps(told, indent=2, ensure_ascii=False) if as_json else visible(sentence)) + "\n")
