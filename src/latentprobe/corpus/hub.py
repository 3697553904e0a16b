"""Data sets of the Hugging Face hub, `hf:org/name[:config][:split]`, through the `datasets` package.

`hf:/path/to/folder` reads a local folder of the hub's layout. A single part after the name is a configuration if the
data set has one of that name, else a split. Without a split, `train` or the only one there is. Columns of class numbers
become class names. No code that comes with a data set is run. Knows nothing of what columns mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from latentprobe.corpus.table import Table, no_rows, positions
from latentprobe.corpus.wording import listed
from latentprobe.errors import CorpusError, MissingExtraError, nearest

PREFIX = "hf:"


def hub_table(reference: str, wanted: Sequence[str]) -> Table:
    """The wanted columns of one split.

    Raises:
        MissingExtraError: `datasets` is not installed.
        CorpusError: no such data set, configuration, split or column; no rows; the hub cannot be reached.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("hf", needed_for="reading a data set of the hub", missing="datasets") from error

    name, *parts = reference.removeprefix(PREFIX).split(":")
    if not name or len(parts) > 2:
        raise CorpusError(
            "a data set of the hub is named hf:org/name[:config][:split]", got=reference, fix="write it in that form"
        )
    try:
        config, split = _config_and_split(datasets, name, parts)
        rows = datasets.load_dataset(name, config, split=split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise CorpusError(
            f"the data set {name} cannot be loaded",
            got=str(error).split("\n")[0],
            fix="check the name, the configuration and the network (private data sets: `hf auth login`)",
        ) from error
    positions(rows.column_names, wanted, reference)
    if not len(rows):
        raise no_rows(reference)
    return Table(reference, {column: _values(datasets, rows, column) for column in wanted})


def _config_and_split(datasets: ModuleType, name: str, parts: Sequence[str]) -> tuple[str | None, str]:
    """Settle what the parts after the name mean."""
    config, split = (parts[0] or None, parts[1]) if len(parts) == 2 else (None, "")
    if len(parts) == 1:
        configs = datasets.get_dataset_config_names(name)
        config, split = (parts[0], "") if parts[0] in configs else (None, parts[0])
    splits = datasets.get_dataset_split_names(name, config)
    if not split:
        split = "train" if "train" in splits or len(splits) != 1 else splits[0]
    if split not in splits:
        raise CorpusError(
            f"the data set {name} has no split {split!r}",
            got=f"the splits {listed(splits, limit=20)}",
            fix=f"name one of those, as in hf:{name}:{splits[0] if splits else 'train'}{nearest(split, splits)}",
        )
    return config, split


def _values(datasets: ModuleType, rows: Any, column: str) -> list[object]:
    """One column as plain values, class numbers as names; -1 is the hub's way to say that a row has no label."""
    feature = rows.features[column]
    if isinstance(feature, datasets.Image):  # as bytes and path: what becomes of odd images is told in one place
        return list(rows.cast_column(column, datasets.Image(decode=False))[column])
    values: list[Any] = list(rows[column])
    if not isinstance(feature, datasets.ClassLabel):
        return values
    return [None if value is None or value < 0 else feature.names[value] for value in values]


def data_folders(reference: str) -> list[Path]:
    """Folders in which the files of a data set lie: its own, where it is local, and the caches of the hub."""
    import datasets
    from huggingface_hub import constants

    name = Path(reference.removeprefix(PREFIX).split(":")[0])
    caches = [Path(datasets.config.HF_DATASETS_CACHE), Path(constants.HF_HUB_CACHE)]
    return [name, *caches] if name.is_dir() else caches
