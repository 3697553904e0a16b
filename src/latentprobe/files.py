"""Atomic, pickle-free reads and writes, content hashes, and the number of the formats on disk.

Everything is written under a temporary name in the folder it belongs to and then renamed, so that a reader never
meets half a file. Knows nothing of what the files mean.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from latentprobe.errors import OutputError

#: Number of the formats this version writes (store, bundle, run directory). Raised when a reader of the old one would
#: misread the new one; every number ever written stays readable or is refused by name.
FORMAT = 1


#: What stands in the way of writing, and what to do about it.
_WAYS_OUT = {
    errno.ENOSPC: "make room there, or name a folder on another disk; what `run` and `extract` finished is kept",
    errno.EDQUOT: "make room there, or name a folder on another disk; what `run` and `extract` finished is kept",
    errno.EFBIG: "name a folder on another disk, or allow larger files; what `run` and `extract` finished is kept",
    errno.EROFS: "name a folder on a disk that can be written",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EBUSY: "name another folder: this one is mounted or in use",
    errno.EACCES: "choose a folder you may write to, or change its permissions",
    errno.EPERM: "choose a folder you may write to, or change its permissions",
    errno.EIO: "name a folder on another disk: this one does not work",
}


@contextlib.contextmanager
def refusing(path: Path, *, every: bool = False) -> Iterator[None]:
    """Make a refusal of what the system says against writing ``path``; of ``every`` word of it, or of that alone."""
    try:
        yield
    except OSError as error:
        if not every and error.errno not in _WAYS_OUT:
            raise
        raise OutputError(
            "the result cannot be written there",
            got=f"{str(path)[:300]}: {os.strerror(error.errno) if error.errno else error}",
            fix=_WAYS_OUT.get(error.errno or 0, "choose a folder you may write to"),
        ) from error


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` and rename it to ``path`` when the block ends well; else remove it.

    Raises:
        OutputError: the folder cannot be made or written, the disk is full, or ``path`` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError("a file was to be written", got=f"{path} is a folder", fix="name a file inside it")
    temporary = _sibling(path)
    try:
        with refusing(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, own: Collection[str]) -> Iterator[Path]:
    """Yield a new empty folder beside ``path`` that takes its place when the block ends well; else nothing changes.

    What a folder that is there holds beside ``own`` is the user's, and is kept. Should the new folder be whole but not
    take its place, it stays where it is, and the refusal says where.

    Args:
        path: the folder to write.
        own: every file that may be written there, relative to it; those that are not written again are removed.

    Raises:
        OutputError: ``path`` is a file, or it cannot be written.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise OutputError("a folder was to be written", got=f"{path} is a file", fix="name another folder with --out")
    temporary = _sibling(path)
    try:
        with refusing(path):
            temporary.mkdir()
            yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    try:
        discarded = _put_in_place(temporary, path)
        if discarded is not None:
            _keep_others(discarded, path, own)
            shutil.rmtree(discarded)
    except OSError as error:
        raise OutputError(
            "the finished folder could not be put in its place",
            got=f"{path}: {error.strerror or error}",
            fix=f"move it there yourself: it is whole, in {temporary}"
            if temporary.exists()
            else f"look into {path.parent} for what was there before",
        ) from error


def _put_in_place(temporary: Path, path: Path) -> Path | None:
    """Rename a folder to ``path``; what was there goes aside, and back where the new one cannot take its place."""
    if not path.exists():
        os.replace(temporary, path)
        return None
    discarded = _sibling(path)
    os.replace(path, discarded)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(discarded, path)
        raise
    return discarded


def _keep_others(discarded: Path, path: Path, own: Collection[str]) -> None:
    """Move what the user put into a folder of ours over to the new one."""
    for entry in sorted(discarded.rglob("*")):
        name = entry.relative_to(discarded).as_posix()
        is_folder = entry.is_dir() and not entry.is_symlink()
        if name not in own and not (path / name).exists() and not (is_folder and any(entry.iterdir())):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(entry, path / name)


def require_writable(path: Path) -> None:
    """Refuse now what could not be written later: call it before long work towards ``path``, file or folder.

    Raises:
        OutputError: the folder it belongs to cannot be made or written.
    """
    _sibling(Path(path))


def _sibling(path: Path) -> Path:
    """A free temporary name in the folder of ``path``, which is made where it is missing."""
    with refusing(path, every=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:50]}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        os.unlink(name)
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # the name itself may be too long, though the temporary one is not
        return Path(name)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically. NaN and infinity are refused: JSON has no word for them."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises ``OSError`` or ``ValueError``; callers turn those into their own refusal."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hexadecimal SHA-256 of the canonical JSON of ``value``: keys sorted, no spaces. The same value, the same hash.

    >>> sha256_json({"b": 1, "a": 2}) == sha256_json({"a": 2, "b": 1})
    True
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()
