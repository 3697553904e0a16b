"""The verbs on real input, from the files they read to the files they write."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from latentprobe import Classifier
from latentprobe.config import parse_spec
from latentprobe.encode.formats import label_table
from latentprobe.experiment.demo import EXAMPLES
from latentprobe.experiment.run import RUN_FILES
from latentprobe.store.labels import shown_label
from tests.cli.conftest import Finished
from tests.cli.small_world import in_this_process, latentprobe, listing, messages, small_spec, write_csv, write_spec

#: What the design page says of the run directory; there may be more keys, never fewer.
FILES = {
    "spec.yaml", "environment.json", "results.json", "evidence.json", "faithfulness.json", "predictions.parquet",
    "decisions.parquet",
    "report.html", "bundle",
    "bundle/probe.json", "bundle/probe.safetensors",
}  # fmt: skip
PROGRESS = ("extract minilm: ", "compare: ", "test explanations: ")
RESULTS = {"name", "metric", "n_train", "n_test", "classes", "selected", "best_baseline", "difference", "rows"}
ROW = {
    "kind", "name", "model", "layer", "sae", "width", "tokens", "pooling", "binarize", "selection", "C", "macro_f1",
    "low", "high", "accuracy", "inner_macro_f1", "n_features", "selected",
}  # fmt: skip
ENVIRONMENT = {
    "latentprobe", "python", "platform", "packages", "cpu_count", "models", "saes", "fingerprints", "seed", "seconds",
}  # fmt: skip
DECISION = {"id", "label", "score", "probabilities", "flagged", "threshold"}
FEATURE = {"feature", "label", "label_score", "weight", "value", "contribution", "tokens"}
TOKEN = {"text", "start", "end", "value", "share"}

Command = Callable[..., str]


@pytest.fixture
def run(store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """What a command writes to stdout, in a folder; it must end well."""

    def command(folder: Path, *arguments: object) -> str:
        status, out, err = in_this_process(arguments, folder, store, monkeypatch, capfd)
        assert status == 0, err
        return out

    return command


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


# -- the run directory ------------------------------------------------------------------------------------------------


def test_a_run_directory_holds_what_the_design_says_and_nothing_else(finished: Finished) -> None:
    assert set(listing(finished.out)) == FILES
    assert (finished.out / "report.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")


def test_results_have_every_key_and_one_selected_row_of_those_in_the_table(finished: Finished) -> None:
    found = results(finished.out)
    assert set(found) >= RESULTS
    assert all(set(row) >= ROW for row in [*found["rows"], found["selected"], found["best_baseline"]])
    assert set(found["difference"]) >= {"value", "low", "high", "p"}
    assert [row for row in found["rows"] if row["selected"]] == [found["selected"]]
    assert found["selected"]["kind"] == "sae"
    assert found["best_baseline"] in found["rows"] and found["best_baseline"]["kind"] == "baseline"
    assert (found["n_train"], found["n_test"], found["classes"]) == (42, 18, ["no", "yes"])


def test_the_table_has_every_combination_and_every_baseline_on_the_same_poolings(finished: Finished) -> None:
    rows = results(finished.out)["rows"]
    assert [(row["pooling"], row["binarize"]) for row in rows if row["kind"] == "sae"] == [
        ("max", "none"), ("max", "auto"), ("count", "none"), ("count", "auto"),
    ]  # fmt: skip
    assert [row["name"] for row in rows if row["kind"] == "baseline"] == [
        "layer 3 hidden mean", "layer 3 hidden max", "layer 3 hidden last", "tfidf words", "tfidf characters",
        "length", "majority",
    ]  # fmt: skip


def test_mistake_6_the_selected_row_is_the_best_of_the_inner_folds(finished: Finished) -> None:
    found = results(finished.out)
    for chosen, kind in ((found["selected"], "sae"), (found["best_baseline"], "baseline")):
        assert chosen["inner_macro_f1"] == max(r["inner_macro_f1"] for r in found["rows"] if r["kind"] == kind)


def test_details_of_both_chosen_rows_are_numbers_of_the_same_test_rows(finished: Finished) -> None:
    found = results(finished.out)
    for chosen in ("selected", "best_baseline"):
        details = found[f"{chosen}_details"]
        assert sum(map(sum, details["confusion"])) == found["n_test"]
        assert [of["class"] for of in details["per_class"]] == found["classes"]
        assert set(details["recall_at_fpr"]) == {"0.01", "0.05"}
        assert details["recall_at_fpr"]["0.05"] >= details["recall_at_fpr"]["0.01"] >= 0
        assert details["roc_auc"] == found[chosen]["roc_auc"]


def test_predictions_are_those_that_were_scored(finished: Finished) -> None:
    found = results(finished.out)
    table = pq.read_table(finished.out / "predictions.parquet").to_pydict()
    truth = {row["id"]: row["hostile"] for row in messages(60)}
    assert [truth[id] for id in table["id"]] == table["true"]
    assert len(set(table["id"])) == found["n_test"]
    scored = {"selected": found["selected"]} | {r["name"]: r for r in found["rows"] if r["kind"] == "baseline"}
    for name, row in scored.items():
        right = [said == true for said, true in zip(table[f"{name}/label"], table["true"], strict=True)]
        assert sum(right) / len(right) == pytest.approx(row["accuracy"])
        assert all(
            p + q == pytest.approx(1) for p, q in zip(table[f"{name}/p/no"], table[f"{name}/p/yes"], strict=True)
        )


def test_the_environment_says_what_the_run_was_made_with(finished: Finished) -> None:
    environment = json.loads((finished.out / "environment.json").read_text(encoding="utf-8"))
    assert set(environment) >= ENVIRONMENT
    assert [sae["reference"] for sae in environment["saes"]] == ["bundled:minilm-l3-1k"]
    assert len(environment["models"]) == 1 and len(environment["fingerprints"]) == 2
    assert all((finished.store / name / "manifest.json").is_file() for name in environment["fingerprints"].values())
    assert set(environment["seconds"]) >= {"read", "extract", "evaluate", "write"}


def test_the_spec_comes_back_with_every_default_and_runs_as_it_is(finished: Finished, run: Command) -> None:
    written = yaml.safe_load((finished.out / "spec.yaml").read_text(encoding="utf-8"))
    assert parse_spec(written).model_dump(mode="json") == written
    planned = json.loads(run(finished.folder, "run", finished.out / "spec.yaml", "--dry-run", "--json"))
    assert planned["sources_to_extract"] == 0


def test_results_go_to_stdout_and_quiet_lines_to_stderr(finished: Finished) -> None:
    assert finished.said.stdout == (finished.out / "results.json").read_text(encoding="utf-8")
    assert finished.said.stderr.splitlines() == [
        "minilm on cpu in float32, 256 tokens a window",
        *(line for line in finished.said.stderr.splitlines() if line.startswith(PROGRESS)),
    ]


# -- the same again ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_mistake_5_the_same_spec_gives_the_same_bytes_from_nothing(finished: Finished, tmp_path: Path) -> None:
    said = latentprobe(
        "run", finished.folder / "spec.yaml", "--out", tmp_path / "out", cwd=tmp_path, store=tmp_path / "features"
    )
    assert said.returncode == 0, said.stderr
    once, again = listing(finished.out), listing(tmp_path / "out")
    dated = {"environment.json", "report.html", "bundle/probe.json"}  # how long it took, and when
    assert {name for name in FILES if once[name] != again[name]} <= dated
    manifests = [json.loads(files["bundle/probe.json"] or b"") for files in (once, again)]
    assert all(manifest["card"].pop("created") for manifest in manifests)
    assert manifests[0] == manifests[1]


def test_a_second_run_passes_no_row_through_a_model(finished: Finished, run: Command, tmp_path: Path) -> None:
    spec = finished.folder / "spec.yaml"
    extracted = json.loads(run(tmp_path, "extract", spec, "--store", finished.store, "--json"))
    assert (extracted["rows"], extracted["passed"]) == (60, 0)
    assert [source["sae"] for source in extracted["sources"]] == [None, "bundled:minilm-l3-1k"]
    run(tmp_path, "run", spec)
    assert listing(tmp_path / "runs/small")["results.json"] == listing(finished.out)["results.json"]


def test_a_second_run_into_a_directory_keeps_what_the_user_put_there(
    finished: Finished, run: Command, tmp_path: Path
) -> None:
    shutil.copytree(finished.out, tmp_path / "out")
    for name in ("notes.txt", "bundle/notes.txt"):
        (tmp_path / "out" / name).write_text("years of work")
    run(finished.folder, "run", "spec.yaml", "--out", tmp_path / "out")
    assert set(listing(tmp_path / "out")) == FILES | {"notes.txt", "bundle/notes.txt"}
    assert FILES - {"bundle"} == set(RUN_FILES)


def test_a_dry_run_writes_nothing(finished: Finished, run: Command, tmp_path: Path) -> None:
    write_csv(tmp_path / "messages.csv", messages(20))
    write_spec(tmp_path / "spec.yaml", small_spec())
    before = listing(tmp_path)
    planned = json.loads(run(tmp_path, "run", "spec.yaml", "--dry-run", "--json", "--store", "features"))
    assert (planned["rows"], planned["rows_through_a_model"], planned["sources_to_extract"]) == (20, 20, 2)
    assert "rows_through_a_model: 20" in run(tmp_path, "run", "spec.yaml", "--dry-run", "--store", "features")
    assert listing(tmp_path) == before


def test_a_report_is_made_again_as_it_was(finished: Finished, run: Command) -> None:
    before = listing(finished.out)
    assert run(finished.folder, "report", "out").strip() == str(Path("out/report.html"))
    assert listing(finished.out) == before


def test_a_run_reads_as_a_table_with_the_way_to_the_rest(finished: Finished, run: Command) -> None:
    said = run(finished.folder, "run", "spec.yaml", "--out", "out")
    found = results(finished.out)
    starred = [line for line in said.splitlines() if line.startswith("│ *")]
    assert all(
        found[chosen]["name"] in line for chosen, line in zip(("selected", "best_baseline"), starred, strict=True)
    )
    assert f"{found['selected']['macro_f1']:.3f} [{found['selected']['low']:.3f}" in starred[0]
    assert f"SAE features minus {found['best_baseline']['name']}: {found['difference']['value']:+.3f}" in said
    assert f"report:     {Path('out/report.html')}" in said


# -- using what came out ----------------------------------------------------------------------------------------------


def decisions(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def test_predict_writes_a_line_a_row_in_order_as_the_classifier_decides(finished: Finished, run: Command) -> None:
    rows = messages(60)
    texts, ids = [row["text"] for row in rows], [row["id"] for row in rows]
    said = decisions(run(finished.folder, "predict", "out/bundle", "messages.csv", "--id", "id", "--explain", "3"))
    assert said == list(Classifier.load(finished.bundle).decide(texts, ids, explain=3))
    assert [decision["id"] for decision in said] == ids
    for text, decision in zip(texts, said, strict=True):
        assert set(decision) == DECISION | {"features", "explanation"}
        assert decision["flagged"] == (decision["score"] >= decision["threshold"]) == (decision["label"] == "yes")
        assert 0 < len(decision["features"]) <= 3
        for feature in decision["features"]:
            assert set(feature) == FEATURE
            assert feature["tokens"]
            for token in feature["tokens"]:
                assert set(token) == TOKEN
                assert text[token["start"] : token["end"]] == token["text"] != ""


@pytest.mark.slow
def test_predict_reads_stdin_and_writes_files_alike(finished: Finished, run: Command, tmp_path: Path) -> None:
    lines = [*EXAMPLES, "", "\u2028 naïve 😅\r"]
    (tmp_path / "lines.txt").write_bytes("".join(line + "\n" for line in lines).encode())
    piped = latentprobe(
        "predict", finished.bundle, "-", cwd=tmp_path, store=finished.store, stdin=(tmp_path / "lines.txt").read_bytes()
    )
    assert (piped.returncode, piped.stderr) == (0, "")
    assert [decision["id"] for decision in decisions(piped.stdout)] == ["0", "1", "2", "3", "4"]
    assert all(set(decision) == DECISION for decision in decisions(piped.stdout))
    assert run(tmp_path, "predict", finished.bundle, "lines.txt") == piped.stdout
    assert run(tmp_path, "predict", finished.bundle, "lines.txt", "--out", "new/said.jsonl") == ""
    assert (tmp_path / "new/said.jsonl").read_text(encoding="utf-8") == piped.stdout


def test_predict_of_nothing_is_nothing(finished: Finished, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"")))
    assert run(finished.folder, "predict", "out/bundle", "-") == ""


def test_explain_shows_the_text_the_decision_and_the_tokens_of_each_feature(finished: Finished, run: Command) -> None:
    text = EXAMPLES[0]
    said = run(finished.folder, "explain", "out/bundle", "--text", text, "--top", "4")
    decision = json.loads(run(finished.folder, "explain", "out/bundle", "--text", text, "--top", "4", "--json"))
    assert decision == next(iter(Classifier.load(finished.bundle).decide([text], explain=4)))
    lines = said.splitlines()
    assert lines[0] == text
    assert lines[1].startswith(f"-> {decision['label']}  score {decision['score']:.3f}")
    assert len(decision["features"]) == 4 == len(lines) - 4
    for line, feature in zip(lines[3:-1], decision["features"], strict=True):
        assert line.split()[:2] == [f"{feature['contribution']:+.3f}", str(feature["feature"])]
        assert all(token["text"] in line for token in feature["tokens"])
        both = [feature["label_score"][name] for name in ("strongest", "score")]
        assert " · ".join("–" if one is None else f"{one:.2f}" for one in both) in line
    assert lines[-1].startswith("label score: ") and "0.5 is chance" in lines[-1]


def test_explain_of_an_empty_text_says_that_no_feature_is_on(finished: Finished, run: Command) -> None:
    assert "no feature" in run(finished.folder, "explain", "out/bundle", "--text", "")


def test_explain_prints_no_control_character_of_a_text(finished: Finished, run: Command) -> None:
    assert "\x1b" not in run(finished.folder, "explain", "out/bundle", "--text", "\x1b[31mred\x07 alert")


def test_explain_colours_tokens_on_a_terminal_only(
    finished: Finished, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("explain", "out/bundle", "--text", EXAMPLES[0], "--top", "4")
    plain = run(finished.folder, *asked)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    coloured = run(finished.folder, *asked)
    assert "\x1b[" not in plain
    assert "\x1b[1;94m" in coloured.splitlines()[0]  # bold and blue: some token speaks for it
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.split() for line in bare.splitlines()] == [line.split() for line in plain.splitlines()]


def test_a_run_is_printed_in_other_formats(finished: Finished, run: Command) -> None:
    score = f"{results(finished.out)['selected']['macro_f1']:.3f}"
    before = listing(finished.out)
    for form in ("markdown", "latex", "csv"):
        assert score[:4] in run(finished.folder, "report", "out", "--format", form)
    assert listing(finished.out) == before


def test_wherever_a_run_names_a_feature_its_label_has_the_score_of_the_labels_table(finished: Finished) -> None:
    table = label_table("bundled:minilm-l3-1k")
    evidence = json.loads((finished.out / "evidence.json").read_text(encoding="utf-8"))
    decisions = pq.read_table(finished.out / "decisions.parquet").to_pylist()
    manifest = json.loads((finished.bundle / "probe.json").read_text(encoding="utf-8"))
    named = {
        "classes": [feature for one in evidence["classes"] for feature in one["features"]],
        "profiles": evidence["profiles"],
        "neighbours": [other for one in evidence["profiles"] for other in one["neighbours"]],
        "decisions": [feature for row in decisions for feature in row["features"]],
        "bundle": manifest["features"],
    }
    for where, features in named.items():
        assert any(feature["label_score"] for feature in features), where
        for feature in features:
            expected = shown_label(table.features, feature["feature"])
            assert feature["label"] == expected["label"], where
            score = expected["label_score"]
            assert feature["label_score"] == (None if score is None else pytest.approx(score)), where
    assert evidence["labels"] == table.provenance
    assert "label score " in (finished.out / "report.html").read_text(encoding="utf-8")


def test_the_decisions_of_a_run_are_those_of_its_predictions_and_of_its_bundle(finished: Finished) -> None:
    decided = pq.read_table(finished.out / "decisions.parquet").to_pylist()
    predictions = pq.read_table(finished.out / "predictions.parquet").to_pydict()
    assert [one["id"] for one in decided] == predictions["id"]
    assert [one["true"] for one in decided] == [[name] for name in predictions["true"]]
    assert [one["predicted"] for one in decided] == [[name] for name in predictions["selected/label"]]
    classifier = Classifier.load(finished.bundle)
    for one in decided[:5]:
        sign = 1 if one["towards"] == classifier.classes[1] else -1
        for part, told in zip(one["features"], classifier.explain(one["text"], k=6), strict=True):
            assert part["feature"] == told["feature"]
            assert part["contribution"] == pytest.approx(sign * told["contribution"], rel=1e-3, abs=1e-5)
            assert part["token"] == told["tokens"][0]["text"]


def test_the_bundled_saes_are_listed_and_shown(run: Command, tmp_path: Path) -> None:
    listed = json.loads(run(tmp_path, "saes", "list", "--json"))
    references = [sae["reference"] for sae in listed if sae["reference"].startswith("bundled:")]
    assert references == [f"bundled:minilm-{name}" for name in ("l1-4k", "l3-1k", "l3-4k", "l5-4k")]
    plain = run(tmp_path, "saes", "list")
    assert all(reference in plain for reference in references)
    shown = json.loads(run(tmp_path, "saes", "show", references[0], "--json"))
    columns = ("reference", "model", "layer", "hook", "width", "l0", "explained_variance")
    assert [shown[column] for column in columns] == [listed[0][column] for column in columns]
    assert all(Path(path).name == name and Path(path).is_file() for name, path in shown["files"].items())
    assert f"width:                {listed[0]['width']}" in run(tmp_path, "saes", "show", references[0])


# -- other tasks ------------------------------------------------------------------------------------------------------


def test_fit_saves_a_classifier_that_predicts(finished: Finished, run: Command, tmp_path: Path) -> None:
    arguments = ["fit", finished.folder / "messages.csv", "--label", "hostile", "--sae", "bundled:minilm-l3-1k"]
    arguments += ["--positive", "no", "--pooling", "count", "--binarize", "1", "--selection", "top50"]
    metrics = json.loads(run(tmp_path, *arguments, "--out", "mine", "--json"))
    assert metrics["n_rows"] == 60 and metrics["n_features"] <= 50
    assert 0 <= metrics["low"] <= metrics["macro_f1"] <= metrics["high"] <= 1
    classifier = Classifier.load(tmp_path / "mine")
    assert classifier.classes == ("yes", "no")
    decision = json.loads(run(tmp_path, "explain", "mine", "--text", EXAMPLES[1], "--json"))
    assert decision["label"] == classifier.predict([EXAMPLES[1]])[0]


def two_labels(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The rows with 0/1 columns, some of them empty."""
    return [
        row
        | {
            "rude": "" if i % 7 == 3 else str(int(row["hostile"] == "yes")),
            "long": "" if i % 7 == 5 else str(int(len(row["text"]) > 120)),
        }
        for i, row in enumerate(rows)
    ]


