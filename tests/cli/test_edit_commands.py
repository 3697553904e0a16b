"""``edit`` on the classifier of a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from latentprobe import Classifier
from tests.cli.conftest import Finished
from tests.cli.small_world import in_this_process, listing, messages, small_spec, write_csv, write_spec


@pytest.fixture
def command(finished: Finished, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Status, stdout and stderr of a command in the folder of the finished run."""

    def call(*arguments: object) -> tuple[object, str, str]:
        return in_this_process(arguments, finished.folder, finished.store, monkeypatch, capfd)

    return call


@pytest.fixture(scope="session")
def others(finished: Finished) -> Path:
    """Sixty further messages, half of them of each of two groups."""
    rows = [row | {"side": "left" if i % 4 < 2 else "right"} for i, row in enumerate(messages(120)[60:])]
    return write_csv(finished.folder / "others.csv", rows)


def used(finished: Finished) -> list[int]:
    return [int(feature) for feature in Classifier.load(finished.bundle).bundle.probe.features]


def test_edit_writes_another_classifier_and_says_what_changed(
    finished: Finished, others: Path, command: Any, tmp_path: Path
) -> None:
    before, drop = listing(finished.bundle), used(finished)[:40]
    names = ",".join(map(str, drop))
    columns = ("--label", "hostile", "--by", "side")
    status, out, err = command(
        "edit", finished.bundle, "--drop", names, "--out", tmp_path / "new", "--data", others, *columns, "--json"
    )
    assert status == 0, err
    found = json.loads(out)
    assert found == json.loads((tmp_path / "new" / "edit.json").read_text(encoding="utf-8"))
    assert [one["feature"] for one in found["dropped"]] == drop
    assert found["scores"]["n_rows"] == 60 and set(found["scores"]["by"]["side"]["scores"]) == {"before", "after"}
    assert listing(finished.bundle) == before
    page = (tmp_path / "new" / "edit.html").read_text(encoding="utf-8")
    assert "Before and after an edit" in page and "default-src" in page
    texts = [row["text"] for row in messages(120)[60:]]
    said = [Classifier.load(path).predict(texts) for path in (finished.bundle, tmp_path / "new")]
    assert found["scores"]["flipped"]["n"] == sum(a != b for a, b in zip(*said, strict=True))
    assert Classifier.load(tmp_path / "new").bundle.manifest.metrics["measured"] == "on others"


@pytest.mark.slow
def test_a_refit_is_said_and_may_not_be_judged_on_its_own_rows(
    finished: Finished, others: Path, command: Any, tmp_path: Path
) -> None:
    arguments = ["edit", finished.bundle, "--drop", used(finished)[3], "--out", tmp_path / "new", "--label", "hostile"]
    arguments += ["--refit", finished.folder / "messages.csv"]
    status, out, err = command(*arguments, "--data", others)
    assert status == 0, err
    assert "fitted anew on messages" in out and "rows flipped" in out
    manifest = Classifier.load(tmp_path / "new").bundle.manifest
    assert manifest.edits[0].refitted_on == "messages"
    status, _, err = command(*arguments, "--data", finished.folder / "messages.csv")
    assert status == 2 and "60 texts" in err


@pytest.mark.slow
def test_a_proposal_is_searched_on_one_half_judged_on_the_other_and_written(
    finished: Finished, command: Any, tmp_path: Path
) -> None:
    # Whatever the classifier gets wrong is on one side, with some that it gets right: a gap that can be closed.
    rows = messages(200)[60:]
    said = Classifier.load(finished.bundle).predict([row["text"] for row in rows])
    wrong = [row["hostile"] != label for row, label in zip(rows, said, strict=True)]
    rows = [row | {"side": "right" if wrong[i] or i % 3 == 0 else "left"} for i, row in enumerate(rows)]
    data = write_csv(tmp_path / "sides.csv", rows)
    columns = ("--label", "hostile", "--by", "side", "--gap", "accuracy", "--most", "6")
    propose = ("edit", finished.bundle, "--propose", "--data", data, *columns)
    status, out, err = command(*propose, "--json")
    assert status == 0, err
    found = json.loads(out)
    proposal, steps = found["proposal"], found["proposal"]["steps"]
    assert proposal["n_searched"] + proposal["n_held_out"] == 140
    assert found["scores"]["n_rows"] == proposal["n_held_out"]
    assert [step["n_dropped"] for step in steps] == list(range(len(steps)))
    (chosen,) = [step for step in steps if step["proposed"]]
    change = [step["inner"]["change"] for step in steps]
    assert change[0] == 0 and change[chosen["n_dropped"]] - min(change) <= max(step["inner"]["error"] for step in steps)
    assert len(found["dropped"]) == chosen["n_dropped"] > 0
    assert set(proposal["threshold"]) == {"decision", "macro_f1", "gap"}
    status, out, err = command(*propose, "--out", tmp_path / "new")
    assert status == 0 and "widest gap in accuracy by side" in out, err
    dropped = Classifier.load(tmp_path / "new").bundle.manifest.edits[0].dropped
    assert sorted(feature.feature for feature in dropped) == [one["feature"] for one in found["dropped"]]
    status, out, err = command(*propose, "--refit", finished.folder / "messages.csv", "--json")
    assert status == 0, err
    again = json.loads(out)
    assert again["dropped"] == found["dropped"] and again["refitted_on"] == "messages"
    assert again["scores"]["macro_f1"]["before"] == found["scores"]["macro_f1"]["before"]
    status, _, err = command(*propose, "--refit", data)
    assert status == 2 and "140 texts" in err


