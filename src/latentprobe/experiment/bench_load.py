"""Seconds and memory of loading a wide SAE: a synthetic file in Gemma Scope 2's layout, read as any other.

The encoder is needed once, in float32. What the process holds of its own beyond that is what loading costs; pages of a
mapped file are not counted, because the system takes them back at any time.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from latentprobe.errors import SpecError

__all__ = ["bench_load", "write_wide_sae"]

#: Inputs of the SAE: the residual stream of Gemma 2 2B.
D_IN = 2304
#: Rows of the encoder that are drawn; they are written over and over.
DRAWN = 16
STATUS = Path("/proc/self/status")
_BYTES = {"F32": 4, "BF16": 2}


def bench_load(width: int) -> dict[str, Any]:
    """Load a file of some width in a process of its own.

    Returns:
        ``{"seconds", "peak_mib", "needed_mib", "equal"}``: what the process's own memory grew by at most, what encoder,
        bias and thresholds take in float32, and whether the encoder is what was written.

    Raises:
        SpecError: the width is no whole number above 0, or the temporary folder has no room for the file.
    """
    if width < 1:
        raise SpecError("a width is a whole number above 0", got=width, fix="leave --width out for 16384")
    with tempfile.TemporaryDirectory() as folder:
        size, free = 2 * D_IN * width, shutil.disk_usage(folder).free
        if size > 0.9 * free:
            raise SpecError(
                f"{size / 2**30:.1f} GiB of disk were expected to be free for the file, in {folder}",
                got=f"{free / 2**30:.1f} GiB",
                fix="choose a smaller --width, or point TMPDIR to another disk",
            )
        write_wide_sae(Path(folder), width)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            return process.submit(_load, folder, width).result()


def write_wide_sae(folder: Path, width: int) -> None:
    """A JumpReLU SAE as Gemma Scope 2 publishes them, its matrices in bfloat16; the decoder is a hole of zeros."""
    config = {"architecture": "jump_relu", "model_name": "gemma-v3-4b-pt", "width": width}
    (folder / "config.json").write_text(json.dumps(config | {"hf_hook_point_in": "model.layers.17.output"}))
    shapes = {
        "w_enc": ("BF16", (D_IN, width)),
        "b_enc": ("F32", (width,)),
        "threshold": ("F32", (width,)),
        "b_dec": ("F32", (D_IN,)),
        "w_dec": ("BF16", (width, D_IN)),
    }
    header, end = {}, 0
    for name, (kind, shape) in shapes.items():
        begin, end = end, end + _BYTES[kind] * math.prod(shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(folder / "params.safetensors", "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        rows = _drawn(width)
        for start in range(0, D_IN, DRAWN):
            stream.write(rows[: D_IN - start].tobytes())
        _constants(stream, (0.0, width), (0.5, width), (0.0, D_IN))
        stream.truncate(8 + len(text) + end)


def _drawn(width: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Some rows of the encoder as bfloat16: the upper half of a float32."""
    values = np.random.default_rng(0).standard_normal((DRAWN, width), dtype=np.float32)
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def _constants(stream: IO[bytes], *vectors: tuple[float, int]) -> None:
    for value, length in vectors:
        stream.write(np.full(length, value, np.float32).tobytes())


def _load(folder: str, width: int) -> dict[str, Any]:
    """Seconds, peak and need of loading the file, in MiB; and whether the right numbers came."""
    from latentprobe.encode.formats import load_sae
    from latentprobe.encode.sae import SAE  # noqa: F401  importing torch is no part of loading a file

    with _watched() as grown:
        start = time.perf_counter()
        sae = load_sae(folder)
        seconds = time.perf_counter() - start
    wanted = (_drawn(width)[(D_IN - 1) % DRAWN].astype(np.uint32) << 16).view(np.float32)
    return {
        "seconds": round(seconds, 2),
        "peak_mib": round(grown[0], 1),
        "needed_mib": round(4 * (D_IN + 2) * width / 2**20, 1),
        "equal": bool(np.array_equal(sae.W_enc[D_IN - 1].numpy(), wanted)),
    }


@contextmanager
def _watched() -> Iterator[list[float]]:
    """A list of one number, which is the peak growth of the process's own memory in MiB while it is open."""
    peak, done = [0.0], threading.Event()
    before = _own_mib()

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], _own_mib() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak[0] = max(peak[0], _own_mib() - before)


def _own_mib() -> float:
    """Memory that belongs to this process alone, without mapped files; where that is not told, the peak of all."""
    if STATUS.is_file():
        return (
            sum(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith("RssAnon")) / 1024
        )
    from latentprobe.experiment.bench import peak_mib

    return peak_mib()
