"""JSON and JSON Lines: one object a row. Knows nothing of what columns mean.

A JSON file is a list of objects, or an object of objects whose keys name the rows. A key that some objects lack is a
missing value there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from latentprobe.corpus.decoding import decoded
from latentprobe.corpus.table import Table, no_rows, positions
from latentprobe.corpus.wording import listed
from latentprobe.errors import CorpusError

_LIST_OF_OBJECTS = 'write a list of objects, such as [{"text": "...", "label": "..."}]'


def json_table(content: bytes, wanted: Sequence[str], source: str) -> Table:
    """The wanted columns of a JSON file.

    Raises:
        CorpusError: not UTF-8, not JSON (naming line and column), neither a list nor an object of objects, no rows,
            a column that no object has.
    """
    text = decoded(content, source)
    if not text.strip():
        raise no_rows(source)
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise _not_json(source, error) from error
    if isinstance(value, list):
        return _table(value, wanted, source)
    if isinstance(value, dict):
        if set(wanted) <= set(value):
            raise CorpusError(
                f"{source} is written by columns, not by rows",
                got="an object keyed by column",
                fix=f"{_LIST_OF_OBJECTS}; in pandas: to_json(..., orient='records')",
            )
        return _table(list(value.values()), wanted, source, keys=tuple(value))
    raise CorpusError(f"{source} has no rows", got=f"a {type(value).__name__}", fix=_LIST_OF_OBJECTS)


def jsonl_table(content: bytes, wanted: Sequence[str], source: str) -> Table:
    """The wanted columns of a JSON Lines file; blank lines are no rows. Raises as `json_table` does."""
    records: list[object] = []
    for number, line in enumerate(decoded(content, source).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise _not_json(source, error, line=number) from error
        if not isinstance(record, dict):
            raise CorpusError(
                f"line {number} of {source} is not an object",
                got=f"a {type(record).__name__}",
                fix='write one object a line, such as {"text": "...", "label": "..."}',
            )
        records.append(record)
    return _table(records, wanted, source)


def _table(
    records: Sequence[object], wanted: Sequence[str], source: str, *, keys: tuple[str, ...] | None = None
) -> Table:
    if not records:
        raise no_rows(source)
    rows: list[Mapping[str, object]] = []
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise CorpusError(
                f"every row of {source} must be an object",
                got=f"a {type(record).__name__} as row {keys[number] if keys else number}",
                fix=_LIST_OF_OBJECTS,
            )
        rows.append(record)
    names = list(dict.fromkeys(name for row in rows for name in row))
    positions(names, wanted, source)
    return Table(source, {name: [row.get(name) for row in rows] for name in wanted}, keys)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object, unless a key stands in it twice: the json module would keep the last one and lose the others."""
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"more than once in one object: {listed(key for key in value if keys.count(key) > 1)}")
    return value


def _not_json(source: str, error: Exception, *, line: int | None = None) -> CorpusError:
    got = "too deep a nesting"
    if isinstance(error, json.JSONDecodeError):
        got = f"line {line or error.lineno}, column {error.colno}: {error.msg}"
    elif isinstance(error, ValueError):
        got = str(error) if line is None else f"line {line}: {error}"
    return CorpusError(f"{source} is not valid JSON", got=got, fix="mend the file there, or write it again")
