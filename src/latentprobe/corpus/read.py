"""From a spec, or from values in memory, to a checked corpus of texts or images. Knows no file format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import ColumnTest, DataSpec, FileTest
from latentprobe.corpus.corpus import Corpus
from latentprobe.corpus.image_rows import COLUMN, image_folder, image_table
from latentprobe.corpus.images import ImageFile, check_images, notes_on
from latentprobe.corpus.names import groups_of, ids_of, numbered, require_unique
from latentprobe.corpus.near_copies import clusters_of
from latentprobe.corpus.pairs import examples_of
from latentprobe.corpus.sources import read_lines, read_table
from latentprobe.corpus.split import absent_from_test, marked, require_rows_for_folds, without_leaks
from latentprobe.corpus.table import Table, no_rows
from latentprobe.corpus.target import relabelled, target_of
from latentprobe.corpus.texts import normalized, texts_of
from latentprobe.errors import CorpusError


@dataclass(frozen=True)
class _Rows:
    """Values as they came: there is one for each row, and nothing else is known of them yet."""

    ids: tuple[str, ...]
    contents: Sequence[object]
    """Texts or images."""
    labels: Mapping[str, Sequence[object]]
    groups: Sequence[object] | None
    given_test: NDArray[np.bool_] | None = None
    text_column: str = "texts"
    group_column: str = "groups"
    columns: Mapping[str, Sequence[object]] = field(default_factory=dict)
    near_duplicates: float | None = None
    """Share of 5-grams in common from which texts are near-copies; None: not looked for."""


def read_corpus(data: DataSpec, *, folds: int = 2) -> Corpus:
    """Read the labelled rows a spec describes, and check them.

    Rows keep the order of their file; those of a test file follow the others. Ids are the named column, else the keys
    of a JSON object of objects, else row numbers from 0 ("0", "1", ...; "test-0", ... in the test file). The id of an
    image is its path, relative to the folder or table. Where `text` maps classes to columns, each row gives an example
    of each class, with the id ``ROW-CLASS`` and the row as its group.

    Args:
        data: where the rows are and what their columns mean.
        folds: how many folds the training part will be cut into; each class must have a row for each.

    Raises:
        CorpusError: anything that would make a number wrong later; the message says what to do.
        MissingExtraError: an `hf:` reference without the `datasets` package, or images without pillow.
    """
    table = _read_part(data, data.path, data.labels_path)
    ids = _ids(table, data.id)
    given_test = None
    if isinstance(data.test, FileTest):
        test_table = _read_part(data, data.test.path, data.test.labels_path, prefix="test-")
        given_test = np.arange(len(table) + len(test_table)) >= len(table)
        ids += _ids(test_table, data.id, prefix="test-")
        table = table.followed_by(test_table)
    elif isinstance(data.test, ColumnTest):
        given_test = marked(table.columns[data.test.column], ids, column=data.test.column, value=data.test.value)
    if isinstance(data.text, Mapping):
        rows = _pairs(data.text, table, ids, given_test, data.by)
    else:
        rows = _rows(data, table, ids, given_test)
    share = data.test if isinstance(data.test, float) else 0.0
    return _checked(rows, _name(data.path), data.positive, folds=folds, share=share, on_leak=data.on_leak)


def _rows(data: DataSpec, table: Table, ids: tuple[str, ...], given_test: NDArray[np.bool_] | None) -> _Rows:
    """A row of the table as a row of the corpus."""
    labels = {column: table.columns[column] for column in _label_columns(data)}
    return _Rows(
        ids=ids,
        contents=table.columns[_content_column(data)],
        labels={column: relabelled(values, data.classes, ids, column) for column, values in labels.items()},
        groups=None if data.group is None else table.columns[data.group],
        given_test=given_test,
        text_column=_content_column(data),
        group_column=data.group or "",
        columns={column: table.columns[column] for column in data.by},
        near_duplicates=data.near_duplicates,
    )


def _pairs(
    classes: Mapping[str, str],
    table: Table,
    ids: tuple[str, ...],
    given_test: NDArray[np.bool_] | None,
    by: Sequence[str],
) -> _Rows:
    """A row of the table as one row a class, which stay together."""
    names, texts, labels, row = examples_of({name: table.columns[column] for name, column in classes.items()}, ids)
    return _Rows(
        ids=names,
        contents=texts,
        labels={"label": labels},
        groups=[ids[position] for position in row],
        given_test=None if given_test is None else given_test[row],
        text_column=" and ".join(classes.values()),
        columns={column: [table.columns[column][position] for position in row] for column in by},
    )


def corpus_from(
    texts: Sequence[str] | Sequence[Path],
    labels: Sequence[Any] | Mapping[str, Sequence[Any]],
    *,
    ids: Sequence[Any] | None = None,
    groups: Sequence[Any] | None = None,
    positive: str | None = None,
    name: str = "texts",
) -> Corpus:
    """A corpus of texts and labels in memory, under the same checks as one that is read.

    Args:
        texts: one a row; or the paths of images, each a ``Path``.
        labels: one a row; or label name -> 0, 1 or None a row, for a multi-label task.
        ids: unique row names. Default: row numbers from 0.
        groups: rows of one group stay on one side of every split.
        positive: of two classes, the one that is scored and flagged. Default: the last in sorted order.
        name: what to call the corpus.

    Raises:
        CorpusError: a bare string, lengths that differ, or what `read_corpus` refuses.

    >>> corpus_from(["good", "bad", "fine", "awful"], [1, 0, 1, 0]).target.classes
    ('0', '1')
    """
    if isinstance(texts, str) or isinstance(labels, str):
        raise CorpusError("a list of texts and one of labels were expected", got="a bare string", fix="write [text]")
    columns = dict(labels) if isinstance(labels, Mapping) else {"labels": labels}
    lengths = {"texts": len(texts), **{column: len(values) for column, values in columns.items()}}
    lengths |= {what: len(values) for what, values in (("ids", ids), ("groups", groups)) if values is not None}
    if not columns or len(set(lengths.values())) > 1:
        raise CorpusError(
            "texts, labels, ids and groups must have one value for each row",
            got=", ".join(f"{n} {what}" for what, n in lengths.items()),
            fix="give all of them for the same rows, in the same order",
        )
    if not len(texts):
        raise no_rows(name)
    names = numbered(len(texts)) if ids is None else ids_of(ids, column="ids")
    contents: Sequence[object] = texts
    if any(isinstance(text, Path) for text in texts):
        contents = check_images(_paths(texts))
    return _checked(_Rows(names, contents, columns, groups), name, positive)


def _paths(values: Sequence[object]) -> list[Path]:
    paths = [value for value in values if isinstance(value, Path)]
    if len(paths) < len(values):
        raise CorpusError(
            "all rows are texts, or all are images, each named by a Path",
            got=f"{len(paths)} of {len(values)} rows are a Path",
            fix="write every image as Path(...), and no text so",
        )
    return paths


def read_texts(
    path: str | Path, *, text: str = "text", id: str | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids and texts of a file without labels, in its order. A missing text is the empty one.

    Args:
        path: any file or reference that `read_corpus` takes; of a .txt file, each line is a text.
        text: column with the texts.
        id: column with unique row names. Default: as in `read_corpus`.

    Raises:
        CorpusError: the file cannot be read, a column is missing, an id is missing or stands twice.
    """
    table = read_table(str(path), [text] if id is None else [text, id])
    ids = _ids(table, id)
    require_unique(ids)
    return ids, texts_of(table.columns[text], ids, column=text)[0]


