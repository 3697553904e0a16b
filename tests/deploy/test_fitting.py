"""Fitting a classifier on the embedded model: what it learns, keeps, says of itself, and shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from latentprobe import Classifier, LatentprobeError, SAEVectorizer
from latentprobe.deploy.encoding import encode_texts
from latentprobe.errors import CorpusError, SAEError, SpecError

RUDE = ["you useless idiots", "go to hell", "what a bunch of liars", "shut up, you clown", "pathetic fools", "idiots"]
CIVIL = ["thank you so much", "where is my order?", "please help me", "kind regards", "can I get a refund", "thanks"]
TEXTS = [f"{words} {ending}" for words in RUDE + CIVIL for ending in ("today", "again", "now", "\U0001f600")]
LABELS = ["rude"] * 24 + ["civil"] * 24


def test_a_classifier_is_fitted_saved_and_decides_alike_when_loaded(
    minilm_classifier: Classifier, tmp_path: Path
) -> None:
    texts = ["you are liars and fools", "many thanks, kind regards", ""]
    decisions = list(minilm_classifier.decide(texts, explain=3))
    assert [decision["label"] for decision in decisions][:2] == ["rude", "civil"]
    minilm_classifier.save(tmp_path / "bundle")
    assert list(Classifier.load(tmp_path / "bundle").decide(texts, explain=3)) == decisions


def test_the_bundle_says_how_good_it_is_and_holds_no_text(minilm_classifier: Classifier, tmp_path: Path) -> None:
    minilm_classifier.save(tmp_path / "bundle")
    said = json.loads((tmp_path / "bundle" / "probe.json").read_text(encoding="utf-8"))
    metrics = said["metrics"]
    assert 0.8 < metrics["low"] <= metrics["macro_f1"] <= metrics["high"] <= 1
    assert metrics["measured"] == "out of fold, 3 folds, the same ones that chose C"
    assert metrics["n_features"] == len(said["features"])
    assert said["classes"] == ["civil", "rude"] and said["positive"] == "rude"
    assert said["card"]["data"]["classes"] == {"civil": 24, "rude": 24}
    assert any(feature["label"] for feature in said["features"])
    everything = (tmp_path / "bundle" / "probe.json").read_text() + str(
        (tmp_path / "bundle" / "probe.safetensors").read_bytes()
    )
    assert not any(text in everything for text in TEXTS)


def test_the_same_texts_and_seed_give_the_same_classifier(minilm_classifier: Classifier) -> None:
    """Mistake 5: probes were unseeded, so no two runs agreed."""
    again = Classifier.fit(TEXTS, LABELS, positive="rude", folds=3)
    assert again.bundle.manifest.fingerprint == minilm_classifier.bundle.manifest.fingerprint


def test_its_own_columns_compute_what_the_whole_sae_computes(minilm_classifier: Classifier) -> None:
    bundle = minilm_classifier.bundle
    used = bundle.probe.features
    assert 0 < len(used) < 2048 and bundle.encoder.width == len(used)
    whole = SAEVectorizer().fit_transform(TEXTS)[:, used].toarray()
    kept = np.zeros_like(whole)
    for batch in encode_texts(TEXTS, minilm_classifier.backbone, bundle):
        kept[batch.rows] = batch.pooled[:, used].toarray()
    np.testing.assert_allclose(kept, whole, atol=1e-5)
    assert ((kept > 0) == (whole > 0)).all()


@pytest.mark.parametrize(
    "text",
    [
        "You idiots \U0001f600\U0001f468\U0001f469 lost it",
        "Cafe\u0301 idiots nai\u0308ve",
        "line one\r\nidiots\r\n\r\n\tfools",
        "ＦＵＬＬ width idiots ﬁne",
        "\u0438\u0434\u0438\u043e\u0442\u044b idiots \u611a\u304b",
        "fine words and thanks " * 120 + "idiots",
    ],
    ids=["emoji", "combining", "line ends", "compatibility forms", "other scripts", "several windows"],
)
def test_tokens_are_named_by_their_place_in_the_user_s_own_text(minilm_classifier: Classifier, text: str) -> None:
    tokens = [token for feature in minilm_classifier.explain(text, 1000) for token in feature["tokens"]]
    for token in tokens:
        assert token["text"] == text[token["start"] : token["end"]] != ""
    start = text.index("idiots")
    assert (start, start + 6) in {(token["start"], token["end"]) for token in tokens}


def test_the_strongest_reason_speaks_for_the_decision(minilm_classifier: Classifier) -> None:
    assert minilm_classifier.explain("you useless idiots", 1)[0]["contribution"] > 0
    assert minilm_classifier.explain("thank you so much, kind regards", 1)[0]["contribution"] < 0


def test_several_label_columns_make_a_multilabel_classifier() -> None:
    labels = {"rude": [1] * 24 + [0] * 24, "asks": [int("?" in text or "can I" in text) for text in TEXTS]}
    labels["rude"][3] = None  # type: ignore[call-overload]
    classifier = Classifier.fit(TEXTS, labels, folds=3, selection="top40", binarize="auto", C=[0.1, 1])
    found = classifier.predict(["you idiots", "where is my order? can I get a refund"])
    assert found[0] == ["rude"] and "asks" in found[1]
    assert len(classifier.bundle.manifest.features) <= 40
    assert classifier.bundle.probe.thresholds is not None


def test_the_bundle_keeps_how_texts_are_read_and_predict_reads_them_so(tmp_path: Path) -> None:
    settings = {"prompt": "A customer writes: {text} Is that rude?", "select": "after", "pooling": "mean"}
    settings |= {"sae": "bundled:minilm-l5-4k", "layer": 5, "max_norm_ratio": 3.0, "tokens": "content"}
    classifier = Classifier.fit(TEXTS, LABELS, folds=3, C=[0.1], **settings)
    classifier.save(tmp_path / "bundle")
    loaded = Classifier.load(tmp_path / "bundle")
    for name in ("prompt", "select", "max_norm_ratio", "tokens"):
        assert getattr(loaded.bundle.backbone, name) == settings[name]
    new = ["what idiots you are", "thank you, kind regards"]
    assert loaded.predict(new) == ["rude", "civil"]
    rows = SAEVectorizer(**settings).fit_transform(new)
    np.testing.assert_allclose(loaded.decision_function(new), classifier.bundle.probe.decision(rows), atol=1e-5)


def test_topn_pooling_keeps_the_whole_encoder() -> None:
    classifier = Classifier.fit(TEXTS, LABELS, pooling="top20", folds=3, C=[0.1])
    assert not classifier.bundle.manifest.pruned
    assert classifier.bundle.encoder.width == 4096
    assert classifier.predict(["you idiots"]) == ["rude"]


@pytest.mark.parametrize(
    ("parameters", "error", "named"),
    [
        (dict(pooling="median"), SpecError, "pooling"),
        (dict(binarize=-1), SpecError, "binarize"),
        (dict(binarize="yes"), SpecError, "binarize"),
        (dict(selection="best"), SpecError, "selection"),
        (dict(C=[-1.0]), SpecError, "C"),
        (dict(folds=1), SpecError, "folds"),
        (dict(layer=-1), SpecError, "layer"),
        (dict(poling="max"), SpecError, "poling"),
        (dict(layers=[3]), SpecError, "layers"),
        (dict(bos="sometimes"), SpecError, "bos"),
        (dict(template="chat", prompt="{text}"), SpecError, "prompt"),
        (dict(layer=2), SAEError, "blocks.3.hook_resid_post"),
        (dict(sae="bundled:minilm-l9"), SAEError, "minilm-l9"),
        (dict(positive="blue"), CorpusError, "blue"),
        (dict(folds=60), CorpusError, "48"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    parameters: dict[str, object], error: type[LatentprobeError], named: str
) -> None:
    with pytest.raises(error) as refusal:
        Classifier.fit(TEXTS, LABELS, **parameters)  # type: ignore[arg-type]
    assert named in refusal.value.got
