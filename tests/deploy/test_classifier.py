"""The classifier in use, on a tiny random model: what it decides, in what shape, and whether its reasons are true."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import scipy.sparse as sp

from latentprobe.config import BackboneSpec
from latentprobe.deploy import Bundle, Classifier
from latentprobe.deploy import classifier as module
from latentprobe.encode.backbone import Backbone, load_backbone
from latentprobe.encode.featurize import Source, featurize
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.errors import BundleError, CorpusError, SpecError
from tests.deploy.tiny_world import TEXTS, make_bundle, make_sae

KEYS = ["id", "label", "score", "probabilities", "flagged", "threshold"]
FEATURE_KEYS = ["feature", "label", "label_score", "weight", "value", "contribution", "tokens"]


def states_of(backbone: Backbone, text: str) -> tuple[Any, Any]:
    """Hidden states and spans of the selected tokens of one text, by itself."""
    (tokens,) = backbone.tokenize([text])
    hook = HookPoint(2, "resid_post")
    return backbone.hidden_states([tokens], [hook])[hook], tokens.spans


@pytest.fixture
def classifier(bundle: Bundle) -> Classifier:
    return Classifier(bundle, device="cpu")


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize(
    ("activation", "pooling", "binarized"),
    [
        ("threshold", "max", False),
        ("threshold", "top3", False),
        ("threshold", "rollmax2", False),
        ("topk", "sum", False),
        ("groupmax", "sum", False),
        ("gated", "mean", True),
        ("threshold", "count", True),
        ("threshold", "last", False),
    ],
)
def test_contributions_and_the_intercept_sum_to_the_decision(
    tiny_bert: Path, kind: Any, activation: str, pooling: str, binarized: bool
) -> None:
    bundle = make_bundle(tiny_bert, kind=kind, activation=activation, pooling=pooling, binarized=binarized)
    classifier = Classifier(bundle, device="cpu")
    values = classifier.decision_function(TEXTS)
    shown = 0
    for value, decision in zip(values, classifier.decide(TEXTS, explain=1000), strict=True):
        towards = 0 if kind == "binary" else int(np.argmax(list(decision["probabilities"].values())))
        parts = [feature["contribution"] for feature in decision["features"]]
        assert sum(parts) + bundle.probe.intercept[towards] == pytest.approx(value[towards], abs=1e-6)
        assert parts == sorted(parts, key=abs, reverse=True)
        for feature in decision["features"]:
            counted = 1.0 if binarized else feature["value"]
            assert feature["contribution"] == pytest.approx(feature["weight"] * counted, abs=1e-9)
        shown += len(parts)
    assert shown > 5


@pytest.mark.parametrize("pooling", ["max", "sum", "top3", "last", "count", "rollmax2"])
@pytest.mark.parametrize("activation", ["threshold", "topk"])
def test_the_pruned_classifier_sees_the_features_of_the_whole_sae(
    tiny_bert: Path, backbone: Backbone, pooling: str, activation: str
) -> None:
    """The decision equals the probe's on features made the ordinary way, by the whole SAE."""
    bundle = make_bundle(tiny_bert, pooling=pooling, activation=activation)
    sae = make_sae(activation)
    (features,) = featurize(TEXTS, list("abcdef"), backbone, [Source(sae.hook, sae, (pooling,))])
    expected = bundle.probe.decision(features.csr(pooling))  # type: ignore[union-attr]
    np.testing.assert_allclose(Classifier(bundle, device="cpu").decision_function(TEXTS), expected, atol=1e-5)


def test_a_binary_decision_is_flagged_from_the_threshold_on(classifier: Classifier) -> None:
    raw = classifier.decision_function(TEXTS)[:, 0]
    assert 0 < (raw > 0).sum() < len(TEXTS)
    for value, decision in zip(raw, classifier.decide(TEXTS), strict=True):
        assert list(decision) == KEYS
        assert decision["score"] == decision["probabilities"]["yes"]
        assert sum(decision["probabilities"].values()) == pytest.approx(1)
        assert decision["flagged"] == (decision["score"] >= decision["threshold"]) == (value > 0)
        assert decision["label"] == ("yes" if decision["flagged"] else "no")
        assert decision["score"] == pytest.approx(1 / (1 + np.exp(-(1.5 * value + 0.2))))


