"""``latentprobe edit``: a classifier without some of its features, and what that does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def edit(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that `fit` or `run` wrote; not changed.")],
    drop: Annotated[str | None, typer.Option(help="Numbers of the features to take out: 12,345.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new classifier.")] = None,
    data: Annotated[str | None, typer.Option(help="Labelled rows to judge it on, before and after.")] = None,
    refit: Annotated[
        str | None, typer.Option(help="Labelled rows to fit the remaining features on anew. Default: no refit.")
    ] = None,
    text: Annotated[str, typer.Option(help="Column with the text, in both files.")] = "text",
    label: Annotated[list[str], typer.Option(help="Column with the label; several for a multi-label task.")] = [  # noqa: B006
        "label"
    ],
    group: Annotated[str | None, typer.Option(help="Column whose rows are resampled together.")] = None,
    by: Annotated[list[str], typer.Option(help="Column whose values are scored apart, with the gaps.")] = [],  # noqa: B006
    propose: Annotated[bool, typer.Option("--propose", help="Search what to drop to close a gap of --by.")] = False,
    gap: Annotated[
        str, typer.Option(help="Score of the gap: macro_f1, accuracy; of two classes recall, fpr.")
    ] = "macro_f1",
    most: Annotated[int, typer.Option(min=1, help="Features that --propose may drop.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print edit.json on stdout.")] = False,
) -> None:
    """Take features out of a classifier, and see what that does to its scores, to groups and to single rows.

    Without --refit their weights are removed and nothing else changes: each decision is what it was with these features
    off. With --refit the remaining features are fitted anew: L2, with the C the classifier had. The new classifier says
    in its manifest and on its card what was taken out. Judge it on rows that it was not fitted on. --propose searches
    half of the rows of --data for features whose removal closes the widest gap between the values of --by at the least
    cost in macro F1, as many as inner folds of that half bear out, judges that on the other half, and writes it where
    there is --out.

    --json prints {"classifier", "dropped": [{"feature", "label", "label_score"}], "refitted_on", "n_features", "data",
    "scores": {"n_rows", "macro_f1": {"before", "after", "change"}, "accuracy", "per_class", "flipped", "by"}}; with
    --propose also "proposal": {"by", "gap", "n_searched", "n_held_out", "steps", "threshold"}.
    """
    import json

    from latentprobe.cli.fit import _labels
    from latentprobe.cli.progress import terminal
    from latentprobe.config import DataSpec
    from latentprobe.errors import SpecError

    columns: dict[str, Any] = {"text": text, "label": _labels(label), "group": group}
    judged = None if data is None else DataSpec(path=data, by=tuple(by), **columns)
    again = None if refit is None else DataSpec(path=refit, **columns)
    if propose and (judged is None or drop is not None):
        raise SpecError(
            "--propose searches labelled rows for the features to drop",
            got="no --data" if judged is None else "--drop beside it",
            fix="write --propose --data FILE --by COLUMN",
        )
    if not propose and (drop is None or out is None):
        raise SpecError(
            "features to drop, and a folder for the new classifier, were expected",
            got="no --drop" if drop is None else "no --out",
            fix="write --drop 12,345 --out FOLDER; or --propose to search for them",
        )
    features = [] if drop is None else _numbers(drop)
    with terminal() as reporter:
        if propose:
            assert judged is not None
            from latentprobe.experiment.proposal import propose_edit

            found = propose_edit(
                bundle,
                judged,
                gap=gap,  # type: ignore[arg-type]  # checked there
                most=most,
                refit=again,
                out=out,
                reporter=reporter,
            )
        else:
            assert out is not None
            from latentprobe.experiment.edit import edit_classifier

            found = edit_classifier(bundle, out, features, data=judged, refit=again, reporter=reporter)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        return
    from latentprobe.cli.pairs import print_edit

    print_edit(found, out)


def _numbers(text: str) -> list[int]:
    from latentprobe.errors import SpecError

    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise SpecError(
            "--drop is a list of feature numbers", got=text, fix="write for example --drop 12,345"
        ) from error
