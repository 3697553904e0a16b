"""Rows that hold a text of each class: every text is an example, and no pair is torn apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latentprobe.config import DataSpec, FileTest, parse_spec
from latentprobe.corpus import read_corpus
from latentprobe.errors import CorpusError, SpecError
from latentprobe.learn import split

PAIRS = {"toxic": "rude", "neutral": "kind"}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    lines = [f"n{row},rude text {row},kind text {row},{'ab'[row % 2]}" for row in range(20)]
    path.write_text("name,rude,kind,source\n" + "\n".join(lines) + "\n")
    return path


def test_each_column_gives_an_example_of_its_class_in_the_order_of_the_rows(table: Path) -> None:
    corpus = read_corpus(DataSpec(path=str(table), text=PAIRS))
    assert corpus.ids[:3] == ("0-toxic", "0-neutral", "1-toxic")
    assert corpus.texts[:3] == ("rude text 0", "kind text 0", "rude text 1")
    assert corpus.target.classes == ("neutral", "toxic")
    assert corpus.target.y[:4].tolist() == [1, 0, 1, 0]
    assert corpus.groups is not None and corpus.groups[:3] == ("0", "0", "1")


def test_ids_columns_and_the_positive_class_are_those_of_the_row(table: Path) -> None:
    corpus = read_corpus(DataSpec(path=str(table), text=PAIRS, id="name", by=("source",), positive="neutral"))
    assert corpus.ids[:2] == ("n0-toxic", "n0-neutral")
    assert corpus.groups is not None and corpus.groups[:2] == ("n0", "n0")
    assert corpus.columns["source"][:4] == ("a", "a", "b", "b")
    assert corpus.target.classes == ("toxic", "neutral")


def test_a_pair_is_never_torn_apart_by_a_split(table: Path) -> None:
    corpus = read_corpus(DataSpec(path=str(table), text=PAIRS))
    parts = split(corpus, test=0.3, seed=0)
    assert corpus.groups is not None
    groups = np.array(corpus.groups)
    assert len(parts.test) == 12
    assert not set(groups[parts.train]) & set(groups[parts.test])


def test_a_test_file_of_pairs_follows_the_training_rows(table: Path, tmp_path: Path) -> None:
    other = tmp_path / "test.csv"
    other.write_text("rude,kind\n" + "\n".join(f"go {row},come {row}" for row in range(4)))
    corpus = read_corpus(DataSpec(path=str(table), text=PAIRS, test=FileTest(path=str(other))))
    assert corpus.given_test is not None
    assert corpus.given_test.tolist() == [False] * 40 + [True] * 8
    assert corpus.ids[-1] == "test-3-neutral"


@pytest.mark.parametrize("more", [{"label": "source"}, {"group": "source"}, {"labels_path": "a.txt"}])
def test_a_column_of_labels_or_groups_beside_pairs_is_refused(more: dict[str, Any]) -> None:
    values = {"name": "x", "data": {"path": "a.csv", "text": PAIRS} | more, "backbones": [{"layers": [3]}]}
    with pytest.raises(SpecError, match="leave it out"):
        parse_spec(values)


def test_a_completed_spec_of_pairs_reads_back_as_itself() -> None:
    spec = parse_spec({"name": "x", "data": {"path": "a.csv", "text": PAIRS}, "backbones": [{"layers": [3]}]})
    assert parse_spec(spec.model_dump(mode="json")) == spec


def test_a_missing_column_and_one_class_alone_are_refused(table: Path) -> None:
    with pytest.raises(CorpusError, match="no column 'friendly'"):
        read_corpus(DataSpec(path=str(table), text={"toxic": "rude", "neutral": "friendly"}))
    with pytest.raises(SpecError):
        parse_spec({"name": "x", "data": {"path": "a.csv", "text": {"a": "b"}}, "backbones": [{"layers": [3]}]})


def test_pairs_of_a_folder_of_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="has no columns"):
        read_corpus(DataSpec(path=str(tmp_path), text=PAIRS))


@pytest.mark.shared
def test_textdetox_pairs_are_read_as_they_lie(shared_data: Path) -> None:
    path = shared_data / "textdetox_paradetox9" / "am-00000-of-00001.parquet"
    columns = {"toxic": "toxic_sentence", "neutral": "neutral_sentence"}
    corpus = read_corpus(DataSpec(path=str(path), text=columns))
    assert corpus.target.counts() == {"neutral": 400, "toxic": 400}
    assert corpus.groups is not None and len(set(corpus.groups)) == 400
