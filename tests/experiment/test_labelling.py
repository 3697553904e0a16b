"""Labels from files to where they are shown: whose they are is proven, and they stay whole."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from latentprobe.encode.formats import describe, label_key, label_table, labels
from latentprobe.errors import CorpusError, SAEError, StoreError
from latentprobe.experiment.labelling import import_labels, shown_labels
from latentprobe.explain.label_sources import read_published
from latentprobe.store.labels import FeatureLabel, LabelTable, label_folder, write_label_table
from tests.encode.checkpoints import config_v6, weights, write_saelens

WIDTH = 40
#: An SAE of the published table, which is described and labelled without a network.
GEMMA = "gemma-scope:2b-pt-res/layer_12/width_16k/canonical"


@pytest.fixture(autouse=True)
def folder_of_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LATENTPROBE_LABELS", str(tmp_path / "labels"))
    return tmp_path / "labels"


@pytest.fixture
def sae(tmp_path: Path) -> str:
    return str(write_saelens(tmp_path / "tiny", config_v6("jumprelu"), weights("jumprelu")))


def explanation(index: int, description: str, **changes: Any) -> dict[str, Any]:
    """A row of Neuronpedia's bulk export, with the columns that it has."""
    return {
        "id": f"cl{index}", "modelId": "gemma-2-2b", "layer": "12-gemmascope-res-16k", "index": str(index),
        "authorId": "a", "description": description, "embedding": "[0.1]", "typeName": "oai_token-act-pair",
        "explanationModelName": "gpt-4o-mini", "umap_x": 0.0, "umap_cluster": 1,
    } | changes  # fmt: skip


