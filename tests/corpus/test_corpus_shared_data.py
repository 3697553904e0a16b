"""Real data sets, each in its own format, with the counts their authors give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latentprobe.config import DataSpec, FileTest
from latentprobe.corpus import Corpus, read_corpus, read_texts

pytestmark = pytest.mark.shared


def read(folder: Path, path: str, *, folds: int = 5, **values: object) -> Corpus:
    return read_corpus(DataSpec(path=str(folder / path), **values), folds=folds)


def test_surge_toxicity(shared_data: Path) -> None:
    corpus = read(shared_data, "surge_toxicity/toxicity_en.csv", label="is_toxic", positive="Toxic")
    assert corpus.target.counts() == {"Not Toxic": 499, "Toxic": 501}
    frame = pd.read_csv(shared_data / "surge_toxicity/toxicity_en.csv", keep_default_na=False, dtype=str)
    assert [text.replace("\r\n", "\n") for text in corpus.texts] == [t.replace("\r\n", "\n") for t in frame["text"]]


def test_davidson(shared_data: Path) -> None:
    corpus = read(shared_data, "davidson/labeled_data.csv", text="tweet", label="class", id="")
    assert corpus.target.counts() == {"0": 1430, "1": 19190, "2": 4163}
    frame = pd.read_csv(shared_data / "davidson/labeled_data.csv", keep_default_na=False, dtype=str)
    assert list(corpus.texts) == frame["tweet"].tolist()


def test_xstest(shared_data: Path) -> None:
    corpus = read(shared_data, "xstest/xstest_prompts.csv", text="prompt", id="id", group="focus")
    assert corpus.target.counts() == {"safe": 250, "unsafe": 200}
    assert (corpus.ids[0], corpus.ids[-1]) == ("1", "450")


def test_banking77_with_its_test_file_and_the_rows_that_stand_in_both(shared_data: Path) -> None:
    test = FileTest(path=str(shared_data / "banking77/test.csv"))
    corpus = read(shared_data, "banking77/train.csv", label="category", test=test, on_leak="move")
    assert len(corpus) == 10_003 + 3_080
    assert len(corpus.target.classes) == 77
    assert corpus.given_test is not None
    moved = corpus.given_test[:10_003]
    assert 6 <= moved.sum() < 150 and corpus.given_test[10_003:].all()  # 7 copies; the others are nearly the same
    assert moved.sum() == corpus.moved_to_test
    assert f"{moved.sum()} training rows moved" in corpus.notes[0]


def test_openai_moderation_where_a_missing_key_is_unlabelled(shared_data: Path) -> None:
    labels = ("S", "H", "V", "HR", "SH", "S3", "H2", "V2")
    corpus = read(shared_data, "openai_moderation/samples-1680.jsonl.gz", text="prompt", label=labels)
    assert corpus.target.y.shape == (1680, 8)
    assert (corpus.target.y == 1).sum() == 770
    assert (corpus.target.y == 0).sum() == 8528
    assert np.isnan(corpus.target.y).sum() == 1680 * 8 - 770 - 8528


def test_germeval_without_header_or_quoting(shared_data: Path) -> None:
    test = FileTest(path=str(shared_data / "germeval2018/germeval2018.test.txt"))
    corpus = read(shared_data, "germeval2018/germeval2018.training.txt", text="0", label="1", test=test, on_leak="move")
    assert len(corpus) == 5_009 + 3_532
    assert corpus.target.counts() == {"OFFENSE": 1688 + 1202, "OTHER": 3321 + 2330}
    raw = (shared_data / "germeval2018/germeval2018.training.txt").read_text(encoding="utf-8")
    assert sum(text.count('"') for text in corpus.texts[:5_009]) == raw.count('"')


def test_multilingual_hatecheck(shared_data: Path) -> None:
    total = 0
    for path in sorted((shared_data / "multilingual_hatecheck").glob("*.csv")):
        corpus = read(shared_data, str(path), text="test_case", label="label_gold", id="mhc_case_id", group="templ_id")
        assert corpus.target.classes == ("hateful", "non-hateful")
        total += len(corpus)
    assert total == 36_582


def test_textdetox_parquet(shared_data: Path) -> None:
    for path in sorted((shared_data / "textdetox_paradetox9").glob("*.parquet")):
        for column in ("toxic_sentence", "neutral_sentence"):
            ids, texts = read_texts(path, text=column)
            assert len(ids) == len(texts) == 400
            assert list(texts) == pd.read_parquet(path)[column].tolist()


@pytest.mark.parametrize(("part", "rows"), [("train", 1839), ("val", 324), ("test", 870)])
def test_xlmt_texts_with_a_labels_file_beside(shared_data: Path, part: str, rows: int) -> None:
    for folder in sorted((shared_data / "xlmt_sentiment").iterdir()):
        if folder.is_dir():
            corpus = read(folder, f"{part}_text.txt", labels_path=str(folder / f"{part}_labels.txt"))
            assert len(corpus) == rows
            assert corpus.target.classes == ("0", "1", "2")


def test_pubmedqa_keyed_by_id(shared_data: Path) -> None:
    corpus = read(shared_data, "pubmedqa/ori_pqal.json", text="QUESTION", label="final_decision")
    assert corpus.target.counts() == {"maybe": 110, "no": 338, "yes": 552}
    assert corpus.ids[0] == "21645374"
    contexts = read(shared_data, "pubmedqa/ori_pqal.json", text="CONTEXTS", label="final_decision")
    assert contexts.notes[0].startswith("1,000 texts came as a list")


def test_gpteacher_and_wikitext_without_labels(shared_data: Path) -> None:
    assert len(read_texts(shared_data / "gpteacher_roleplay/roleplay.json", text="output")[0]) == 3_146
    lines = (shared_data / "wikitext2_small/test.txt").read_bytes().count(b"\n")
    assert len(read_texts(shared_data / "wikitext2_small/test.txt")[1]) == lines
