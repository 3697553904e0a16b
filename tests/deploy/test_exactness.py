"""An explanation is a sum that comes out: features, those not shown and the intercept; tokens within each feature."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from latentprobe.config import BackboneSpec
from latentprobe.deploy import Classifier
from latentprobe.deploy import decisions as module
from latentprobe.encode.backbone import load_backbone
from tests.deploy.tiny_world import TEXTS, make_bundle

POOLINGS = ["max", "sum", "mean", "last", "count", "rate", "top3", "rollmax2"]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("pooling", ["max", "mean", "top3"])
def test_the_explanation_sums_to_the_decision_and_gives_the_calibrated_probability(
    tiny_bert: Path, kind: Any, pooling: str
) -> None:
    classifier = Classifier(make_bundle(tiny_bert, kind=kind, pooling=pooling), device="cpu")
    values = classifier.decision_function(TEXTS)
    for value, decision in zip(values, classifier.decide(TEXTS, explain=2), strict=True):
        told = decision["explanation"]
        output = 0 if kind == "binary" else classifier.classes.index(told["towards"])
        assert told["decision"] == pytest.approx(value[output], abs=1e-5)
        assert told["intercept"] + told["features"] + told["others"] == pytest.approx(told["decision"], abs=1e-12)
        assert told["features"] == sum(feature["contribution"] for feature in decision["features"])
        x = told["slope"] * told["decision"] + told["offset"]
        rows = np.exp(told["slope"] * value + told["offset"])
        probability = np.exp(x) / rows.sum() if kind == "multiclass" else 1 / (1 + np.exp(-x))
        assert decision["probabilities"][told["towards"]] == pytest.approx(probability, abs=1e-5)
    everything = next(classifier.decide([TEXTS[4]], explain=1000))
    assert everything["explanation"]["others"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_shares_of_all_tokens_sum_to_one(tiny_bert: Path, pooling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOKENS", 1000)
    classifier = Classifier(make_bundle(tiny_bert, pooling=pooling, max_tokens=8), device="cpu")
    features = classifier.explain(TEXTS[4], 100)
    assert features
    for feature in features:
        made = [token["share"] for token in feature["tokens"]]
        assert sum(made) == pytest.approx(1) and made == sorted(made, reverse=True)
        if pooling in ("sum", "mean"):
            total = sum(token["value"] for token in feature["tokens"])
            assert made == pytest.approx([token["value"] / total for token in feature["tokens"]])
        if pooling in ("max", "last"):
            assert made[0] == 1 and feature["tokens"][0]["value"] == pytest.approx(feature["value"])


ODD = {
    "emoji": "I 😀 love 👩‍👩‍👧‍👦 you 🇩🇪",
    "combining": "cafe\u0301 re\u0301sume\u0301 nai\u0308ve",
    "right to left": "שלום עולם العَرَبِيَّة \u202eevil\u202c",
    "line ends": "one\r\ntwo\r\n\r\nthree\tfour\u2028five",
    "scripts": "漢字 テスト ไทย \ufeffhello he\u200bllo İstanbul",
    "long": "a naïve 😀 word\r\n" * 200,
}


@pytest.mark.parametrize("name", ODD)
def test_offsets_are_the_characters_each_token_was_made_from(name: str) -> None:
    """The vocabulary's word of each token is the user's own slice, in lower case and without marks."""
    backbone = load_backbone(BackboneSpec(layers=(0,)))
    (row,) = backbone.tokenize([ODD[name]])
    ids = np.concatenate([ids[chosen] for ids, chosen in zip(row.windows, row.selected, strict=True)])
    words = AutoTokenizer.from_pretrained(backbone.files.folder).convert_ids_to_tokens(ids)
    assert len(words) == len(row.spans) >= 3
    for word, (start, end) in zip(words, row.spans, strict=True):
        piece = unicodedata.normalize("NFD", ODD[name][start:end].lower())
        plain = "".join(c for c in piece if unicodedata.category(c) not in ("Mn", "Cf", "Cc"))
        assert word == "[UNK]" or unicodedata.normalize("NFD", word.removeprefix("##")) == plain
