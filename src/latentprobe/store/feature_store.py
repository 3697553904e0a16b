"""Feature matrices as Parquet shards in a folder named by their fingerprint; the manifest is written last.

    ROOT/<fingerprint>/shard-00000.parquet ...    one record a row: id, n_tokens, and list columns (see `shards`)
    ROOT/<fingerprint>/manifest.json              kind, width, poolings, what made it, and each shard's rows and hash

A folder without a manifest is unfinished: its shards are whole, and a resumed run keeps them. Knows nothing of how
features are made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentprobe.errors import StoreError
from latentprobe.files import FORMAT, read_json, sha256_file, sha256_json, write_json
from latentprobe.store.features import DenseFeatures, Features, SparseFeatures, concatenate
from latentprobe.store.shards import read_shard, write_shard

__all__ = ["FeatureStore", "default_store", "fingerprint"]


def default_store() -> Path:
    """Where features are kept when no folder is named: ``$LATENTPROBE_STORE``, else the user's cache folder."""
    if named := os.environ.get("LATENTPROBE_STORE"):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "latentprobe" / "features"


def fingerprint(made_from: Mapping[str, Any]) -> str:
    """The content hash of all that makes a matrix. Any change in ``made_from`` gives another name.

    >>> fingerprint({"layer": 3}) == fingerprint({"layer": 3}), fingerprint({"layer": 3}) == fingerprint({"layer": 4})
    (True, False)
    """
    return sha256_json({"format": FORMAT, **made_from})[:32]


class FeatureStore:
    """A folder of feature matrices.

    Args:
        root: the folder; made on the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def __contains__(self, name: str) -> bool:
        return self._manifest_path(name).is_file()

    def shard_path(self, name: str, number: int) -> Path:
        """Where shard ``number`` of matrix ``name`` is or will be."""
        return self.root / name / f"shard-{number:05d}.parquet"

    def write_shard(self, name: str, number: int, rows: Features) -> None:
        """Write one shard, atomically."""
        write_shard(self.shard_path(name, number), rows)

    def finish(self, name: str, made_from: Mapping[str, Any], n_shards: int) -> None:
        """Write the manifest over the shards ``0..n_shards - 1``; from now on the matrix exists."""
        shards = [self.shard_path(name, number) for number in range(n_shards)]
        manifest = {
            "format": FORMAT,
            "fingerprint": name,
            "made_from": dict(made_from),
            "shards": [{"file": path.name, "sha256": sha256_file(path)} for path in shards],
        }
        write_json(self._manifest_path(name), manifest)

    def read(self, name: str, poolings: Sequence[str] | None = None) -> Features:
        """The whole matrix, or only the columns of some poolings.

        Raises:
            StoreError: there is no such matrix, or a shard is missing or was changed since it was written.
        """
        manifest = self.manifest(name)
        parts = []
        for number, shard in enumerate(manifest["shards"]):
            path = self.shard_path(name, number)
            if not path.is_file() or sha256_file(path) != shard["sha256"]:
                raise StoreError(
                    "a stored shard is missing or was changed since it was written",
                    got=str(path),
                    fix=f"delete the folder {path.parent} and run again: its features will be made anew",
                )
            parts.append(read_shard(path, poolings))
        sparse = [part for part in parts if isinstance(part, SparseFeatures)]
        dense = [part for part in parts if isinstance(part, DenseFeatures)]
        return concatenate(sparse) if sparse else concatenate(dense)

    def manifest(self, name: str) -> dict[str, Any]:
        """What made the matrix, and its shards."""
        path = self._manifest_path(name)
        try:
            manifest = read_json(path)
        except (OSError, ValueError) as error:
            raise StoreError(
                "a finished feature matrix was expected",
                got=f"{path}: {error}",
                fix="run `latentprobe extract` again; what is finished is kept",
            ) from error
        if manifest.get("format") != FORMAT:
            raise StoreError(
                f"a feature store of format {FORMAT} was expected",
                got=f"format {manifest.get('format')!r} in {path}",
                fix="use the version of latentprobe that wrote it, or delete the folder and extract again",
            )
        return dict(manifest)

    def _manifest_path(self, name: str) -> Path:
        return self.root / name / "manifest.json"
