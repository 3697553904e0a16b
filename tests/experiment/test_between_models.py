"""Between models: whose features tell what which model answers right, the SAE of a base model on a tuned one, matching
of features, and what a model answers when it is asked."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from sklearn.metrics import f1_score

from latentprobe.config import ExperimentSpec, MatchingSpec, ModelsSpec, TargetSpec, parse_as
from latentprobe.encode.answers import find_target, load_target
from latentprobe.encode.asking import Prompt
from latentprobe.encode.check import check_sae
from latentprobe.encode.model_files import find_model
from latentprobe.encode.trained_on import is_another_model
from latentprobe.errors import ModelError, SAEError, SpecError
from latentprobe.experiment import extract_features, plan, run_experiment
from latentprobe.experiment.features import make_plan
from latentprobe.experiment.matching import run_matching
from latentprobe.experiment.models import run_models
from latentprobe.learn import split
from tests.cli.small_world import write_csv
from tests.encode.checkpoints import config_v6, write_saelens
from tests.encode.test_answers import save_causal

WIDTH, LAYER, N = 64, 1, 96
WORDS = ("cat", "dog", "mat", "red", "blue", "good", "bad", "money", "refund", "back")


def save_sae(folder: Path, model: str, *, seed: int = 0, flip: bool = False) -> Path:
    """A random SAE that is on at about a third of all tokens; flipped: the same features under other numbers."""
    draw = torch.Generator().manual_seed(seed)
    tensors = {
        "W_enc": torch.randn(16, WIDTH, generator=draw) / 4,
        "W_dec": torch.randn(WIDTH, 16, generator=draw),
        "b_enc": torch.full((WIDTH,), -0.2),
        "b_dec": torch.zeros(16),
        "threshold": torch.full((WIDTH,), 0.1),
    }
    if flip:
        tensors |= {"W_enc": tensors["W_enc"].flip(1) * 2, "b_enc": tensors["b_enc"] * 2}
    metadata = {"hook_name": f"blocks.{LAYER}.hook_resid_post", "model_name": model, "prepend_bos": None}
    return write_saelens(folder, config_v6("jumprelu", d_in=16, d_sae=WIDTH, metadata=metadata), tensors)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, a tuned copy of the first, SAEs, and prompts with planted answers."""
    root = tmp_path_factory.mktemp("world")
    save_causal(root / "base")
    save_causal(root / "other", "gpt2")
    tuned = transformers.AutoModelForCausalLM.from_pretrained(save_causal(root / "base-tuned"))
    with torch.no_grad():
        for name, tensor in tuned.named_parameters():
            if "mlp" in name:
                tensor.add_(0.02 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)))
    tuned.save_pretrained(root / "base-tuned")
    save_sae(root / "sae-base", "base")
    save_sae(root / "sae-other", "other", seed=1)
    save_sae(root / "sae-flipped", "base", flip=True)
    rng = np.random.default_rng(0)
    texts = [" ".join(some) for some in itertools.islice(itertools.permutations(WORDS, 4), 0, 5040, 50)][:N]
    rows = [
        {
            "id": f"q{number}",
            "text": f"the {text}",
            "planted": str("red" in text).lower(),
            "noise": str(bool(rng.random() < 0.5)).lower(),
            "partly": str("dog" in text).lower() if number % 3 else "",
        }
        for number, text in enumerate(texts)
    ]
    write_csv(root / "answers.csv", rows)
    return root


def backbone(world: Path, model: str, sae: str, **more: Any) -> dict[str, Any]:
    return {"model": str(world / model), "layers": [LAYER], "saes": [str(world / sae)], "device": "cpu", **more}


SMALL: dict[str, Any] = {
    "pooling": ["max"],
    "binarize": ["none"],
    "probe": {"C": [0.1, 1.0]},
    "evaluate": {"folds": 3, "bootstrap": 100},
}


def models_spec(world: Path, **changes: Any) -> ModelsSpec:
    values = {
        "name": "who",
        "data": {"path": str(world / "answers.csv"), "id": "id", "test": 0.34},
        "targets": {"planted": str(world / "base"), "noise": None, "partly": None},
        "backbones": [backbone(world, "base", "sae-base"), backbone(world, "other", "sae-other")],
        "baselines": ["hidden", "tfidf", "majority"],
    }
    return parse_as(ModelsSpec, {**SMALL, **values, **changes})


