"""``latentprobe compare``: two runs or two classifiers side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from latentprobe.cli.run import Json


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run, or with --data a classifier.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="What takes its place.")],
    data: Annotated[str | None, typer.Option(help="Labelled rows. Default: the test rows of both runs.")] = None,
    text: Annotated[str, typer.Option(help="Column with the text.")] = "text",
    label: Annotated[list[str], typer.Option(help="Column with the label; several for a multi-label task.")] = [  # noqa: B006
        "label"
    ],
    group: Annotated[str | None, typer.Option(help="Column whose rows are resampled together.")] = None,
    by: Annotated[list[str], typer.Option(help="Column whose values are scored apart, with the gaps.")] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="Folder for comparison.json and comparison.html.")] = None,
    as_json: Json = False,
) -> None:
    """Say which rows flip, which features come and go, and how scores differ, where B takes the place of A.

    Two runs are compared by the predictions they left on the test rows that both have; with --data, two classifiers (or
    those of two runs) decide the same rows anew. --json prints {"first", "second", "data", "only_first", "only_second",
    "scores": {"n_rows", "macro_f1": {"before", "after", "change"}, "accuracy", "per_class", "flipped", "by"},
    "features": {"came", "went", "kept"}}.
    """
    import json

    from latentprobe.cli.fit import _labels
    from latentprobe.cli.progress import terminal
    from latentprobe.config import DataSpec

    rows = None if data is None else DataSpec(path=data, text=text, label=_labels(label), group=group)
    from latentprobe.experiment.compare_runs import compare as compared

    with terminal() as reporter:
        found = compared(first, second, data=rows, by=by, out=out, reporter=reporter)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        return
    from latentprobe.cli.pairs import print_comparison

    print_comparison(found, out)
