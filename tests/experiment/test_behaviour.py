"""Prompts labelled by whether a model answers them right: from questions to a table that `run` reads."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from latentprobe.config import BehaviourSpec, DataSpec, parse_as
from latentprobe.corpus import read_corpus
from latentprobe.encode.answers import CausalModel, find_target, load_target
from latentprobe.encode.asking import Prompt
from latentprobe.errors import CorpusError, LatentprobeError, ModelError, OutputError, SpecError
from latentprobe.experiment.behaviour import manifest_path, run_behaviour
from latentprobe.files import sha256_file
from latentprobe.learn.grading import normalized_answer
from tests.encode.test_answers import save_causal

WORDS = ("cat", "dog", "mat", "red", "blue", "good", "bad", "money")


def write_questions(path: Path, rows: int = 24, **columns: Callable[[int], Any]) -> Path:
    """Questions no two of which are the same, each in a context of its own."""
    made = {
        "question": lambda row: f"the {WORDS[row % 8]} sat on {WORDS[row // 8]} very {WORDS[(row * 3) % 8]}",
        "context": lambda row: f"{WORDS[(row * 5) % 8]} {WORDS[(row * 7 + 1) % 8]} never",
        "answer": lambda row: ("red", "blue")[row % 2],
    } | columns
    path.write_text(json.dumps([{name: value(row) for name, value in made.items()} for row in range(rows)]))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_causal(tmp_path_factory.mktemp("target") / "tiny")


@pytest.fixture
def ask(tmp_path: Path, model: Path) -> Callable[..., BehaviourSpec]:
    """A spec of a choice between red and blue; ``data={...}`` and ``target={...}`` change keys within them."""

    def make(**changes: Any) -> BehaviourSpec:
        data = {"path": str(tmp_path / "questions.json")} | changes.pop("data", {})
        if not Path(data["path"]).exists():
            write_questions(Path(data["path"]))
        values = {
            "name": "colours",
            "target": {"model": str(model), "device": "cpu"} | changes.pop("target", {}),
            "data": data,
            "kind": "choice",
            "answers": {"red": "red", "blue": "blue"},
            "conditions": {"plain": {"prompt": "{question} please"}},
        }
        return parse_as(BehaviourSpec, {**values, **changes})

    return make


Ask = Callable[..., BehaviourSpec]


def rows_of(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out).to_pylist()  # type: ignore[no-any-return]


def test_a_table_says_which_prompts_were_answered_right_and_run_reads_it(tmp_path: Path, ask: Ask) -> None:
    out = tmp_path / "answers.parquet"
    manifest = run_behaviour(ask(), out, store=tmp_path / "store")
    rows = rows_of(out)
    assert [row["id"] for row in rows] == [str(row) for row in range(24)]
    for number, row in enumerate(rows):
        assert row["prompt"] == f"{row['question']} please"
        assert row["expected"] == ("red", "blue")[number % 2]
        assert row["answered_right"] == (row["answer"] == row["expected"])
        assert 0.5 <= row["confidence"] <= 1
    assert manifest["conditions"]["plain"]["right"] == sum(row["answered_right"] for row in rows)
    corpus = read_corpus(DataSpec(path=str(out), text="prompt", label="answered_right", id="id"))
    assert corpus.target.classes == ("false", "true")
    assert corpus.target.counts()["true"] == sum(row["answered_right"] for row in rows)


def test_labels_are_what_the_model_says_and_not_what_the_file_says(tmp_path: Path, ask: Ask) -> None:
    """Planted: right answers that are the model's own in half of the rows are found right there and nowhere else."""
    run_behaviour(ask(), tmp_path / "first.parquet", store=tmp_path / "store")
    said = [row["answer"] for row in rows_of(tmp_path / "first.parquet")]
    other = {"red": "blue", "blue": "red"}
    planted = write_questions(tmp_path / "planted.json", answer=lambda r: said[r] if r % 2 else other[said[r]])
    run_behaviour(ask(data={"path": str(planted)}), tmp_path / "second.parquet", store=tmp_path / "store")
    assert [row["answered_right"] for row in rows_of(tmp_path / "second.parquet")] == [bool(r % 2) for r in range(24)]


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".csv"])
def test_every_format_gives_the_same_corpus_and_the_same_bytes_again(tmp_path: Path, ask: Ask, ending: str) -> None:
    outs = [tmp_path / f"{name}{ending}" for name in ("one", "two")]
    for number, out in enumerate(outs):
        run_behaviour(ask(), out, store=tmp_path / f"store-{number}")
    assert outs[0].read_bytes() == outs[1].read_bytes()
    corpus = read_corpus(DataSpec(path=str(outs[0]), text="prompt", label="answered_right", id="id"))
    run_behaviour(ask(), tmp_path / "x.parquet", store=tmp_path / "store-0")
    assert [name == "true" for name in map(corpus.target.classes.__getitem__, corpus.target.y)] == [
        row["answered_right"] for row in rows_of(tmp_path / "x.parquet")
    ]


