"""Files are whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from latentprobe.errors import LatentprobeError, OutputError
from latentprobe.experiment.places import require_folder
from latentprobe.files import (
    atomic_folder,
    atomic_path,
    read_json,
    require_writable,
    sha256_file,
    sha256_json,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ValueError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise ValueError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_at_once_or_not_at_all(tmp_path: Path) -> None:
    target, own = tmp_path / "run", ("one", "two", "three")
    with atomic_folder(target, own) as temporary:
        (temporary / "one").write_text("1")
    with pytest.raises(ValueError), atomic_folder(target, own) as temporary:
        (temporary / "two").write_text("2")
        raise ValueError
    assert [path.name for path in target.iterdir()] == ["one"]
    with atomic_folder(target, own) as temporary:
        (temporary / "three").write_text("3")
    assert [path.name for path in target.iterdir()] == ["three"]
    assert list(tmp_path.iterdir()) == [target]


def test_what_others_put_into_a_folder_is_kept_when_it_is_replaced(tmp_path: Path) -> None:
    target, own = tmp_path / "run", ("one", "bundle/two")
    for name in (*own, "notes.txt", "bundle/mine", "more/deep/x", "dangling"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text("old")
    (target / "empty").mkdir()
    (target / "dangling").unlink()
    (target / "dangling").symlink_to("nowhere")
    with atomic_folder(target, own) as temporary:
        (temporary / "one").write_text("new")
    found = {path.relative_to(target).as_posix(): path for path in target.rglob("*") if not path.is_dir()}
    assert set(found) == {"one", "notes.txt", "bundle/mine", "more/deep/x", "dangling"}
    assert found["one"].read_text() == "new" and found["bundle/mine"].read_text() == "old"
    assert (target / "empty").is_dir() and found["dangling"].readlink() == Path("nowhere")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EROFS, "can be written"),
        (errno.EFBIG, "another disk"),
        (errno.EBUSY, "in use"),
    ],
)
def test_what_the_system_says_against_writing_is_one_refusal(number: int, told: str, tmp_path: Path) -> None:
    for writing in (atomic_folder(tmp_path / "a", ()), atomic_path(tmp_path / "a")):
        with pytest.raises(OutputError) as refusal, writing:
            raise OSError(number, "as the system says it")
        assert told in refusal.value.fix and str(tmp_path / "a") in refusal.value.got
    with pytest.raises(ConnectionError), atomic_path(tmp_path / "a"):
        raise ConnectionError  # nothing that has to do with the file
    assert list(tmp_path.iterdir()) == []


def test_a_name_too_long_is_refused_before_the_work(tmp_path: Path) -> None:
    for path in (tmp_path / ("a" * 256), tmp_path / ("a" * 256) / "b"):
        with pytest.raises(OutputError) as refusal:
            require_writable(path)
        assert "shorter name" in refusal.value.fix
        with pytest.raises(OutputError):
            require_folder(path, "results.json")
    with atomic_path(tmp_path / ("a" * 255)) as temporary:  # the longest a name may be
        temporary.write_text("x")


@pytest.mark.parametrize("there", [True, False])
def test_a_whole_folder_that_cannot_take_its_place_is_not_thrown_away(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "run"
    if there:
        target.mkdir()
        (target / "one").write_text("old")
    replace = os.replace

    def busy(source: Path, goal: Path) -> None:
        if Path(goal) == target and (Path(source) / "one").read_text() == "new":
            raise OSError(errno.EBUSY, "Device or resource busy")
        replace(source, goal)

    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(OutputError, match="put in its place") as refusal, atomic_folder(target, ["one"]) as temporary:
        (temporary / "one").write_text("new")
    assert (temporary / "one").read_text() == "new"
    assert str(temporary) in refusal.value.fix
    assert not there or (target / "one").read_text() == "old"


@pytest.mark.skipif(not Path("/dev/shm").is_mount(), reason="needs a mounted folder")
def test_a_mounted_folder_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(()))
    with pytest.raises(OutputError, match="a mounted one cannot be") as refusal:
        require_folder(Path("/dev/shm"), "results.json")
    assert "inside it" in refusal.value.fix


def test_a_folder_where_a_file_is_due_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="a file was to be written"), atomic_path(tmp_path):
        pass


def test_a_file_where_a_folder_is_due_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a folder was to be written"), atomic_folder(tmp_path / "file", ()):
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
