"""Where the images of a corpus lie: a folder with a sub-folder a class, or a table with a column of paths or images.

No path may leave the folder it is given in. Knows nothing of pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from latentprobe.corpus.hub import PREFIX, data_folders
from latentprobe.corpus.images import ImageFile, check_images
from latentprobe.corpus.names import ids_of, names_of, numbered
from latentprobe.corpus.sources import read_table
from latentprobe.corpus.table import Table
from latentprobe.corpus.wording import listed
from latentprobe.errors import CorpusError

__all__ = ["COLUMN", "image_folder", "image_table", "read_images"]

#: Name of the column with the images of a folder, which has no columns.
COLUMN = "image"


def image_folder(path: str, *, label: str, prefix: str = "") -> Table:
    """The images under a folder, in order of their paths; the class is the first sub-folder, the path is the id.

    Hidden files are skipped; so are files beside the sub-folders that are no images. Everything else must be one.

    Args:
        path: the folder.
        label: what to call the column of classes.
        prefix: what to put before each id.

    Raises:
        CorpusError: no sub-folders with images, an image beside them, a link out of the folder, a file that is no
            usable image.
    """
    root = Path(path)
    files = _files(root)
    beside = [file.name for file in files if file.parent == root and file.suffix.lower() in _ENDINGS]
    files = [file for file in files if file.parent != root]
    if beside or not files:
        raise CorpusError(
            "a folder of images has one sub-folder a class, with the images in it",
            got=f"{path} is a folder with " + (f"images of no class: {listed(beside)}" if beside else "none"),
            fix="move each image into the folder of its class; for data in a file, name the file inside the folder, "
            f"and for a folder of the hub's layout write hf:{path}",
        )
    names = [file.relative_to(root).as_posix() for file in files]
    images = check_images(files)
    columns: dict[str, Sequence[object]] = {COLUMN: images, label: [name.split("/")[0] for name in names]}
    return Table(path, columns, tuple(prefix + name for name in names))


def image_table(path: str, wanted: Sequence[str], *, prefix: str = "") -> Table:
    """A table whose first wanted column holds images, or paths of them, with the images in place of them.

    Paths are relative to the folder of the table, and are the ids. Images themselves are cells of ``bytes`` and
    ``path``, as data sets of the hub have them; their rows are numbered.

    Raises:
        CorpusError: what ``read_table`` refuses; a row without a path, a path that leaves the folder or stands there
            twice, a file that is no usable image.
    """
    table = read_table(path, wanted)
    if any(isinstance(cell, Mapping) for cell in table.columns[wanted[0]]):
        return replace(table, columns={**table.columns, wanted[0]: _embedded(table, wanted[0], path)})
    root = Path(path).parent
    rows = numbered(len(table))
    names = names_of(table.columns[wanted[0]], rows, column=wanted[0], what="paths of images")
    files = [_inside(root, name, row) for name, row in zip(names, rows, strict=True)]
    keys = tuple(f"{prefix}{name}" for name in names)
    if len(set(keys)) < len(keys):
        twice = [name for name, times in Counter(keys).items() if times > 1]
        raise CorpusError(
            "each row names an image of its own", got=f"more than once: {listed(twice)}", fix="keep one row of each"
        )
    return replace(table, columns={**table.columns, wanted[0]: check_images(files)}, keys=keys)


def _embedded(table: Table, column: str, path: str) -> list[ImageFile]:
    """The images in cells of bytes and path; where there are no bytes, the path is that of a file."""
    files, contents = [], []
    for row, cell in enumerate(table.columns[column]):
        found = cell if isinstance(cell, Mapping) else {}
        content, name = found.get("bytes"), found.get("path")
        if content is not None and not isinstance(content, bytes):
            content = None
        if content is None and not isinstance(name, str):
            raise CorpusError(
                f"every row of {column!r} holds an image: its bytes, or the path of its file",
                got=f"neither in row {row}",
                fix="fill it in, or leave the row out",
            )
        if content is None:
            files.append(_file_of(path, str(name), str(row)))
        else:  # only a name: there need not be such a file
            files.append(Path(path) / f"row {row} {Path(str(name or '')).name}".rstrip())
        contents.append(content)
    return check_images(files, contents)


def _file_of(source: str, name: str, row: str) -> Path:
    """The file that a cell names: in the folder of the table, or where ``datasets`` keeps what belongs to one."""
    if not source.startswith(PREFIX):
        return _inside(Path(source).parent, name, row)
    for root in data_folders(source):
        if Path(name).resolve().is_relative_to(root.resolve()):
            return Path(name)
    raise _outside(Path(source), f"{name!r} in row {row}")


def read_images(path: str | Path, *, image: str = COLUMN, id: str | None = None) -> Table:
    """Images without labels: all under a folder, those a table names, or a single file. Ids are paths.

    Args:
        path: the folder, table or image.
        image: column with the paths or images, in a table.
        id: column with unique row names, in a table. Default: the path, else the row's number.

    Returns:
        A table with the column ``image``, and ``keys``.

    Raises:
        CorpusError: nothing there, or what is there cannot be used.
    """
    root = Path(path)
    if root.is_dir():
        files = _files(root)
        if not files:
            raise CorpusError("images were expected", got=f"none in the folder {path}", fix="name another folder")
        return Table(
            str(path), {COLUMN: check_images(files)}, tuple(file.relative_to(root).as_posix() for file in files)
        )
    if root.suffix.lower() in _ENDINGS:
        return Table(str(path), {COLUMN: check_images([root])}, (root.name,))
    table = image_table(str(path), [image] if id is None else [image, id])
    keys = table.keys or numbered(len(table)) if id is None else ids_of(table.columns[id], column=id)
    return Table(table.source, {COLUMN: table.columns[image]}, keys)


#: Endings that tell an image from a README beside the sub-folders, and from a table.
_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"})


def _files(root: Path) -> list[Path]:
    """Every file under a folder that is not hidden, in order of its path."""
    return sorted(_under(root, root), key=lambda file: file.relative_to(root).as_posix())


def _under(folder: Path, root: Path) -> list[Path]:
    found: list[Path] = []
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            _require_inside(root, entry, f"the link {entry}")
        if entry.is_dir() and entry.is_symlink():
            raise CorpusError(
                "a sub-folder holds its files itself", got=f"a link to a folder, {entry}", fix="copy the folder there"
            )
        found += _under(entry, root) if entry.is_dir() else [entry]
    return found


def _inside(root: Path, name: str | None, row: str) -> Path:
    """The file a table names, which must lie in the table's own folder."""
    if name is None:
        raise CorpusError("every row names an image", got=f"no path in row {row}", fix="fill it in, or leave it out")
    if Path(name).is_absolute():
        raise _outside(root, f"{name!r} in row {row}")
    _require_inside(root, root / name, f"{name!r} in row {row}")
    return root / name


def _require_inside(root: Path, path: Path, what: str) -> None:
    """Refuse a path that, all links followed, leads out of a folder: a table from elsewhere may name any file here."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise _outside(root, what)


def _outside(root: Path, what: str) -> CorpusError:
    return CorpusError(
        f"images lie in the folder of the data, {root}, and are named relative to it",
        got=f"{what} leads elsewhere",
        fix="copy the image into the folder",
    )