@pytest.mark.slow
def test_several_labels_with_missing_values_make_a_multi_label_task(
    finished: Finished, run: Command, tmp_path: Path
) -> None:
    rows = two_labels(messages(60))
    write_csv(tmp_path / "messages.csv", rows)
    write_spec(tmp_path / "spec.yaml", small_spec(data={"label": ["rude", "long"]}, binarize=["none"]))
    found = json.loads(run(tmp_path, "run", "spec.yaml", "--out", "out", "--json"))
    assert (found["target"], found["classes"], found["n_rows"]) == ("multilabel", ["rude", "long"], 60)
    table = pq.read_table(tmp_path / "out/predictions.parquet").to_pydict()
    by_id = {row["id"]: row for row in rows}
    on = [[name for name in ("rude", "long") if by_id[id][name] == "1"] for id in table["id"]]
    assert table["true"] == on
    for of in found["selected_details"]["per_class"]:
        assert of["support"] == sum(of["class"] in labels for labels in on)
    said = decisions(run(tmp_path, "predict", "out/bundle", "messages.csv", "--explain", "1"))
    assert len(said) == 60
    for decision in said:
        assert isinstance(decision["label"], list) and set(decision["label"]) <= {"rude", "long"}
        assert set(decision["probabilities"]) == set(decision["threshold"]) == {"rude", "long"}


