"""Parquet: the wanted columns, with the types they were written with. Knows nothing of what columns mean."""

from __future__ import annotations

from collections.abc import Sequence

from latentprobe.corpus.table import Table, no_rows, positions
from latentprobe.errors import CorpusError


def parquet_table(content: bytes, wanted: Sequence[str], source: str) -> Table:
    """The wanted columns of a Parquet file; no other column is decoded.

    Raises:
        CorpusError: not Parquet, a column missing, no rows, or a string that is not UTF-8.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        positions(list(file.schema_arrow.names), wanted, source)
        table = file.read(columns=list(dict.fromkeys(wanted)))
        columns = {name: table.column(name).to_pylist() for name in wanted}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = "bytes that are not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).split("\n")[0]
        raise CorpusError(
            f"{source} cannot be read as Parquet", got=reason, fix="fetch the file again, or write it again"
        ) from error
    if not table.num_rows:
        raise no_rows(source)
    return Table(source, columns)
