"""CSV and TSV: every field is a string, kept to the letter ("NA", "007", "1.0"). Knows nothing of what columns mean.

A CSV is read by RFC 4180: fields in double quotes may hold commas, line breaks and doubled quotes.

A TSV comes in two kinds. Data sets are mostly published without quoting, so that a quote is a letter like any other;
spreadsheets and pandas write quotes as in a CSV. Where every line has the same number of tabs, quotes count as
quoting only if they always enclose a whole field. Where the lines differ, fields must span lines, so it is quoted;
with one column, where a line break in a field cannot show in the number of tabs, it is quoted if it can be read so.

A file without a header is asked for by number: with the text column "0", "1", ... the columns are numbered from 0 and
the first line is a row like the others, unless it is itself the numbers (what pandas writes for unnamed columns).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from latentprobe.corpus.decoding import decoded
from latentprobe.corpus.table import Table, no_rows, positions
from latentprobe.errors import CorpusError

#: The line a row starts on, counted from 1, and its fields.
Row = tuple[int, list[str]]

_QUOTED_FIELD = re.compile(r'"(?:[^"]|"")*"')


def csv_table(content: bytes, wanted: Sequence[str], source: str) -> Table:
    """The wanted columns of a CSV, the text column first among them.

    Raises:
        CorpusError: not UTF-8, no rows, a column missing, a row with more or fewer fields than the first line, a
            quote that is never closed.
    """
    return _table(_quoted_rows(decoded(content, source), ",", source), wanted, source)


def tsv_table(content: bytes, wanted: Sequence[str], source: str) -> Table:
    """The wanted columns of a TSV, quoted or not. Raises as `csv_table` does."""
    return _table(_tab_rows(decoded(content, source), source), wanted, source)


def by_number(column: str) -> bool:
    """Whether a column is asked for by its number, as in a file without a header.

    >>> by_number("0"), by_number("text")
    (True, False)
    """
    return column.isascii() and column.isdigit()


def _table(rows: list[Row], wanted: Sequence[str], source: str) -> Table:
    if not rows:
        raise no_rows(source)
    names = rows[0][1]
    if by_number(wanted[0]) and not _are_numbers(names):
        names = [str(number) for number in range(len(names))]
    else:
        rows = rows[1:]
    places = positions(names, wanted, source)
    for line, fields in rows:
        if len(fields) != len(names):
            raise CorpusError(
                f"line {line} of {source} does not have the fields of the first line",
                got=f"{len(fields)} fields instead of {len(names)}",
                fix="mend that line; a field with a separator or a line break in it must stand in double quotes",
            )
    if not rows:
        raise no_rows(source)
    return Table(source, {name: [fields[place] for _, fields in rows] for name, place in places.items()})


def _are_numbers(names: Sequence[str]) -> bool:
    """Whether a first line counts the columns (the name of an index column, which is empty, aside)."""
    named = [name for name in names if name]
    return named == [str(number) for number in range(len(named))]


def _quoted_rows(text: str, delimiter: str, source: str) -> list[Row]:
    """Rows by RFC 4180. Blank lines are no rows; a quoted empty field is one."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    line = 1
    with _fields_up_to(len(text)):
        try:
            for fields in reader:
                if fields:
                    rows.append((line, fields))
                line = reader.line_num + 1
        except csv.Error as error:
            raise CorpusError(
                f"the quotes of the row that starts on line {line} of {source} do not close",
                got=str(error),
                fix='enclose the field in double quotes and write each double quote inside it twice ("")',
            ) from error
    return rows


@contextmanager
def _fields_up_to(length: int) -> Iterator[None]:
    """Let the csv module read fields of ``length`` characters; its own limit is 131,072, which long texts exceed."""
    before = csv.field_size_limit()
    csv.field_size_limit(max(before, length))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _tab_rows(text: str, source: str) -> list[Row]:
    """Rows of a TSV whose quotes may or may not be quoting; see the top of this module."""
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    rows = [(number, line.split("\t")) for number, line in enumerate(lines, start=1) if line]
    widths = {len(fields) for _, fields in rows}
    if len(widths) > 1 or widths == {1}:
        try:
            return _quoted_rows(text, "\t", source)
        except CorpusError:
            return rows  # not quoted after all; if lines differ, the caller names the first that does
    quoted = [field for _, fields in rows for field in fields if '"' in field]
    if quoted and all(_QUOTED_FIELD.fullmatch(field) for field in quoted):
        return [(number, [_unquoted(field) for field in fields]) for number, fields in rows]
    return rows


def _unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if field.startswith('"') else field
