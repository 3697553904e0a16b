"""Named tensors of one weights file: proven by the file's header first, then read one by one as float32.

Reads safetensors, npz and torch's zip archives, and nothing that could run code. A tensor is held once: what is read is
converted on its way into the memory it stays in. Knows nothing of what the tensors mean.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251  the name of what torch raises; nothing is unpickled here
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from latentprobe.encode.formats.place import Place

__all__ = ["Tensors", "open_npz", "open_pt", "open_safetensors"]

#: Types whose values float32 holds, or rounds: what safetensors, and what numpy and torch call them.
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16"})
_DAMAGED = (SafetensorError, UnpicklingError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, ValueError)

#: What torch's restricted reader raises besides, on a file that is no pickle or half of one.
_MALFORMED = (RuntimeError, TypeError, IndexError, AttributeError, AssertionError, struct.error)

#: Bytes that are converted at a time.
_CHUNK = 1 << 24


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
    """The tensor in float32, in memory of its own."""

    def prove(
        self, shapes: Mapping[str, tuple[int, ...]], *, optional: Sequence[str] = (), ignored: Sequence[str] = ()
    ) -> None:
        """Refuse the file unless it holds these tensors in these shapes, as floats, and no other.

        Args:
            shapes: what must be there.
            optional: what may be there, as floats of any shape.
            ignored: what may be there and is of no consequence, in any type.

        Raises:
            SAEError: one is missing, has another shape or is not floating, or one too many is there.
        """
        missing = [name for name in shapes if name not in self.headers]
        unknown = sorted(set(self.headers) - set(shapes) - set(optional) - set(ignored))
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

    def matrix(self, name: str) -> tuple[int, int]:
        """Rows and columns of a tensor that must be there, as the header says; neither of them 0."""
        shape, _ = self.headers.get(name, ((), ""))
        if len(shape) != 2 or 0 in shape:
            raise self.place.refusal(
                f"{self.file} holds {name}, a matrix",
                got=f"{list(shape)}" if name in self.headers else f"{', '.join(sorted(self.headers)) or 'no tensors'}",
                fix="check that these are the weights of an SAE of this family",
            )
        return shape[0], shape[1]

    def read(self, name: str) -> Tensor:
        """One tensor as float32, in memory of its own.

        Raises:
            SAEError: the file is damaged, or a number in it is not finite.
        """
        try:
            tensor = self._get(name)
        except _DAMAGED as error:
            raise _damaged(self.place, self.file, error) from error
        low, high = tensor.aminmax()
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            raise self.place.refusal(f"every number of {name} is finite in float32", got="NaN or infinity")
        return tensor


def open_safetensors(place: Place, file: str) -> Tensors:
    """The tensors of a safetensors file. Raises ``SAEError`` where it is damaged."""
    path = place.file(file)

    def get(name: str) -> Tensor:
        with safe_open(path, framework="pt") as stream:
            mapped: Tensor = stream.get_tensor(name)
            return mapped.to(torch.float32, copy=True)  # what is mapped changes when the file does

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
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
            return torch.from_numpy(_converted(stream, *_array_header(stream)))

    try:
        headers = {}
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as stream:
                    shape, _, dtype = _array_header(stream)
                headers[name.removesuffix(".npy")] = (shape, str(dtype))
    except _DAMAGED as error:
        raise _damaged(place, file, error) from error
    return Tensors(place, file, headers, get)


def open_pt(place: Place, file: str) -> tuple[Tensors, dict[str, Any]]:
    """The tensors of a file that torch saved, and what else it holds; code in it is refused and never run.

    Raises:
        SAEError: it is damaged, or holds more than tensors, numbers, texts and containers of them.
    """
    path = place.file(file)
    try:
        held = _unpickled(path)
    except UnpicklingError as error:
        raise place.refusal(
            f"{file} holds tensors and plain values only: a pickle can run code when it is read",
            got=" ".join(str(error).split())[:300],
            fix="convert the weights to safetensors with the library that wrote them, on a machine that may run it",
        ) from error
    except (*_DAMAGED, *_MALFORMED) as error:
        raise _damaged(place, file, error) from error
    if not isinstance(held, Mapping) or not all(isinstance(name, str) for name in held):
        raise place.refusal(f"{file} is a mapping of names to tensors", got=type(held).__name__)
    tensors = {name: value for name, value in held.items() if isinstance(value, Tensor)}
    headers = {name: (tuple(tensor.shape), _kind(tensor)) for name, tensor in tensors.items()}

    def get(name: str) -> Tensor:
        return tensors[name].detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)

    return Tensors(place, file, headers, get), {name: held[name] for name in held if name not in tensors}


def _unpickled(path: Path) -> Any:
    """What torch's restricted reader makes of a file; mapped into memory where it is a zip archive."""
    mapped = zipfile.is_zipfile(path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _kind(tensor: Tensor) -> str:
    """The type of a dense tensor's numbers; other layouts have none that is read."""
    kind = str(tensor.dtype).removeprefix("torch.")
    return kind if tensor.layout == torch.strided and tensor.device.type == "cpu" else f"{kind}, {tensor.layout}"


def _array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of one array of a numpy archive."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return shape, fortran, dtype


def _converted(stream: IO[bytes], shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> NDArray[np.float32]:
    """The numbers that follow a header, as float32: read in parts, so that they are in memory once."""
    array = np.empty(shape, np.float32)
    rows = np.atleast_1d(array.T if fortran else array)  # in the order in which they lie in the file
    size = dtype.itemsize * int(np.prod(rows.shape[1:]))
    step = max(1, _CHUNK // max(size, 1))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        with np.errstate(over="ignore"):  # too large for float32 becomes infinity, which is refused
            part[...] = np.frombuffer(_exactly(stream, len(part) * size), dtype).reshape(part.shape)
    if stream.read(1):
        raise ValueError("more bytes than its header says")
    return array


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise EOFError(f"{size} bytes were expected, {len(content)} came")
    return content


def _damaged(place: Place, file: str, error: Exception) -> Exception:
    return place.refusal(f"{file} can be read", got=f"{type(error).__name__}: {error}")