def test_the_manifest_tells_the_model_by_its_weights_and_the_table_by_its_hash(tmp_path: Path, ask: Ask) -> None:
    out = tmp_path / "answers.csv"
    told = run_behaviour(ask(), out, store=tmp_path / "store")
    assert json.loads(manifest_path(out).read_text()) == told
    assert told["sha256"] == sha256_file(out) and told["rows"] == 24 and told["target"]["model"] == "tiny"
    assert len(told["target"]["weights"]) == 64 and told["spec"]["conditions"]["plain"]["prompt"]
    other = save_causal(tmp_path / "tiny", initializer_range=0.5, intermediate_size=40)
    again = run_behaviour(ask(target={"model": str(other)}), tmp_path / "b.csv", store=tmp_path / "store")
    assert again["target"]["weights"] != told["target"]["weights"]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latentprobe.experiment.behaviour.CHUNK", 8)
    run_behaviour(ask(), tmp_path / "whole.parquet", store=tmp_path / "other")
    asked: list[int] = []
    score = CausalModel.score

    def counted(self: CausalModel, prompts: Any, answers: Any) -> Any:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(prompts))
        return score(self, prompts, answers)

    monkeypatch.setattr(CausalModel, "score", counted)
    out = tmp_path / "answers.parquet"
    with pytest.raises(KeyboardInterrupt):
        run_behaviour(ask(), out, store=tmp_path / "store")
    assert not out.exists() and not manifest_path(out).exists()
    asked[:] = [0]
    run_behaviour(ask(), out, store=tmp_path / "store")
    assert asked == [0, 8]
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    monkeypatch.setattr("latentprobe.experiment.behaviour.load_target", lambda *_: pytest.fail("asked again"))
    run_behaviour(ask(), out, store=tmp_path / "store")


def test_conditions_have_columns_of_their_own_and_a_swapped_context_its_own_answer(tmp_path: Path, ask: Ask) -> None:
    data = write_questions(
        tmp_path / "q.json",
        other=lambda row: f"{WORDS[(row * 3 + 2) % 8]} bad",
        swapped_answer=lambda row: ("blue", "red")[row % 2],
        language=lambda row: "en",
    )
    spec = ask(
        data={"path": str(data), "keep": ["language"]},
        conditions={
            "with": {"prompt": "{context} {question}", "context": "context"},
            "without": {"prompt": "{question}"},
            "swapped": {"prompt": "{context} {question}", "context": "other", "answer": "swapped_answer"},
        },
    )
    out = tmp_path / "answers.parquet"
    told = run_behaviour(spec, out, store=tmp_path / "store")
    assert list(told["conditions"]) == ["with", "without", "swapped"]
    for number, row in enumerate(rows_of(out)):
        assert row["language"] == "en"
        assert row["prompt"] == f"{WORDS[(number * 5) % 8]} {WORDS[(number * 7 + 1) % 8]} never {row['question']}"
        assert row["without_prompt"] == row["question"]
        assert row["swapped_expected"] == ("blue", "red")[number % 2] != row["expected"]
        assert row["swapped_answered_right"] == (row["swapped_answer"] == row["swapped_expected"])
    alone = ask(data={"path": str(data)}, conditions={"without": {"prompt": "{question}"}})
    run_behaviour(alone, tmp_path / "alone.parquet", store=tmp_path / "store")
    assert [row["answer"] for row in rows_of(tmp_path / "alone.parquet")] == [
        row["without_answer"] for row in rows_of(out)
    ]


def test_rows_may_have_choices_of_their_own_by_words_number_or_letter(tmp_path: Path, ask: Ask) -> None:
    """PIQA's and MMLU's forms of one file."""
    data = write_questions(
        tmp_path / "q.json",
        first=lambda row: f"{WORDS[row % 8]} mat",
        second=lambda row: f"very {WORDS[(row + 1) % 8]} please",
        choices=lambda row: [f"{WORDS[row % 8]} mat", f"very {WORDS[(row + 1) % 8]} please"],
        words=lambda row: f"{WORDS[row % 8]} mat" if row % 2 else f"very {WORDS[(row + 1) % 8]} please",
        index=lambda row: (row + 1) % 2,
        letter=lambda row: "BA"[row % 2],
    )
    tables = []
    for choices, kind in (("choices", "words"), (["first", "second"], "index"), ("choices", "letter")):
        columns = {"path": str(data), "choices": choices, "answer": kind, "answer_as": kind}
        out = tmp_path / f"{kind}.parquet"
        run_behaviour(ask(data=columns, answers=None), out, store=tmp_path / "store")
        tables.append(rows_of(out))
    assert tables[0] == tables[1] == tables[2]
    assert {row["answer"].split()[-1] for row in tables[0]} <= {"mat", "please"}


@pytest.mark.parametrize("answers", [lambda row: bool(row % 2), lambda row: ("no", "yes")[row % 2]])
def test_yes_or_no_may_be_written_as_truth_values(tmp_path: Path, ask: Ask, answers: Callable[[int], Any]) -> None:
    data = write_questions(tmp_path / "q.json", answer=answers)
    spec = ask(
        data={"path": str(data)}, kind="yes_no", answers={True: "good", False: "bad"}
    )  # as YAML reads yes and no
    run_behaviour(spec, tmp_path / "a.parquet", store=tmp_path / "store")
    assert [row["expected"] for row in rows_of(tmp_path / "a.parquet")] == ["no", "yes"] * 12


