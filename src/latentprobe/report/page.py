"""The page: template, style and script from this package, everything of the run escaped, written as one file.

The page loads nothing: its policy allows exactly the style and the script that stand in it, by their hashes. Knows
nothing of what the figures mean.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from latentprobe.files import write_text
from latentprobe.label_wording import worth
from latentprobe.report import classes, curves, rows, sections, statistics, transfer, wording
from latentprobe.report.charts import sign
from latentprobe.report.feature_pages import feature_pages
from latentprobe.report.run_files import RunFiles, read_run, read_transfer
from latentprobe.visible import shortened, visible

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
    style, script = _packaged("report.css"), "".join(map(_packaged, _SCRIPTS))
    pages = feature_pages(run.evidence)
    parts = {
        "feature_pages": pages,
        "linked": {page["feature"] for page in pages},
        "policy": Markup(_policy(style, script)),
        "style": Markup(style),
        "script": Markup(script),
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
        "leakage": statistics.leakage(run.results),
        "making": sections.making(run),
    }
    template = _environment().get_template("report.html.j2")
    without = template.render(**parts, browser=None)
    if not run.decisions:
        return without
    room = LARGEST - len(without.encode("utf-8")) - BESIDE
    return template.render(**parts, browser=rows.browser(run.decisions, run.results, room))


def render_transfer_report(run: RunFiles) -> str:
    """The page of a transfer, as HTML."""
    style, script = _packaged("report.css"), _packaged("report.js")
    return (
        _environment()
        .get_template("transfer.html.j2")
        .render(
            policy=Markup(_policy(style, script)),
            style=Markup(style),
            script=Markup(script),
            name=run.results["name"],
            summary=transfer.summary(run.results, run.environment),
            matrices=transfer.matrices(run.results),
            choices=transfer.choices(run.results),
            overlap=transfer.overlap(run.results),
            rows=transfer.representations(run.results),
            making=sections.making(run),
        )
    )


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _environment() -> Environment:
    """Escapes everything, shows what is invisible, and refuses a name that is not there."""
    environment = Environment(
        loader=PackageLoader("latentprobe.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "fixed": wording.number,
        "signed": wording.signed,
        "worth": worth,
        "counted": wording.counted,
        "short": shortened,
        "lines": _lines,
        "as_is": Markup,
    }
    environment.globals["sign"] = sign
    return environment


def _shown(value: Any) -> Any:
    """What every expression of the template passes through: nothing of a stranger's text reaches the page unseen."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


def _lines(text: str) -> Markup:
    """A text whose line breaks are kept, for ``<pre>``."""
    return Markup("\n").join(escape(visible(line)) for line in text.replace("\r\n", "\n").split("\n"))


def _packaged(name: str) -> str:
    return (resources.files("latentprobe.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The source expression that allows exactly this inline text."""
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"
