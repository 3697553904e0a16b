"""``latentprobe behaviour`` as people type it, and PubMedQA asked of a real, tiny model from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from latentprobe.config import (
    BehaviourSpec,
    parse_as,
    read_behaviour_spec,
    read_spec,
    read_transfer_spec,
)
from tests.cli.small_world import in_this_process, write_spec
from tests.encode.test_answers import save_causal
from tests.experiment.test_behaviour import write_questions

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """questions.json, a model beside it, and spec.yaml, which names both from where it lies."""
    inner = tmp_path / "specs"
    inner.mkdir()
    save_causal(inner / "tiny")
    write_questions(inner / "questions.json")
    spec = {
        "name": "colours",
        "target": {"model": "./tiny", "device": "cpu"},
        "data": {"path": "questions.json"},
        "kind": "choice",
        "answers": {"red": "red", "blue": "blue"},
        "conditions": {"plain": {"prompt": "{question} please"}},
    }
    write_spec(inner / "spec.yaml", spec)
    return tmp_path


def test_it_writes_a_table_and_says_what_the_model_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(*more: str) -> str:
        arguments = ["behaviour", "specs/spec.yaml", "--out", "made/answers.jsonl", *more]
        status, out, err = in_this_process(arguments, folder, folder / "store", monkeypatch, capfd)
        assert status == 0, err
        return out

    said = run()
    rows = [json.loads(line) for line in (folder / "made" / "answers.jsonl").read_text().splitlines()]
    right = sum(row["answered_right"] for row in rows)
    assert said.startswith(f"plain: {right} of 24 right; it said ") and "made/answers.jsonl" in said
    assert json.loads(run("--json")) == json.loads((folder / "made" / "answers.manifest.json").read_text())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": {"path": "questions.json", "question": "qestion"}}, "did you mean 'question'"),
        ({"target": {"model": "./nowhere"}}, "which is no folder here"),
        ({"kind": "chioce"}, "'choice', 'yes_no' or 'free'"),
        ({"answers": {"red": "red", "green": "green"}}, "one of the row's choices"),
    ],
)
def test_what_is_wrong_is_one_message_and_status_2(
    folder: Path,
    changes: dict[str, Any],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = folder / "specs" / "spec.yaml"
    write_spec(path, yaml.safe_load(path.read_text()) | changes)
    arguments = ["behaviour", "specs/spec.yaml", "--out", "answers.csv"]
    status, out, err = in_this_process(arguments, folder, folder / "store", monkeypatch, capfd)
    assert status == 2 and out == ""
    assert err.startswith("error: ") and told in err and "Traceback" not in err
    assert not list(folder.glob("answers*"))


def test_the_specs_that_come_along_and_that_of_the_page_can_be_read() -> None:
    asked = read_behaviour_spec(ROOT / "specs" / "behaviour" / "pubmedqa.yaml")
    assert asked.fixed_answers == {"yes": "yes", "no": "no", "maybe": "maybe"}
    assert list(asked.conditions) == ["with", "without"]
    assert read_spec(ROOT / "specs" / "behaviour" / "pubmedqa_answers.yaml").task is not None
    assert set(read_transfer_spec(ROOT / "specs" / "behaviour" / "pubmedqa_models.yaml").targets) <= {
        "answered_right",
        "without_answered_right",
    }
    assert read_transfer_spec(ROOT / "specs" / "behaviour" / "matching.yaml").permutations == 19
    page = (ROOT / "docs" / "behaviour.md").read_text()
    shown = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    assert parse_as(BehaviourSpec, shown).answers == asked.answers


@pytest.mark.slow
@pytest.mark.shared
def test_pubmedqa_asked_of_a_real_model_becomes_an_experiment_with_a_zero_shot_row(
    shared_models: Path,
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The small sister of the paper's question sets: a small model's features, a target model's answers."""
    every = json.loads((shared_data / "pubmedqa" / "ori_pqal.json").read_text())
    some = {key: row for key, row in every.items() if row["final_decision"] != "yes"}
    (tmp_path / "some.json").write_text(json.dumps(dict(list(some.items())[:60])))
    spec = yaml.safe_load((ROOT / "specs" / "behaviour" / "pubmedqa.yaml").read_text())
    spec["data"]["path"] = "some.json"
    spec["target"] = {"model": str(shared_models / "stories260K"), "on_overflow": "truncate", "max_tokens": 128}
    write_spec(tmp_path / "ask.yaml", spec)
    run = yaml.safe_load((ROOT / "specs" / "behaviour" / "pubmedqa_answers.yaml").read_text())
    run["data"]["path"] = "answers.parquet"
    run["task"]["model"] = spec["target"]["model"]
    run["backbones"] = [{"model": "minilm", "layers": [3], "saes": ["bundled:minilm-l3-1k"]}]
    run |= {"pooling": ["max"], "binarize": ["none"], "evaluate": {"folds": 3, "bootstrap": 100}}
    write_spec(tmp_path / "run.yaml", run)
    for arguments in (["behaviour", "ask.yaml", "--out", "answers.parquet"], ["run", "run.yaml", "--out", "out"]):
        status, _, err = in_this_process(arguments, tmp_path, tmp_path / "store", monkeypatch, capfd)
        assert status == 0, err
    table = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    assert [row["id"] for row in table] == list(some)[:60]
    assert all(len(row["prompt"]) < 600 and row["prompt"].endswith(f"{row['question']}\nAnswer:") for row in table)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    names = [row["name"] for row in results["rows"]]
    assert "zero-shot stories260K" in names and results["n_train"] + results["n_test"] == 60
