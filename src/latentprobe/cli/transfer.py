"""``latentprobe transfer``: train on each language, source or modality, test on each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from latentprobe.cli.run import DryRun, Json, Store


def transfer(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="The transfer: domains, models, what to compare.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results. Default: runs/NAME.")] = None,
    store: Store = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train here, test there: each domain on each, all together, all but one, and the features they share.

    A spec with `targets` asks whose features tell what other models answer right; one with `first` and `second`, which
    features of two SAEs are the same. --json prints transfer.json, models.json or matching.json, or with --dry-run the
    plan: as that of `run`, with {"domains", "trained", "units", "outer_folds"} of domains, and with {"features",
    "permutations"} of two SAEs, which have no "representations".
    """
    import json

    from latentprobe.cli.progress import terminal
    from latentprobe.cli.tables import print_matching, print_models, write_plan
    from latentprobe.config import MatchingSpec, ModelsSpec, read_transfer_spec

    wanted = read_transfer_spec(spec)  # first: what is wrong with it is said before torch is imported
    from latentprobe.experiment import plan, run_matching, run_models, run_transfer

    if dry_run:
        write_plan(plan(wanted, store), as_json=as_json)
        return
    folder = out or Path("runs") / wanted.name
    with terminal() as reporter:
        if isinstance(wanted, ModelsSpec):
            run_models(wanted, folder, store=store, reporter=reporter)
            name, show = "models.json", print_models
        elif isinstance(wanted, MatchingSpec):
            run_matching(wanted, folder, store=store, reporter=reporter)
            name, show = "matching.json", print_matching
        else:
            run_transfer(wanted, folder, store=store, reporter=reporter)
            name, show = "transfer.json", _print_results
    results = (folder / name).read_text(encoding="utf-8")
    if as_json:
        sys.stdout.write(results)
    else:
        show(json.loads(results), folder)


def _print_results(results: Mapping[str, Any], folder: Path) -> None:
    """The matrix of SAE features, the means of each family, and where everything is."""
    from rich.table import Table
    from rich.text import Text

    from latentprobe.cli.tables import visible, wide_console

    out = wide_console()
    names = [domain["name"] for domain in results["domains"]]
    cells = {(cell["train"], cell["test"]): cell for cell in results["cells"]}
    table = Table(title=f"{results['name']}: macro F1 of SAE features (best baseline below)")
    table.add_column("trained on")
    for name in names:
        table.add_column(Text(visible(name)), justify="right")
    for one in results["training_sets"]:
        found = [cells.get((one["name"], name)) for name in names]
        shown = [Text("\n".join(_pair(cell)), style="bold" if name in one["domains"] else "") for cell, name in
                 zip(found, names, strict=True)]  # fmt: skip
        table.add_row(Text(visible(one["name"])), *shown)
    out.print(table)
    means = Table(title="means over the cells")
    means.add_column("")
    for family in results["families"]:
        means.add_column(Text(visible(family)), justify="right")
    for kind, mean in results["means"].items():
        means.add_row(kind.replace("_", " "), *(f"{mean[family]:.3f}" for family in results["families"]))
    out.print(means)
    for note in results["notes"]:
        out.print(Text(f"note: {visible(note)}", style="dim"))
    out.print(f"report: {folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def _pair(cell: Mapping[str, Any] | None) -> tuple[str, str]:
    if cell is None:
        return "", ""
    scores = cell["scores"]
    return f"{scores['sae']['macro_f1']:.3f}", f"{scores['baseline']['macro_f1']:.3f}"
