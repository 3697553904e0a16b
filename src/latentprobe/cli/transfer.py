"""``latentprobe transfer``: train on each language, source or modality, test on each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from latentprobe.cli.run import Json, Store


def transfer(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="The transfer: domains, models, what to compare.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results. Default: runs/NAME.")] = None,
    store: Store = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only plan it: domains, passes, fits.")] = False,
    as_json: Json = False,
) -> None:
    """Train here, test there: each domain on each, all together, all but one, and the features they share.

    A spec with `targets` asks whose features tell what other models answer right; one with `first` and `second`, which
    features of two SAEs are the same. --json prints transfer.json, models.json or matching.json, or with --dry-run the
    plan.
    """
    import json

    from latentprobe.cli.progress import terminal
    from latentprobe.cli.tables import print_matching, print_models, print_plan
    from latentprobe.config import MatchingSpec, ModelsSpec, read_transfer_spec

    wanted = read_transfer_spec(spec)  # first: what is wrong with it is said before torch is imported
    from latentprobe.experiment import plan, plan_transfer, run_matching, run_models, run_transfer

    if dry_run:
        planned = _plan(wanted, plan, plan_transfer, store)
        if as_json:
            sys.stdout.write(json.dumps(planned, indent=2) + "\n")
        else:
            print_plan(planned)
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


def _plan(wanted: Any, plan: Any, plan_transfer: Any, store: Path | None) -> dict[str, Any]:
    """What each kind of transfer would do."""
    from latentprobe.config import MatchingSpec, ModelsSpec
    from latentprobe.errors import SpecError

    if isinstance(wanted, MatchingSpec):
        raise SpecError(
            "a plan is made of domains or of targets",
            got="a matching of two SAEs, which is one pass of each model",
            fix="leave --dry-run out",
        )
    planned: dict[str, Any] = (plan if isinstance(wanted, ModelsSpec) else plan_transfer)(wanted, store)
    return planned


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