def test_fit_takes_several_labels(finished: Finished, run: Command, tmp_path: Path) -> None:
    write_csv(tmp_path / "messages.csv", two_labels(messages(60)))
    arguments = ["--label", "rude", "--label", "long", "--sae", "bundled:minilm-l3-1k", "--selection", "top20"]
    metrics = json.loads(run(tmp_path, "fit", "messages.csv", *arguments, "--out", "both", "--json"))
    assert [of["class"] for of in metrics["per_class"]] == ["rude", "long"]


@pytest.mark.slow
def test_more_than_two_classes_all_the_way(run: Command, tmp_path: Path) -> None:
    intents = ["billing", "cancellation", "refund"]
    write_csv(tmp_path / "messages.csv", messages(60, "intent", intents))
    write_spec(tmp_path / "spec.yaml", small_spec(data={"label": "intent"}, binarize=["none"], pooling=["max"]))
    found = json.loads(run(tmp_path, "run", "spec.yaml", "--out", "out", "--json"))
    assert (found["target"], found["classes"]) == ("multiclass", intents)
    assert len(found["selected_details"]["confusion"]) == 3
    said = decisions(run(tmp_path, "predict", "out/bundle", "messages.csv", "--explain", "2"))
    for decision in said:
        assert decision["label"] == max(decision["probabilities"], key=decision["probabilities"].get)
        assert sum(decision["probabilities"].values()) == pytest.approx(1)
        assert decision["threshold"] is None