def export(folder: Path, rows: list[dict[str, Any]], batches: int = 2) -> Path:
    """The rows as Neuronpedia exports them: ordered by the text of their index."""
    (folder / "explanations").mkdir(parents=True)
    rows = sorted(rows, key=lambda row: row["index"])
    for batch in range(batches):
        lines = "\n".join(json.dumps(row) for row in rows[batch::batches])
        (folder / "explanations" / f"batch-{batch}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return folder


def test_neuronpedias_export_finds_its_sae_by_its_own_id(tmp_path: Path) -> None:
    rows = [explanation(index, f"about {index}") for index in (0, 1, 2, 10, 100, 16383)]
    told = import_labels(export(tmp_path / "export", rows))
    assert (told["model"], told["source_id"], told["width"], told["labels"]) == (
        "gemma-2-2b", "12-gemmascope-res-16k", 16384, 6,
    )  # fmt: skip
    assert told["explainers"] == ["gpt-4o-mini"] and len(told["sha256"]) == 64
    assert labels(GEMMA) == {index: f"about {index}" for index in (0, 1, 2, 10, 100, 16383)}
    assert labels("saelens:gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical") == labels(GEMMA)
    assert labels("gemma-scope:2b-pt-res/layer_12/width_65k/canonical") == {}


@pytest.mark.parametrize("packed", [True, False])
def test_one_batch_of_the_export_is_read_alone(tmp_path: Path, packed: bool) -> None:
    lines = "\n".join(json.dumps(explanation(index, f"about {index}")) for index in (0, 10)).encode()
    path = tmp_path / ("batch-0.jsonl.gz" if packed else "batch-0.jsonl")
    path.write_bytes(gzip.compress(lines) if packed else lines)
    assert import_labels(path)["labels"] == 2 and labels(GEMMA) == {0: "about 0", 10: "about 10"}


def test_an_answer_of_its_api_is_read_too(tmp_path: Path, sae: str) -> None:
    said = [{"description": "dogs", "typeName": "t", "explanationModelName": "m"}]
    answer = {"modelId": "gemma-2-2b", "layer": "12-gemmascope-res-16k", "index": "7", "explanations": said}
    path = tmp_path / "7.json"
    path.write_text(json.dumps(answer))
    assert import_labels(path, sae=GEMMA)["labels"] == 1 and labels(GEMMA) == {7: "dogs"}
    path.write_text(json.dumps({"results": [explanation(8, "cats")], "resultsCount": 1}))
    assert import_labels(path)["labels"] == 1 and labels(GEMMA) == {8: "cats"}
    several = [answer | {"index": str(index)} for index in (5, 6)] + [answer | {"index": "9", "explanations": []}]
    path.write_text(json.dumps(several))
    assert import_labels(path)["labels"] == 2 and labels(GEMMA) == {5: "dogs", 6: "dogs"}
    path.write_text(json.dumps({"3": "three", "4": "four"}))
    assert import_labels(path, sae=sae)["labels"] == 2 and labels(sae) == {3: "three", 4: "four"}
    path.write_text(json.dumps(["none", "one"]))
    assert import_labels(path, sae=sae)["labels"] == 2 and labels(sae) == {0: "none", 1: "one"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", 'feature,label\n3,three\n39,"a, b"\n'),
        ("l.tsv", "index\tdescription\n3\tthree\n39\ta, b\n"),
        ("l.jsonl", '{"feature": 3, "label": "three"}\n\n{"feature": 39, "label": "a, b"}\n'),
        ("l.csv", '\ufefffeature,label\r\n3,three\r\n39,"a, b"\r\n'),
    ],
)
def test_tables_are_read(tmp_path: Path, sae: str, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    import_labels(tmp_path / name, sae=sae)
    assert labels(sae) == {3: "three", 39: "a, b"}


def test_delphis_folder_is_read(tmp_path: Path, sae: str) -> None:
    folder = tmp_path / "explanations"
    folder.mkdir()
    (folder / "layers.3_latent5.txt").write_text(json.dumps('quoted "five"'))
    (folder / "layers.3_latent12.txt").write_text("plain twelve\n")
    import_labels(folder, sae=sae)
    assert labels(sae) == {5: 'quoted "five"', 12: "plain twelve"}


def test_of_several_explanations_the_most_common_explainers_is_taken(tmp_path: Path) -> None:
    rows = [explanation(1, "rare", explanationModelName="o"), *(explanation(i, f"usual {i}") for i in (1, 2))]
    import_labels(export(tmp_path / "export", rows, 1))
    assert labels(GEMMA) == {1: "usual 1", 2: "usual 2"}
    row = shown_labels(GEMMA, [1, 5])["features"]
    assert row[1]["explainer"] == "gpt-4o-mini" and row[5] is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer": "13-gemmascope-res-16k"}, "13-gemmascope-res-16k"),
        ({"layer": "12-gemmascope-res-65k"}, "12-gemmascope-res-65k"),
        ({"modelId": "gemma-2-9b"}, "gemma-2-9b"),
        ({"index": "16384"}, "16384"),
    ],
)
def test_labels_of_another_model_sae_or_width_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    source = export(tmp_path / "export", [explanation(0, "x") | changes], 1)
    with pytest.raises(SAEError) as refused:
        import_labels(source, sae=GEMMA)
    assert words in refused.value.got and labels(GEMMA) == {} and not label_folder().exists()


def test_a_whole_table_of_a_narrower_sae_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text("\n".join(json.dumps({"feature": j, "label": "x"}) for j in range(2048)))
    with pytest.raises(SAEError, match="16384 features"):
        import_labels(tmp_path / "l.jsonl", sae=GEMMA)


def test_several_saes_in_one_file_are_refused(tmp_path: Path) -> None:
    rows = [explanation(0, "x"), explanation(1, "y", layer="13-gemmascope-res-16k")]
    with pytest.raises(SAEError, match="one source"):
        import_labels(export(tmp_path / "export", rows, 1))


