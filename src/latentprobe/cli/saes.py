"""``latentprobe saes``: what SAEs can be loaded, and what is known of one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from latentprobe.cli.run import Json

app = typer.Typer(help="SAEs: which there are, what one of them is, and whether it is right.")


@app.command("list")
def list_saes(
    model: Annotated[str | None, typer.Option(help="Only of this model: its id, or the last part of it.")] = None,
    layer: Annotated[int | None, typer.Option(min=0, help="Only of this block, counted from 0.")] = None,
    family: Annotated[str | None, typer.Option(help="Only of this family, such as gemma_2, or bundled.")] = None,
    release: Annotated[str | None, typer.Option(help="Only of this release of SAELens' table.")] = None,
    as_json: Json = False,
) -> None:
    """The SAEs that come with latentprobe, then those of SAELens' published table; without a network.

    On a terminal, more than a hundred of several releases are counted, by model or else by release; piped, as in
    `latentprobe saes list | less`, they are always listed.

    --json prints a list of {"reference", "model", "layer", "hook", "width", "l0", "explained_variance", "neuronpedia",
    "family", "refused" (why it cannot be loaded, or null)}; of bundled ones with all that is known.
    """
    import json

    from latentprobe.cli.tables import LISTED, print_counts, print_saes
    from latentprobe.encode.formats import describe, list_bundled, list_known, table_source
    from latentprobe.encode.formats.registry import is_model

    bundled = [
        describe(card.reference)
        for card in list_bundled()
        if family in (None, "bundled")
        and release is None
        and layer in (None, card.layer)
        and (model is None or model == "minilm" or is_model(model, str(card.model)))
    ]
    rows = bundled + list_known(model=model, layer=layer, family=family, release=release)
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    elif sys.stdout.isatty() and len(rows) > LISTED and release is None:
        print_counts(rows, table_source())
    else:
        print_saes(rows, table_source())


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


@app.command("check")
def check(
    reference: Annotated[str, typer.Argument(metavar="REF", help="Such as bundled:minilm-l3-4k, or a folder.")],
    model: Annotated[
        str | None, typer.Option(help="Hugging Face id, folder or minilm. Default: the SAE's own.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="File with texts: one a line, or a table with a column 'text'. Default: our own.")
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="Folder of images, or a table with a column 'image', in place of texts.")
    ] = None,
    origin: Annotated[
        bool,
        typer.Option("--origin", help="Compare with sae-lens, eai-sparsify or dictionary-learning, installed here."),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Json = False,
) -> None:
    """Run a model on some texts or images and see whether an SAE was loaded right: figures, and a verdict.

    Exit status 2 where it is wrong. --json prints {"tokens", "l0", "dead_share", "explained_variance", "cosine",
    "norm_ratio", "largest", "reference", "model", "hook", "width", "cross_entropy": {"clean", "spliced", "ablated",
    "recovered"} or null, "published", "origin", "verdict": "right" | "doubtful" | "wrong", "reasons"}.
    """
    import json

    from latentprobe.cli.tables import print_check
    from latentprobe.corpus import ImageFile, read_images, read_texts
    from latentprobe.encode.check import check_sae

    texts = None if text is None else read_texts(text)[1]
    pictures = None
    if images is not None:
        pictures = [image for image in read_images(images).columns["image"] if isinstance(image, ImageFile)]
    checked = check_sae(reference, model=model, texts=texts, images=pictures, origin=origin, device=device).as_dict()
    if as_json:
        sys.stdout.write(json.dumps(checked, indent=2) + "\n")
    else:
        print_check(checked)
    if checked["verdict"] == "wrong":
        raise typer.Exit(2)
