"""Tables as text: Markdown for a message or a repository, LaTeX and CSV for a paper.

Everything is escaped for the format it goes into. Knows nothing of what the figures mean.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from latentprobe.visible import visible

__all__ = ["csv_table", "latex_table", "markdown", "markdown_table"]

_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$",
    "<": r"\textless{}", ">": r"\textgreater{}", "–": "--",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip


def markdown(value: Any) -> str:
    """Text in Markdown: nothing in it is markup, a link or HTML."""
    text = visible(str(value)).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", text)


def markdown_table(head: Sequence[str], lines: Iterable[Sequence[Any]], *, left: int = 1) -> str:
    """A table whose first ``left`` columns are text."""
    under = ["---" if i < left else "---:" for i in range(len(head))]
    rows = [[markdown(name) for name in head], under, *([markdown(cell) for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def latex_table(head: Sequence[str], lines: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A table for the booktabs package, whose first ``left`` columns are text."""
    columns = "l" * left + "r" * (len(head) - left)
    rows = [" & ".join(map(_tex, line)) + r" \\" for line in lines]
    top = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(map(_tex, head)) + r" \\", r"\midrule"]
    return "\n".join([*top, *rows, r"\bottomrule", r"\end{tabular}"]) + "\n"


def csv_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """All rows with all their columns, in the order in which they come up."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_plain(column) for column in columns])
    writer.writerows([_plain(row.get(column)) for column in columns] for row in rows)
    return out.getvalue()


def _plain(value: Any) -> Any:
    """A cell: text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in "=+-@\t\r" and value else value
    return str(value) if isinstance(value, Mapping) else value


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in visible(text))
