"""A template of this package filled in: everything escaped, nothing loaded, one file.

The page's policy allows exactly the style and the script that stand in it, by their hashes. Knows nothing of what the
figures mean.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from latentprobe.label_wording import worth
from latentprobe.report import wording
from latentprobe.report.charts import sign
from latentprobe.visible import shortened, visible

__all__ = ["filled"]


def filled(template: str, parts: dict[str, Any], *, scripts: Sequence[str] = ("report.js",)) -> str:
    """A page, as HTML.

    Args:
        template: name of a template of this package.
        parts: what it shows.
        scripts: those of this package that run in it.
    """
    style, script = _packaged("report.css"), "".join(map(_packaged, scripts))
    own = {"policy": Markup(_policy(style, script)), "style": Markup(style), "script": Markup(script)}
    return _environment().get_template(template).render(**parts, **own)


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
        "counted": wording.counted,
        "short": shortened,
        "lines": _lines,
        "as_is": Markup,
        "worth": worth,
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
