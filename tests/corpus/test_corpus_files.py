"""How files become rows: formats, compression, encodings, quoting, and what is refused by line."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latentprobe.config import DataSpec, FileTest
from latentprobe.corpus import Corpus, read_corpus, read_texts
from latentprobe.errors import CorpusError, LatentprobeError

TEXTS = ("Hello, world", 'She said "no"', "two\nlines", "NA", "007", "", "ünï ☂")
LABELS = ("a", "b", "a", "b", "a", "b", "a")


def spec(path: Path, **values: object) -> DataSpec:
    return DataSpec(path=str(path), **values)


def read(path: Path, **values: object) -> Corpus:
    return read_corpus(spec(path, **values))


def refusal(path: Path, **values: object) -> str:
    with pytest.raises(LatentprobeError) as caught:
        read(path, **values)
    assert isinstance(caught.value, CorpusError)
    return str(caught.value)


def labels_of(corpus: Corpus) -> tuple[str, ...]:
    return tuple(corpus.target.classes[code] for code in corpus.target.y)


def content(ending: str) -> bytes:
    """The same seven rows in each format, written by pandas."""
    frame = pd.DataFrame({"id": range(7), "text": TEXTS, "label": LABELS})
    match ending:
        case "csv":
            return frame.to_csv(index=False).encode()
        case "tsv":
            return frame.to_csv(index=False, sep="\t").encode()
        case "json":
            return frame.to_json(orient="records").encode()
        case "jsonl":
            return frame.to_json(orient="records", lines=True, force_ascii=False).encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, ending: str, zipped: bool) -> None:
    path = tmp_path / f"rows.{ending}{'.gz' if zipped else ''}"
    path.write_bytes(gzip.compress(content(ending)) if zipped else content(ending))
    corpus = read(path)
    assert corpus.texts == TEXTS
    assert labels_of(corpus) == LABELS
    assert corpus.ids == tuple("0123456")
    assert corpus.name == "rows"
    assert corpus.notes == ("Empty texts, which were kept: 1, in rows '5'.",)


def test_gzip_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(gzip.compress(content("csv")))
    assert read(path).texts == TEXTS


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(content("csv"))[:-9])
    assert "unpacked" in refusal(path)


def test_windows_line_ends_a_byte_order_mark_and_blank_last_lines_change_nothing(tmp_path: Path) -> None:
    for ending, mark in (("csv", ","), ("tsv", "\t")):
        path = tmp_path / f"rows.{ending}"
        path.write_bytes(
            b"\xef\xbb\xbf"
            + f"text{mark}label\r\none{mark}a\r\ntwo{mark}b\r\n\r\n3{mark}a\r\n4{mark}b\r\n\r\n\r\n".encode()
        )
        assert read(path).texts == ("one", "two", "3", "4")
    path = tmp_path / "rows.jsonl"
    rows = [json.dumps({"text": text, "label": label}) for text, label in zip("abcd", "xyxy", strict=True)]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*rows, "", ""]).encode())
    assert read(path).texts == tuple("abcd")


def test_a_field_longer_than_the_csv_modules_limit_is_read_and_the_limit_left_alone(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "\n".join(f"{'x' * 200_000},{label}" for label in "abab"))
    assert {len(text) for text in read(path).texts} == {200_000}
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("rows", "line", "got"),
    [
        ('text,label\n"two\nlines",a\nshort\n', 4, "1 fields instead of 2"),
        ("text,label\nx,a\ny,b,c\n", 3, "3 fields instead of 2"),
    ],
)
def test_a_ragged_row_is_named_by_its_line(tmp_path: Path, rows: str, line: int, got: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(rows)
    message = refusal(path)
    assert f"line {line} " in message and got in message


def test_an_unclosed_quote_is_named_by_the_line_it_opens_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\nfine,a\n"never closed,b\nsecret words,a\n')
    message = refusal(path)
    assert "line 3 " in message and "secret" not in message


def test_mistake_7_an_unclosed_quote_does_not_swallow_the_rows_after_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('label,text\na,one\nb,two\na,three\nb,"four\na,five\nb,six\n')
    assert "line 5 " in refusal(path)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json"])
def test_bad_encoding_names_line_and_byte(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    path.write_bytes("text,label\nfine,a\ncafé,b\n".encode("latin-1"))
    assert "line 3, byte 4 of the line: 0xe9" in refusal(path)


def test_utf16_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("text,label\nx,a\n".encode("utf-16"))
    assert "UTF-16" in refusal(path)


def test_a_missing_column_lists_those_there_are_and_the_nearest(tmp_path: Path) -> None:
    for ending in ("csv", "tsv", "json", "jsonl", "parquet"):
        path = tmp_path / f"rows.{ending}"
        path.write_bytes(content(ending))
        message = refusal(path, label="lable")
        assert "no column 'lable'" in message and "'id', 'text', 'label'" in message
        assert "did you mean 'label'" in message


def test_a_semicolon_file_is_recognised_in_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text;label\nx;a\n")
    assert "separated by ';'" in refusal(path)


def test_a_duplicate_header_is_refused_only_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,note,label,note\nx,1,a,2\ny,1,b,2\nz,1,a,2\nw,1,b,2\n")
    assert read(path).texts == ("x", "y", "z", "w")
    assert "2 columns named 'note'" in refusal(path, group="note")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("rows.csv", ""),
        ("rows.csv", "text,label\n"),
        ("rows.tsv", "\n\n"),
        ("rows.json", ""),
        ("rows.json", "[]"),
        ("rows.json", "{}"),
        ("rows.jsonl", "\n"),
    ],
)
def test_an_empty_file_is_refused(tmp_path: Path, name: str, body: str) -> None:
    (tmp_path / name).write_text(body)
    assert "has no rows" in refusal(tmp_path / name)


def test_an_empty_parquet_file_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"text": pd.Series([], dtype=str), "label": []}).to_parquet(tmp_path / "rows.parquet")
    assert "has no rows" in refusal(tmp_path / "rows.parquet")


def test_paths_that_are_no_data_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_bytes(content("csv"))
    (tmp_path / "rows.xlsx").write_bytes(b"PK")
    (tmp_path / "rows.parquet").write_bytes(b"not Parquet")
    assert "did you mean 'rows.csv'" in refusal(tmp_path / "row.csv")
    assert "no such data file" in refusal(tmp_path / "nowhere" / "rows.csv")
    assert "is a folder" in refusal(tmp_path)
    assert ".jsonl" in refusal(tmp_path / "rows.xlsx")
    assert "read as Parquet" in refusal(tmp_path / "rows.parquet")

    def forbidden(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert "Permission denied" in refusal(tmp_path / "rows.csv")


# -- TSV


def test_a_tsv_without_quoting_keeps_its_quotes(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text('text\tlabel\n"Hi" she said\ta\n"open\tb\nclose"\ta\n"whole"\tb\n')
    assert read(path).texts == ('"Hi" she said', '"open', 'close"', '"whole"')


def test_a_tsv_whose_quotes_all_enclose_fields_is_unquoted(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text('text\tlabel\n"say ""hi"""\ta\n"plain"\tb\nx\ta\ny\tb\n')
    assert read(path).texts == ('say "hi"', "plain", "x", "y")