@pytest.fixture(scope="module")
def matrix(world: Path) -> dict[str, Any]:
    out = run_models(models_spec(world), world / "matrix", store=world / "store", jobs=1)
    return json.loads((out / "models.json").read_text())  # type: ignore[no-any-return]


def test_every_source_stands_beside_every_target_with_what_it_is_compared_with(matrix: dict[str, Any]) -> None:
    base, other = matrix["sources"]
    assert [target["target"] for target in matrix["targets"]] == ["planted", "noise", "partly"]
    for target in matrix["targets"]:
        cells = {(cell["source"], cell["what"]): cell for cell in target["cells"]}
        assert set(cells) == {
            *((source, what) for source in (base, other) for what in ("sae", "hidden")),
            *((None, what) for what in ("tfidf words", "tfidf characters", "majority")),
        }
        for (source, what), cell in cells.items():
            assert cell["low"] <= cell["macro_f1"] <= cell["high"]
            assert (cell["minus_hidden"] is not None) == (what == "sae")
            has_own = target["own"] is not None and (source, what) != (target["own"], "sae")
            assert (cell["minus_own"] is not None) == has_own
    planted = matrix["targets"][0]
    cells = {(cell["source"], cell["what"]): cell for cell in planted["cells"]}
    gap = cells[other, "sae"]["macro_f1"] - cells[base, "sae"]["macro_f1"]
    assert cells[other, "sae"]["minus_own"]["value"] == pytest.approx(gap)


def test_a_planted_answer_is_found_and_noise_is_at_chance_from_every_source(matrix: dict[str, Any]) -> None:
    planted, noise, _ = matrix["targets"]
    own, hidden, other, _, words, _, majority = (cell["macro_f1"] for cell in planted["cells"])
    assert min(own, words) > 0.8 and hidden > 0.65
    assert other > majority + 0.2
    for cell in noise["cells"]:
        assert cell["low"] < 0.5 < 0.78 > cell["macro_f1"], cell["name"]


def test_all_targets_share_one_split_and_rows_a_target_was_not_asked_are_left_out(
    matrix: dict[str, Any], world: Path
) -> None:
    planted, noise, partly = matrix["targets"]
    assert (planted["n_train"], planted["n_test"]) == (noise["n_train"], noise["n_test"])
    assert partly["n_train"] + partly["n_test"] == sum(number % 3 > 0 for number in range(N))
    made = make_plan(models_spec(world), world / "store")
    parts = split(made.corpus, test=0.34, seed=0)
    assert planted["base_rate"] == pytest.approx(made.corpus.target.y[parts.test, 0].mean())