def test_two_runs_are_compared_by_what_they_predicted(finished: Finished, command: Any, tmp_path: Path) -> None:
    write_spec(finished.folder / "count.yaml", small_spec(name="count", pooling=["count"], binarize=["none"]))
    assert command("run", "count.yaml", "--out", tmp_path / "count")[0] == 0
    status, out, err = command("compare", "out", tmp_path / "count", "--json", "--out", tmp_path / "both")
    assert status == 0, err
    found = json.loads(out)
    assert found == json.loads((tmp_path / "both" / "comparison.json").read_text(encoding="utf-8"))
    tables = [pq.read_table(run / "predictions.parquet").to_pydict() for run in (finished.out, tmp_path / "count")]
    said = [dict(zip(table["id"], table["selected/label"], strict=True)) for table in tables]
    flips = {id: (said[0][id], said[1][id]) for id in said[0] if said[0][id] != said[1][id]}
    assert {row["id"]: (row["before"], row["after"]) for row in found["scores"]["flipped"]["rows"]} == flips
    results = [
        json.loads((run / "results.json").read_text(encoding="utf-8"))["selected"]
        for run in (finished.out, tmp_path / "count")
    ]
    for side, row in zip(("before", "after"), results, strict=True):
        assert found["scores"]["macro_f1"][side]["value"] == pytest.approx(row["macro_f1"], abs=1e-6)
    ours = [
        {int(feature) for feature in Classifier.load(path / "bundle").bundle.probe.features}
        for path in (finished.out, tmp_path / "count")
    ]
    assert {one["feature"] for one in found["features"]["came"]} == ours[1] - ours[0]
    assert {one["feature"] for one in found["features"]["went"]} == ours[0] - ours[1]
    page = (tmp_path / "both" / "comparison.html").read_text(encoding="utf-8")
    assert "Rows that flipped" in page or not flips


def test_two_classifiers_are_asked_about_the_same_rows(
    finished: Finished, others: Path, command: Any, tmp_path: Path
) -> None:
    drop = used(finished)[:60]
    assert command("edit", finished.bundle, "--drop", ",".join(map(str, drop)), "--out", tmp_path / "new")[0] == 0
    status, out, err = command(
        "compare", "out", tmp_path / "new", "--data", others, "--label", "hostile", "--by", "side", "--json"
    )
    assert status == 0, err
    found = json.loads(out)
    assert sorted(one["feature"] for one in found["features"]["went"]) == drop and not found["features"]["came"]
    assert found["scores"]["n_rows"] == 60 and "side" in found["scores"]["by"]


def test_what_cannot_be_compared_is_refused(finished: Finished, command: Any) -> None:
    assert command("compare", "out", "out/bundle")[0] == 2
    status, _, err = command("compare", "out", "out", "--data", "others.csv", "--label", "side")
    assert status == 2 and "'left', 'right'" in err
    status, out, _ = command("compare", "out", "out")
    assert status == 0 and "0 rows flipped" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--drop", "99999", "--out", "new"], "99999"),
        (["--drop", "rude", "--out", "new"], "rude"),
        (["--drop", "1"], "--out"),
        (["--out", "new"], "--drop"),
        (["--propose", "--by", "side"], "--data"),
        (["--propose", "--data", "others.csv", "--label", "hostile"], "none"),
        (["--propose", "--data", "others.csv", "--label", "hostile", "--by", "side", "--gap", "size"], "size"),
        (["--propose", "--data", "others.csv", "--label", "hostile", "--by", "id"], "values"),
        (["--drop", "FIRST", "--out", "out/bundle"], "beside the original"),
        (["--drop", "FIRST", "--out", "new", "--data", "others.csv", "--label", "side"], "'left', 'right'"),
        (["--drop", "FIRST", "--out", "new", "--data", "others.csv", "--label", "hostile", "--by", "town"], "town"),
    ],
)
def test_wrong_edits_are_refused(
    finished: Finished, others: Path, command: Any, arguments: list[str], named: str
) -> None:
    before = listing(finished.bundle)
    given = [str(used(finished)[0]) if one == "FIRST" else one for one in arguments]
    status, out, err = command("edit", "out/bundle", *given)
    assert (status, out) == (2, "") and named in err and err.count("error:") == 1
    assert listing(finished.bundle) == before and not (finished.folder / "new").exists()
