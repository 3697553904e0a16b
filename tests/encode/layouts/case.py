"""What one row of the matrix of SAE families is, and the few pieces of numpy and of file writing they share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

Arrays = dict[str, NDArray[Any]]
Tensors = dict[str, torch.Tensor]
D_IN, WIDTH, K = 12, 40, 5


@dataclass(frozen=True)
class Case:
    """One row of the matrix."""

    family: str
    architecture: str
    hook: str
    folded: str
    write: Callable[[Path, Tensors], Path]
    """Writes tensors under a folder and says what to load."""
    encode: Callable[[NDArray[Any], Arrays], NDArray[Any]]
    tensors: Callable[[], Tensors]
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    decode: Callable[[NDArray[Any], Arrays], NDArray[Any]] | None = None
    """Hidden states from features, where no row-wise operation takes their scale away."""

    @property
    def id(self) -> str:
        return f"{self.family}, {self.architecture}, {self.hook}"


def draw(d_in: int = D_IN, width: int = WIDTH, **shapes: tuple[int, ...]) -> Tensors:
    """Random tensors; sizes that depend on the SAE's are told by the letters d and m."""
    source = torch.Generator().manual_seed(len(shapes))
    return {name: torch.randn(shape, generator=source) * 0.5 for name, shape in shapes.items()}


def arrays(tensors: Tensors) -> Arrays:
    return {name: tensor.double().numpy() for name, tensor in tensors.items()}


def relu(x: NDArray[Any]) -> NDArray[Any]:
    return np.maximum(x, 0)


def largest(pre: NDArray[Any], k: int) -> NDArray[Any]:
    """relu(pre) where it is among the k largest of its row."""
    kept = np.zeros_like(pre)
    order = np.argsort(-pre, axis=1, kind="stable")[:, :k]
    np.put_along_axis(kept, order, np.take_along_axis(pre, order, 1), 1)
    return relu(kept)


def layer_normed(x: NDArray[Any]) -> NDArray[Any]:
    centred = x - x.mean(1, keepdims=True)
    return centred / (centred.std(1, ddof=1, keepdims=True) + 1e-5)


def put(folder: Path, config: str, values: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / config).write_text(json.dumps(values), encoding="utf-8")


def safetensors(path: Path, tensors: Tensors) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def pt(path: Path, held: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(held, path)  # noqa: TID251  what the libraries of these families write
    return path