def test_a_tsv_with_line_breaks_in_fields_is_read_as_quoted(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text('text\tlabel\n"two\nlines"\ta\ny\tb\nx\ta\n"tab\there"\tb\n')
    assert read(path).texts == ("two\nlines", "y", "x", "tab\there")
    path.write_text('text\n"two\nlines"\n')
    assert read_texts(path)[1] == ("two\nlines",)


def test_a_ragged_tsv_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text('text\tlabel\n"a" b\tx\nno label\n')
    assert "line 3 " in refusal(path)


# -- without a header


@pytest.mark.parametrize(("name", "mark"), [("rows.csv", ","), ("rows.tsv", "\t"), ("rows.txt", "\t")])
def test_columns_by_number_read_a_file_without_header(tmp_path: Path, name: str, mark: str) -> None:
    path = tmp_path / name
    path.write_text(
        "\n".join(mark.join(row) for row in (("1", "one", "0"), ("0", "two", "1"), ("1", "3", "0"), ("0", "4", "1")))
    )
    corpus = read(path, text="1", label="0")
    assert corpus.texts == ("one", "two", "3", "4")
    assert labels_of(corpus) == ("1", "0", "1", "0")
    assert "'0', '1', '2'" in refusal(path, text="1", label="label")


def test_a_header_of_numbers_as_pandas_writes_it_is_a_header(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    pd.DataFrame([["one", "a"], ["two", "b"], ["3", "a"], ["4", "b"]]).to_csv(path)
    assert read(path, text="0", label="1").texts == ("one", "two", "3", "4")


# -- JSON


def test_a_json_object_of_objects_names_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({f"k{n}": {"text": str(n), "label": n % 2 == 0, "n": n} for n in range(4)}))
    assert read(path).ids == ("k0", "k1", "k2", "k3")
    assert labels_of(read(path)) == ("true", "false", "true", "false")
    assert read(path, id="n").ids == ("0", "1", "2", "3")


def test_lists_of_texts_are_joined_by_line_breaks_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"text": ["one", "two"], "label": n} for n in (0, 1, 0, 1)]))
    corpus = read(path)
    assert corpus.texts[0] == "one\ntwo"
    assert corpus.notes == ("4 texts came as a list of texts, which were joined by line breaks.",)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('[{"text": "x"', "line 1, column"),
        ('"text"', "a str"),
        ('["x", "y"]', "a str as row 0"),
        ('{"k": "yes"}', "a str as row k"),
        ('{"text": {"0": "x"}, "label": {"0": "a"}}', "orient='records'"),
        ('[{"text": "x", "label": 1, "text": "y"}]', "more than once in one object: 'text'"),
        ("[" * 100_000, "too deep"),
    ],
)
def test_json_that_is_no_list_of_objects_is_refused(tmp_path: Path, body: str, said: str) -> None:
    (tmp_path / "rows.json").write_text(body)
    assert said in refusal(tmp_path / "rows.json")


