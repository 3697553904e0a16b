"""Atomic, pickle-free reads and writes, content hashes, and the number of the formats on disk.

Everything is written under a temporary name in the folder it belongs to and then renamed, so that a reader never
meets half a file. Knows nothing of what the files mean.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from latentprobe.errors import OutputError

#: Number of the formats this version writes (store, bundle, run directory). Raised when a reader of the old one would
#: misread the new one; every number ever written stays readable or is refused by name.
FORMAT = 1


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` and rename it to ``path`` when the block ends well; else remove it.

    Raises:
        OutputError: the folder cannot be made or written, or ``path`` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError("a file was to be written", got=f"{path} is a folder", fix="name a file inside it")
    temporary = _sibling(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except PermissionError as error:
        raise _not_writable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new empty folder beside ``path`` that takes its place when the block ends well; else nothing changes."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise OutputError("a folder was to be written", got=f"{path} is a file", fix="name another folder with --out")
    temporary = _sibling(path)
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            discarded = _sibling(path)
            os.replace(path, discarded)
            os.replace(temporary, path)
            shutil.rmtree(discarded)
        else:
            os.replace(temporary, path)
    except PermissionError as error:
        raise _not_writable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_writable(path: Path) -> None:
    """Refuse now what could not be written later: call it before long work towards ``path``, file or folder.

    Raises:
        OutputError: the folder it belongs to cannot be made or written.
    """
    _sibling(Path(path))


def _sibling(path: Path) -> Path:
    """A free temporary name in the folder of ``path``, which is made where it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise _not_writable(path, error) from error
    os.close(handle)
    os.unlink(name)
    return Path(name)


def _not_writable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        "the result cannot be written there",
        got=f"{path}: {error.strerror or error}",
        fix="choose a folder you may write to, or change its permissions",
    )


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
