"""The whole main job on images: read, extract, compare, keep the best, report, and use it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from latentprobe import Classifier
from latentprobe.cli.main import app
from latentprobe.config import ExperimentSpec, FitSpec, parse_spec
from latentprobe.errors import CorpusError, ModelError, SpecError
from latentprobe.experiment import extract_features, fit_classifier, run_experiment
from latentprobe.store import FeatureStore, SparseFeatures
from tests.encode.checkpoints import config_v6, write_saelens
from tests.encode.tiny_images import save_model, save_pictures

WIDTH = 48


def save_sae(folder: Path, d_in: int, *, layer: int = 2) -> Path:
    """A random JumpReLU SAE in SAELens' layout."""
    draw = torch.Generator().manual_seed(1)
    tensors = {
        "W_enc": torch.randn(d_in, WIDTH, generator=draw) / d_in**0.5,
        "W_dec": torch.randn(WIDTH, d_in, generator=draw),
        "b_dec": torch.zeros(d_in),
        "b_enc": torch.randn(WIDTH, generator=draw) / 5,
        "threshold": torch.rand(WIDTH, generator=draw) + 0.2,
    }
    metadata = {"hook_name": f"blocks.{layer}.hook_resid_post", "model_name": "tiny"}
    return write_saelens(folder, config_v6("jumprelu", d_in=d_in, d_sae=WIDTH, metadata=metadata), tensors)


def spec_for(root: Path, pictures: Path, model: str, d_in: int, **changes: Any) -> ExperimentSpec:
    folder = root / model
    backbone = {"model": str(folder), "layers": [2], "saes": [str(root / f"sae-{d_in}")], "tokens": "image"}
    if not folder.is_dir():
        save_model(model, folder)
        save_sae(root / f"sae-{d_in}", d_in)
    return parse_spec(
        {
            "name": "textures",
            "data": {"path": str(pictures), "test": 0.3},
            "backbones": [backbone | changes.pop("backbone", {})],
            "pooling": ["max", "mean"],
            "binarize": ["none"],
            "probe": {"C": [1.0]},
            "evaluate": {"folds": 3, "bootstrap": 100},
        }
        | changes
    )


@dataclass
class Run:
    out: Path
    store: Path
    spec: ExperimentSpec
    pictures: Path

    def json(self, name: str) -> Any:
        return json.loads((self.out / name).read_text())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def pictures(root: Path) -> Path:
    return save_pictures(root / "textures", each=20)


@pytest.fixture(scope="module")
def run(root: Path, pictures: Path) -> Run:
    spec = spec_for(root, pictures, "vit", 16)
    store = root / "store"
    return Run(run_experiment(spec, root / "run", store=store, jobs=1), store, spec, pictures)


def test_a_planted_difference_between_two_textures_is_found(run: Run) -> None:
    results = run.json("results.json")
    assert results["classes"] == ["checks", "stripes"]
    assert results["n_rows"] == 40 and results["n_test"] == 12
    assert results["selected"]["kind"] == "sae" and results["selected"]["tokens"] == "image"
    assert results["selected"]["macro_f1"] >= 0.9


def test_the_baselines_are_hidden_states_of_the_same_tokens_and_none_of_text(run: Run) -> None:
    results = run.json("results.json")
    baselines = {row["name"] for row in results["rows"] if row["kind"] == "baseline"}
    assert baselines == {"majority"} | {f"layer 2 (image) hidden {pooling}" for pooling in ("mean", "max", "last")}
    assert any(note.startswith("Left out, as the rows are images: tfidf") for note in results["notes"])
    assert {row["tokens"] for row in results["rows"] if "hidden" in row["name"]} == {"image"}


def test_images_have_every_baseline_that_needs_no_words(root: Path, pictures: Path, run: Run) -> None:
    wanted = {"baselines": ["hidden", "prompted", "pca4", "sae_hidden", "random_sae"], "binarize": ["none"]}
    spec = spec_for(root, pictures, "vit", 16, task={"prompt": "Stripes? {text}"}, **wanted)
    out = run_experiment(spec, root / "all-baselines", store=run.store, jobs=1)
    results = json.loads((out / "results.json").read_text())
    names = [row["name"] for row in results["rows"] if row["kind"] == "baseline"]
    assert [sum(part in name for name in names) for part in ("pca4", "with hidden", "random SAE")] == [3, 2, 2]
    assert not any("prompted" in name for name in names)
    assert "Left out, as the rows are images: prompted." in results["notes"]


def test_noise_in_place_of_the_difference_is_not_found(root: Path) -> None:
    """The same pictures under two names: what finds a difference here leaks."""
    noise = save_pictures(root / "noise", ("a", "b"), each=20)
    spec = spec_for(root, noise, "vit", 16)
    results = json.loads(
        (run_experiment(spec, root / "noise-run", store=root / "s", jobs=1) / "results.json").read_text()
    )
    assert results["selected"]["macro_f1"] < 0.85


