"""Files are whole or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from latentprobe.errors import LatentprobeError, OutputError
from latentprobe.files import atomic_folder, atomic_path, read_json, sha256_file, sha256_json, write_json


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ValueError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise ValueError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_at_once_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "run"
    with atomic_folder(target) as temporary:
        (temporary / "one").write_text("1")
    with pytest.raises(ValueError), atomic_folder(target) as temporary:
        (temporary / "two").write_text("2")
        raise ValueError
    assert [path.name for path in target.iterdir()] == ["one"]
    with atomic_folder(target) as temporary:
        (temporary / "three").write_text("3")
    assert [path.name for path in target.iterdir()] == ["three"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_where_a_file_is_due_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="a file was to be written"), atomic_path(tmp_path):
        pass


def test_a_file_where_a_folder_is_due_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a folder was to be written"), atomic_folder(tmp_path / "file"):
        pass
    with pytest.raises(OutputError), atomic_path(tmp_path / "file" / "below"):
        pass


def test_json_comes_back_equal_and_nan_is_refused(tmp_path: Path) -> None:
    value = {"é": [1, 2.5, None, True], "b": {"c": "d"}}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert read_json(tmp_path / "x.json") == value


def test_hashes_are_of_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1}) != sha256_json({"a": 1, "b": 3})


def test_every_error_has_a_way_forward() -> None:
    with pytest.raises(TypeError):
        LatentprobeError("a problem", got="x")  # type: ignore[call-arg]
    assert str(LatentprobeError("a problem", got="x", fix="do y")) == "a problem\n  got: x\n  fix: do y"
