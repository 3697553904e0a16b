"""The store gives back what it was given, or refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from latentprobe.errors import StoreError
from latentprobe.files import write_json
from latentprobe.store import DenseFeatures, FeatureStore, SparseFeatures, concatenate, default_store
from latentprobe.store.feature_store import fingerprint


def sparse(rows: int, width: int, seed: int = 0, first: int = 0) -> SparseFeatures:
    """Random pooled rows, some of them empty."""
    rng = np.random.default_rng(seed)
    matrix = sp.random(rows, width, 0.2, format="csr", dtype=np.float32, random_state=rng)
    matrix.sort_indices()
    n = matrix.nnz
    last = np.where(rng.random(n) < 0.5, matrix.data, 0).astype(np.float32)
    start = rng.integers(0, 50, n).astype(np.int32)
    return SparseFeatures(
        width,
        tuple(f"r{first + row}" for row in range(rows)),
        rng.integers(0, 9, rows).astype(np.int32),
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        {"max": matrix.data, "last": last},
        start,
        (start + 3).astype(np.int32),
    )


def dense(rows: int, width: int, seed: int = 0) -> DenseFeatures:
    rng = np.random.default_rng(seed)
    ids = tuple(f"r{row}" for row in range(rows))
    return DenseFeatures(width, ids, np.ones(rows, np.int32), {"mean": rng.random((rows, width), np.float32)})


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.integers(1, 12), min_size=1, max_size=4), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_what_goes_in_comes_out_in_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], width: int, seed: int
) -> None:
    store = FeatureStore(tmp_path_factory.mktemp("store"))
    parts = [sparse(n, width, seed + number, 100 * number) for number, n in enumerate(rows)]
    for number, part in enumerate(parts):
        store.write_shard("x", number, part)
    store.finish("x", {}, len(parts))
    read = store.read("x")
    assert isinstance(read, SparseFeatures)
    assert read.ids == tuple(name for part in parts for name in part.ids)
    for pooling in ("max", "last"):
        expected = sp.vstack([part.csr(pooling) for part in parts]).toarray()
        np.testing.assert_array_equal(read.csr(pooling).toarray(), expected)
    np.testing.assert_array_equal(read.peak_end, np.concatenate([part.peak_end for part in parts]))
    np.testing.assert_array_equal(read.n_tokens, np.concatenate([part.n_tokens for part in parts]))


def test_dense_rows_come_back_bit_for_bit(tmp_path: Path) -> None:
    store, rows = FeatureStore(tmp_path), dense(5, 7)
    store.write_shard("x", 0, rows)
    store.finish("x", {}, 1)
    read = store.read("x")
    assert isinstance(read, DenseFeatures)
    np.testing.assert_array_equal(read.values["mean"], rows.values["mean"])


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    for name in ("x", "y"):
        store.write_shard(name, 0, sparse(9, 20))
    assert store.shard_path("x", 0).read_bytes() == store.shard_path("y", 0).read_bytes()


def test_shards_are_packed_as_the_design_says(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.write_shard("x", 0, sparse(9, 20))
    group = pq.ParquetFile(store.shard_path("x", 0)).metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    assert "DELTA_BINARY_PACKED" in columns["feature.list.element"].encodings
    assert "BYTE_STREAM_SPLIT" in columns["max.list.element"].encodings
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_zeros_of_a_pooling_are_not_stored_in_its_matrix() -> None:
    rows = sparse(9, 20)
    assert rows.csr("last").nnz == np.count_nonzero(rows.values["last"]) < rows.csr("max").nnz


def test_only_the_asked_columns_are_read(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.write_shard("x", 0, sparse(9, 20))
    store.finish("x", {}, 1)
    assert list(store.read("x", ["last"]).values) == ["last"]


def test_a_matrix_exists_only_once_its_manifest_is_written(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.write_shard("x", 0, sparse(3, 5))
    assert "x" not in store
    with pytest.raises(StoreError, match="a finished feature matrix"):
        store.read("x")
    store.finish("x", {"layer": 3}, 1)
    assert "x" in store
    assert store.manifest("x")["made_from"] == {"layer": 3}


def test_a_changed_or_missing_shard_is_refused(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.write_shard("x", 0, sparse(3, 5))
    store.finish("x", {}, 1)
    store.write_shard("x", 0, sparse(3, 5, seed=1))
    with pytest.raises(StoreError, match="changed since it was written"):
        store.read("x")
    store.shard_path("x", 0).unlink()
    with pytest.raises(StoreError, match="missing"):
        store.read("x")


def test_another_format_number_is_refused(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    write_json(tmp_path / "x" / "manifest.json", {"format": 99})
    with pytest.raises(StoreError, match="format"):
        store.read("x")


def test_taking_rows_and_joining_parts_agree_with_scipy() -> None:
    rows = sparse(12, 30)
    order = np.array([5, 0, 11, 5])
    np.testing.assert_array_equal(rows.take(order).csr("max").toarray(), rows.csr("max")[order].toarray())
    both = concatenate([rows.take(np.arange(6)), rows.take(np.arange(6, 12))])
    np.testing.assert_array_equal(both.csr("last").toarray(), rows.csr("last").toarray())


def test_any_change_gives_another_fingerprint() -> None:
    base = {"model": "m", "layer": 3, "pooling": ["max"]}
    others = [base | {"layer": 4}, base | {"pooling": ["sum"]}, base | {"model": "n"}, base | {"new": None}]
    names = {fingerprint(made_from) for made_from in [base, *others]}
    assert len(names) == 5
    assert fingerprint(dict(reversed(base.items()))) == fingerprint(base)


def test_the_default_store_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LATENTPROBE_STORE", str(tmp_path))
    assert default_store() == tmp_path
    monkeypatch.delenv("LATENTPROBE_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_store() == tmp_path / "latentprobe" / "features"