def test_mistake_7_a_key_that_stands_twice_loses_no_row_silently(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('{"k": {"text": "x", "label": 1}, "k": {"text": "y", "label": 0}}')
    assert "more than once in one object: 'k'" in refusal(tmp_path / "rows.json")


def test_json_lines_name_the_wrong_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "x", "label": 1}\n\n{"text": "y" "label": 0}\n')
    assert "line 3, column 14" in refusal(path)
    path.write_text('{"text": "x", "label": 1}\n["y", 0]\n')
    assert "line 2 " in refusal(path)


def test_a_key_that_some_objects_lack_is_missing_there(tmp_path: Path) -> None:
    rows = [{"text": "x", "a": 1, "b": 0}, {"text": "y", "b": 1}, {"a": 0}, {"text": "z", "a": 0}, {"a": 1, "b": 0}]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, [*rows, {"b": 1}])))
    corpus = read(path, label=("a", "b"))
    assert corpus.texts == ("x", "y", "", "z", "", "")
    nan = np.nan
    np.testing.assert_array_equal(corpus.target.y, [[1, 0], [nan, 1], [0, nan], [0, nan], [1, 0], [nan, 1]])


def test_half_a_surrogate_pair_is_replaced_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"text": "cut \ud83d", "label": label}) for label in "abab"))
    corpus = read(path)
    assert corpus.texts[0] == "cut \ufffd"
    assert "surrogate" in corpus.notes[0]
    assert corpus.fingerprint


# -- text files


def test_texts_and_labels_in_two_files_are_put_together_by_line(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes("a\u2028b\r\n\r\nthree\r\nfour\x0bfive\r\n\r\n".encode())
    (tmp_path / "labels.txt").write_text("10\n2\n10\n2\n\n\n")
    corpus = read(tmp_path / "text.txt", labels_path=str(tmp_path / "labels.txt"))
    assert corpus.texts == ("a\u2028b", "", "three", "four\x0bfive")
    assert labels_of(corpus) == ("10", "2", "10", "2")


def test_a_given_test_part_in_two_files_follows_the_training_rows(tmp_path: Path) -> None:
    for part, texts in (("train", "a\nb\nc\nd\n"), ("test", "e\nf\n")):
        (tmp_path / f"{part}.txt").write_text(texts)
        (tmp_path / f"{part}_labels.txt").write_text("1\n0\n" * (len(texts) // 4))
    given = FileTest(path=str(tmp_path / "test.txt"), labels_path=str(tmp_path / "test_labels.txt"))
    corpus = read(tmp_path / "train.txt", labels_path=str(tmp_path / "train_labels.txt"), test=given)
    assert corpus.texts == ("a", "b", "c", "d", "e", "f")
    assert corpus.given_test is not None and corpus.given_test.tolist() == [False] * 4 + [True] * 2


def test_text_and_label_files_of_other_lengths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a\nb\nc\n")
    (tmp_path / "labels.txt").write_text("1\n0\n")
    assert "3 texts and 2 labels" in refusal(tmp_path / "text.txt", labels_path=str(tmp_path / "labels.txt"))
    (tmp_path / "labels.txt").write_text("\n")
    assert "labels.txt has no rows" in refusal(tmp_path / "text.txt", labels_path=str(tmp_path / "labels.txt"))


def test_a_text_file_without_labels_says_where_labels_go(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a\nb\n")
    assert "labels_path" in refusal(tmp_path / "text.txt")


def test_a_labels_file_goes_only_with_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(content("csv"))
    (tmp_path / "labels.txt").write_text("1\n")
    labels = str(tmp_path / "labels.txt")
    assert "labels_path" in refusal(tmp_path / "rows.csv", labels_path=labels)
    assert "no columns for groups" in refusal(tmp_path / "text.txt", labels_path=labels, group="author")


def test_a_text_column_that_holds_no_texts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"text": [1.5, 2.5], "label": ["a", "b"]}).to_parquet(path)
    assert "type float in row '0'" in refusal(path)


# -- texts without labels


def test_texts_without_labels_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(content("csv"))
    assert read_texts(tmp_path / "rows.csv") == (tuple("0123456"), TEXTS)
    (tmp_path / "text.txt").write_text("a\n\nb\n")
    assert read_texts(tmp_path / "text.txt") == (("0", "1", "2"), ("a", "", "b"))
    (tmp_path / "rows.jsonl").write_text('{"text": null, "id": "x"}\n{"text": "y", "id": "x"}')
    assert read_texts(tmp_path / "rows.jsonl")[1] == ("", "y")
    with pytest.raises(CorpusError, match="unique"):
        read_texts(tmp_path / "rows.jsonl", id="id")


def test_importing_the_room_loads_no_package_of_a_format() -> None:
    code = "import sys, latentprobe.corpus; print({'pyarrow', 'datasets', 'torch', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