def test_a_multiclass_decision_is_the_likeliest_class_and_flags_nothing(tiny_bert: Path) -> None:
    classifier = Classifier(make_bundle(tiny_bert, kind="multiclass"), device="cpu")
    raw = classifier.decision_function(TEXTS)
    for value, decision in zip(raw, classifier.decide(TEXTS), strict=True):
        assert decision["label"] == "abc"[int(np.argmax(value))]
        assert decision["score"] == max(decision["probabilities"].values())
        assert decision["flagged"] is None and decision["threshold"] is None
    assert len(set(classifier.predict(TEXTS))) > 1  # type: ignore[arg-type]


def test_a_multilabel_decision_lists_the_labels_over_their_thresholds(tiny_bert: Path) -> None:
    classifier = Classifier(make_bundle(tiny_bert, kind="multilabel"), device="cpu")
    raw = classifier.decision_function(TEXTS)
    for value, decision in zip(raw, classifier.decide(TEXTS), strict=True):
        assert decision["label"] == [name for name, v in zip("xyz", value, strict=True) if v > 0]
        assert decision["flagged"] == bool(decision["label"])
        assert decision["score"] == max(decision["probabilities"].values())
        assert list(decision["threshold"]) == ["x", "y", "z"]  # type: ignore[arg-type]
    assert len({len(labels) for labels in classifier.predict(TEXTS)}) > 1


def test_predictions_and_probabilities_are_those_of_the_decisions(classifier: Classifier) -> None:
    decisions = list(classifier.decide(TEXTS))
    assert classifier.predict(TEXTS) == [decision["label"] for decision in decisions]
    probabilities = classifier.predict_proba(TEXTS)
    assert probabilities.tolist() == [list(decision["probabilities"].values()) for decision in decisions]
    assert classifier.predict([]) == [] and classifier.predict_proba([]).shape == (0, 2)


