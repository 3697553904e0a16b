"""One shard: some rows of a feature matrix as a Parquet file that any Parquet reader understands.

Sparse rows hold lists: ``feature`` (delta-packed), one list of float32 a pooling (byte-stream-split), and the character
span of each feature's strongest token. Dense rows hold one fixed-size list a pooling. The same rows give the same
bytes. Knows nothing of fingerprints.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from latentprobe.files import atomic_path
from latentprobe.store.features import DenseFeatures, Features, SparseFeatures

__all__ = ["read_shard", "write_shard"]

# The two kinds of integers of a sparse row; every other list column is a pooling.
_SPARSE_INTEGERS = ("feature", "peak_start", "peak_end")


def write_shard(path: Path, rows: Features) -> None:
    """Write rows to ``path``, atomically."""
    columns: dict[str, Any] = {"id": pa.array(rows.ids, pa.string()), "n_tokens": pa.array(rows.n_tokens, pa.int32())}
    if isinstance(rows, SparseFeatures):
        offsets = pa.array(rows.indptr.astype(np.int32))
        integers = (rows.indices, rows.peak_start, rows.peak_end)
        for name, column in zip(_SPARSE_INTEGERS, integers, strict=True):
            columns[name] = pa.ListArray.from_arrays(offsets, pa.array(column))
        for pooling, values in rows.values.items():
            columns[pooling] = pa.ListArray.from_arrays(offsets, pa.array(values))
        packed = {f"{name}.list.element": "DELTA_BINARY_PACKED" for name in _SPARSE_INTEGERS}
    else:
        for pooling, matrix in rows.values.items():
            columns[pooling] = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), rows.width)
        packed = {}
    split = {f"{pooling}.list.element": "BYTE_STREAM_SPLIT" for pooling in rows.values}
    table = pa.table(columns).replace_schema_metadata({"width": str(rows.width)})
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            use_dictionary=False,
            column_encoding={"n_tokens": "DELTA_BINARY_PACKED", **packed, **split},
        )


def read_shard(path: Path, poolings: Sequence[str] | None = None) -> Features:
    """The rows of a shard; with ``poolings``, only their columns are read."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        sparse = "feature" in schema.names
        fixed = {"id", "n_tokens", *_SPARSE_INTEGERS}
        wanted = [name for name in schema.names if name not in fixed and (poolings is None or name in poolings)]
        table = file.read([name for name in schema.names if name in fixed or name in wanted])
    width = int(schema.metadata[b"width"])
    ids = tuple(table.column("id").to_pylist())
    n_tokens = table.column("n_tokens").to_numpy()
    if not sparse:
        return DenseFeatures(width, ids, n_tokens, {name: _flat(table, name).reshape(-1, width) for name in wanted})
    indptr = table.column("feature").combine_chunks().offsets.to_numpy().astype(np.int64)
    indices, peak_start, peak_end = (_flat(table, name) for name in _SPARSE_INTEGERS)
    values = {name: _flat(table, name) for name in wanted}
    return SparseFeatures(width, ids, n_tokens, indptr, indices, values, peak_start, peak_end)


def _flat(table: pa.Table, name: str) -> NDArray[Any]:
    """All list elements of a column, one after the other."""
    return np.asarray(table.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False))
