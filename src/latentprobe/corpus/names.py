"""Values as names: labels, row ids and groups. Knows nothing of texts or files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from latentprobe.corpus.wording import counted, listed
from latentprobe.errors import CorpusError


def name_of(value: object) -> str | None:
    """The name a value stands for, or None where it is missing (null, NaN, blank).

    A string stays as it is, to the letter; booleans are "true" and "false"; 1 and 1.0 are both "1".

    Raises:
        ValueError: a number with a fraction, or a value that is no name at all, such as a list.

    >>> [name_of(value) for value in ("007", 7, 7.0, True, " ")]
    ['007', '7', '7', 'true', None]
    """
    if isinstance(value, np.generic):
        value = value.item()
    match value:
        case None:
            return None
        case str():
            return value if value.strip() else None
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if np.isnan(value):
            return None
        case float() if value.is_integer():
            return str(int(value))
    raise ValueError(f"the number {value}" if isinstance(value, float) else f"a value of type {type(value).__name__}")


def names_of(values: Sequence[object], rows: Sequence[str], *, column: str, what: str) -> list[str | None]:
    """The names in a column.

    Args:
        values: one a row.
        rows: what messages call the rows.
        column: what messages call the column.
        what: what it should hold, such as ``classes``.

    Raises:
        CorpusError: a value that is no name, naming its row.
    """
    names = []
    for row, value in zip(rows, values, strict=True):
        try:
            names.append(name_of(value))
        except ValueError as error:
            raise CorpusError(
                f"the column {column!r} must hold {what}: strings, whole numbers or booleans",
                got=f"{error} in row {row!r}",
                fix=f"name the column with the {what}, or write its values as strings",
            ) from error
    return names


def ids_of(values: Sequence[object], *, column: str) -> tuple[str, ...]:
    """Row names from a column of ids.

    Raises:
        CorpusError: a row without an id, or a value that is no name.
    """
    names = names_of(values, numbered(len(values)), column=column, what="ids")
    missing = [str(row) for row, name in enumerate(names) if name is None]
    if missing:
        raise CorpusError(
            f"every row needs an id in the column {column!r}",
            got=f"{counted(len(missing), 'row')} without one, counted from 0: {listed(missing)}",
            fix="fill them in, or leave `id` out to number the rows",
        )
    return tuple(name for name in names if name is not None)


def numbered(n: int, *, prefix: str = "") -> tuple[str, ...]:
    """Row numbers as ids.

    >>> numbered(2, prefix="test-")
    ('test-0', 'test-1')
    """
    return tuple(f"{prefix}{row}" for row in range(n))


def require_unique(ids: Sequence[str]) -> None:
    """Refuse ids that stand more than once: results are joined by id.

    Raises:
        CorpusError: naming some of them.
    """
    repeated = [name for name, times in Counter(ids).items() if times > 1]
    if repeated:
        raise CorpusError(
            "ids must be unique",
            got=f"{counted(len(repeated), 'id')} more than once: {listed(repeated)}",
            fix="make them unique (across the training and the test file), or leave `id` out to number the rows",
        )


def groups_of(values: Sequence[object], ids: Sequence[str], *, column: str) -> tuple[tuple[str, ...], list[str]]:
    """Group names, one a row, and sentences on what was done to get them. A row without one is a group of its own.

    Raises:
        CorpusError: a value that is no name.
    """
    names = names_of(values, ids, column=column, what="groups")
    alone = sum(name is None for name in names)
    # The line break keeps these apart from any group a person would name.
    groups = tuple(f"row\n{row}" if name is None else name for row, name in zip(ids, names, strict=True))
    return groups, [f"{counted(alone, 'row')} without a group: each is a group of its own."] if alone else []
