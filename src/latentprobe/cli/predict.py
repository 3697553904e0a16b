"""``latentprobe predict``: one JSON object a row, in the order of the rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that `fit` or `run` wrote.")],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A file, or - for one text a line on stdin; for a classifier of images a folder, an image or a table.",
        ),
    ],
    text: Annotated[str, typer.Option(help="Column with the text, or with the paths of images.")] = "text",
    id: Annotated[
        str | None, typer.Option(help="Column with row names. Default: the row's number, or the image's path.")
    ] = None,
    explain: Annotated[int, typer.Option(min=0, help="Features to show with each decision.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: stdout.")] = None,
) -> None:
    """Decide every row, and write JSON Lines in the same order.

    Each line: {"id", "label", "score", "probabilities": {class: p}, "flagged", "threshold"}; with --explain K also
    "features": [{"feature", "label", "label_score", "weight", "value", "contribution", "tokens": [{"text", "start",
    "end", "value", "share"}]}] and "explanation": {"towards", "intercept", "features", "others", "decision", "slope",
    "offset"}, where "label_score", of a label that was scored, is {"score", "low", "high", "strongest",
    "strongest_low", "strongest_high"}, intercept + features + others = decision, and the probability of the class rises
    with it.
    """
    import json

    from latentprobe.corpus import read_images, read_texts
    from latentprobe.corpus.decoding import decoded
    from latentprobe.deploy import Classifier
    from latentprobe.files import atomic_path

    classifier = Classifier.load(bundle)
    texts: list[Any]
    if classifier.reads_images:
        found = read_images(data, image=text, id=id)
        ids, texts = list(found.keys or ()), list(found.columns["image"])
    elif data == "-":
        texts = list(_lines(decoded(sys.stdin.buffer.read(), "stdin")))
        ids = [str(row) for row in range(len(texts))]
    else:
        read_ids, read = read_texts(data, text=text, id=id)
        ids, texts = list(read_ids), list(read)
    lines = (json.dumps(decision, ensure_ascii=False) for decision in classifier.decide(texts, ids, explain=explain))
    if out is None:
        for line in lines:
            sys.stdout.write(line + "\n")
        return
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        for line in lines:
            stream.write(line + "\n")


def _lines(content: str) -> list[str]:
    """One text a line, as in a .txt file."""
    lines = [line.removesuffix("\r") for line in content.split("\n")]
    return lines if lines[-1] else lines[:-1]
