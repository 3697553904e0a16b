"""A transfer, a comparison and an edit as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from run_folders import write_run
from test_comparison_page import HOSTILE, found

from latentprobe.errors import SpecError
from latentprobe.report import text_of

KEPT = Path(__file__).parents[2] / "results" / "transfer_demo.json"


@pytest.fixture(scope="module")
def transfer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The measured transfer of the demonstration, with a hostile domain."""
    folder = write_run(tmp_path_factory.mktemp("texts") / "transfer")
    results = KEPT.read_text(encoding="utf-8").replace('"de"', json.dumps(HOSTILE))
    (folder / "transfer.json").write_text(results, encoding="utf-8")
    return folder


def compared(folder: Path, name: str, **more: Any) -> Path:
    folder.mkdir()
    (folder / name).write_text(json.dumps(found(**more)), encoding="utf-8")
    return folder


def test_csv_of_a_transfer_has_every_cell_as_it_is(transfer: Path) -> None:
    cells = json.loads((transfer / "transfer.json").read_text())["cells"]
    rows = list(csv.DictReader(io.StringIO(text_of(transfer, "csv"))))
    assert [(row["train"], row["test"]) for row in rows] == [(cell["train"], cell["test"]) for cell in cells]
    for row, cell in zip(rows, cells, strict=True):
        assert float(row["sae/macro_f1"]) == cell["scores"]["sae"]["macro_f1"]
        assert float(row["sae - baseline/p_holm"]) == cell["difference"]["p_holm"]


def test_every_line_of_a_matrix_has_a_cell_for_each_domain(transfer: Path) -> None:
    latex = [line for line in text_of(transfer, "latex").splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in latex} == {4}
    for table in re.findall(r"(?:^\|.*\n)+", text_of(transfer, "markdown"), re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_a_comparison_is_told_score_by_score(tmp_path: Path) -> None:
    folder = compared(tmp_path / "a", "comparison.json")
    (first, *_) = csv.DictReader(io.StringIO(text_of(folder, "csv")))
    scores = found()["scores"]["macro_f1"]
    assert first["score"] == "macro F1"
    assert float(first["change"]) == scores["change"]["value"] and float(first["before low"]) == scores["before"]["low"]
    assert "16 of 80 rows flip." in text_of(folder, "markdown")
    assert text_of(folder, "latex").startswith(r"\begin{tabular}{lrrrr}")


def test_an_edit_without_labelled_rows_lists_what_was_dropped(tmp_path: Path) -> None:
    folder = compared(tmp_path / "a", "edit.json", scores=None, data=None)
    told = text_of(folder, "markdown")
    assert "## Dropped" in told and "| 7 |" in told
    assert text_of(folder, "csv").strip() == ""


def test_what_strangers_write_is_no_markup(transfer: Path, tmp_path: Path) -> None:
    for folder in (transfer, compared(tmp_path / "a", "comparison.json")):
        assert "<" not in text_of(folder, "markdown")
        assert "\u202e" not in text_of(folder, "markdown") + text_of(folder, "latex")


def test_another_program_s_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "edit.json").write_text("[]")
    with pytest.raises(SpecError, match=r"edit\.json"):
        text_of(tmp_path, "csv")
