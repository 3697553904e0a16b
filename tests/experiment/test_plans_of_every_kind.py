"""Every kind of spec has a plan that fetches nothing, writes nothing, and says what the work then does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from latentprobe.cli.main import main
from latentprobe.config import BehaviourSpec, ExperimentSpec, TransferSpec, parse_as, read_transfer_spec
from latentprobe.encode.answers import find_target, load_target
from latentprobe.encode.extract import shared_reader
from latentprobe.encode.formats import describe
from latentprobe.errors import CorpusError, LatentprobeError, ModelError, SpecError
from latentprobe.experiment import plan
from latentprobe.experiment.behaviour import run_behaviour
from latentprobe.experiment.environment import Silent
from latentprobe.experiment.features import make_plan
from latentprobe.experiment.questions import read_questions
from latentprobe.experiment.transfer import make_transfer_plan
from tests.cli.small_world import write_spec
from tests.experiment.test_behaviour import Ask, ask, model, write_questions
from tests.experiment.test_between_models import N, backbone, matching_spec, models_spec, world, zero_shot_spec
from tests.experiment.test_planning import CANONICAL, GEMMA, empty_cache, references, values
from tests.experiment.test_transfer import spec_of, write_messages

__all__ = ["ask", "empty_cache", "model", "world"]

pytestmark = pytest.mark.disable_socket

Command = Callable[..., tuple[object, str, str]]
HUB: dict[str, Any] = {"path": "hf:nobody/nothing"}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The exit status, output and errors of a command line."""

    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["latentprobe", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return run


@pytest.fixture
def languages(tmp_path: Path) -> TransferSpec:
    """Messages in two languages; the second has the texts of the first as its translation."""
    write_messages(tmp_path)
    path = write_spec(tmp_path / "languages.yaml", spec_of())
    return read_transfer_spec(path)  # type: ignore[return-value]


def test_each_kind_prints_its_plan_and_writes_nothing(
    world: Path, ask: Ask, languages: TransferSpec, command: Command, tmp_path: Path
) -> None:
    kinds: list[tuple[str, BaseModel]] = [
        ("run", zero_shot_spec(world)),
        ("transfer", languages),
        ("transfer", models_spec(world)),
        ("transfer", matching_spec(world, backbone(world, "other", "sae-other"))),
        ("behaviour", ask()),
    ]
    for number, (verb, spec) in enumerate(kinds):
        values = spec.model_dump(mode="json")
        if "targets" in values:
            values["data"].pop("label")
        path = write_spec(tmp_path / f"{number}.yaml", values)
        status, out, err = command(verb, path, "--dry-run", "--store", tmp_path / "store")
        assert (status, err) == (0, ""), err
        assert "rows_through_a_model:" in out and "pass:  " in out and "estimated seconds:" in out
        status, out, _ = command(verb, path, "--dry-run", "--json", "--store", tmp_path / "store")
        planned = json.loads(out)
        assert status == 0 and sum(one["rows"] for one in planned["passes"]) == planned["rows_through_a_model"] > 0
        assert all(one["here"] for one in planned["references"]) and None not in values_of(planned)
    assert not (tmp_path / "store").exists()
    assert {path.suffix for path in tmp_path.iterdir()} == {".yaml", ".csv", ".json"}


def values_of(planned: dict[str, Any]) -> list[Any]:
    return list(values(planned).values())


def test_a_transfer_plan_is_what_the_transfer_then_does(languages: TransferSpec, tmp_path: Path) -> None:
    store = tmp_path / "store"
    said = plan(languages, store)
    made = make_transfer_plan(languages, store)
    corpora = {domain.name: domain.corpus for domain in made.domains}
    passed = sum(part.extract(Silent()) for part in made.plans)
    assert [one["rows"] for one in said["passes"]] == [passed] == [said["rows_through_a_model"]] == [60]
    assert (said["sources"], said["sources_to_extract"]) == (6, 4)  # the translation is the English that is stored
    backbone = shared_reader(languages.backbones[0], images=False)
    read = [row for name in ("en", "de") for row in corpora[name].rows]
    assert values(said)["tokens"] == sum(len(window) for one in backbone.tokenize(read) for window in one.windows)
    stored = sum(path.stat().st_size for path in store.rglob("*.parquet"))
    assert stored / 2 < values(said)["store_bytes"] < stored * 2
    again = plan(languages, store)
    assert (again["sources_to_extract"], again["passes"], set(values(again).values())) == (0, [], {0})


def test_a_reference_that_is_wrong_is_refused_in_one_message(
    languages: TransferSpec, command: Command, tmp_path: Path
) -> None:
    wrong = spec_of(backbones=[{"model": "minilm", "layers": [3], "saes": ["bundled:minilm-l3-9k"]}])
    path = write_spec(tmp_path / "wrong.yaml", wrong)
    status, out, err = command("transfer", path, "--dry-run", "--store", tmp_path / "store")
    assert (status, out) == (2, "") and err.startswith("error: ") and err.count("error: ") == 1
    assert "minilm-l3-9k" in err and "Traceback" not in err


def test_domains_of_the_hub_that_are_not_here_are_planned_with_rows_in_their_place(tmp_path: Path) -> None:
    domains = {name: {"path": f"hf:nobody/nothing:{name}"} for name in ("en", "de", "fr")}
    said = plan(parse_as(TransferSpec, spec_of(domains=domains, backbones=[GEMMA])), tmp_path)
    assert said["rows"] == said["units"] == said["rows_through_a_model"] == 3000
    assert said["notes"][0].startswith("en: hf:nobody/nothing:en is not on this machine")
    assert references(said)[CANONICAL]["known"] and values(said)["seconds"] is None
    assert values(said)["store_bytes"] > 3000 * 2304 * 4 * 3
    assert list(tmp_path.iterdir()) == []


def test_a_column_of_domains_and_domains_that_are_here_in_part_are_planned_too(
    languages: TransferSpec, tmp_path: Path
) -> None:
    by_column = spec_of(domains=None, data=HUB, domain="language", train=["fr"], backbones=[GEMMA])
    said = plan(parse_as(TransferSpec, by_column), tmp_path / "store")
    assert said["domains"] == ["fr (500 rows)", "one (500 rows)"] and said["trained"] == ["fr"]
    absent = parse_as(TransferSpec, spec_of(domains={"xx": HUB, "yy": HUB})).domains
    assert languages.domains is not None and absent is not None
    partly = languages.model_copy(update={"domains": {"xx": absent["xx"], **languages.domains}})
    said = plan(partly, tmp_path / "store")
    assert said["domains"][:2] == ["xx (1,000 rows)", "en (30 rows)"] and said["classes"] == 2


def test_a_folder_that_is_not_there_is_not_taken_for_a_data_set_of_the_hub(tmp_path: Path) -> None:
    spec = parse_as(ExperimentSpec, {"name": "x", "data": {"path": f"hf:{tmp_path / 'nowhere'}"}, "backbones": [GEMMA]})
    with pytest.raises(CorpusError, match="cannot be loaded"):
        plan(spec, tmp_path)


def test_images_of_the_hub_that_are_not_here_are_counted_as_images(tmp_path: Path) -> None:
    data = {"path": "hf:nobody/nothing", "image": "img"}
    said = plan(parse_as(ExperimentSpec, {"name": "x", "data": data, "backbones": [GEMMA]}), tmp_path)
    assert "1,000 images of 224 pixels" in said["notes"][0] and said["notes"][1].startswith("Left out")
    assert values(said)["tokens"] is None and values(said)["store_bytes"] is None


def test_an_untrained_sae_beside_one_that_is_not_here_takes_as_much_room(tmp_path: Path) -> None:
    def said(*baselines: str) -> dict[str, Any]:
        values_ = {"name": "x", "data": HUB, "backbones": [GEMMA], "baselines": ["hidden", *baselines]}
        return values(plan(parse_as(ExperimentSpec, values_), tmp_path))

    one, both = said(), said("random_sae")
    hidden = 4 * 2304 * 1000 * 3
    assert both["store_bytes"] - hidden == pytest.approx(2 * (one["store_bytes"] - hidden), abs=2)
    assert both["memory_bytes"] == 2 * one["memory_bytes"] == 2 * 4 * 2304 * describe(CANONICAL)["width"]


# Asking.


def test_what_zero_shot_asks_counts_in_passes_tokens_and_room(world: Path, tmp_path: Path) -> None:
    spec = zero_shot_spec(world)
    both, alone = (
        plan(one, tmp_path / "store") for one in (spec, spec.model_copy(update={"baselines": ("majority",)}))
    )
    assert [(one["does"], one["rows"]) for one in both["passes"]] == [("extract", N), ("ask", N)]
    (answers,) = make_plan(spec, tmp_path / "store").answers
    target = load_target(answers.spec, find_target(answers.spec))
    texts = make_plan(spec, tmp_path / "store").corpus.texts
    # "please" is one token, and so is the last of "red mat": a pass over the prompt and one word serves both.
    longest = sum(len(target._tokenizer(f"{text} very red")["input_ids"]) - 1 for text in texts)
    assert values(both)["tokens"] - values(alone)["tokens"] == longest
    assert values(both)["store_bytes"] - values(alone)["store_bytes"] == pytest.approx(N * 2 * 4, rel=0.2)
    assert values(both)["memory_bytes"] >= values(alone)["memory_bytes"]


def test_a_model_that_is_to_answer_and_not_here_is_planned_and_one_that_cannot_is_refused(
    world: Path, tmp_path: Path
) -> None:
    said = plan(zero_shot_spec(world, model="google/gemma-2-9b-it"), tmp_path)
    asked = references(said)["google/gemma-2-9b-it"]
    assert (asked["kind"], asked["here"], asked["download"], asked["known"]) == ("model", False, True, True)
    assert said["passes"][1]["rows"] == N and values(said)["tokens"] > N
    assert values(said)["seconds"] is None and "the model is not here" in said["estimates"]["seconds"]["how"]
    with pytest.raises(ModelError, match="causal language model"):
        plan(zero_shot_spec(world, model="minilm"), tmp_path)
    with pytest.raises(SpecError, match="words of its own for each class"):
        plan(zero_shot_spec(world, answers={"true": "red", "maybe": "blue"}), tmp_path)


@pytest.mark.parametrize("kind", ["choice", "free"])
def test_a_plan_of_questions_is_what_asking_them_then_does(
    tmp_path: Path, ask: Ask, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_questions(tmp_path / "questions.json", rows=60)
    changes: dict[str, Any] = {"kind": "free", "answers": None, "grade": "contains"} if kind == "free" else {}
    conditions = {
        "with": {"context": "context", "prompt": "{context} {question} please"},
        "without": {"prompt": "{question} please"},
    }
    spec = ask(conditions=conditions, **changes)
    said = plan(spec, tmp_path / "store")
    assert (said["rows"], said["prompts"], said["prompts_kept"], said["rows_through_a_model"]) == (60, 120, 0, 120)
    target = load_target(spec.target, find_target(spec.target))
    asked = [prompt.text for one in read_questions(spec).conditions.values() for prompt in one.prompts]
    read = sum(len(target._tokenizer(text)["input_ids"]) - 1 for text in asked)  # without the mark behind a text
    # Red and blue are one token each: both are read off a pass over the prompt alone.
    assert values(said)["tokens"] == read + (0 if kind == "choice" else 16 * 120)
    monkeypatch.setattr("latentprobe.experiment.behaviour._require_two_classes", lambda *_: None)
    run_behaviour(spec, tmp_path / "answers.parquet", store=tmp_path / "store")
    stored = sum(path.stat().st_size for path in (tmp_path / "store" / "answers").iterdir())
    assert stored / 2 < values(said)["store_bytes"] < stored * 2
    again = plan(spec, tmp_path / "store")
    assert (again["prompts_kept"], again["passes"], set(values(again).values())) == (120, [], {0})
    further = spec.model_copy(update={"conditions": {**spec.conditions, "more": spec.conditions["with"]}})
    assert plan(further, tmp_path / "store")["prompts_kept"] == 180


def test_questions_of_the_hub_and_a_target_that_is_not_here_are_planned(tmp_path: Path) -> None:
    def spec(target: str, **data: Any) -> BehaviourSpec:
        conditions = {
            "a": {"prompt": "{context} {question}", "context": "one"},
            "b": {"prompt": "{context} {question}", "context": "two"},
        }
        values_ = {"name": "x", "kind": "choice", "target": {"model": target}, "conditions": conditions}
        return parse_as(BehaviourSpec, {**values_, "data": HUB | {"choices": ["first", "second"]} | data})

    said = plan(spec("google/gemma-2-9b-it", answer_as="letter", id="id", keep=["group"]), tmp_path)
    assert (said["rows"], said["prompts"], said["prompts_kept"]) == (1000, 2000, 0)
    assert [(one["here"], one["known"]) for one in said["references"]] == [(False, True)]
    # Choices of several words take a pass each, over prompts of 240 words.
    assert values(said)["tokens"] == pytest.approx(2 * 2000 * 1250 / 4, rel=0.1)
    assert values(said)["memory_bytes"] is values(said)["seconds"] is None
    assert not plan(spec("nobody/nothing", choices="all", answer_as="index"), tmp_path)["references"][0]["known"]
    for wrong in ("./nowhere", "minilm"):
        with pytest.raises(ModelError):
            plan(spec(wrong), tmp_path)


def test_prompts_that_a_model_cannot_read_are_refused_before_it_is_asked(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(LatentprobeError, match="prompts that fit"):
        plan(ask(target={"max_tokens": 8}, conditions={"plain": {"prompt": "{question} good bad red blue"}}), tmp_path)


def test_a_table_must_be_named_where_questions_are_asked(ask: Ask, command: Command, tmp_path: Path) -> None:
    path = write_spec(tmp_path / "ask.yaml", ask().model_dump(mode="json"))
    status, _, err = command("behaviour", path, "--store", tmp_path / "store")
    assert status == 2 and err.startswith("error: a table to write was expected") and "--out" in err
