"""Named tensors of one weights file: proven by the file's header first, then read one by one as float32.

Reads safetensors and npz, and nothing that could run code. Knows nothing of what the tensors mean.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from latentprobe.encode.formats.place import Place

__all__ = ["Tensors", "open_npz", "open_safetensors"]

#: Types whose values float32 holds, or rounds: what safetensors and what numpy calls them.
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "float64", "float32", "float16"})
_DAMAGED = (SafetensorError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, ValueError)


@dataclass(frozen=True)
class Tensors:
    """The tensors of one file of an SAE.

    Attributes:
        place: whose file it is.
        file: its name.
        headers: shape and type of each tensor, as the file's header says.
    """

    place: Place
    file: str
    headers: Mapping[str, tuple[tuple[int, ...], str]]
    _get: Callable[[str], Tensor]

    def prove(self, shapes: Mapping[str, tuple[int, ...]], *, optional: Sequence[str] = ()) -> None:
        """Refuse the file unless it holds these tensors in these shapes, as floats, and no other.

        Raises:
            SAEError: one is missing, has another shape or is not floating, or one too many is there.
        """
        missing = [name for name in shapes if name not in self.headers]
        unknown = sorted(set(self.headers) - set(shapes) - set(optional))
        if missing or unknown:
            raise self.place.refusal(
                f"{self.file} holds {', '.join(shapes)}",
                got=f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}",
                fix="check that the config names the architecture of these weights; a transcoder, a skip connection or "
                "a training checkpoint is not an SAE that can be used here",
            )
        for name in (*shapes, *(name for name in optional if name in self.headers)):
            shape, kind = self.headers[name]
            if shape != shapes.get(name, shape) or kind not in _FLOATS:
                raise self.place.refusal(
                    f"{name} is {list(shapes.get(name, shape))} of float16, bfloat16, float32 or float64",
                    got=f"{list(shape)} of {kind}",
                    fix="check the file against its config: one of them is wrong, or belongs to another SAE",
                )

    def read(self, name: str) -> Tensor:
        """One tensor as float32, in memory of its own.

        Raises:
            SAEError: the file is damaged, or a number in it is not finite.
        """
        try:
            tensor = self._get(name)
        except _DAMAGED as error:
            raise _damaged(self.place, self.file, error) from error
        tensor = tensor.to(torch.float32, copy=True)
        low, high = tensor.aminmax()
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            raise self.place.refusal(f"every number of {name} is finite in float32", got="NaN or infinity")
        return tensor


def open_safetensors(place: Place, file: str) -> Tensors:
    """The tensors of a safetensors file. Raises ``SAEError`` where it is damaged."""
    path = place.file(file)

    def get(name: str) -> Tensor:
        with safe_open(path, framework="pt") as stream:
            tensor: Tensor = stream.get_tensor(name)
        return tensor

    try:
        with safe_open(path, framework="pt") as stream:
            slices = {name: stream.get_slice(name) for name in list(stream.keys())}
            headers = {name: (tuple(part.get_shape()), str(part.get_dtype())) for name, part in slices.items()}
    except _DAMAGED as error:
        raise _damaged(place, file, error) from error
    return Tensors(place, file, headers, get)


def open_npz(place: Place, file: str) -> Tensors:
    """The tensors of a numpy archive. Raises ``SAEError`` where it is damaged."""
    path = place.file(file)

    def get(name: str) -> Tensor:
        with np.load(path, allow_pickle=False) as archive:
            return torch.from_numpy(archive[name])

    try:
        with zipfile.ZipFile(path) as archive:
            headers = {name.removesuffix(".npy"): _header(archive, name) for name in archive.namelist()}
    except _DAMAGED as error:
        raise _damaged(place, file, error) from error
    return Tensors(place, file, headers, get)


def _header(archive: zipfile.ZipFile, member: str) -> tuple[tuple[int, ...], str]:
    """Shape and type of one array of a numpy archive."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    return shape, str(dtype)


def _damaged(place: Place, file: str, error: Exception) -> Exception:
    return place.refusal(f"{file} can be read", got=f"{type(error).__name__}: {error}")