# -- whose split ------------------------------------------------------------------------------------------------------


def ids_in_test(folder: Path) -> set[str]:
    return set(pq.read_table(folder / "predictions.parquet", columns=["id"])["id"].to_pylist())


QUICK = {"pooling": ["max"], "binarize": ["none"], "baselines": ["majority"], "probe": {"C": [1.0]}}


def test_rows_of_a_group_stay_on_one_side(finished: Finished, run: Command, tmp_path: Path) -> None:
    rows = [row | {"author": f"author {i // 4}"} for i, row in enumerate(messages(60))]
    write_csv(tmp_path / "messages.csv", rows)
    write_spec(tmp_path / "spec.yaml", small_spec(data={"group": "author"}, **QUICK))
    run(tmp_path, "run", "spec.yaml", "--out", "out")
    tested = ids_in_test(tmp_path / "out")
    assert 0 < len(tested) < 60
    in_test = {row["author"] for row in rows if row["id"] in tested}
    assert in_test.isdisjoint(row["author"] for row in rows if row["id"] not in tested)


def test_a_given_test_column_is_the_split(finished: Finished, run: Command, tmp_path: Path) -> None:
    rows = [row | {"part": "held out" if i % 3 == 0 else "train"} for i, row in enumerate(messages(60))]
    write_csv(tmp_path / "messages.csv", rows)
    given = {"column": "part", "value": "held out"}
    write_spec(tmp_path / "spec.yaml", small_spec(data={"test": given}, **QUICK))
    run(tmp_path, "run", "spec.yaml", "--out", "out")
    assert ids_in_test(tmp_path / "out") == {row["id"] for row in rows if row["part"] == "held out"}


def test_a_given_test_file_is_the_split(finished: Finished, run: Command, tmp_path: Path) -> None:
    rows = messages(60)
    write_csv(tmp_path / "messages.csv", rows[:40])
    write_csv(tmp_path / "later.csv", rows[40:])
    write_spec(tmp_path / "spec.yaml", small_spec(data={"test": {"path": "later.csv"}}, **QUICK))
    found = json.loads(run(tmp_path, "run", "spec.yaml", "--out", "out", "--json"))
    assert (found["n_train"], found["n_test"]) == (40, 20)
    assert ids_in_test(tmp_path / "out") == {row["id"] for row in rows[40:]}
