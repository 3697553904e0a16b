"""What labels, ids and groups may be, and what they become."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from latentprobe.config import DataSpec
from latentprobe.corpus import Corpus, corpus_from, normalized, read_corpus
from latentprobe.errors import CorpusError

FOUR = ["one", "two", "three", "four"]


def refusal(labels: object, **values: object) -> str:
    with pytest.raises(CorpusError) as caught:
        corpus_from(FOUR, labels, **values)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize(
    ("labels", "classes", "y"),
    [
        (["b", "a", "b", "a"], ("a", "b"), [1, 0, 1, 0]),
        ([10, 2, 10, 2], ("2", "10"), [1, 0, 1, 0]),
        (["10", "2", "10", "2"], ("2", "10"), [1, 0, 1, 0]),
        ([-1, 1, -1, 1], ("-1", "1"), [0, 1, 0, 1]),
        ([True, False, True, False], ("false", "true"), [1, 0, 1, 0]),
        ([1.0, 0.0, 1.0, 0.0], ("0", "1"), [1, 0, 1, 0]),
        (np.array([1, 0, 1, 0], dtype=np.int8), ("0", "1"), [1, 0, 1, 0]),
        (["007", "7", "007", "7"], ("007", "7"), [0, 1, 0, 1]),
        (["NA", "None", "NA", "None"], ("NA", "None"), [0, 1, 0, 1]),
    ],
    ids=str,
)
def test_labels_become_sorted_names_and_codes(labels: object, classes: tuple[str, ...], y: list[int]) -> None:
    target = corpus_from(FOUR, labels).target  # type: ignore[arg-type]
    assert (target.kind, target.classes, target.y.tolist()) == ("binary", classes, y)
    assert target.y.dtype == np.int64


def test_whole_numbers_sort_by_size_and_a_single_word_among_them_makes_all_of_them_words() -> None:
    texts = [str(n) for n in range(6)]
    assert corpus_from(texts, [10, 2, 1, 10, 2, 1]).target.classes == ("1", "2", "10")
    assert corpus_from(texts, [10, 2, "x", 10, 2, "x"]).target.classes == ("10", "2", "x")


def test_the_positive_class_is_put_last() -> None:
    target = corpus_from(FOUR, ["spam", "ham", "spam", "ham"], positive="ham").target
    assert target.classes == ("spam", "ham")
    assert target.y.tolist() == [0, 1, 0, 1]
    assert "did you mean 'spam'" in refusal(["spam", "ham", "spam", "ham"], positive="spm")
    assert "two classes" in refusal({"a": [1, 0, 1, 0], "b": [1, 0, 1, 0]}, positive="a")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0.3, 0.7, 0.3, 0.7], "the number 0.3 in row '0'"),
        ([[1], [0], [1], [0]], "type list in row '0'"),
        (["a", None, "a", "b"], "1 row without one: '1'"),
        (["a", " ", "a", float("nan")], "2 rows without one: '1', '3'"),
        (["a", "a", "a", "a"], "'a' in every row"),
        (["a", "a", "a", "b"], "1 of 2 have fewer: 'b' (the first has 1)"),
        ("abab", "a bare string"),
        (["a", "b"], "4 texts, 2 labels"),
        ({}, "4 texts"),
    ],
    ids=str,
)
def test_labels_that_make_no_classes_are_refused(labels: object, said: str) -> None:
    assert said in refusal(labels)


def test_a_label_column_that_is_really_a_text_is_refused_without_quoting_it() -> None:
    message = refusal([f"private words {n}" for n in range(4)])
    assert "4 different values in 4 rows" in message and "private" not in message


def test_long_class_names_are_cut_in_messages() -> None:
    message = refusal(["long " * 50, "short", "short", "short"])
    assert "long long" in message and len(message) < 300


def test_several_label_columns_make_a_multilabel_target_with_nan_where_missing() -> None:
    columns = {"z": [1, "0", None, True, 0.0], "a": ["1.0", "", 0.0, "False", "TRUE"]}
    target = corpus_from([*FOUR, "five"], columns).target
    assert (target.kind, target.classes) == ("multilabel", ("z", "a"))
    np.testing.assert_array_equal(target.y, [[1, 1], [0, np.nan], [np.nan, 0], [1, 0], [0, 1]])
    np.testing.assert_array_equal(target.take([3, 0]).y, [[1, 0], [1, 1]])


def test_multilabel_values_other_than_yes_and_no_are_refused() -> None:
    good = [1, 0, 1, 0]
    assert "row '2' of the column 'b'" in refusal({"a": good, "b": [1, 0, 2, 0]})
    assert "row '0' of the column 'b'" in refusal({"a": good, "b": ["maybe", 0, 1, 0]})
    assert "in every row: 'b'" in refusal({"a": good, "b": [1, None, 1, 1]})


def test_rows_without_any_label_are_kept_and_reported() -> None:
    labels = {"a": [1, 0, 1, 0, None], "b": [0, 1, 0, 1, None]}
    assert corpus_from([*FOUR, "five"], labels).notes == ("Rows without any label, left out of fit and score: 1.",)


def test_each_answer_of_each_label_needs_a_row_for_each_fold(tmp_path: Path) -> None:
    pd.DataFrame({"text": [str(n) for n in range(9)], "a": [1] + [0] * 8, "b": [1, 0, 1] * 3}).to_csv(
        tmp_path / "r.csv"
    )
    with pytest.raises(CorpusError, match="1 of 4 have fewer: 'a=1'"):
        read_corpus(DataSpec(path=str(tmp_path / "r.csv"), label=("a", "b")))


def test_a_class_needs_a_training_row_for_each_fold(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    pd.DataFrame({"text": [str(n) for n in range(50)], "label": ["a"] * 44 + ["b"] * 6}).to_csv(path)
    assert len(read_corpus(DataSpec(path=str(path)), folds=5)) == 50
    with pytest.raises(CorpusError, match="at least 5 training rows"):
        read_corpus(DataSpec(path=str(path), test=0.5), folds=5)
    with pytest.raises(CorpusError, match="at least 7 training rows"):
        read_corpus(DataSpec(path=str(path)), folds=7)


def test_typed_and_written_booleans_and_integers_agree_across_formats(tmp_path: Path) -> None:
    rows = [{"text": text, "label": n % 2 == 0, "score": n % 2} for n, text in enumerate(FOUR)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    for column, classes in (("label", ("false", "true")), ("score", ("0", "1"))):
        targets = [
            read_corpus(DataSpec(path=str(tmp_path / name), label=column)).target
            for name in ("rows.jsonl", "rows.parquet")
        ]
        assert {target.classes for target in targets} == {classes}


# -- ids and groups


def test_mistake_7_duplicate_ids_are_named() -> None:
    assert "1 id more than once: 'x'" in refusal([1, 0, 1, 0], ids=["x", "y", "x", "z"])
    assert "1 id more than once: '1'" in refusal([1, 0, 1, 0], ids=[1, "1", 2, 3])


def test_a_missing_id_is_named_by_its_row() -> None:
    assert "1 row without one, counted from 0: '2'" in refusal([1, 0, 1, 0], ids=["x", "y", None, "z"])


def test_a_row_without_a_group_is_a_group_of_its_own() -> None:
    corpus = corpus_from(FOUR, [1, 0, 1, 0], groups=["g", None, 7, ""])
    assert corpus.groups is not None
    assert corpus.groups[0] == "g" and corpus.groups[2] == "7"
    assert len(set(corpus.groups)) == 4
    assert corpus.notes == ("2 rows without a group: each is a group of its own.",)


# -- the corpus as a value


def test_the_fingerprint_depends_on_ids_texts_and_order_and_nothing_else() -> None:
    def fingerprint(texts: list[str], labels: list[int], **values: object) -> str:
        return corpus_from(texts, labels, **values).fingerprint  # type: ignore[arg-type]

    plain = fingerprint(FOUR, [1, 0, 1, 0])
    assert plain == fingerprint(FOUR, [0, 1, 0, 1], name="other", groups=["g", "g", "h", "h"])
    others = [
        fingerprint(FOUR[::-1], [1, 0, 1, 0]),
        fingerprint([*FOUR[:3], "Four"], [1, 0, 1, 0]),
        fingerprint(FOUR, [1, 0, 1, 0], ids=["0", "1", "2", "4"]),
        fingerprint(["onetwo", "", "three", "four"], [1, 0, 1, 0]),
    ]
    assert len({plain, *others}) == 5


def test_a_bare_string_is_refused() -> None:
    with pytest.raises(CorpusError, match="a bare string"):
        corpus_from("text", [1])
    with pytest.raises(CorpusError, match="no rows"):
        corpus_from([], [])


def test_empty_and_missing_texts_are_kept_and_reported() -> None:
    corpus: Corpus = corpus_from(["x", None, " ", float("nan")], [1, 0, 1, 0])  # type: ignore[list-item]
    assert corpus.texts == ("x", "", " ", "")
    assert corpus.notes == ("Empty texts, which were kept: 3, in rows '1', '2', '3'.",)


def test_texts_count_as_the_same_whatever_their_case_and_white_space() -> None:
    assert normalized(" Straße\n\tUND  so\u00a0on ") == normalized("STRASSE und so on") == "strasse und so on"
    assert normalized("a b") != normalized("ab")


def labelled(folder: Path, labels: list[str], **settings: object) -> Corpus:
    """Rows of a file whose labels are given other names."""
    lines = [f"text {'abcdefghij'[row]} {row},{label}" for row, label in enumerate(labels)]
    (folder / "rows.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return read_corpus(DataSpec.model_validate({"path": str(folder / "rows.csv"), "near_duplicates": None, **settings}))


def test_labels_are_given_the_names_that_classes_says(tmp_path: Path) -> None:
    labels = ["0", "2", "1", "2", "0", "2"]
    corpus = labelled(tmp_path, labels, classes={0: "rude", 1: "rude", 2: "kind"}, positive="rude")
    assert corpus.target.classes == ("kind", "rude")
    assert corpus.target.y.tolist() == [1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({0: "rude", 1: "kind"}, "without a class: '2'"),
        ({0: "rude", 1: "rude", 2: "kind", 3: "kind"}, "in no row: '3'"),
        ({"0": "rude", 1: "kind", False: "kind"}, "without a class: '2'; in no row: 'false'"),
    ],
    ids=str,
)
def test_a_label_without_a_class_is_refused_and_so_is_a_class_without_a_label(
    tmp_path: Path, classes: dict[object, str], said: str
) -> None:
    with pytest.raises(CorpusError, match="names every label") as caught:
        labelled(tmp_path, ["0", "2", "1", "2", "0", "2"], classes=classes)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"label": ["a", "b"], "classes": {0: "x", 1: "y"}},
        {"text": {"a": "first", "b": "second"}, "classes": {0: "x", 1: "y"}},
        {"classes": {0: "x", 1: "x"}},
        {"classes": {0: "x"}},
    ],
    ids=str,
)
def test_classes_go_with_one_column_of_labels_and_are_two_at_least(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataSpec.model_validate({"path": "rows.csv", **settings})