def test_evidence_names_the_file_and_the_patch_where_the_feature_is_strongest(run: Run) -> None:
    evidence = run.json("evidence.json")
    examples = [one for group in evidence["classes"] for feature in group["features"] for one in feature["examples"]]
    assert examples
    store = FeatureStore(run.store)
    names = json.loads((run.out / "environment.json").read_text())["fingerprints"]
    (fingerprint,) = [name for source, name in names.items() if "sae" in source.split("/blocks")[1]]
    stored = store.read(fingerprint)
    assert isinstance(stored, SparseFeatures) and set(stored.n_tokens) == {16}
    for one in examples:
        marked = one["text"][one["start"] : one["end"]]
        patch = int(marked.split(",")[0].removeprefix("patch "))
        assert one["text"] == f"{one['id']}: patch {patch}, row {patch // 4}, column {patch % 4}"
    page = (run.out / "report.html").read_text()
    assert examples[0]["id"] in page


def test_the_bundle_decides_images_by_their_paths_and_names_patches(run: Run) -> None:
    predictions = pq.read_table(run.out / "predictions.parquet").to_pydict()
    classifier = Classifier.load(run.out / "bundle")
    assert classifier.reads_images
    paths = [str(run.pictures / name) for name in predictions["id"]]
    assert classifier.predict(paths) == predictions["selected/label"]
    np.testing.assert_allclose(classifier.predict_proba(paths)[:, 1], predictions["selected/p/stripes"], atol=1e-5)
    assert classifier.decision_function(paths).shape == (len(paths), 1)
    (feature, *_) = classifier.explain(paths[0], k=3)
    assert all(token["text"] == f"patch {token['start']}" for token in feature["tokens"])
    with pytest.raises(CorpusError, match="the image cannot be read"):
        classifier.predict([str(run.pictures / "nowhere.png")])


def test_predict_takes_a_folder_and_keeps_its_order(run: Run, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["predict", str(run.out / "bundle"), str(run.pictures), "--out", str(tmp_path / "out.jsonl")]
    )
    assert result.exit_code == 0, result.output
    decisions = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [one["id"] for one in decisions] == [
        f"{name}/{row:02d}.png" for name in ("checks", "stripes") for row in range(20)
    ]
    right = [one["label"] == one["id"].split("/")[0] for one in decisions]
    assert np.mean(right) >= 0.9


def test_a_second_run_passes_no_image_through_the_model(run: Run) -> None:
    assert extract_features(run.spec, run.store)["passed"] == 0


@pytest.mark.parametrize(("tokens", "expected"), [("image", 16), ("all", 18)])
def test_image_tokens_of_a_language_model_go_through_a_text_sae_with_empty_text(
    root: Path, pictures: Path, tokens: str, expected: int
) -> None:
    """REFERENCE's set-up for vision, with 16 image tokens in place of 256."""
    spec = spec_for(root, pictures, "paligemma2", 24, backbone={"tokens": tokens})
    extracted = extract_features(spec, root / "store")
    sae = next(source for source in extracted["sources"] if source["sae"])
    features = FeatureStore(root / "store").read(sae["fingerprint"])
    assert isinstance(features, SparseFeatures)
    assert set(features.n_tokens) == {expected} and len(features.indices) > 0


def test_an_experiment_on_a_vision_language_model_runs_whole(root: Path, pictures: Path) -> None:
    spec = spec_for(root, pictures, "gemma3", 24)
    out = run_experiment(spec, root / "gemma3-run", store=root / "store", jobs=1)
    results = json.loads((out / "results.json").read_text())
    assert results["selected"]["tokens"] == "image"
    assert Classifier.load(out / "bundle").predict([str(pictures / "checks" / "00.png")])[0] in results["classes"]


def test_changed_pixels_and_other_tokens_are_other_features(root: Path, pictures: Path) -> None:
    def fingerprints(spec: ExperimentSpec) -> set[str]:
        from latentprobe.experiment.features import make_plan

        return {source.fingerprint for source in make_plan(spec, root / "store").all_sources}

    before = fingerprints(spec_for(root, pictures, "vit", 16))
    assert before == fingerprints(spec_for(root, pictures, "vit", 16))
    assert not before & fingerprints(spec_for(root, pictures, "vit", 16, backbone={"tokens": "all"}))
    assert not before & fingerprints(spec_for(root, save_pictures(root / "more", each=21), "vit", 16))


