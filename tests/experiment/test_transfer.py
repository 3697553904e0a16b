"""The verb transfer, whole: what it reads, refuses, writes; languages, a column of sources, modalities."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.metrics import f1_score, roc_auc_score

from latentprobe.cli.main import main
from latentprobe.config import TransferSpec, parse_as, read_transfer_spec
from latentprobe.errors import CorpusError, LatentprobeError, SpecError
from latentprobe.experiment import plan, run_transfer
from latentprobe.experiment.demo import messages_path
from latentprobe.experiment.domains import join, read_domains
from latentprobe.report import write_transfer_report
from tests.encode.tiny_images import save_model, save_pictures
from tests.experiment.test_image_experiment import save_sae

LANGUAGES = ("en", "de")


def write_messages(folder: Path, each: int = 15) -> None:
    """Some packaged messages of each class, the same ids in each language; German has the English as a translation."""
    by_language = {}
    for language in LANGUAGES:
        with messages_path(language).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        chosen = [row for name in ("yes", "no") for row in [r for r in rows if r["hostile"] == name][:each]]
        by_language[language] = chosen
    for language, rows in by_language.items():
        with (folder / f"{language}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "text", "hostile", "english", "language"])
            for row, english in zip(rows, by_language["en"], strict=True):
                writer.writerow([row["id"], row["text"], row["hostile"], english["text"], language])


def spec_of(**changes: Any) -> dict[str, Any]:
    domains = {
        language: {"path": f"{language}.csv", "label": "hostile", "id": "id", "group": "id"} for language in LANGUAGES
    }
    domains["de"]["translated"] = "english"
    return {
        "name": "small",
        "domains": domains,
        "backbones": [{"model": "minilm", "layers": [3], "saes": ["bundled:minilm-l3-1k"]}],
        "pooling": ["max"],
        "binarize": ["none", "auto"],
        "baselines": ["hidden", "tfidf", "majority"],
        "probe": {"C": [1.0]},
        "evaluate": {"outer_folds": 3, "folds": 2, "bootstrap": 100},
    } | changes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transfer")
    write_messages(folder)
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec_of(), sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """The same folder, with the transfer in ``out``."""
    run_transfer(read_transfer_spec(folder / "spec.yaml"), folder / "out", store=folder / "store", jobs=1)
    return folder


@pytest.fixture(scope="module")
def results(finished: Path) -> Any:
    return json.loads((finished / "out" / "transfer.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_directory_holds_what_it_should(finished: Path) -> None:
    assert {path.name for path in (finished / "out").iterdir()} == {
        "spec.yaml", "environment.json", "transfer.json", "predictions.parquet", "report.html",
    }  # fmt: skip
    again = parse_as(TransferSpec, yaml.safe_load((finished / "out" / "spec.yaml").read_text()))
    assert again == read_transfer_spec(finished / "spec.yaml")
    environment = json.loads((finished / "out" / "environment.json").read_text())
    assert len(environment["fingerprints"]) == 6  # three domains, each hidden and SAE


@pytest.mark.slow
def test_cells_are_the_scores_of_the_predictions_beside_them(finished: Path, results: Any) -> None:
    table = pq.read_table(finished / "out" / "predictions.parquet").to_pandas()
    assert set(table["test"]) == {"en", "de", "de, translated"}
    for cell in results["cells"]:
        rows = table[(table["train"] == cell["train"]) & (table["test"] == cell["test"])]
        assert len(rows) == cell["n_test"] == 30
        for family in ("sae", "baseline"):
            expected = f1_score(rows["true"], rows[f"{family}/label"], average="macro")
            assert cell["scores"][family]["macro_f1"] == pytest.approx(expected)
            area = roc_auc_score(rows["true"] == "yes", rows[f"{family}/p/yes"])
            assert cell["scores"][family]["roc_auc"] == pytest.approx(area)
    probabilities = table[["sae/p/no", "sae/p/yes"]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-9)


@pytest.mark.slow
def test_translations_are_tested_and_not_trained_on(results: Any) -> None:
    assert [one["name"] for one in results["training_sets"]] == ["en", "de", "all"]
    assert [one["name"] for one in results["domains"]] == ["en", "de", "de, translated"]
    assert results["domains"][2]["translation_of"] == "de"
    cells = {(cell["train"], cell["test"]): cell["scores"]["sae"]["macro_f1"] for cell in results["cells"]}
    # The translation is the English text itself, in the same fold: the same predictions.
    assert cells["en", "de, translated"] == cells["en", "en"]
    assert set(results["means"]) == {"native", "transfer", "transfer, translated", "all", "all, translated"}
    for kind, gaps in results["mean_differences"].items():
        for family, gap in gaps.items():
            assert gap["value"] == pytest.approx(results["means"][kind]["sae"] - results["means"][kind][family])
            assert gap["low"] <= gap["value"] <= gap["high"]


@pytest.mark.slow
def test_the_features_of_two_domains_are_compared_with_their_texts(results: Any) -> None:
    overlap = results["overlap"]
    (pair,) = overlap["pairs"]
    assert pair["domains"] == ["en", "de"]
    assert 0 <= pair["jaccard"]["value"] <= 1 and 0 < pair["jaccard"]["p"] <= 1
    assert overlap["chosen_by_all"] == len(overlap["features"])
    assert any(feature["label_score"] for feature in overlap["features"])
    for feature in overlap["features"]:
        assert feature["domains"] == ["en", "de"] and set(feature["weights"]) == {"en", "de"}
        for name in feature["domains"]:
            for example in feature["examples"][name]:
                assert example["text"][example["start"] : example["end"]]


@pytest.mark.slow
def test_the_same_spec_gives_the_same_bytes_from_the_store(finished: Path, tmp_path: Path) -> None:
    spec = read_transfer_spec(finished / "spec.yaml")
    run_transfer(spec, tmp_path / "out", store=finished / "store", jobs=1)
    assert (tmp_path / "out" / "transfer.json").read_bytes() == (finished / "out" / "transfer.json").read_bytes()
    assert plan(spec, finished / "store")["sources_to_extract"] == 0


@pytest.mark.slow
def test_the_command_prints_the_matrix_and_refuses_in_one_message(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["latentprobe", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    monkeypatch.chdir(finished)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    status, out, _ = command("transfer", "spec.yaml", "--store", "store", "--out", "again")
    assert status == 0 and "macro F1 of SAE features" in out and "de, translated" in out
    status, out, _ = command("transfer", "spec.yaml", "--store", "store", "--dry-run", "--json")
    assert status == 0 and json.loads(out)["trained"] == ["en", "de"]
    status, out, _ = command("report", "again")
    assert status == 0 and out == "again/report.html\n"
    (finished / "wrong.yaml").write_text(yaml.safe_dump(spec_of(train=["xx"])))
    status, out, err = command("transfer", "wrong.yaml", "--store", "store")
    assert status == 2 and err.startswith("error: a domain to train on") and "Traceback" not in err


# Wrong specs are refused before anything is computed.


def refused(folder: Path, values: dict[str, Any]) -> LatentprobeError:
    (folder / "refused.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(LatentprobeError) as stop:
        run_transfer(read_transfer_spec(folder / "refused.yaml"), folder / "never", store=folder / "store", jobs=1)
    assert not (folder / "never").exists()
    return stop.value


def with_file(folder: Path, name: str, lines: list[str], **keys: Any) -> dict[str, Any]:
    """The spec with one more domain, from a file of `text,hostile,id`."""
    (folder / f"{name}.csv").write_text("\n".join(["text,hostile,id", *lines]) + "\n")
    spec = spec_of()
    spec["domains"][name] = {"path": f"{name}.csv", "label": "hostile", "id": "id"} | keys
    return spec


def test_an_unknown_domain_is_refused(folder: Path) -> None:
    error = refused(folder, spec_of(train=["en", "dee"]))
    assert isinstance(error, SpecError) and "did you mean 'de'" in error.fix


def test_a_domain_with_one_class_is_refused_by_its_name(folder: Path) -> None:
    error = refused(folder, with_file(folder, "one", [f"text {row},yes,{row}" for row in range(9)]))
    assert "at least two classes are needed (domain 'one')" in error.problem


def test_domains_without_a_common_label_are_refused(folder: Path) -> None:
    lines = [f"text {row},{('rude', 'kind')[row % 2]},{row}" for row in range(12)]
    error = refused(folder, with_file(folder, "other", lines))
    assert "no label in common" in error.problem and "kind, rude in 'other'" in error.got


def test_a_group_on_both_sides_of_given_splits_is_refused_and_moved_when_asked(folder: Path) -> None:
    spec = spec_of()
    for language, last in (("en", 10), ("de", 12)):
        with (folder / f"{language}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        with (folder / f"{language}-split.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0], "part"])
            writer.writeheader()
            writer.writerows({**row, "part": "test" if at % 15 >= last else "train"} for at, row in enumerate(rows))
        spec["domains"][language] |= {"path": f"{language}-split.csv", "test": {"column": "part"}}
    error = refused(folder, spec)
    assert "the same group stands on both sides" in error.problem and "de/" in error.got
    for domain in spec["domains"].values():
        domain["on_leak"] = "move"
    (folder / "moved.yaml").write_text(yaml.safe_dump(spec))
    moved = read_transfer_spec(folder / "moved.yaml")
    joined, notes = join(read_domains(moved), moved)
    assert joined.given_test is not None
    train = joined.units[~joined.given_test & np.isin(joined.domain, joined.trained)]
    assert not set(train) & set(joined.units[joined.given_test])
    assert any("moved to the test side" in note for note in notes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"domains": {"en": {"path": "a.csv"}}}, "two domains at least"),
        ({"data": {"path": "a.csv"}}, "under `domains`, or one `data`"),
        ({"domains": None, "data": {"path": "a.csv"}}, "with the column `domain`"),
        ({"domains": {"a": {"path": "a"}, "b": {"path": "b", "test": {"column": "c"}}}}, "every domain or in none"),
        ({"domains": {"a": {"path": "a", "lable": "x"}, "b": {"path": "b"}}}, "did you mean 'label'"),
        ({"domains": {"a": {"path": "a", "test": 0.3}, "b": {"path": "b"}}}, "domains.a.test"),
        ({"domains": {"a": {"path": "a", "image": "i", "translated": "t"}, "b": {"path": "b"}}}, "one column of texts"),
        ({"evaluate": {"outer_fold": 3}}, "did you mean 'outer_folds'"),
        ({"baselines": []}, "baselines"),
        ({"groups": "both"}, "groups"),
    ],
)
def test_a_wrong_spec_is_refused_with_what_is_allowed(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as stop:
        parse_as(TransferSpec, spec_of() | changes)
    assert told in str(stop.value)


def test_a_folder_with_other_files_is_not_written_to(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(LatentprobeError, match="new or empty folder"):
        run_transfer(read_transfer_spec(folder / "spec.yaml"), tmp_path, store=folder / "store")


# Domains from a column; groups of their own; modalities.


def test_a_column_tells_domains_apart(folder: Path) -> None:
    lines = [(folder / f"{language}.csv").read_text(encoding="utf-8").splitlines() for language in LANGUAGES]
    both = [lines[0][0], *lines[0][1:], *lines[1][1:]]
    (folder / "both.csv").write_text("\n".join(both) + "\n", encoding="utf-8")
    data = {"path": str(folder / "both.csv"), "label": "hostile", "group": "id"}
    spec = parse_as(TransferSpec, spec_of(domains=None, data=data, domain="language"))
    domains = read_domains(spec)
    assert [(domain.name, len(domain.corpus)) for domain in domains] == [("en", 30), ("de", 30)]
    listed = read_transfer_spec(folder / "spec.yaml")
    alone = [domain for domain in read_domains(listed) if domain.translation_of is None]
    assert [domain.corpus.texts for domain in domains] == [domain.corpus.texts for domain in alone]
    joined, _ = join(domains, spec)
    assert joined.units[:30].tolist() == joined.units[30:].tolist()
    with pytest.raises(CorpusError, match="no column 'tongue'"):
        read_domains(spec.model_copy(update={"domain": "tongue"}))


def test_groups_of_their_own_are_other_units_in_each_domain(folder: Path) -> None:
    spec = read_transfer_spec(folder / "spec.yaml").model_copy(update={"groups": "own"})
    joined, _ = join(read_domains(spec), spec)
    # The translations are in the unit of their own row, and, being English texts that are there, in that of the copy.
    assert set(joined.units[joined.domain == 1]) == set(joined.units[joined.domain == 2])
    for one in spec.domains or {}:
        (spec.domains or {})[one] = (spec.domains or {})[one].model_copy(update={"translated": None})
    joined, _ = join(read_domains(spec), spec)
    assert not set(joined.units[joined.domain == 0]) & set(joined.units[joined.domain == 1])


@pytest.mark.slow
def test_a_classifier_of_texts_is_tested_on_images_through_a_vision_language_model(tmp_path: Path) -> None:
    save_model("paligemma2", tmp_path / "model")
    save_sae(tmp_path / "sae", 24)
    save_pictures(tmp_path / "pictures", each=9)
    lines = [f"{row}\n\n\n\n\n\n\n" if row % 2 else f"{row}\nword\nword" for row in range(18)]
    texts = [(line, ("stripes", "checks")[row % 2]) for row, line in enumerate(lines)]
    with (tmp_path / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *texts])
    spec = parse_as(
        TransferSpec,
        spec_of(
            domains={
                "words": {"path": str(tmp_path / "texts.csv")},
                "pictures": {"path": str(tmp_path / "pictures"), "tokens": "image"},
            },
            backbones=[{"model": str(tmp_path / "model"), "layers": [2], "saes": [str(tmp_path / "sae")]}],
            binarize=["none"],
        ),
    )
    out = run_transfer(spec, tmp_path / "out", store=tmp_path / "store", jobs=1)
    results = json.loads((out / "transfer.json").read_text())
    cells = {(cell["train"], cell["test"]): cell for cell in results["cells"]}
    assert cells["words", "pictures"]["n_test"] == 18
    assert cells["words", "words"]["scores"]["sae"]["macro_f1"] > 0.8
    assert cells["pictures", "pictures"]["scores"]["sae"]["macro_f1"] > 0.8
    assert any("Left out, as rows are images: tfidf" in note for note in results["notes"])
    assert results["families"] == ["sae", "baseline", "hidden", "majority"]
    assert {row["tokens"] for row in results["representations"] if row["kind"] == "sae"} == {"content or image"}
    assert not any("(image)" in row["name"] for row in results["representations"])


# The page.


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}\u202e"])
def test_strangers_words_stay_words_on_the_page(finished: Path, tmp_path: Path, attack: str) -> None:
    for name in ("environment.json", "predictions.parquet", "spec.yaml"):
        (tmp_path / name).write_bytes((finished / "out" / name).read_bytes())
    text = (finished / "out" / "transfer.json").read_text(encoding="utf-8")
    results = json.loads(text.replace('"de"', json.dumps(attack)).replace('"small"', json.dumps(attack)))
    for feature in results["overlap"]["features"]:
        feature["label"] = feature["class"] = attack
        for examples in feature["examples"].values():
            for example in examples:
                example["text"] = attack * 3
    (tmp_path / "transfer.json").write_text(json.dumps(results))
    page = write_transfer_report(tmp_path).read_text(encoding="utf-8")
    assert "alert(1)</script>" not in page and "<img" not in page and "\u202e" not in page
    assert "default-src 'none'" in page and "http" not in page.split("</style>")[1].split("</main>")[0].replace(
        "http-equiv", ""
    )
