"""The labels of an SAE's features: the table in the user's data folder, or else the file beside the weights.

A table belongs to an SAE by its place on the hub, or, of a folder, by its files: a folder that is copied keeps its
labels, and weights that are trained anew have none. Knows nothing of where a table's labels came from.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from latentprobe.encode.formats.place import Place
from latentprobe.encode.formats.references import on_hub, resolve
from latentprobe.encode.formats.table import Format
from latentprobe.files import sha256_json
from latentprobe.store.labels import SCORES, FeatureLabel, LabelTable, read_label_table

__all__ = ["label_key", "label_table", "labels"]

FILE = "labels.jsonl"

#: Bytes at the end of a file that tell one training's weights from another's without reading gigabytes.
_TAIL = 1 << 16


def labels(reference: str) -> dict[int, str]:
    """Descriptions of features, as :func:`label_table` finds them.

    Returns:
        Feature to description; empty where there are none.

    Raises:
        SAEError, StoreError: as :func:`label_table`.
    """
    return label_table(reference).labels


def label_table(reference: str) -> LabelTable:
    """The labels of an SAE and where they come from: those imported or made here, or else the ``labels.jsonl`` beside
    the weights, one ``{"feature", "label"}`` a line, and what ``SCORES`` names where it was scored.

    Raises:
        SAEError: no such SAE, a line is not of that form, or a table names features that the SAE does not have.
        StoreError: the table is damaged.
    """
    if on_hub(reference) is not None:
        return read_label_table(label_key(reference)) or LabelTable({})
    place, kind = resolve(reference)
    imported = read_label_table(_folder_key(place, kind))
    if imported is not None:
        return imported
    return LabelTable({}) if FILE not in place.names() else _beside(place, kind.facts(place).width)


def label_key(reference: str) -> str:
    """The name under which the labels of an SAE are kept: the same for every reference to the same SAE.

    Raises:
        SAEError: no such SAE.
    """
    where = on_hub(reference)
    if where is not None:
        return sha256_json({"hub": f"{where.repository}/{where.path}", "revision": where.revision})[:32]
    return _folder_key(*resolve(reference))


def _folder_key(place: Place, kind: Format) -> str:
    stamps = {}
    for name in kind.files or (place.named,):
        with place.file(name).open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL))
            stamps[name] = [size, hashlib.sha256(stream.read()).hexdigest()]
    return sha256_json(stamps)[:32]


def _beside(place: Place, width: int) -> LabelTable:
    """The labels that came with the weights."""
    described = {}
    for number, line in enumerate(place.file(FILE).read_bytes().splitlines(), start=1):
        feature, label = _label(line)
        if not 0 <= feature < width:
            raise place.refusal(
                f"{FILE} describes features 0 to {width - 1}, one a line, as feature and label",
                got=f"line {number}: {line[:80].decode(errors='replace')}",
                fix="correct that line, or remove the file",
            )
        described[feature] = label
    return LabelTable(described, {"source": f"{FILE} beside the weights", "width": width})


def _label(line: bytes) -> tuple[int, FeatureLabel]:
    """Feature and description of a line; feature -1 where it is not of that form."""
    nothing = -1, FeatureLabel("")
    try:
        row: dict[str, Any] = json.loads(line)
        feature, label = row["feature"], row["label"]
    except (ValueError, KeyError, TypeError):
        return nothing
    numbers = [row.get(name) for name in SCORES]
    fits = isinstance(feature, int) and not isinstance(feature, bool) and isinstance(label, str)
    if not fits or not all(value is None or isinstance(value, float | int) for value in numbers):
        return nothing
    return feature, FeatureLabel(label, row.get("type"), row.get("explainer"), *numbers)
