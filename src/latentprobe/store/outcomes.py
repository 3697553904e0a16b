"""Small results of long work, a file each, under the content hash of all that determines them.

What a fit gave is plain values and arrays: one safetensors file with the values as JSON in its header. Knows nothing of
what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from latentprobe.files import atomic_path

__all__ = ["OutcomeStore"]


class OutcomeStore:
    """A folder of results.

    Args:
        root: the folder; made on the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def read(self, key: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """Values and arrays of a key; None where there is nothing under it, or nothing that can be read."""
        path = self._path(key)
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                values = json.loads(file.metadata()["values"])
                return values, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError, ValueError, KeyError, TypeError):
            return None  # a damaged file is as good as none: its content can be made again

    def write(self, key: str, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep values (JSON) and arrays under a key, atomically."""
        tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        with atomic_path(self._path(key)) as temporary:
            temporary.write_bytes(safetensors.numpy.save(tensors, metadata={"values": json.dumps(values)}))

    def _path(self, key: str) -> Path:
        return self.root / f"{key}.safetensors"
