"""``latentprobe fit``: from a labelled file to a classifier to deploy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def fit(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A labelled file, hf:org/name, or a folder of images.")],
    out: Annotated[Path, typer.Option(help="Folder of the classifier.")],
    text: Annotated[str, typer.Option(help="Column with the text.")] = "text",
    image: Annotated[str | None, typer.Option(help="Column with images: the rows are images, not texts.")] = None,
    label: Annotated[list[str], typer.Option(help="Column with the label; several make a multi-label task.")] = [  # noqa: B006
        "label"
    ],
    group: Annotated[str | None, typer.Option(help="Column whose rows stay together in the folds.")] = None,
    positive: Annotated[str | None, typer.Option(help="Of two classes, the one to flag.")] = None,
    model: Annotated[str, typer.Option(help="Hugging Face id, folder or minilm.")] = "minilm",
    layer: Annotated[int, typer.Option(min=0, help="Block, counted from 0.")] = 3,
    hook: Annotated[str, typer.Option(help="Where in the block: resid_post, mlp_out, attn_z.")] = "resid_post",
    sae: Annotated[str, typer.Option(help="Reference of an SAE of that layer.")] = "bundled:minilm-l3-4k",
    tokens: Annotated[str, typer.Option(help="content, all; of images also image, text.")] = "content",
    prompt: Annotated[str | None, typer.Option(help="Words around each text, which stands at {text}.")] = None,
    select: Annotated[str, typer.Option(help="With a prompt, tokens of the text, after it, or the last.")] = "text",
    template: Annotated[str | None, typer.Option(help="chat: each text is a user's turn.")] = None,
    bos: Annotated[str, typer.Option(help="BOS token before each text: auto, always, never.")] = "auto",
    max_norm_ratio: Annotated[
        float | None, typer.Option(help="Leave out tokens this many times as long as the median one.")
    ] = None,
    pooling: Annotated[str, typer.Option(help="max, sum, mean, last, count, rate, top{N} or rollmax{K}.")] = "max",
    binarize: Annotated[str, typer.Option(help="none, auto or a number.")] = "none",
    selection: Annotated[str, typer.Option(help="all, l1 or top{K}: how many features to keep.")] = "all",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the classifier's metrics as JSON.")] = False,
) -> None:
    """Train a classifier on all rows of a labelled file and save it as a folder ready for `predict`.

    Its figures are measured out of fold. --json prints them.
    """
    import json

    from latentprobe.cli.progress import terminal
    from latentprobe.config import DataSpec, FitSpec

    source = DataSpec(
        path=data,
        text=text if image is None else "",
        image=image,
        label=_labels(label),
        group=group,
        positive=positive,
    )
    spec = FitSpec.of(
        model=model,
        layer=layer,
        hook=hook,
        sae=sae,
        tokens=tokens,
        prompt=prompt,
        select=select,
        template=template,
        bos=bos,
        max_norm_ratio=max_norm_ratio,
        pooling=pooling,
        binarize=binarize if binarize in ("none", "auto") else _number(binarize),
        selection=selection,
        device=device,
    )
    from latentprobe.experiment import fit_classifier  # last: what is wrong so far is said before torch is imported

    with terminal() as reporter:
        metrics = fit_classifier(source, out, spec, reporter=reporter)
    if as_json:
        sys.stdout.write(json.dumps(metrics, indent=2) + "\n")
        return
    sys.stdout.write(f"{out}: macro F1 {metrics['macro_f1']:.3f} out of fold, {metrics['n_features']} features\n")
    if image is None and not Path(data).is_dir():
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