def _checked(
    rows: _Rows,
    name: str,
    positive: str | None,
    *,
    folds: int = 2,
    share: float = 0.0,
    on_leak: Literal["refuse", "move"] = "refuse",
) -> Corpus:
    """Every check that does not depend on where the rows came from."""
    ids = rows.ids
    require_unique(ids)
    images = _images(rows.contents)
    if images is None:
        texts, notes = texts_of(rows.contents, ids, column=rows.text_column)
    else:
        texts, notes = ("",) * len(ids), notes_on(images, ids)
    target = target_of(rows.labels, ids, positive=positive)
    if target.kind == "multilabel" and (unlabelled := int(np.isnan(target.y).all(axis=1).sum())):
        notes.append(f"Rows without any label, left out of fit and score: {unlabelled:,}.")
    copies = [image.pixels_sha256 for image in images] if images else [normalized(text) for text in texts]
    near = None
    if images is None and rows.near_duplicates is not None:
        near = tuple(clusters_of(copies, rows.near_duplicates))
    groups, moved = None, 0
    if rows.groups is not None:
        groups, more = groups_of(rows.groups, ids, column=rows.group_column)
        notes += more
    given_test = rows.given_test
    if given_test is not None:
        before = int(given_test.sum())
        given_test, more = without_leaks(
            given_test,
            ids=ids,
            copies=copies,
            what="image" if images else "text",
            near=near,
            groups=groups,
            on_leak=on_leak,
        )
        moved = int(given_test.sum()) - before
        notes += more + absent_from_test(target, given_test)
    require_rows_for_folds(target, given_test, share=share, folds=folds)
    columns = {column: tuple(_word(value) for value in values) for column, values in rows.columns.items()}
    return Corpus(name, ids, texts, target, groups, given_test, tuple(notes), images, columns, near, moved)