def test_free_text_is_graded_beside_any_of_the_expected_answers(tmp_path: Path, ask: Ask) -> None:
    spec = ask(kind="free", answers=None, max_new_tokens=4, grade="contains")
    write_questions(Path(spec.data.path), answer=lambda row: "x")
    with pytest.raises(CorpusError, match="some questions right and others wrong") as refused:
        run_behaviour(spec, tmp_path / "a.parquet", store=tmp_path / "store")
    assert "0 of 24 right" in refused.value.got
    model = load_target(spec.target, find_target(spec.target))
    asked = [Prompt(f"{row['question']} please") for row in json.loads(Path(spec.data.path).read_text())]
    said = model.generate(asked, 4)
    write_questions(Path(spec.data.path), answer=lambda row: ["x", said[row].upper()] if row < 12 else "x")
    run_behaviour(spec, tmp_path / "a.parquet", store=tmp_path / "store")
    rows = rows_of(tmp_path / "a.parquet")
    assert [row["answer"] for row in rows] == said
    right = [row["answered_right"] for row in rows]
    assert right == [row < 12 and bool(normalized_answer(said[row])) for row in range(24)] and sum(right) > 6


def test_answers_that_are_all_right_or_all_wrong_are_refused(tmp_path: Path, ask: Ask) -> None:
    run_behaviour(ask(), tmp_path / "a.parquet", store=tmp_path / "store")
    said = [row["answer"] for row in rows_of(tmp_path / "a.parquet")]
    data = write_questions(tmp_path / "right.json", answer=lambda row: said[row])
    with pytest.raises(CorpusError, match="some questions right and others wrong"):
        run_behaviour(ask(data={"path": str(data)}), tmp_path / "b.parquet", store=tmp_path / "store")
    assert not (tmp_path / "b.parquet").exists() and not manifest_path(tmp_path / "b.parquet").exists()


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"data": {"question": "qestion"}}, CorpusError, "no column 'qestion'"),
        ({"data": {"keep": ["tongue"]}}, CorpusError, "no column 'tongue'"),
        ({"data": {"keep": ["question"]}}, CorpusError, "names that the table"),
        ({"answers": {"red": "red", "green": "good"}}, CorpusError, "one of the row's choices"),
        ({"answers": None, "data": {"choices": "context"}}, CorpusError, "two or more choices"),
        ({"target": {"template": "chat"}}, ModelError, "chat template"),
        ({"target": {"max_tokens": 8}}, CorpusError, "fit into the 8 tokens"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    tmp_path: Path, ask: Ask, changes: dict[str, Any], error: type[LatentprobeError], told: str
) -> None:
    with pytest.raises(error, match=told):
        run_behaviour(ask(**changes), tmp_path / "a.parquet", store=tmp_path / "store")
    assert not (tmp_path / "a.parquet").exists()


def test_a_model_that_cannot_answer_is_refused_and_so_is_an_unknown_format(
    tmp_path: Path, ask: Ask, tiny_model: Callable[[str], Path]
) -> None:
    with pytest.raises(ModelError, match="causal language model"):
        run_behaviour(ask(target={"model": str(tiny_model("bert"))}), tmp_path / "a.parquet", store=tmp_path / "s")
    with pytest.raises(OutputError, match="end of its name"):
        run_behaviour(ask(), tmp_path / "a.xlsx", store=tmp_path / "s")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"answers": None}, "needs `answers`"),
        ({"kind": "yes_no"}, "has the answers yes and no"),
        ({"kind": "free"}, "has no choices"),
        ({"answers": {"red": "red", "blue": "red"}}, "words of its own"),
        ({"data": {"answer_as": "letter"}}, "leave it out"),
        ({"conditions": {}}, "at least 1"),
        ({"conditions": {"a b": {"prompt": "{question}"}}}, "named by a letter"),
        ({"conditions": {"a": {"prompt": "Say it"}}}, "where the question stands"),
        ({"conditions": {"a": {"prompt": "{question} {context}"}}}, "if and only if"),
        ({"conditions": {"a": {"prompt": "{question}", "context": "context"}}}, "if and only if"),
        ({"conditions": {"a": {"promt": "{question}"}}}, "did you mean 'prompt'"),
        ({"target": {"modle": "x"}}, "did you mean 'model'"),
    ],
)
def test_a_wrong_spec_is_refused(ask: Ask, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as refused:
        ask(**changes)
    assert told in str(refused.value)


@pytest.mark.slow
def test_csv_cells_are_read_back_to_the_letter(tmp_path: Path, ask: Ask) -> None:
    odd = 'say "red", not blue\nplease'
    write_questions(tmp_path / "questions.json", question=lambda row: f"{odd} {WORDS[row % 8]} {WORDS[row // 8]}")
    run_behaviour(ask(), tmp_path / "a.csv", store=tmp_path / "store")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        assert next(csv.DictReader(stream))["question"] == f"{odd} cat cat"
