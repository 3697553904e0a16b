"""``latentprobe labels``: imported, shown, and refused with one message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.small_world import in_this_process, messages, write_csv

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


@pytest.mark.slow
@pytest.mark.usefixtures("socket_disabled")
def test_an_imported_label_reaches_an_explanation_and_with_it_its_score_as_soon_as_there_is_one(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = messages(48)
    write_csv(here / "messages.csv", rows)
    write_csv(here / "l.csv", [{"feature": number, "label": '"you", "your"'} for number in range(1024)])

    def said(*arguments: object) -> Any:
        status, out, err = in_this_process([*arguments, "--json"], here, here, monkeypatch, capfd)
        assert status == 0, err
        return json.loads(out)

    def explained() -> list[dict[str, Any]]:
        said("fit", "messages.csv", "--label", "hostile", "--sae", SAE, "--selection", "top20", "--out", "c")
        return said("explain", "c", "--text", "you are useless and your app is a joke")["features"]

    said("labels", "import", "l.csv", "--sae", SAE)
    before = explained()
    assert {feature["label"] for feature in before} == {'"you", "your"'}
    assert {feature["label_score"] for feature in before} == {None}
    assert said("labels", "score", "--sae", SAE, "--texts", "messages.csv")["scored"] > 10
    after = explained()
    assert [feature["feature"] for feature in after] == [feature["feature"] for feature in before]
    assert any(feature["label_score"] and 0 <= feature["label_score"]["score"] <= 1 for feature in after)


@pytest.mark.parametrize(
    "rows",
    [
        [{"modelId": "gemma-2-9b", "layer": "12-gemmascope-res-16k", "index": "1", "description": "x"}],
        [{"modelId": "gemma-2-2b", "layer": "13-gemmascope-res-16k", "index": "1", "description": "x"}],
        [{"modelId": "gemma-2-2b", "layer": "12-gemmascope-res-16k", "index": "16384", "description": "x"}],
    ],
    ids=["model", "source", "width"],
)
def test_labels_of_another_model_source_or_width_are_refused_with_one_message(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], rows: list[dict[str, str]]
) -> None:
    (here / "batch-0.jsonl").write_text("\n".join(map(json.dumps, rows)))
    gemma = "gemma-scope:2b-pt-res/layer_12/width_16k/canonical"
    status, out, err = in_this_process(
        ["labels", "import", "batch-0.jsonl", "--sae", gemma], here, here, monkeypatch, capfd
    )
    assert status == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 3
    assert not (here / "labels").exists()


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
