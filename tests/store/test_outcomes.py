"""What was computed once is read back exactly, or computed again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from latentprobe.store.outcomes import OutcomeStore


def test_values_and_arrays_come_back_exactly(tmp_path: Path) -> None:
    store = OutcomeStore(tmp_path / "outcomes")
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.array([0.1, np.pi]), "none": np.zeros((1, 0))}
    values = {"score": 0.1 + 0.2, "none": None, "names": ["é", "b"]}
    store.write("k", values, arrays)
    found = store.read("k")
    assert found is not None
    assert found[0] == values
    assert set(found[1]) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[1][name], array)
        assert found[1][name].dtype == array.dtype


def test_what_is_missing_or_damaged_is_nothing(tmp_path: Path) -> None:
    store = OutcomeStore(tmp_path)
    assert store.read("k") is None
    store.write("k", {"a": 1}, {"x": np.arange(100)})
    path = tmp_path / "k.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    assert store.read("k") is None
    path.write_bytes(b"nonsense")
    assert store.read("k") is None
