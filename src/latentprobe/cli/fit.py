"""``latentprobe fit``: from a labelled file to a classifier to deploy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def fit(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A labelled file, or hf:org/name.")],
    out: Annotated[Path, typer.Option(help="Folder of the classifier.")],
    text: Annotated[str, typer.Option(help="Column with the text.")] = "text",
    label: Annotated[list[str], typer.Option(help="Column with the label; several make a multi-label task.")] = [  # noqa: B006
        "label"
    ],
    group: Annotated[str | None, typer.Option(help="Column whose rows stay together in the folds.")] = None,
    positive: Annotated[str | None, typer.Option(help="Of two classes, the one to flag.")] = None,
    model: Annotated[str, typer.Option(help="Hugging Face id, folder or minilm.")] = "minilm",
    layer: Annotated[int, typer.Option(min=0, help="Block, counted from 0.")] = 3,
    sae: Annotated[str, typer.Option(help="Reference of an SAE of that layer.")] = "bundled:minilm-l3-4k",
    pooling: Annotated[str, typer.Option(help="max, sum, mean, last, count, rate, top{N} or rollmax{K}.")] = "max",
    binarize: Annotated[str, typer.Option(help="none, auto or a number.")] = "none",
    selection: Annotated[str, typer.Option(help="all, l1 or top{K}: how many features to keep.")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="Print the classifier's metrics as JSON.")] = False,
) -> None:
    """Train a classifier on all rows of a labelled file and save it as a folder ready for `predict`.

    Its figures are measured out of fold. --json prints them.
    """
    import json

    from latentprobe.cli.progress import terminal
    from latentprobe.config import DataSpec
    from latentprobe.experiment import fit_classifier

    source = DataSpec(path=data, text=text, label=_labels(label), group=group, positive=positive)
    with terminal() as reporter:
        metrics = fit_classifier(
            source,
            out,
            model=model,
            layer=layer,
            sae=sae,
            pooling=pooling,
            binarize=binarize if binarize in ("none", "auto") else _number(binarize),
            selection=selection,
            reporter=reporter,
        )
    if as_json:
        sys.stdout.write(json.dumps(metrics, indent=2) + "\n")
        return
    sys.stdout.write(f"{out}: macro F1 {metrics['macro_f1']:.3f} out of fold, {metrics['n_features']} features\n")
    sys.stdout.write(f'try: latentprobe explain {out} --text "..."\n')


def _labels(columns: list[str]) -> str | tuple[str, ...]:
    from latentprobe.errors import SpecError

    if len(set(columns)) < len(columns):
        raise SpecError(
            "each --label names another column",
            got=" ".join(columns),
            fix="name each column once: one --label a column",
        )
    return columns[0] if len(columns) == 1 else tuple(columns)


def _number(text: str) -> float:
    from latentprobe.errors import SpecError

    try:
        return float(text)
    except ValueError as error:
        raise SpecError(
            "--binarize is none, auto or a number", got=text, fix="write for example --binarize 1.0"
        ) from error