def _word(value: object) -> str:
    """A value of a further column as a string; a missing one is empty."""
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "" if missing else str(value)


def _images(contents: Sequence[object]) -> tuple[ImageFile, ...] | None:
    """The contents of the rows, if they are images."""
    images = tuple(content for content in contents if isinstance(content, ImageFile))
    return images or None


def _read_part(data: DataSpec, path: str, labels_path: str | None, *, prefix: str = "") -> Table:
    """The columns of a spec from the training or the test part: a file, or a folder of images."""
    if _is_folder(path) != _is_folder(data.path):
        raise CorpusError(
            "both parts are folders of images, or both are files",
            got=f"{data.path} and {path}",
            fix="write the test part as the training part is written",
        )
    if _is_folder(path):
        _require_no_columns(data)
        return image_folder(path, label=_label_columns(data)[0], prefix=prefix)
    if labels_path is None:
        split = data.test.column if isinstance(data.test, ColumnTest) else None
        pairs = data.text.values() if isinstance(data.text, Mapping) else None
        named = [_content_column(data), *_label_columns(data)] if pairs is None else pairs
        wanted = [*named, data.group, data.id, split, *data.by]
        columns = [column for column in wanted if column is not None]
        return read_table(path, columns) if data.image is None else image_table(path, columns, prefix=prefix)
    if not isinstance(data.label, str) or data.group or data.id or data.by or isinstance(data.test, ColumnTest):
        raise CorpusError(
            "a text file with a labels file has no columns for groups, ids, several labels or the split",
            got=f"{path} with labels_path",
            fix="leave those keys out, or write texts and labels into one CSV",
        )
    return read_lines(path, labels_path, text=str(data.text), label=data.label)


def _is_folder(path: str) -> bool:
    return not path.startswith("hf:") and Path(path).is_dir()


def _require_no_columns(data: DataSpec) -> None:
    """Refuse what only makes sense for a table."""
    named = [key for key in ("image", "group", "id", "by") if getattr(data, key)]
    named += ["text"] * isinstance(data.text, Mapping)
    named += ["label"] * (data.label != "label") + ["test"] * isinstance(data.test, ColumnTest)
    if named:
        raise CorpusError(
            "a folder of images has no columns: each sub-folder is a class, each path an id",
            got=f"{', '.join(named)} for {data.path}",
            fix="leave that out; or write a table with a column of paths and name the table",
        )


def _content_column(data: DataSpec) -> str:
    """Name of the column with the texts or images."""
    return COLUMN if _is_folder(data.path) else data.image or str(data.text)


def _label_columns(data: DataSpec) -> tuple[str, ...]:
    return (data.label,) if isinstance(data.label, str) else data.label


def _name(path: str) -> str:
    """What to call the corpus: the file's name without its endings, or the reference without its prefix."""
    return path.removeprefix("hf:") if path.startswith("hf:") else Path(path).name.split(".")[0]


def _ids(table: Table, column: str | None, *, prefix: str = "") -> tuple[str, ...]:
    if column is not None:
        return ids_of(table.columns[column], column=column)
    return table.keys or numbered(len(table), prefix=prefix)
