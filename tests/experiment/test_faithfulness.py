"""Ablation with a whole classifier: what it measures is what it says, and a false explanation is found out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentprobe import Classifier
from latentprobe.config import parse_spec
from latentprobe.deploy.encoding import encode_texts
from latentprobe.experiment import faithfulness as module
from latentprobe.experiment import run_experiment
from latentprobe.experiment.faithfulness import Judged, ablation, token_scores, without
from tests.deploy.conftest import tiny_bert
from tests.deploy.tiny_world import TEXTS, make_bundle
from tests.encode.conftest import WORDS, tiny_model
from tests.experiment.test_between_models import world, zero_shot_spec

__all__ = ["tiny_bert", "tiny_model", "world"]

POOLINGS = ["max", "sum", "mean", "last", "count", "rate", "top3", "rollmax2"]


def some_texts(n: int = 24) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(4, 12))) for _ in range(n)]


def outcome_of(bundle: Any, texts: list[str], width: int = 24) -> dict[str, Any]:
    rates = np.linspace(0.1, 0.9, width)
    return ablation(bundle, texts, np.arange(len(texts)), rates, resamples=200, seed=0, device="cpu")


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_what_tokens_add_and_the_intercept_sum_to_the_decision(tiny_bert: Path, kind: Any, pooling: str) -> None:
    classifier = Classifier(make_bundle(tiny_bert, kind=kind, pooling=pooling), device="cpu")
    decisions = classifier.decision_function(TEXTS)
    judged = Judged.of(classifier.bundle, decisions)
    start = judged.score(np.broadcast_to(classifier.bundle.probe.intercept, decisions.shape), range(len(TEXTS)))
    for batch in encode_texts(TEXTS, classifier.backbone, classifier.bundle):
        for place, row in enumerate(batch.rows):
            total = start[row] + token_scores(judged, batch, place).sum()
            assert total == pytest.approx(judged.score(decisions[[row]], [row])[0], abs=1e-5)


@pytest.mark.parametrize("pooling", [name for name in POOLINGS if name != "top3"])
def test_removing_features_costs_what_their_contributions_promise(tiny_bert: Path, pooling: str) -> None:
    found = outcome_of(make_bundle(tiny_bert, pooling=pooling), some_texts())
    assert found["promise"]["n"] > 50
    assert found["promise"]["largest_error"] < 1e-5
    json.dumps(found, allow_nan=False)


def test_under_top_n_a_removed_feature_makes_room_and_the_promise_is_not_quite_kept(tiny_bert: Path) -> None:
    assert outcome_of(make_bundle(tiny_bert, pooling="top3"), some_texts())["promise"]["largest_error"] > 0.01


def test_curves_run_from_one_feature_on_and_all_features_are_sufficient(tiny_bert: Path) -> None:
    found = outcome_of(make_bundle(tiny_bert), some_texts())["features"]
    curve = found["comprehensiveness"]["curve"]
    assert [point["k"] for point in curve] == [1, 2, 4, 8, 16, 32]
    named = [point["named"]["value"] for point in curve if point["named"]["n"]]
    assert named == sorted(named)


@pytest.fixture(scope="module")
def insulting() -> tuple[Classifier, list[str]]:
    """A classifier on the real model of texts that one word alone makes rude."""
    rng = np.random.default_rng(1)
    filler = ["order", "came", "late", "and", "my", "parcel", "was", "not", "in", "the", "box", "so", "please"]
    texts, labels = [], []
    for i in range(80):
        words = list(rng.choice(filler, 9, replace=False))
        if i % 2:
            words[int(rng.integers(9))] = ["idiots", "morons", "scum"][i % 3]
        texts.append(" ".join(words))
        labels.append("rude" if i % 2 else "civil")
    return Classifier.fit(texts[:60], labels[:60], positive="rude", folds=3, pooling="max"), texts[61::2]


def test_explanations_of_a_classifier_that_reads_one_word_hold(insulting: tuple[Classifier, list[str]]) -> None:
    classifier, texts = insulting
    found = outcome_of(classifier.bundle, texts, 4096)
    assert found["verdict"]["faithful"], found["verdict"]
    assert found["tokens"]["comprehensiveness"]["curve"][0]["gap"]["low"] > 0.1
    assert found["features"]["sufficiency"]["mean"]["low"] > 0


def test_explanations_that_name_other_tokens_are_said_to_fail(
    insulting: tuple[Classifier, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, texts = insulting
    rng = np.random.default_rng(0)

    def made_up(judged: Judged, batch: Any, place: int) -> np.ndarray:
        own = batch.tokens_of(place)
        return rng.random(own.stop - own.start)

    monkeypatch.setattr(module, "token_scores", made_up)
    found = outcome_of(classifier.bundle, texts, 4096)["verdict"]
    assert not found["faithful"] and "named tokens" in found["says"]


def test_a_classifier_that_no_feature_speaks_in_is_said_to_fail(tiny_bert: Path) -> None:
    bundle = make_bundle(tiny_bert)
    silent = replace(bundle, probe=replace(bundle.probe, weights=np.zeros_like(bundle.probe.weights)))
    found = outcome_of(silent, some_texts(8))
    assert not found["verdict"]["faithful"] and "No decision has a feature" in found["verdict"]["says"]


def test_characters_are_deleted_once_where_spans_overlap() -> None:
    assert without("abcdefgh", np.array([[4, 6], [1, 3], [2, 5]])) == "agh"
    assert without("a😀b", np.array([[1, 2]])) == "ab"


def test_a_run_writes_what_it_tested_and_leaves_it_out_when_told(tmp_path: Path) -> None:
    rows = [f"{word} {i} parcel order box" for i in range(20) for word in ("idiots", "morons", "thanks", "hello")]
    labels = ["rude", "rude", "civil", "civil"] * 20
    lines = "".join(f"{text},{label}\n" for text, label in zip(rows, labels, strict=True))
    (tmp_path / "data.csv").write_text("text,label\n" + lines)
    spec = {
        "name": "small",
        "data": {"path": str(tmp_path / "data.csv")},
        "backbones": [{"model": "minilm", "layers": [3], "saes": ["bundled:minilm-l3-1k"]}],
        "pooling": ["max"],
        "binarize": ["none"],
        "baselines": ["majority"],
        "probe": {"C": [0.1]},
        "evaluate": {"folds": 3, "bootstrap": 100},
        "explain": {"rows": 10},
    }
    out = run_experiment(parse_spec(spec), tmp_path / "run", store=tmp_path / "store", jobs=1)
    found = json.loads((out / "faithfulness.json").read_text())
    assert found["splicing"] == {"defined": False, "why": "The spec has no task to ask."}
    told = json.loads((out / "results.json").read_text())["faithfulness"]
    assert found["rows"] == told["rows"] == 10
    assert found["verdict"]["says"] == told["says"]
    assert 0 < found["stability"]["folds"]["jaccard"] <= 1 and found["stability"]["seeds"]["probes"] == 3
    evidence = json.loads((out / "evidence.json").read_text())
    assert all("macro_f1" in one["without"] for one in evidence["classes"])
    assert evidence["redundancy"]["bound"] == 0.7
    again = parse_spec(spec | {"explain": {"faithfulness": False}})
    out = run_experiment(again, tmp_path / "run", store=tmp_path / "store", jobs=1)
    assert not (out / "faithfulness.json").exists()
    assert json.loads((out / "results.json").read_text())["faithfulness"] is None


@pytest.mark.slow
def test_a_causal_model_is_asked_with_the_named_features_taken_out_of_it(world: Path) -> None:
    out = run_experiment(zero_shot_spec(world), world / "spliced", store=world / "store", jobs=1)
    found = json.loads((out / "faithfulness.json").read_text())["splicing"]
    (point,) = found["moved"]["curve"]
    assert found["defined"] and point["k"] == 8 and point["gap"]["n"] > 5
    assert 0 < point["random"]["value"] < 1 and 0 < point["named"]["value"] < 1
    told = json.loads((out / "results.json").read_text())["faithfulness"]
    assert told["splicing"] == found["moved"]["mean"]
