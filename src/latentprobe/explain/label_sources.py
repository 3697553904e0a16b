"""Labels as others publish them, read into one form: whose they are, which feature, what is said of it.

    a folder or a batch-*.jsonl.gz   Neuronpedia's bulk export, v1/MODEL/SOURCE, with explanations/ in it
    .json                            an answer of Neuronpedia's API: one feature, a list of them, a search; or a
                                     mapping from feature to label; or a list of objects
    .jsonl(.gz), .csv, .tsv          a row a feature; columns as in ``FEATURE`` and ``LABEL``
    a folder of *_latentN.txt        what delphi writes: one file a feature

Nothing is fetched. A label is data: it is kept as it is, whatever it says. Knows nothing of SAEs.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from latentprobe.errors import CorpusError
from latentprobe.store.labels import FeatureLabel

__all__ = ["Described", "Published", "one_each", "read_published"]

FEATURE = ("feature", "index", "feature_id", "feature_index", "index_in_sae", "latent", "id")
LABEL = ("label", "description", "explanation")
MODEL = ("modelId", "model_id", "model")
SOURCE = ("layer", "source", "source_id", "sourceId", "neuronpedia")

_LATENT_FILE = re.compile(r".*_latent(\d+)\.txt")
_SHAPES = (
    "a folder of Neuronpedia's export, an answer of its API, a CSV or JSON Lines file with the columns 'feature' and "
    "'label', or a folder of delphi's explanations"
)


class Described(NamedTuple):
    """One label of one feature."""

    model: str | None
    """As the source calls it; None where it does not say."""
    source: str | None
    """Neuronpedia's name of the SAE, such as ``12-gemmascope-res-16k``."""
    feature: int
    label: FeatureLabel


class Published(NamedTuple):
    """What a source holds."""

    rows: list[Described]
    sha256: str
    """Of its files and their names."""
    files: int


def read_published(path: Path) -> Published:
    """Every label in a file or folder.

    Raises:
        CorpusError: it is not there, of no such form, damaged, or without any label.
    """
    files = _files(path)
    digest, rows = hashlib.sha256(), []
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise _refused(f"{file}: {error.strerror}") from error
        digest.update(f"{file.name}\0{len(content)}\0".encode())
        digest.update(content)
        rows += list(_rows(file, content))
    if not rows:
        raise _refused(f"{path}, without any label")
    return Published(rows, digest.hexdigest(), len(files))


def one_each(rows: Iterable[Described]) -> dict[int, FeatureLabel]:
    """One label a feature: where there are several, of the kind and the explainer that described most features.

    >>> one_each([Described(None, None, 3, FeatureLabel("a", "x")), Described(None, None, 3, FeatureLabel("b", "y")),
    ...           Described(None, None, 4, FeatureLabel("c", "y"))])[3].label
    'b'
    """
    listed = list(rows)
    often = Counter((row.label.type, row.label.explainer) for row in listed)
    chosen: dict[int, FeatureLabel] = {}
    for row in listed:
        now = chosen.get(row.feature)
        if now is None or often[(row.label.type, row.label.explainer)] > often[(now.type, now.explainer)]:
            chosen[row.feature] = row.label
    return dict(sorted(chosen.items()))


def _files(path: Path) -> list[Path]:
    """The files of a source, in order of their names."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise _refused(f"{path}, which does not exist")
    batches = path / "explanations" if (path / "explanations").is_dir() else path
    found = sorted(batches.glob("batch-*.jsonl.gz")) + sorted(batches.glob("batch-*.jsonl"))
    found = found or sorted(file for file in path.iterdir() if _LATENT_FILE.fullmatch(file.name))
    if not found:
        raise _refused(f"{path}, a folder without explanations/batch-*.jsonl.gz or *_latentN.txt")
    return found


def _rows(file: Path, content: bytes) -> Iterator[Described]:
    """The labels of one file."""
    name = file.name.removesuffix(".gz")
    try:
        text = (gzip.decompress(content) if file.name.endswith(".gz") else content).decode("utf-8-sig")
        if (latent := _LATENT_FILE.fullmatch(name)) is not None:
            label = str(json.loads(text)) if text.startswith('"') else text.strip()
            yield Described(None, None, int(latent[1]), FeatureLabel(label, "delphi"))
        elif name.endswith(".jsonl"):
            for number, line in enumerate(text.split("\n"), start=1):
                if line.strip():
                    yield from _objects(json.loads(line), f"line {number} of {file}")
        elif name.endswith(".json"):
            yield from _json(json.loads(text), str(file))
        elif name.endswith((".csv", ".tsv")):
            rows = csv.DictReader(io.StringIO(text), delimiter="\t" if name.endswith(".tsv") else ",", strict=True)
            for row in rows:
                yield from _objects(row, f"line {rows.line_num} of {file}")
        else:
            raise _refused(str(file))
    except (ValueError, OSError, EOFError, zlib.error, csv.Error, RecursionError) as error:
        raise _refused(f"{file}: {error}") from error


def _json(value: Any, where: str) -> Iterator[Described]:
    """An answer of Neuronpedia, a list of rows, or a mapping from feature to label."""
    if isinstance(value, dict) and isinstance(value.get("results"), list):
        value = value["results"]
    if isinstance(value, list) and all(isinstance(label, str) for label in value):
        value = dict(enumerate(value))
    if isinstance(value, list):
        for number, row in enumerate(value):
            yield from _objects(row, f"object {number} of {where}")
    elif isinstance(value, dict) and all(re.fullmatch(r"\d+", str(key)) for key in value):
        for key, label in value.items():
            fields = label if isinstance(label, dict) else {"label": label}
            yield from _objects({**fields, "feature": key}, where)
    else:
        yield from _objects(value, where)


def _objects(row: Any, where: str) -> Iterator[Described]:
    """The labels of one object: its own, or each of its ``explanations``."""
    if not isinstance(row, dict):
        raise _refused(f"{where}: {str(row)[:60]!r}")
    feature = _number(_first(row, FEATURE))
    if feature is None:
        raise _refused(f"{where}: no feature, a whole number, among {', '.join(map(str, row))[:80]}")
    model, source = _first(row, MODEL), _first(row, SOURCE)
    said = row["explanations"] if isinstance(row.get("explanations"), list) else [row]
    for explanation in said:
        label = _first(explanation, LABEL) if isinstance(explanation, dict) else None
        if not isinstance(label, str):
            raise _refused(f"{where}: no label among {', '.join(map(str, row))[:80]}")
        if label.strip():
            told = FeatureLabel(
                label.strip(), _text(explanation, "typeName"), _text(explanation, "explanationModelName")
            )
            yield Described(
                None if model is None else str(model), None if source is None else str(source), feature, told
            )


def _first(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The value under the first of some names that is there."""
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _text(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    """A feature's number, written as a number or as Neuronpedia's string."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,9}\s*", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _refused(got: str) -> CorpusError:
    return CorpusError("labels of features were expected", got=got, fix=f"name {_SHAPES}")