def test_images_with_text_baselines_alone_or_a_text_model_are_refused(
    root: Path, pictures: Path, tiny_model: Callable[[str], Path]
) -> None:
    with pytest.raises(SpecError, match="no words to count"):
        run_experiment(spec_for(root, pictures, "vit", 16, baselines=["tfidf"]), root / "x")
    spec = spec_for(root, pictures, "vit", 16, backbone={"model": str(tiny_model("bert"))})
    with pytest.raises(ModelError, match="no hook points for images"):
        run_experiment(spec, root / "x")
    with pytest.raises(ModelError, match="no hook points for images"):
        fit_classifier(spec.data, root / "x", FitSpec.of(folds=3))
    with pytest.raises(SpecError, match="nothing else"):
        fit_classifier(spec.data, root / "x", FitSpec.of(model=str(root / "vit"), layer=2, prompt="{text}?"))


@pytest.mark.parametrize("model", ["vit", "gemma3"])
def test_fit_makes_a_classifier_of_images_as_run_does(root: Path, pictures: Path, tmp_path: Path, model: str) -> None:
    d_in = {"vit": 16, "gemma3": 24}[model]
    spec_for(root, pictures, model, d_in)  # saves model and SAE
    settings = {"model": str(root / model), "layer": 2, "sae": str(root / f"sae-{d_in}"), "tokens": "image"}
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    done = CliRunner().invoke(app, ["fit", str(pictures), "--out", str(tmp_path / "folder"), *arguments])
    assert done.exit_code == 0, done.output
    paths = sorted(pictures.rglob("*.png"))
    classifier = Classifier.fit(paths, [path.parent.name for path in paths], **settings)
    loaded = Classifier.load(tmp_path / "folder")
    assert loaded.reads_images and loaded.bundle.manifest.fingerprint == classifier.bundle.manifest.fingerprint
    assert loaded.bundle.manifest.backbone.tokens == "image"
    new = sorted(save_pictures(tmp_path / "new", each=24).rglob("2*.png"))
    right = [label == path.parent.name for label, path in zip(loaded.predict(new), new, strict=True)]
    assert len(right) == 8 and np.mean(right) >= 0.75


def test_fit_takes_a_column_of_images_and_refuses_a_mixture(root: Path, pictures: Path, tmp_path: Path) -> None:
    spec_for(root, pictures, "vit", 16)
    rows = [f"{path.relative_to(pictures)},{path.parent.name}" for path in sorted(pictures.rglob("*.png"))]
    (pictures / "rows.csv").write_text("\n".join(["file,label", *rows]))
    try:
        fit = ["fit", str(pictures / "rows.csv"), "--image", "file", "--out", str(tmp_path / "out"), "--layer", "2"]
        done = CliRunner().invoke(app, [*fit, "--model", str(root / "vit"), "--sae", str(root / "sae-16")])
    finally:
        (pictures / "rows.csv").unlink()
    assert done.exit_code == 0, done.output
    assert Classifier.load(tmp_path / "out").reads_images
    with pytest.raises(CorpusError, match="or all are images"):
        Classifier.fit([pictures / "checks" / "00.png", "a text"], ["a", "b"])


def test_images_in_a_parquet_file_go_through_fit_and_predict(root: Path, pictures: Path, tmp_path: Path) -> None:
    spec_for(root, pictures, "vit", 16)
    paths = sorted(pictures.rglob("*.png"))
    cells = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    pq.write_table(pa.table({"img": cells, "label": [path.parent.name for path in paths]}), tmp_path / "rows.parquet")
    fit = ["fit", str(tmp_path / "rows.parquet"), "--image", "img", "--out", str(tmp_path / "out"), "--layer", "2"]
    done = CliRunner().invoke(app, [*fit, "--model", str(root / "vit"), "--sae", str(root / "sae-16")])
    assert done.exit_code == 0, done.output
    written = tmp_path / "said.jsonl"
    predict = ["predict", str(tmp_path / "out"), str(tmp_path / "rows.parquet"), "--text", "img", "--out", str(written)]
    assert CliRunner().invoke(app, predict).exit_code == 0
    said = [json.loads(line) for line in written.read_text().splitlines()]
    assert [one["id"] for one in said] == [str(row) for row in range(40)]
    expected = Classifier.load(tmp_path / "out").predict([str(path) for path in paths])
    assert [one["label"] for one in said] == expected


def test_texts_for_a_model_of_images_are_refused(root: Path, pictures: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\n" + "".join(f"text {row},{'ab'[row % 2]}\n" for row in range(20)))
    spec = spec_for(root, pictures, "vit", 16, data={"path": str(rows)}, backbone={"tokens": "content"})
    with pytest.raises(ModelError, match="the rows are texts"):
        run_experiment(spec, root / "x")
    spec = spec_for(root, pictures, "vit", 16, data={"path": str(rows)}, backbone={"model": "minilm"})
    with pytest.raises(SpecError, match="the rows are texts"):
        run_experiment(spec, root / "x")
