"""A run as Markdown, LaTeX and CSV: the same figures, and strangers' texts stay texts."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from run_folders import change_json, write_run

from latentprobe.report import FORMATS, read_run
from latentprobe.report.run_files import RunFiles


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return read_run(write_run(tmp_path_factory.mktemp("texts") / "run"))


def test_csv_has_every_row_with_every_column_as_it_is(run: RunFiles) -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](run))))
    assert [row["name"] for row in rows] == [row["name"] for row in run.results["rows"]]
    for told, row in zip(rows, run.results["rows"], strict=True):
        assert float(told["macro_f1"]) == row["macro_f1"]
        assert set(told) == set(row)


def test_markdown_begins_with_the_outcome_and_its_tables_are_whole(run: RunFiles) -> None:
    text = FORMATS["markdown"](run)
    assert text.startswith("# hostile-messages\n\n")
    selected = run.results["selected"]
    assert f"| selected | {'SAE features'}" in text and f"{selected['macro_f1']:.3f}" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "## Class by class" in text and "## What makes each class" in text


def test_latex_is_a_table_in_which_every_line_has_as_many_cells(run: RunFiles) -> None:
    text = FORMATS["latex"](run)
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) >= 4 and {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {6}
    assert f"{run.results['selected']['macro_f1']:.3f}" in lines[1]


@pytest.mark.parametrize(
    "attack", ["<img src=x onerror=alert(1)>", "a | b", "[x](javascript:alert(1))", "50 % & $x_1$ \\input{x}", "=1+1"]
)
def test_what_strangers_write_is_no_markup(tmp_path: Path, attack: str) -> None:
    folder = write_run(tmp_path / "run")

    def poison(results: dict) -> None:
        results["name"] = results["selected"]["sae"] = results["rows"][0]["name"] = attack
        results["selected_details"]["per_class"][0]["class"] = attack

    change_json(folder / "results.json", poison)
    run = read_run(folder)
    markdown = FORMATS["markdown"](run)
    assert "<" not in markdown and "](" not in markdown.replace("\\](", "")
    assert "\\input" not in FORMATS["latex"](run)
    first = next(csv.DictReader(io.StringIO(FORMATS["csv"](run))))
    assert first["name"] == ("'=1+1" if attack == "=1+1" else attack)