def test_decisions_come_in_the_order_of_the_texts_with_their_ids(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mistake 5: row order followed whichever worker finished first."""
    monkeypatch.setattr(module, "ROWS", 4)
    texts = [text for text in TEXTS for _ in range(3)]
    names = [f"row {i}" for i in range(len(texts))]
    decisions = list(classifier.decide(texts, names))
    assert [decision["id"] for decision in decisions] == names
    alone = [next(classifier.decide([text]))["score"] for text in texts]
    np.testing.assert_allclose([decision["score"] for decision in decisions], alone, atol=1e-6)
    assert [decision["id"] for decision in classifier.decide(texts)] == [str(i) for i in range(len(texts))]


def test_a_text_is_decided_alike_whatever_its_batch_mates(classifier: Classifier) -> None:
    """Mistake 3: a text's features depended on the padding that its batch mates made necessary."""
    alone = np.concatenate([classifier.decision_function([text]) for text in TEXTS])
    np.testing.assert_allclose(classifier.decision_function(TEXTS), alone, atol=1e-5)
    np.testing.assert_allclose(classifier.decision_function(TEXTS[::-1])[::-1], alone, atol=1e-5)


def test_a_stream_is_decided_as_it_comes(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 2)
    taken = 0

    def stream() -> Iterator[str]:
        nonlocal taken
        while True:  # never ends
            taken += 1
            yield "bad dog"

    decisions = classifier.decide(stream())
    assert taken == 0
    for expected in ("0", "1", "2"):
        assert next(decisions)["id"] == expected
    assert taken == 4


def test_an_empty_or_missing_text_gets_the_decision_of_the_intercept_and_no_features(classifier: Classifier) -> None:
    empty, missing, unknown = classifier.decide(["", None, "   "], explain=5)  # type: ignore[list-item]
    (intercept,) = classifier.bundle.probe.intercept
    for decision in (empty, missing, unknown):
        assert decision["features"] == []
        assert decision["score"] == pytest.approx(1 / (1 + np.exp(-(1.5 * intercept + 0.2))))


def test_the_object_of_a_decision_is_the_documented_one_and_plain_json(classifier: Classifier) -> None:
    (decision,) = classifier.decide(["refund money back please"], ["a"], explain=2)
    assert list(decision) == [*KEYS, "features", "explanation"]
    assert len(decision["features"]) == 2
    for feature in decision["features"]:
        assert list(feature) == FEATURE_KEYS
        assert feature["tokens"]
        for token in feature["tokens"]:
            assert list(token) == ["text", "start", "end", "value", "share"]
    assert json.loads(json.dumps(decision, allow_nan=False)) == decision


def test_features_carry_their_labels_or_none(classifier: Classifier) -> None:
    features = [f for decision in classifier.decide(TEXTS, explain=100) for f in decision["features"]]
    labels = {feature["feature"]: feature["label"] for feature in features}
    assert labels[17] == '"refund", "money"'
    assert labels[21] is None


def test_a_label_comes_with_what_it_is_worth_and_one_that_was_not_scored_with_nothing(classifier: Classifier) -> None:
    features = [f for decision in classifier.decide(TEXTS, explain=100) for f in decision["features"]]
    scores = {feature["feature"]: feature["label_score"] for feature in features}
    assert scores[17] == {
        "score": 0.55, "low": 0.52, "high": 0.58, "strongest": 0.9, "strongest_low": 0.85, "strongest_high": 0.95,
    }  # fmt: skip
    assert scores[1] is scores[21] is None


def test_positive_weights_speak_for_the_positive_class_and_the_strongest_come_first(classifier: Classifier) -> None:
    """Mistake 10: signs were inverted for binary problems, and the lowest contributions shown as the highest."""
    probe = classifier.bundle.probe
    for text in TEXTS[2:]:
        everything = classifier.explain(text, 100)
        assert classifier.explain(text, 2) == everything[:2]
        for feature in everything:
            place = probe.features.tolist().index(feature["feature"])
            assert feature["weight"] == probe.weights[0, place]


@pytest.mark.parametrize("pooling", ["max", "top3", "last"])
def test_tokens_are_where_the_feature_is_active_strongest_first_and_at_most_five(
    tiny_bert: Path, backbone: Backbone, pooling: str
) -> None:
    classifier = Classifier(make_bundle(tiny_bert, pooling=pooling), device="cpu")
    text = TEXTS[4]
    states, spans = states_of(backbone, text)
    dense = make_sae().encode(states).csr().toarray()
    if pooling == "top3":
        ranks = np.argsort(np.argsort(-dense, axis=1, kind="stable"), axis=1)
        dense = np.where(ranks < 3, dense, 0)
    if pooling == "last":
        dense[:-1] = 0
    features = classifier.explain(text, 100)
    assert features
    for feature in features:
        column = dense[:, feature["feature"]]
        expected = [token for token in np.argsort(-column, kind="stable") if column[token] > 0][:5]
        assert [(token["start"], token["end"]) for token in feature["tokens"]] == [
            tuple(spans[token]) for token in expected
        ]
        np.testing.assert_allclose([token["value"] for token in feature["tokens"]], column[expected], rtol=1e-4)
    if pooling == "max":
        assert all(feature["value"] == feature["tokens"][0]["value"] for feature in features)
        assert max(len(feature["tokens"]) for feature in features) == 5


def test_tokens_of_a_windowed_text_point_into_the_whole_text(tiny_bert: Path, backbone: Backbone) -> None:
    classifier = Classifier(make_bundle(tiny_bert, max_tokens=8), device="cpu")
    text = "never\r\n" * 30 + "  refund \U0001f600 money" + "\tthe" * 20
    ends = []
    for feature in classifier.explain(text, 100):
        for token in feature["tokens"]:
            word = text[token["start"] : token["end"]]
            assert token["text"] == word
            assert word in ("never", "refund", "\U0001f600", "money", "the")
            ends.append(token["end"])
    assert max(ends) > 210  # beyond the first windows


def test_texts_are_given_as_a_list_of_texts_with_one_id_each(classifier: Classifier) -> None:
    with pytest.raises(CorpusError, match="list of texts"):
        classifier.predict("a bare string")
    with pytest.raises(CorpusError, match="list of texts"):
        classifier.decide("a bare string")
    with pytest.raises(CorpusError, match="must hold texts"):
        classifier.predict(["fine", 7])  # type: ignore[list-item]
    with pytest.raises(CorpusError, match="one text was expected"):
        classifier.explain(["a list"])  # type: ignore[arg-type]
    with pytest.raises(SpecError):
        classifier.decide(["a"], explain=-1)
    for ids in (["a"], ["a", "b", "c"]):
        with pytest.raises(CorpusError, match="one id for each text"):
            list(classifier.decide(["x", "y"], ids))


def test_half_a_surrogate_pair_is_decided_and_written_as_json(classifier: Classifier) -> None:
    (decision,) = classifier.decide(["bad \ud83d refund"], explain=5)
    json.dumps(decision, ensure_ascii=False).encode("utf-8")
    assert {token["text"] for feature in decision["features"] for token in feature["tokens"]} <= {"bad", "�", "refund"}


def tampered_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    next(iter(weights.values())).view(-1)[0] += 1
    safetensors.torch.save_file(weights, file, metadata={"format": "pt"})


def tampered_tokenizer(folder: Path) -> None:
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace('"Lowercase"', '"NFC"'))


