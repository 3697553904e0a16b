"""``latentprobe labels``: imported, shown, and refused with one message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.small_world import in_this_process

SAE = "bundled:minilm-l3-1k"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LATENTPROBE_LABELS", str(tmp_path / "labels"))
    return tmp_path


def test_labels_are_imported_and_shown_with_where_they_come_from(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "l.csv").write_text("feature,label\n5,<b>five</b>\x1b[31m\n")
    status, out, err = in_this_process(["labels", "import", "l.csv", "--sae", SAE], here, here, monkeypatch, capfd)
    assert (status, out, err) == (0, f"1 labels of {SAE} imported from l.csv\n", "")
    status, out, _ = in_this_process(
        ["labels", "show", SAE, "--feature", 5, "--feature", 6], here, here, monkeypatch, capfd
    )
    assert status == 0 and "1 labels" in out and "l.csv" in out and "6: no label" in out
    assert "5: <b>five</b>" in out and "\x1b" not in out
    status, out, _ = in_this_process(["labels", "show", SAE, "--json"], here, here, monkeypatch, capfd)
    assert json.loads(out)["how"] == "imported"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import", "missing.csv", "--sae", SAE], "missing.csv, which does not exist"),
        (["import", "l.csv"], "--sae REF"),
        (["import", "l.csv", "--sae", SAE], "1024 features"),
        (["show", "bundled:nothing"], "a bundled SAE is one of"),
        (["make", "--sae", SAE, "--texts", "missing.txt"], "missing.txt"),
        (["make", "--sae", SAE, "--texts", "l.csv", "--endpoint", "http://localhost/v1"], "--endpoint-model"),
        (["score", "--sae", SAE, "--texts", "l.csv", "--text", "label", "--features", "x"], "3,17,40-49"),
    ],
)
def test_wrong_input_is_refused_with_one_message(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    (here / "l.csv").write_text("feature,label\n1024,beyond\n")
    status, out, err = in_this_process(["labels", *arguments], here, here, monkeypatch, capfd)
    assert status == 2 and out == "" and words in err and err.startswith("error: ") and err.count("\n") == 3
