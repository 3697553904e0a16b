"""The pages of a run and of a transfer: their sections, filled into templates and written beside the results."""

from __future__ import annotations

from pathlib import Path

from latentprobe.files import write_text
from latentprobe.report import classes, curves, rows, sections, statistics, transfer
from latentprobe.report.feature_pages import feature_pages
from latentprobe.report.html import filled
from latentprobe.report.run_files import RunFiles, read_run, read_transfer

__all__ = ["render_report", "render_transfer_report", "write_report", "write_transfer_report"]

LARGEST = 6 * 2**20
"""Bytes of a page that a mail or a ticket still takes."""
_SCRIPTS = ("report.js", "rows.js", "save.js")
BESIDE = 50_000
"""Bytes for what stands around the test rows: their names of classes, and a few errors as text."""


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` into a run directory, from the files that are there.

    Args:
        run_dir: a folder that ``latentprobe run`` made.

    Returns:
        The path of the page: one file that opens offline and loads nothing.

    Raises:
        SpecError: the folder is no run directory, or a file in it cannot be read.
        OutputError: the page cannot be written there.
    """
    run_dir = Path(run_dir)
    page = run_dir / "report.html"
    write_text(page, render_report(read_run(run_dir)))
    return page


def write_transfer_report(folder: Path) -> Path:
    """Write ``report.html`` into the directory of a transfer; as :func:`write_report` in all else."""
    folder = Path(folder)
    page = folder / "report.html"
    write_text(page, render_transfer_report(read_transfer(folder)))
    return page


def render_report(run: RunFiles) -> str:
    """The page of a run, as HTML of at most ``LARGEST`` bytes where the rest leaves room for any test rows."""
    pages = feature_pages(run.evidence)
    parts = {
        "feature_pages": pages,
        "linked": {page["feature"] for page in pages},
        "name": run.results["name"],
        "target": run.results.get("target"),
        "summary": sections.summary(run.results, run.environment),
        "features": classes.features(run.evidence, run.results),
        "table": sections.table(run.results),
        "layers": sections.layers(run.results),
        "per_class": classes.per_class(run.results),
        "measures": classes.measures(run.results),
        "confusion": classes.confusion(run.results),
        "differences": sections.differences(run),
        "choices": curves.choices(run.results),
        "sparse": curves.sparse(run.results),
        "regimes": curves.regimes(run.results),
        "calibration": curves.calibration(run.results, run.predictions),
        "truth": statistics.truth(run.results),
        "certainty": statistics.certainty(run.results),
        "repeats": statistics.repeats(run.results),
        "groups": statistics.groups(run.results),
        "classifiers": statistics.classifiers(run.results),
        "reconstruction": statistics.reconstruction(run.results),
        "leakage": statistics.leakage(run.results),
        "making": sections.making(run),
    }
    without = filled("report.html.j2", parts | {"browser": None}, scripts=_SCRIPTS)
    if not run.decisions:
        return without
    room = LARGEST - len(without.encode("utf-8")) - BESIDE
    browser = rows.browser(run.decisions, run.results, room)
    return filled("report.html.j2", parts | {"browser": browser}, scripts=_SCRIPTS)


def render_transfer_report(run: RunFiles) -> str:
    """The page of a transfer, as HTML."""
    parts = {
        "name": run.results["name"],
        "summary": transfer.summary(run.results, run.environment),
        "matrices": transfer.matrices(run.results),
        "choices": transfer.choices(run.results),
        "overlap": transfer.overlap(run.results),
        "rows": transfer.representations(run.results),
        "making": sections.making(run),
    }
    return filled("transfer.html.j2", parts)