def tampered_config(folder: Path) -> None:
    file = folder / "config.json"
    file.write_text(file.read_text().replace('"gelu"', '"relu"'))


@pytest.mark.parametrize("tamper", [tampered_weights, tampered_tokenizer, tampered_config])
def test_a_model_with_other_content_is_refused(
    tiny_bert: Path, bundle: Bundle, tmp_path: Path, tamper: Callable[[Path], None]
) -> None:
    other = tmp_path / "model"
    shutil.copytree(tiny_bert, other)
    same = Classifier(bundle, model=str(other), device="cpu")
    assert same.predict(TEXTS) == Classifier(bundle, device="cpu").predict(TEXTS)
    tamper(other)
    with pytest.raises(BundleError) as refusal:
        Classifier(bundle, model=str(other), device="cpu").predict(["a cat"])
    assert tamper.__name__.removeprefix("tampered_") in refusal.value.got


def test_a_loaded_classifier_decides_as_the_saved_one_without_the_sae(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(classifier.decide(TEXTS, explain=3))
    classifier.save(tmp_path / "bundle")

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the SAE was loaded")

    monkeypatch.setattr("latentprobe.encode.formats.load_sae", refuse)
    monkeypatch.setattr("latentprobe.encode.extract.load_sae", refuse)
    loaded = Classifier.load(tmp_path / "bundle", device="cpu")
    assert list(loaded.decide(TEXTS, explain=3)) == expected


@pytest.mark.parametrize(
    "asked",
    [
        dict(tokens="all", max_norm_ratio=8.0, on_overflow="truncate", max_tokens=16),
        dict(prompt="the {text} is bad", select="after", bos="never"),
        dict(template="chat", tokens="all"),
    ],
)
def test_the_settings_of_the_backbone_are_those_it_was_fitted_with(
    tiny_bert: Path, tmp_path: Path, asked: dict[str, Any]
) -> None:
    make_bundle(tiny_bert, **asked).save(tmp_path / "bundle")
    spec = Bundle.load(tmp_path / "bundle").backbone
    assert spec == BackboneSpec(
        model=str(tiny_bert), layers=(2,), saes=("by hand, threshold",), dtype="float32", **asked
    )


def test_a_classifier_reads_texts_inside_the_prompt_it_was_fitted_with(tiny_bert: Path) -> None:
    """Under `after`, only the prompt's own last words count, and what the model made of the text before them."""
    prompted = Classifier(make_bundle(tiny_bert, prompt="the {text} good dog", select="after"), device="cpu")
    for text in TEXTS:
        plain = load_backbone(BackboneSpec(model=str(tiny_bert), layers=(2,), device="cpu"))
        states = states_of(plain, f"the {text} good dog")[0][-2:]
        z = prompted.bundle.encode(states).csr().toarray().max(0, keepdims=True)
        expected = prompted.bundle.probe.decision(sp.csr_matrix(z))
        np.testing.assert_allclose(prompted.decision_function([text]), expected, atol=1e-5)
    (decision,) = prompted.decide(["a red cat"], explain=3)
    assert decision["features"]


def test_threads_may_share_a_classifier(classifier: Classifier) -> None:
    expected = [classifier.decision_function([text]) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            found = list(pool.map(lambda text: classifier.decision_function([text]), TEXTS))
            np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), atol=1e-5)
