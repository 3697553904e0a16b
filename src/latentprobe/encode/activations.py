"""What of an SAE's pre-activations is active: thresholds, the k largest, the largest of each group, and gates.

Each of them takes pre-activations block of features by block, and gives the active ones only. Knows nothing of weights,
files and models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Activation", "Active", "Gated", "GroupMax", "PreActivations", "Separate", "Threshold", "TopK"]

#: Number of active features of each token; all their indices, by token, ascending; all their values.
Active = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]

_Entries = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


class PreActivations(NamedTuple):
    """The pre-activations of some tokens, block of features by block."""

    tokens: int
    width: int
    device: torch.device
    blocks: Iterable[tuple[int, Tensor]]
    """First feature and float32 ``[tokens, features]`` of each, in a buffer that the next one may overwrite."""


class Activation(ABC):
    """What all of them can do."""

    @property
    def vectors(self) -> dict[str, Tensor]:
        """Its tensors, each ``[width]``."""
        return {}

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Activation:
        """The same with each of its tensors changed."""
        return self

    @abstractmethod
    def fault(self, width: int) -> tuple[str, str] | None:
        """What it must be for an SAE of this width, and what it is; None where it is right."""

    @abstractmethod
    def active(self, pre: PreActivations) -> Active:
        """The active features of some tokens."""


class Separate(Activation):
    """Features that do not depend on each other."""

    def active(self, pre: PreActivations) -> Active:
        """The active features of some tokens."""
        rows, columns, values = [], [], []
        for start, block in pre.blocks:
            row, column, value = self._entries(block, slice(start, start + block.shape[1]))
            rows.append(row)
            columns.append(column + start)
            values.append(value)
        row, column, value = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
        if len(rows) > 1:  # each block is in order of tokens, then features: bring the blocks of a token together
            order = np.argsort(row.astype(np.int16), kind="stable")
            row, column, value = row[order], column[order], value[order]
        return np.bincount(row, minlength=pre.tokens), column.astype(np.int32), value

    @abstractmethod
    def _entries(self, pre: Tensor, block: slice) -> _Entries:
        """Tokens, features and values of the active entries of one block, in order of tokens, then features."""


@dataclass(frozen=True, eq=False)
class Threshold(Separate):
    """ReLU, JumpReLU and BatchTopK in use: ``z = pre where pre > theta``, strictly; ``theta`` is ``[width]``, >= 0."""

    theta: Tensor

    @property
    def vectors(self) -> dict[str, Tensor]:
        """``threshold``."""
        return {"threshold": self.theta}

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Threshold:
        """The same with its thresholds changed."""
        return Threshold(change(self.theta))

    def fault(self, width: int) -> tuple[str, str] | None:
        """A negative threshold."""
        if bool((self.theta < 0).any()):
            return "thresholds are at least 0", f"a threshold of {float(self.theta.min()):g}"
        return None

    def _entries(self, pre: Tensor, block: slice) -> _Entries:
        return _entries(pre, pre > self.theta[block])


@dataclass(frozen=True, eq=False)
class Gated(Separate):
    """``z = relu(scale * pre + shift) where pre > 0``; both ``[width]``, scale above 0."""

    scale: Tensor
    shift: Tensor

    @property
    def vectors(self) -> dict[str, Tensor]:
        """``scale`` and ``shift``."""
        return {"scale": self.scale, "shift": self.shift}

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Gated:
        """The same with its scales and shifts changed."""
        return Gated(change(self.scale), change(self.shift))

    def fault(self, width: int) -> tuple[str, str] | None:
        """A scale of 0 or below."""
        if not bool((self.scale > 0).all()):
            return "the scales of a gated SAE are above 0", f"a scale of {float(self.scale.min()):g}"
        return None

    def _entries(self, pre: Tensor, block: slice) -> _Entries:
        row, column, value = _entries(pre, pre > 0)
        magnitude = self.scale[block].cpu().numpy()[column] * value + self.shift[block].cpu().numpy()[column]
        on = magnitude > 0
        return row[on], column[on], magnitude[on]


@dataclass(frozen=True)
class TopK(Activation):
    """``z = relu(pre)`` where pre is among the k largest of its token, else 0; of equals, those of lower index."""

    k: int

    def fault(self, width: int) -> tuple[str, str] | None:
        """A k out of range."""
        return None if 1 <= self.k <= width else (f"k is a whole number from 1 to the width, {width}", f"k = {self.k}")

    def active(self, pre: PreActivations) -> Active:
        """The active features of some tokens, from the k largest so far across blocks."""
        values = torch.empty(pre.tokens, 0, dtype=torch.float32, device=pre.device)
        indices = torch.empty(pre.tokens, 0, dtype=torch.int64, device=pre.device)
        for start, block in pre.blocks:
            best, place = _largest(block, self.k)
            values, indices = torch.cat([values, best], 1), torch.cat([indices, place + start], 1)
            values, place = _largest(values, self.k)
            indices = indices.gather(1, place)
        return _at(values, indices)


@dataclass(frozen=True)
class GroupMax(Activation):
    """``z = relu(pre)`` where pre is the largest of its group, else 0; ``k`` groups of equal size, side by side."""

    k: int

    def fault(self, width: int) -> tuple[str, str] | None:
        """A k that does not divide the width."""
        if 1 <= self.k <= width and width % self.k == 0:
            return None
        return f"k groups of equal size make up the width, {width}", f"k = {self.k}"

    def active(self, pre: PreActivations) -> Active:
        """The active features of some tokens, from the largest so far of each group; of equals, the first."""
        size = pre.width // self.k
        values = torch.zeros(pre.tokens, self.k, dtype=torch.float32, device=pre.device)
        indices = torch.zeros(pre.tokens, self.k, dtype=torch.int64, device=pre.device)
        for start, block in pre.blocks:
            for group, first, part in _groups(block, start, size):
                best, place = part.max(dim=2)
                places = place + first + size * torch.arange(part.shape[1], device=pre.device)
                held = slice(group, group + part.shape[1])
                better = best > values[:, held]
                values[:, held] = torch.where(better, best, values[:, held])
                indices[:, held] = torch.where(better, places, indices[:, held])
        return _at(values, indices)


def _at(values: Tensor, indices: Tensor) -> Active:
    """The values above 0 of each token, under the features they are of."""
    row, column, value = _entries(values, values > 0)
    return np.bincount(row, minlength=len(values)), indices.cpu().numpy()[row, column].astype(np.int32), value


def _entries(pre: Tensor, mask: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Row, column and value of the marked entries, in order."""
    if pre.device.type == "cpu":  # numpy finds the few marked entries faster than torch.nonzero
        flat = np.flatnonzero(mask.numpy())
        row, column = np.divmod(flat, pre.shape[1])
        return row, column, pre.numpy().ravel()[flat]
    row_column = mask.nonzero()
    values = pre[row_column[:, 0], row_column[:, 1]].cpu().numpy()
    row, column = row_column.T.cpu().numpy()
    return row, column, values


def _groups(pre: Tensor, start: int, size: int) -> Iterator[tuple[int, int, Tensor]]:
    """A block of features, cut where groups end: number of the first group, its first feature, ``[tokens, groups,
    features]``. A group that the block cuts through comes on its own."""
    end = start + pre.shape[1]
    while start < end:
        group = start // size
        whole = (end - start) // size if start % size == 0 else 0
        stop = start + whole * size if whole else min(end, (group + 1) * size)
        yield group, start, pre[:, : stop - start].reshape(len(pre), max(whole, 1), -1)
        pre, start = pre[:, stop - start :], stop


def _largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Each row's k largest values (all where there are fewer) and their places, ascending; of equals, the first.

    Only values above 0 are told apart so carefully: the others are never active.
    """
    k = min(k, values.shape[1])
    best, places = values.topk(k, dim=1)
    least = best[:, -1:]
    tied = ((values >= least).sum(1) > k) & (least[:, 0] > 0)
    if bool(tied.any()):  # topk may take any of the equals
        ordered, order = values[tied].sort(dim=1, descending=True, stable=True)
        best[tied], places[tied] = ordered[:, :k], order[:, :k]
    places, order = places.sort(dim=1)
    return best.gather(1, order), places