def test_one_target_alone_and_the_same_seed_give_the_same_bytes(world: Path) -> None:
    spec = models_spec(world, targets={"planted": None}, backbones=[backbone(world, "base", "sae-base")])
    first = run_models(spec, world / "one", store=world / "store", jobs=1)
    second = run_models(spec, world / "two", store=world / "store-two", jobs=1)
    assert (first / "models.json").read_bytes() == (second / "models.json").read_bytes()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"targets": {}}, "at least 1"),
        ({"targets": {"planted": "minilm"}}, "none of the backbones"),
        ({"baselines": ["majority"]}, "hidden and majority"),
        ({"data": {"path": "x.csv", "label": "noise"}}, "leave `data.label` out"),
    ],
)
def test_a_wrong_matrix_is_refused(world: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as refused:
        models_spec(world, **changes)
    assert told in str(refused.value)


# The SAE of a base model on the tuned one.


def test_the_sae_of_a_base_model_is_taken_on_the_tuned_one_only_when_asked(world: Path) -> None:
    def spec(**more: Any) -> ExperimentSpec:
        return parse_as(
            ExperimentSpec,
            {
                **SMALL,
                "name": "tuned",
                "data": {"path": str(world / "answers.csv"), "id": "id", "label": "planted", "test": 0.34},
                "backbones": [backbone(world, "base", "sae-base"), backbone(world, "base-tuned", "sae-base", **more)],
                "baselines": ["hidden", "majority"],
            },
        )

    with pytest.raises(SAEError, match="trained on base-tuned was expected") as refused:
        run_experiment(spec(), world / "refused", store=world / "store")
    assert "accept_model: true" in refused.value.fix
    out = run_experiment(spec(accept_model=True), world / "side-by-side", store=world / "store", jobs=1)
    results = json.loads((out / "results.json").read_text())
    sae = {row["model"]: row for row in results["rows"] if row["kind"] == "sae"}
    assert set(sae) == {str(world / "base"), str(world / "base-tuned")}
    assert len({row["name"] for row in sae.values()}) == 2
    assert all(row["macro_f1"] > 0.8 for row in sae.values())
    places = {place["model"]: place for place in results["reconstruction"]["places"]}
    assert set(places) == set(sae) and len({place["trained_on"] for place in places.values()}) == 1
    for model, place in places.items():
        assert place["best"]["name"] == sae[model]["name"]
        assert place["best"]["macro_f1"] == sae[model]["macro_f1"]
        # Second opinion: the check of the SAE alone, on the training rows.
        corpus = make_plan(spec(accept_model=True), world / "store").corpus
        rows = [corpus.texts[row] for row in split(corpus, test=0.34, seed=0).train]
        alone = check_sae(str(world / "sae-base"), model=model, texts=rows, device="cpu").figures
        assert place["figures"] == {name: getattr(alone, name) for name in place["figures"]}
    assert places[str(world / "base")]["figures"] != places[str(world / "base-tuned")]["figures"]
    page = (out / "report.html").read_text()
    assert 'id="reconstruction"' in page and "Explained variance" in page


def test_a_check_says_what_the_sae_of_the_base_model_rebuilds_on_the_tuned_one(world: Path) -> None:
    texts = ["the cat sat on the mat", "good dog never red"]
    own = check_sae(str(world / "sae-base"), model=str(world / "base"), texts=texts, device="cpu")
    tuned = check_sae(str(world / "sae-base"), model=str(world / "base-tuned"), texts=texts, device="cpu")
    assert (own.model, tuned.model) == ("base", "base-tuned")
    assert own.figures != tuned.figures


@pytest.mark.parametrize(
    ("trained_on", "folder", "another"),
    [
        ("gemma-2-2b", "gemma-2-2b-it", True),
        ("google/gemma-2-2b-it", "gemma-2-2b", True),
        ("gemma-2-2b", "gemma-2-2b", False),
        ("gemma-2-2b", "my-copy", False),
        ("gpt2-small", "gpt2", False),
        (None, "gemma-2-2b-it", False),
    ],
)
def test_folders_are_told_apart_by_words_of_tuning_alone(
    world: Path, trained_on: str | None, folder: str, another: bool
) -> None:
    from dataclasses import replace

    files = find_model(str(world / "base"))
    assert is_another_model(trained_on, replace(files, name=folder)) is another
    of_the_hub = replace(files, name=f"org/{folder}", revision="0" * 40)
    assert is_another_model(trained_on, of_the_hub) is (another or folder == "my-copy")


# Feature matching.


def matching_spec(world: Path, second: dict[str, Any], **changes: Any) -> MatchingSpec:
    values = {
        "name": "match",
        "data": {"path": str(world / "answers.csv"), "id": "id", "label": "planted", "test": 0.34},
        "first": backbone(world, "base", "sae-base"),
        "second": second,
        "features": 64,
        "probe": SMALL["probe"],
        "evaluate": SMALL["evaluate"],
    }
    return parse_as(MatchingSpec, {**values, **changes})


def matched(spec: MatchingSpec, out: Path, world: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    found = json.loads((run_matching(spec, out, store=world / "store") / "matching.json").read_text())
    return found, {probe["name"]: probe for probe in found["probes"]}


def test_the_same_features_under_other_numbers_are_matched_and_carry_the_probe(world: Path) -> None:
    found, probes = matched(matching_spec(world, backbone(world, "base", "sae-flipped")), world / "same", world)
    assert found["matched"] == found["matched_one_to_one"] == 1 and found["median_correlation"] > 0.999
    assert found["median_correlation_of_shuffled_rows"] < 0.5 and found["matched_by_chance"] == 0.05
    assert all(pair["first"] + pair["second"] == WIDTH - 1 for pair in found["pairs"])
    own = probes["first, own probe"]["macro_f1"]
    assert own > 0.8
    for name in ("carried over, best partners", "carried over, one to one"):
        assert probes[name]["macro_f1"] == own
    assert probes["carried over, shuffled rows"]["macro_f1"] < own - 0.2


def test_a_probe_is_carried_to_another_model_and_both_sides_are_named(world: Path) -> None:
    found, probes = matched(matching_spec(world, backbone(world, "other", "sae-other")), world / "others", world)
    assert found["first"]["model"].endswith("base") and found["second"]["model"].endswith("other")
    assert 0.05 < found["matched"] < 1
    assert probes["second, own probe"]["minus_own"]["value"] == 0
    for probe in probes.values():
        assert probe["low"] <= probe["macro_f1"] <= probe["high"]
    with pytest.raises(SpecError, match="cannot be used"):
        matching_spec(world, backbone(world, "other", "sae-other", layers=[0, 1]))


# Zero-shot.


def zero_shot_spec(world: Path, **task: Any) -> ExperimentSpec:
    values = {
        "name": "asked",
        "data": {"path": str(world / "answers.csv"), "id": "id", "label": "planted", "test": 0.34},
        "backbones": [backbone(world, "base", "sae-base")],
        "baselines": ["zero_shot", "majority"],
        "task": {"prompt": "{text} very", "answers": {"true": "red mat", "false": "please"}, **task},
    }
    return parse_as(ExperimentSpec, {**SMALL, **values})


def test_the_zero_shot_row_is_what_the_model_answers_and_nothing_is_fitted(world: Path) -> None:
    spec = zero_shot_spec(world)
    out = run_experiment(spec, world / "asked", store=world / "store", jobs=1)
    results = json.loads((out / "results.json").read_text())
    (row,) = [row for row in results["rows"] if row["name"].startswith("zero-shot")]
    assert row["name"] == "zero-shot base" and row["kind"] == "baseline" and row["C"] is None
    made = make_plan(spec, world / "store")
    parts = split(made.corpus, test=0.34, seed=0)
    target = TargetSpec(model=str(world / "base"), device="cpu")
    prompts = [Prompt(f"{made.corpus.texts[row]} very") for row in parts.test]
    found = load_target(target, find_target(target)).score(prompts, [["please", "red mat"]] * len(prompts))
    said = [int(own[1].normalized("tokens") > own[0].normalized("tokens")) for own in found]
    truth = made.corpus.target.y[parts.test]
    assert made.corpus.target.classes == ("false", "true")
    assert row["macro_f1"] == pytest.approx(f1_score(truth, said, average="macro"))
    assert any(said) and not all(said)
    assert row["name"] in (out / "report.html").read_text() or "own answer" in (out / "report.html").read_text()
    told = json.loads((out / "environment.json").read_text())
    assert f"{world / 'base'}/zero-shot" in told["fingerprints"]


def test_answers_are_asked_once_and_again_only_for_other_words(world: Path) -> None:
    store = world / "asked-store"
    before = plan(zero_shot_spec(world), store)["rows_through_a_model"]
    assert extract_features(zero_shot_spec(world), store)["passed"] == before == 2 * N
    assert plan(zero_shot_spec(world), store)["rows_through_a_model"] == 0
    assert extract_features(zero_shot_spec(world), store)["passed"] == 0
    (first,) = make_plan(zero_shot_spec(world), world / "store").answers
    (same,) = make_plan(zero_shot_spec(world), world / "store").answers
    (other,) = make_plan(zero_shot_spec(world, prompt="{text} please"), world / "store").answers
    (swapped,) = make_plan(zero_shot_spec(world, answers={"true": "please", "false": "red mat"}), world).answers
    assert first.fingerprint == same.fingerprint
    assert len({first.fingerprint, other.fingerprint, swapped.fingerprint}) == 3


def test_a_task_that_cannot_be_asked_is_refused(world: Path) -> None:
    with pytest.raises(SpecError, match="words of its own for each class"):
        make_plan(zero_shot_spec(world, answers={"true": "red", "maybe": "blue"}), world / "store")
    with pytest.raises(ModelError, match="causal language model"):
        make_plan(zero_shot_spec(world, model="minilm"), world / "store")
    with pytest.raises(SpecError, match="zero_shot answers the question"):
        parse_as(ExperimentSpec, zero_shot_spec(world).model_dump() | {"task": None})