def test_without_an_identity_the_sae_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("feature,label\n1,x\n")
    with pytest.raises(SAEError) as refused:
        import_labels(tmp_path / "l.csv")
    assert "--sae" in refused.value.fix
    with pytest.raises(SAEError, match="Neuronpedia calls gemma-2-2b/12-nothing"):
        import_labels(export(tmp_path / "export", [explanation(0, "x", layer="12-nothing")], 1))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", "number,words\n1,x\n"),
        ("l.csv", "feature,label\n-1,x\n"),
        ("l.csv", "feature,label\n1.5,x\n"),
        ("l.jsonl", '{"feature": 1, "label": 5}\n'),
        ("l.jsonl", '{"feature": true, "label": "x"}\n'),
        ("l.jsonl", "nonsense\n"),
        ("l.json", "[1, 2]"),
        ("l.json", '{"error": "limit"}'),
        ("l.jsonl.gz", "not compressed"),
        ("l.csv", ""),
        ("l.csv", "feature,label\n"),
        ("l.xlsx", "x"),
        ("l.csv", b"feature,label\n1,\xff\n"),
    ],
)
def test_what_is_no_table_of_labels_is_refused(tmp_path: Path, sae: str, name: str, content: str | bytes) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CorpusError, match="labels of features were expected"):
        import_labels(tmp_path / name, sae=sae)
    with pytest.raises(CorpusError):
        read_published(tmp_path / "missing")


def test_imported_labels_win_over_those_beside_the_weights_and_follow_a_copy_of_the_folder(
    tmp_path: Path, sae: str
) -> None:
    (Path(sae) / "labels.jsonl").write_text('{"feature": 1, "label": "beside"}\n')
    assert labels(sae) == {1: "beside"} and label_table(sae).provenance["source"] == "labels.jsonl beside the weights"
    (tmp_path / "l.csv").write_text("feature,label\n2,mine\n")
    import_labels(tmp_path / "l.csv", sae=sae)
    assert labels(sae) == {2: "mine"} and label_table(sae).provenance["source"] == "l.csv"
    Path(sae).rename(tmp_path / "moved")
    assert labels(str(tmp_path / "moved")) == {2: "mine"}


def test_weights_trained_anew_do_not_inherit_labels(tmp_path: Path, sae: str) -> None:
    (tmp_path / "l.csv").write_text("feature,label\n2,mine\n")
    import_labels(tmp_path / "l.csv", sae=sae)
    write_saelens(Path(sae), config_v6("jumprelu"), weights("jumprelu", seed=9))
    assert labels(sae) == {}


def test_a_damaged_table_is_refused_and_not_taken_for_none(tmp_path: Path, sae: str) -> None:
    (tmp_path / "l.csv").write_text("feature,label\n2,mine\n")
    file = Path(import_labels(tmp_path / "l.csv", sae=sae)["file"])
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(StoreError, match="table of labels"):
        labels(sae)


def test_a_label_is_kept_as_it_is_whatever_it_says(tmp_path: Path, sae: str) -> None:
    hostile = '<script>alert(1)</script>\u202e\x1b[31m\u2028"\\'
    (tmp_path / "l.jsonl").write_text(json.dumps({"feature": 0, "label": hostile}))
    import_labels(tmp_path / "l.jsonl", sae=sae)
    assert labels(sae) == {0: hostile} and describe(sae)["width"] == WIDTH


def test_a_table_of_before_the_strongest_places_were_scored_is_read_with_nothing_in_their_place(
    folder_of_labels: Path, sae: str
) -> None:
    row = FeatureLabel("refunds", "words", score=0.8, low=0.7, high=0.9, strongest=0.9)
    file = write_label_table(label_key(sae), LabelTable({3: row}, {"source": "l.csv"}))
    assert label_table(sae).features == {3: row}
    older = pq.read_table(file).drop_columns(["strongest", "strongest_low", "strongest_high"])
    pq.write_table(older, file)
    assert label_table(sae).features == {3: row._replace(strongest=None)}
    pq.write_table(older.drop_columns(["score"]), file)
    with pytest.raises(StoreError, match="table of labels"):
        label_table(sae)
