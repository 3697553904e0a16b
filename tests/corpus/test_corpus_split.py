"""Given splits: a test file, a test column, and what may not stand on both sides."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from latentprobe.config import ColumnTest, DataSpec, FileTest
from latentprobe.corpus import Corpus, read_corpus
from latentprobe.errors import CorpusError


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(name: str, **columns: object) -> str:
        path = tmp_path / name
        frame = pd.DataFrame(columns)
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_json(path, orient="records", lines=True)
        return str(path)

    return write


def test_a_test_file_follows_the_training_rows_and_is_marked(write) -> None:  # type: ignore[no-untyped-def]
    train = write("train.csv", text=list("abcd"), label=[0, 1, 0, 1])
    test = write("test.jsonl", text=list("ef"), label=[1, 0])
    corpus = read_corpus(DataSpec(path=train, test=FileTest(path=test)))
    assert corpus.texts == tuple("abcdef")
    assert corpus.ids == ("0", "1", "2", "3", "test-0", "test-1")
    assert corpus.given_test is not None and corpus.given_test.tolist() == [False] * 4 + [True] * 2
    assert corpus.target.y.tolist() == [0, 1, 0, 1, 1, 0]
    assert corpus.name == "train"


def test_mistake_7_an_id_that_stands_in_both_files_is_named(write) -> None:  # type: ignore[no-untyped-def]
    train = write("train.csv", text=list("abcd"), label=[0, 1, 0, 1], id=[1, 2, 3, 4])
    test = write("test.csv", text=list("ef"), label=[1, 0], id=[4, 5])
    with pytest.raises(CorpusError, match="1 id more than once: '4'"):
        read_corpus(DataSpec(path=train, id="id", test=FileTest(path=test)))


def test_classes_are_counted_on_the_training_part_and_missed_ones_of_the_test_part_reported(write) -> None:  # type: ignore[no-untyped-def]
    train = write("train.csv", text=list("abcd"), label=[0, 1, 0, 1])
    only_one = write("test.csv", text=list("ef"), label=[1, 1])
    corpus = read_corpus(DataSpec(path=train, test=FileTest(path=only_one)))
    assert corpus.notes == ("The test part has no row of '0'.",)
    unseen = write("unseen.csv", text=list("efg"), label=[1, 0, 2])
    with pytest.raises(CorpusError, match=r"1 of 3 have fewer: '2' \(the first has 0\)"):
        read_corpus(DataSpec(path=train, test=FileTest(path=unseen)))


def test_a_test_column_marks_rows_and_an_empty_cell_trains(write) -> None:  # type: ignore[no-untyped-def]
    path = write(
        "rows.csv", text=list("abcdef"), label=[0, 1] * 3, part=["train", None, "train", "dev", "test", "test"]
    )
    corpus = read_corpus(DataSpec(path=path, test=ColumnTest(column="part")))
    assert corpus.given_test is not None and corpus.given_test.tolist() == [False] * 4 + [True] * 2
    assert corpus.ids == tuple("012345")


@pytest.mark.parametrize(("value", "said"), [("tset", "'tset' in no row"), ("all", "'all' in every row")])
def test_a_test_value_that_never_or_always_occurs_lists_those_there_are(write, value: str, said: str) -> None:  # type: ignore[no-untyped-def]
    parts = ["all"] * 6 if value == "all" else ["train"] * 4 + ["test"] * 2
    path = write("rows.csv", text=list("abcdef"), label=[0, 1] * 3, part=parts)
    with pytest.raises(CorpusError) as caught:
        read_corpus(DataSpec(path=path, test=ColumnTest(column="part", value=value)))
    assert said in str(caught.value)
    assert ("'test', 'train'" if value == "tset" else "'all'") in caught.value.got


def leaky(write, **values: object) -> Corpus:  # type: ignore[no-untyped-def]
    train = write("train.csv", text=["Same  text", "b", "c", "d", "e", ""], label=[0, 1, 0, 1, 0, 1])
    test = write("test.csv", text=["same TEXT", "f", ""], label=[0, 1, 1])
    return read_corpus(DataSpec(path=train, test=FileTest(path=test), **values))


def test_the_same_text_on_both_sides_is_refused_by_id_and_without_the_text(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CorpusError, match="1 training row with a text of the test part: '0'") as caught:
        leaky(write)
    assert "on_leak: move" in caught.value.fix
    assert "same" not in caught.value.got.lower()


def test_the_same_text_on_both_sides_is_moved_to_the_test_side_and_reported(write) -> None:  # type: ignore[no-untyped-def]
    corpus = leaky(write, on_leak="move")
    assert corpus.given_test is not None
    assert corpus.given_test.tolist() == [True, False, False, False, False, False, True, True, True]
    assert "1 training row moved to the test side, where the same text stands." in corpus.notes
    assert len(corpus) == 9  # nothing is dropped


def test_an_empty_text_is_no_copy_of_another(write) -> None:  # type: ignore[no-untyped-def]
    corpus = leaky(write, on_leak="move")
    assert corpus.given_test is not None and not corpus.given_test[5]


def test_groups_stay_on_one_side_of_a_given_split(write) -> None:  # type: ignore[no-untyped-def]
    # Row 0 shares a group with the test row; row 1 shares a text with row 0; row 2 shares a group with row 1.
    path = write(
        "rows.csv",
        text=["x", "X", "y", "p", "q", "r", "s", "t"],
        label=[0, 1, 0, 0, 1, 0, 1, 0],
        author=["A", "B", "B", "C", "C", "D", "D", "A"],
        part=["train"] * 7 + ["test"],
    )
    spec = DataSpec(path=path, group="author", test=ColumnTest(column="part"))
    with pytest.raises(CorpusError, match="the same group stands on both sides"):
        read_corpus(spec)
    corpus = read_corpus(spec.model_copy(update={"on_leak": "move"}))
    assert corpus.given_test is not None
    assert corpus.given_test.tolist() == [True, True, True, False, False, False, False, True]
    assert corpus.notes == ("3 training rows moved to the test side, where the same text or group stands.",)


def test_a_move_that_leaves_too_little_to_train_on_is_refused(write) -> None:  # type: ignore[no-untyped-def]
    train = write("train.csv", text=list("abcd"), label=[0, 1, 0, 1])
    test = write("test.csv", text=list("AB"), label=[0, 1])
    with pytest.raises(CorpusError, match="2 of 2 have fewer"):
        read_corpus(DataSpec(path=train, test=FileTest(path=test), on_leak="move"))


def test_further_columns_come_along_as_words_row_by_row(write) -> None:  # type: ignore[no-untyped-def]
    path = write(
        "rows.csv", text=["p", "q", "r", "s"], label=[0, 1, 0, 1], author=["A", "B", "B", None], age=[1, 2, 3, 4]
    )
    corpus = read_corpus(DataSpec(path=path, group="author", by=("author", "age")))
    assert corpus.columns == {"author": ("A", "B", "B", ""), "age": ("1", "2", "3", "4")}
    with pytest.raises(CorpusError, match="no column 'year'"):
        read_corpus(DataSpec(path=path, by=("year",)))
