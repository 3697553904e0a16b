"""Data sets of the hub's layout, read from a local folder with the network switched off."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from latentprobe.config import DataSpec, FileTest
from latentprobe.corpus import read_corpus, read_texts
from latentprobe.errors import CorpusError, MissingExtraError

pytestmark = pytest.mark.disable_socket

CARD = """---
configs:
- config_name: plain
  default: true
  data_files:
  - split: train
    path: plain/train-*
  - split: test
    path: plain/test-*
- config_name: odd
  data_files:
  - split: validation
    path: odd/validation-*
---
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two configurations, one with train and test, one with a single split, and class numbers as the hub has them."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["ham", "spam"]),
            "n": datasets.Value("int8"),
        }
    )

    def write(path: str, first: int, labels: list[int]) -> None:
        rows = range(first, first + len(labels))
        values = {"text": [f"text {row}" for row in rows], "label": labels, "n": list(rows)}
        (tmp_path / "set" / path).parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(values, features=features).to_parquet(tmp_path / "set" / path)

    write("plain/train-00000-of-00002.parquet", 0, [0, 1])
    write("plain/train-00001-of-00002.parquet", 2, [0, 1])
    write("plain/test-00000-of-00001.parquet", 4, [1, 0])
    write("odd/validation-00000-of-00001.parquet", 6, [1, 0, -1, 0])
    (tmp_path / "set" / "README.md").write_text(CARD)
    return tmp_path / "set"


def test_a_data_set_is_read_with_class_names_and_the_train_split_first(folder: Path) -> None:
    corpus = read_corpus(DataSpec(path=f"hf:{folder}", id="n"))
    assert corpus.texts == ("text 0", "text 1", "text 2", "text 3")
    assert corpus.target.classes == ("ham", "spam")
    assert corpus.target.y.tolist() == [0, 1, 0, 1]
    assert corpus.ids == ("0", "1", "2", "3")


def test_splits_and_configurations_are_named_after_the_data_set(folder: Path) -> None:
    assert read_texts(f"hf:{folder}:test")[1] == ("text 4", "text 5")
    assert read_texts(f"hf:{folder}:plain:test")[1] == ("text 4", "text 5")
    assert read_texts(f"hf:{folder}:odd")[1][0] == "text 6"
    corpus = read_corpus(DataSpec(path=f"hf:{folder}:train", test=FileTest(path=f"hf:{folder}:test")))
    assert corpus.given_test is not None and corpus.given_test.tolist() == [False] * 4 + [True] * 2


def test_the_hubs_mark_of_a_missing_label_is_a_missing_label(folder: Path) -> None:
    with pytest.raises(CorpusError, match="1 row without one: '2'"):
        read_corpus(DataSpec(path=f"hf:{folder}:odd"))


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (":trian", "did you mean 'train'"),
        (":odd:train", "'validation'"),
        (":none:train", "cannot be loaded"),
        (":a:b:c", "hf:org/name"),
    ],
)
def test_a_wrong_split_or_configuration_is_refused(folder: Path, ending: str, said: str) -> None:
    with pytest.raises(CorpusError) as caught:
        read_corpus(DataSpec(path=f"hf:{folder}{ending}"))
    assert said in str(caught.value)


def test_a_missing_column_and_a_missing_folder_are_refused(folder: Path) -> None:
    with pytest.raises(CorpusError, match="no column 'prompt'"):
        read_corpus(DataSpec(path=f"hf:{folder}", text="prompt"))
    with pytest.raises(CorpusError, match="cannot be loaded"):
        read_corpus(DataSpec(path=f"hf:{folder}/nowhere"))


def test_mistake_14_no_code_that_comes_with_a_data_set_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "set.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')\n")
    with pytest.raises(CorpusError, match="cannot be loaded"):
        read_corpus(DataSpec(path=f"hf:{tmp_path / 'set'}"))
    assert not (tmp_path / "was_run").exists()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"extra 'hf'") as caught:
        read_corpus(DataSpec(path="hf:org/name"))
    assert "latentprobe[hf]" in caught.value.fix
