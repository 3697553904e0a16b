"""The laboratory as a folder: lab.json, and one page with a small picture for each claim that opens offline.

The page wears the style of the report and, having no script, allows none. Computes nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from latentprobe.experiment.places import require_folder
from latentprobe.files import atomic_folder, write_json, write_text
from latentprobe.report import wording
from latentprobe.report.charts import Kind, Mark, Scale, axis, scale_for, sign, track

__all__ = ["lab_page", "write_lab"]

#: Beyond the report's style: room for the names of figures, and on a phone each name before its figure.
WIDER = """
@media (min-width: 46rem) { .lab .line { grid-template-columns: minmax(0, 15rem) minmax(0, 1fr) 12.5rem; } }
@media (max-width: 46rem) { .lab .line .who { grid-area: 1 / 1; } }
"""
#: An outcome as it is said.
_OUTCOMES = {"holds": "holds", "level": "no difference", "reversed": "turned around", "unclear": "cannot be told"}


def write_lab(results: Mapping[str, Any], out: Path) -> Path:
    """Write what ``run_lab`` gave.

    Args:
        results: of ``run_lab``.
        out: the folder, made or replaced as a whole: lab.json and lab.html.

    Raises:
        OutputError: it cannot be written there, or holds other files.
    """
    require_folder(Path(out), "lab.json")
    with atomic_folder(out, ("lab.json", "lab.html")) as folder:
        write_json(folder / "lab.json", results)
        write_text(folder / "lab.html", lab_page(results))
    return Path(out)


def lab_page(results: Mapping[str, Any]) -> str:
    """The page, as HTML."""
    style = (resources.files("latentprobe.report") / "templates" / "report.css").read_text(encoding="utf-8") + WIDER
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    environment = Environment(
        loader=PackageLoader("latentprobe.experiment.lab", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["sign"] = sign
    return environment.get_template("lab.html.j2").render(
        policy=Markup(policy),
        style=Markup(style),
        seeds=results["seeds"],
        claims=[_claim(claim) for claim in results["claims"]],
        right=sum(claim["as_planted"] for claim in results["claims"]),
    )


def _claim(claim: Mapping[str, Any]) -> dict[str, Any]:
    """One section of the page."""
    figures = [figure for case in claim["cases"] for figure in case["figures"]]
    scale = scale_for(figure[key] for figure in figures for key in ("value", "low", "high"))
    return {
        **claim,
        "cases": [_case(claim, case, scale) for case in claim["cases"]],
        "axis": axis(scale, decimals=2),
        "than_is_number": not isinstance(claim["than"], str),
    }


def _case(claim: Mapping[str, Any], case: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    than = claim["than"]
    difference = case["difference"]
    return {
        "when": case["when"],
        "said": _OUTCOMES[case["outcome"]],
        "planted": {True: "planted to hold", False: "planted to fail", None: "in between"}[case["planted"]],
        "difference": f"{wording.signed(difference['value'], 3)} {_between(difference, plus=True)}",
        "world": ", ".join(f"{key} {_setting(value)}" for key, value in case["world"].items()),
        "lines": [_line(figure, _kind(figure["name"], claim), scale, than) for figure in case["figures"]],
    }


def _setting(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _kind(name: str, claim: Mapping[str, Any]) -> Kind:
    """The two figures that the verdict compares stand out."""
    return "selected" if name == claim["better"] else "baseline" if name == claim["than"] else "test"


def _line(figure: Mapping[str, Any], kind: Kind, scale: Scale, than: str | float) -> dict[str, Any]:
    value = wording.number(figure["value"], 3)
    mark = Mark(figure["value"], kind, figure["low"], figure["high"])
    title = f"{figure['name']}: {value} {_between(figure)}"
    reference = None if isinstance(than, str) else than
    return {
        "name": figure["name"],
        "value": value,
        "interval": _between(figure),
        "svg": track(scale, [mark], title=title, reference=reference),
        "chosen": kind == "selected",
    }


def _between(figure: Mapping[str, Any], *, plus: bool = False) -> str:
    return wording.interval(figure["low"], figure["high"], 3, plus=plus)
