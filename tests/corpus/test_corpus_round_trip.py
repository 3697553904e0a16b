"""What goes in comes out: any texts and labels, written by independent writers, are read back equal and in order."""

from __future__ import annotations

import csv
import gzip
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentprobe.config import DataSpec
from latentprobe.corpus import read_corpus

# UTF-8 has no lone surrogates; everything else, control characters and line separators included, may be in a text.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
tricky = st.sampled_from(
    ['"', '""', ",", "\n", "\r\n", "\r", "\t", "\ufeff", "\u2028", "\x00", "NA", "1.0", "\\", "#", "'"]
)
label = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)
rows = st.tuples(
    st.lists(st.one_of(text, st.lists(st.one_of(text, tricky)).map("".join)), min_size=4, max_size=12),
    st.lists(label, min_size=2, max_size=2, unique=True),
)


def write_csv(path: Path, texts: list[str], labels: list[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["label", "text"])
        writer.writerows(zip(labels, texts, strict=True))


def write_csv_all_quoted_unix(path: Path, texts: list[str], labels: list[str]) -> None:
    with open(path, "w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["label", "text"])
        writer.writerows(zip(labels, texts, strict=True))


def write_jsonl_gz(path: Path, texts: list[str], labels: list[str]) -> None:
    with gzip.open(path, "wt", encoding="utf-8", newline="\n") as stream:
        for one, name in zip(texts, labels, strict=True):
            stream.write(json.dumps({"text": one, "label": name}, ensure_ascii=False) + "\n")


def write_json(path: Path, texts: list[str], labels: list[str]) -> None:
    path.write_text(json.dumps([{"label": n, "text": t} for t, n in zip(texts, labels, strict=True)]))


def write_parquet(path: Path, texts: list[str], labels: list[str]) -> None:
    pq.write_table(pa.table({"text": texts, "label": pa.array(labels).dictionary_encode()}), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.csv", write_csv),
        ("rows.csv", write_csv_all_quoted_unix),
        ("rows.jsonl.gz", write_jsonl_gz),
        ("rows.json", write_json),
        ("rows.parquet", write_parquet),
    ],
)
@settings(max_examples=60, deadline=None)
@given(rows=rows)
def test_any_texts_and_labels_are_read_back_equal_and_in_order(name, write, rows) -> None:  # type: ignore[no-untyped-def]
    texts, names = rows
    labels = [names[row % 2] for row in range(len(texts))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path, texts, labels)
        corpus = read_corpus(DataSpec(path=str(path)))
    assert list(corpus.texts) == texts
    assert [corpus.target.classes[code] for code in corpus.target.y] == labels
    assert corpus.ids == tuple(str(row) for row in range(len(texts)))
