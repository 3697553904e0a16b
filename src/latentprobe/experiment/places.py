"""Where results go: refused before the work when they could not be written after it. Makes no folder by asking."""

from __future__ import annotations

from pathlib import Path

from latentprobe.errors import OutputError
from latentprobe.files import refusing, require_writable

__all__ = ["require_folder", "require_room"]


def require_folder(out: Path, mark: str) -> None:
    """Refuse a folder that holds other things than the results of the same kind, which have a file named ``mark``.

    Raises:
        OutputError: it holds other files, is a file, is the working folder or a mounted one, or cannot be written.
    """
    require_room(out)
    with refusing(out, every=True):
        foreign = out.is_dir() and any(out.iterdir()) and not (out / mark).is_file()
    if foreign:
        raise OutputError(
            "the results go into a new or empty folder, or over earlier ones",
            got=f"{out}, which holds other files",
            fix="name another folder with --out",
        )
    if out.exists() and not out.is_dir():
        raise OutputError("a folder was to be written", got=f"{out} is a file", fix="name another folder with --out")
    if out.resolve() == Path.cwd() or out.is_mount():
        raise OutputError(
            "a folder was to be written in one piece, which the folder you are in and a mounted one cannot be",
            got=str(out),
            fix="name a folder inside it with --out",
        )


def require_room(path: Path) -> None:
    """Refuse a path whose nearest folder that is there already cannot be written.

    Raises:
        OutputError: it cannot, or is a file.
    """
    nearest = path.parent
    with refusing(path, every=True):
        while not nearest.exists():
            nearest = nearest.parent
    if not nearest.is_dir():
        raise OutputError(
            "a folder was expected above the results", got=f"{nearest} is a file", fix="name another path"
        )
    require_writable(nearest / path.name)
