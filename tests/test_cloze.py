"""Next-word questions made from texts, what is kept of their answers, and what is said of that."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from latentprobe.config import read_behaviour_spec
from latentprobe.experiment.questions import read_questions

ROOT = Path(__file__).resolve().parents[1]
TALE = """The old ship sailed over calm green water while some happy birds sang above its white sails and many small
fish swam under it near two round rocks where a tired man had slept all day with his little dog beside him"""
WORDS = TALE.lower().split()


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads a script of the repository by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Role plays and articles of shuffled sentences, some with words that WikiText left out."""
    draw = np.random.default_rng(0)

    def text(sentences: int) -> str:
        return " ".join(" ".join(draw.choice(WORDS, 10, replace=False)).capitalize() + " ." for _ in range(sentences))

    plays = [{"instruction": "Tell.", "input": "", "output": text(6).replace(" .", ".")} for _ in range(40)]
    lines = []
    for number in range(3):
        lines += [f" = Ship {number} = ", " = = Its crew = = ", f" {text(6)} ", f" {text(3)} The <unk> sank . "]
    for folder, name, content in (
        ("gpteacher_roleplay", "roleplay.json", json.dumps(plays)),
        ("wikitext2_small", "test.txt", "\n".join(lines)),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(content, encoding="utf-8")
    return tmp_path


def test_the_right_word_is_once_among_four_of_its_text_and_about_as_long(data: Path, scripts: Any) -> None:
    rows = scripts("make_cloze").cloze_rows(data)
    assert len(rows) > 20
    for row in rows:
        assert len(set(row["choices"])) == len(row["choices"]) == 4
        assert row["choices"].count(row["answer"]) == 1
        assert all(abs(len(word) - len(row["answer"])) <= 1 for word in row["choices"])
        assert "<unk>" not in f"{row['context']} {row['question']}"
    assert len({row["choices"].index(row["answer"]) for row in rows}) == 4  # where it stands tells nothing


def test_other_choices_do_not_stand_in_the_sentence_that_is_asked_about(scripts: Any) -> None:
    cloze = scripts("make_cloze")
    sentence = "Every little boat that came into port was old."
    text = cloze.Text("s", "g", f"There were four tall grey red cliffs. {sentence} They saw them by day.")
    rows = list(cloze.questions_of(text, 0))
    assert rows and all(row["answer"] in sentence or row["question"].startswith("They") for row in rows)
    for row in rows:
        asked = sentence if sentence.startswith(row["question"]) else "They saw them by day."
        others = set(row["choices"]) - {row["answer"]}
        assert not others & set(asked.rstrip(".").split())


def test_the_same_texts_and_seed_give_the_same_questions_whatever_stands_beside_them(data: Path, scripts: Any) -> None:
    cloze = scripts("make_cloze")
    assert cloze.cloze_rows(data) == cloze.cloze_rows(data)
    (first, *_), every = list(cloze.wikitext_texts(data)), cloze.cloze_rows(data)
    alone = list(cloze.questions_of(first, cloze.SEED))
    assert alone and all(any(row | own == row for row in every) for own in alone)
    assert list(cloze.questions_of(first, cloze.SEED + 1)) != alone


def test_rows_of_an_article_are_one_group_and_those_of_a_role_play_another(data: Path, scripts: Any) -> None:
    cloze = scripts("make_cloze")
    groups = {(row["source"], row["group"]) for row in cloze.cloze_rows(data)}
    articles = {group for source, group in groups if source == "wikitext2_small"}
    assert articles == {"article 1", "article 2", "article 3"}
    assert len(groups) - 3 == len(list(cloze.roleplay_texts(data)))


def test_the_targets_saes_are_trained_on_no_text_that_is_asked_about(data: Path, scripts: Any) -> None:
    (data / "wikitext2_small" / "valid.txt").write_text(f" {' '.join(WORDS * 2)} .\n", encoding="utf-8")
    train = scripts("train_stories_saes")
    trained, asked = train.training_texts(data), {text.text for text in scripts("make_cloze").roleplay_texts(data)}
    assert len(trained) > 10 and len(asked) > 3
    assert not asked & set(trained) and asked == set(train.held_out_texts(data))


def test_the_questions_are_those_that_the_spec_asks(data: Path, scripts: Any, tmp_path: Path) -> None:
    rows = scripts("make_cloze").cloze_rows(data)
    (tmp_path / "cloze.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    spec = read_behaviour_spec(ROOT / "specs" / "behaviour" / "cloze.yaml")
    here = spec.model_copy(update={"data": spec.data.model_copy(update={"path": str(tmp_path / "cloze.jsonl")})})
    questions = read_questions(here)
    with_context, without = (questions.conditions[name].prompts[0].text for name in ("with", "without"))
    assert with_context == f"{rows[0]['context']} {without}" and without == rows[0]["question"]
    assert [questions.names[0][place] for place in questions.conditions["with"].expected[:1]] == [rows[0]["answer"]]  # type: ignore[index]


def test_an_accuracy_is_resampled_by_whole_texts(scripts: Any) -> None:
    mean = scripts("run_behaviour").mean_with_interval
    right, units = np.repeat([1.0, 0.0] * 10, 20), np.repeat(np.arange(20).astype(str), 20)
    by_text, by_row = mean(right, units), mean(right, np.arange(400).astype(str))
    assert by_text["value"] == by_row["value"] == 0.5
    widths = [one["high"] - one["low"] for one in (by_text, by_row)]
    assert widths[0] == pytest.approx(2 * 1.96 * 0.5 / 20**0.5, rel=0.15)
    assert widths[1] == pytest.approx(2 * 1.96 * 0.5 / 400**0.5, rel=0.15)


def test_what_is_kept_names_no_folder_of_the_machine(scripts: Any) -> None:
    told = json.dumps({"name": "/home/me/tiny layer 2 /home/me/saes/l2 max", "said": "and/or"})
    assert json.loads(scripts("run_behaviour").without_places(told)) == {
        "name": "tiny layer 2 l2 max",
        "said": "and/or",
    }


def test_what_is_kept_of_the_question_sets_has_no_texts_and_no_places(scripts: Any) -> None:
    measured = scripts("render_behaviour").read_behaviour(ROOT / "results")
    assert "cloze" in {kept["name"] for kept in measured}
    for kept in measured:
        assert "/" not in kept["target"]
        assert not re.search(r"/\w+/", json.dumps(kept))
        assert all(len(word) < 20 for one in kept["conditions"].values() for word in one["said"])


def test_a_sentence_says_surely_only_where_the_interval_does(scripts: Any) -> None:
    render = scripts("render_behaviour")
    gaps = [{"low": 0.01, "high": 0.1}, {"low": -0.1, "high": -0.01}, {"low": -0.1, "high": 0.1}]
    assert [render._against(gap) for gap in gaps] == [
        "surely better than",
        "surely worse than",
        "not surely different from",
    ]


def test_a_model_that_says_one_word_is_told_from_one_that_answers(scripts: Any) -> None:
    answered = scripts("render_behaviour")._answered
    results = {
        "rows": 100,
        "blind": 0.25,
        "conditions": {
            "with": {"said": {"maybe": 100}, "accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}},
            "without": {"said": {"the": 9}, "accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}},
        },
        "first_minus_second": {"value": 0.0, "low": -0.1, "high": 0.1},
    }
    one, other, gain = answered(results).split(". ", 1)[0], *answered(results).split(". ", 1)[1].split(". ")
    assert "in disguise" in one and "more often than one that does not read (25%)" in other
    assert "neither surely helps nor surely harms" in gain
