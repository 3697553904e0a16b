"""From a path to a table: which reader a file needs is told by its name, and whether it is gzipped by its content.

To add a format, write a function from content, wanted columns and source to a `Table`, and give it a line in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from latentprobe.corpus.columnar import parquet_table
from latentprobe.corpus.decoding import decoded, unpacked
from latentprobe.corpus.delimited import by_number, csv_table, tsv_table
from latentprobe.corpus.hub import PREFIX, hub_table
from latentprobe.corpus.records import json_table, jsonl_table
from latentprobe.corpus.table import Table, no_rows
from latentprobe.corpus.wording import counted
from latentprobe.errors import CorpusError, nearest

#: (content, wanted columns with the text column first, source) -> table
Reader = Callable[[bytes, Sequence[str], str], Table]


def read_table(path: str, wanted: Sequence[str]) -> Table:
    """The wanted columns of a file or of a hub reference; the text column comes first among them.

    Raises:
        CorpusError: the path cannot be read, its format is unknown, or its content is not what the name promises.
        MissingExtraError: a hub reference without the package for it.
    """
    if path.startswith(PREFIX):
        return hub_table(path, wanted)
    file = _file(path)
    return _reader(file)(_content(file), wanted, path)


def read_lines(path: str, labels_path: str, *, text: str, label: str) -> Table:
    """Texts and labels from two files with one row a line, as the columns ``text`` and ``label``.

    The labels say how many rows there are: blank lines after the last label are no rows in either file.

    Raises:
        CorpusError: a file cannot be read, is not UTF-8, or the files do not have the same number of lines.
    """
    if path.startswith(PREFIX) or _reader(file := _file(path)) is not lines_table:
        raise CorpusError(
            "`labels_path` goes with a text file that has one row a line",
            got=path,
            fix="remove labels_path and name the label column; or name a .txt file as the path",
        )
    texts = _lines(_content(file), path)
    labels = [line.strip() for line in _lines(_content(_file(labels_path)), labels_path)]
    while labels and not labels[-1]:
        labels.pop()
    if not labels:
        raise no_rows(labels_path)
    while len(texts) > len(labels) and not texts[-1].strip():
        texts.pop()
    if len(texts) != len(labels):
        raise CorpusError(
            f"{path} and {labels_path} must have one line for each row",
            got=f"{counted(len(texts), 'text')} and {counted(len(labels), 'label')}",
            fix="make line n of one file belong to line n of the other",
        )
    return Table(path, {text: texts, label: labels})


def lines_table(content: bytes, wanted: Sequence[str], source: str) -> Table:
    """A text file: one text a line, or, where columns are asked for by number, tab-separated without a header."""
    if by_number(wanted[0]):
        return tsv_table(content, wanted, source)
    if len(wanted) > 1:
        raise CorpusError(
            f"{source} is a text file: its lines are texts, with no column beside them",
            got=f"asked for the column {wanted[1]!r}",
            fix="name the file with the labels in `labels_path`; or, if its lines are separated by tabs, ask for "
            'columns by number, such as text: "0", label: "1"',
        )
    lines = _lines(content, source)
    if not lines:
        raise no_rows(source)
    return Table(source, {wanted[0]: lines})


READERS: Mapping[str, Reader] = {
    ".csv": csv_table,
    ".tsv": tsv_table,
    ".json": json_table,
    ".jsonl": jsonl_table,
    ".ndjson": jsonl_table,
    ".parquet": parquet_table,
    ".txt": lines_table,
}


def _file(path: str) -> Path:
    """A path at which there is something that is not a folder."""
    file = Path(path)
    if file.is_dir():
        raise CorpusError(
            "a data file was expected",
            got=f"{path} is a folder",
            fix=f"name a file inside it; or, for a folder of the hub's layout, write hf:{path}",
        )
    if not file.exists():
        beside = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
        raise CorpusError("there is no such data file", got=path, fix=f"check the path{nearest(file.name, beside)}")
    return file


def _reader(path: Path) -> Reader:
    """The reader for a file's name; a final .gz says nothing of what is inside."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix not in READERS:
        raise CorpusError(
            "the format of a data file is told by the end of its name",
            got=path.name,
            fix=f"convert or rename it to {', '.join(READERS)} or one of these and .gz{nearest(suffix, READERS)}",
        )
    return READERS[suffix]


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(
            "the data file cannot be read", got=f"{path}: {error.strerror or error}", fix="name a file you may read"
        ) from error
    return unpacked(content, str(path))


def _lines(content: bytes, source: str) -> list[str]:
    """The lines of a text. Only a line feed ends a line: a text may well hold other characters Unicode breaks at."""
    lines = [line.removesuffix("\r") for line in decoded(content, source).split("\n")]
    return lines if lines[-1] else lines[:-1]
