"""Named columns of plain Python values: what every reader makes. Knows no file format and no meaning of a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from latentprobe.corpus.wording import listed
from latentprobe.errors import CorpusError, nearest


@dataclass(frozen=True)
class Table:
    """The columns that were asked for, with rows in the order of the source.

    Attributes:
        source: how messages name the place the rows came from.
        columns: column name -> one value a row: str, bool, int, float, list or None.
        keys: the names the source itself gives its rows (a JSON object keyed by id), else None.
    """

    source: str
    columns: Mapping[str, Sequence[object]]
    keys: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def followed_by(self, other: Table) -> Table:
        """The rows of this table, then those of ``other``, which has the same columns."""
        columns = {name: [*values, *other.columns[name]] for name, values in self.columns.items()}
        return Table(f"{self.source} and {other.source}", columns)


def positions(names: Sequence[str], wanted: Sequence[str], source: str) -> dict[str, int]:
    """Where each wanted column stands among ``names``.

    Raises:
        CorpusError: a wanted column is missing, or stands there more than once.

    >>> positions(["id", "text"], ["text"], "a.csv")
    {'text': 1}
    """
    for column in wanted:
        if column not in names:
            raise CorpusError(
                f"there is no column {column!r} in {source}",
                got=f"the columns {listed(names, limit=30)}",
                fix=f"name one of those{nearest(column, names)}{_wrong_separator(names)}",
            )
        if names.count(column) > 1:
            raise CorpusError(
                f"the column {column!r} of {source} is not the only one of that name",
                got=f"{names.count(column)} columns named {column!r}",
                fix="rename all but one of them",
            )
    return {column: names.index(column) for column in wanted}


def _wrong_separator(names: Sequence[str]) -> str:
    """The end of a fix for a file whose whole header was read as one name."""
    found = [mark for mark in ";\t|" if len(names) == 1 and mark in names[0]]
    return f"; the fields seem to be separated by {found[0]!r}: write a CSV with commas" if found else ""


def no_rows(source: str) -> CorpusError:
    """The refusal of a source without a single row."""
    return CorpusError(f"{source} has no rows", got="nothing, or a header alone", fix="name a file with rows in it")
