"""Speed and memory beside the obvious alternative, in one run on one machine.

Every contender runs in a process of its own, turn by turn; seconds are medians, peak memory is what the process grew
by. A benchmark also checks that both sides give the same result: a fast wrong answer has no speed. Nothing here is
asserted in a test but that it runs and that the results are equal.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["BENCHMARKS", "bench", "peak_mib"]

ROUNDS = 3

#: Tokens, inputs, features and active features a token of the encode benchmark: a Gemma-2-2B-shaped 16k SAE.
ENCODE = {"tokens": 2048, "d_in": 2304, "width": 16384, "rows": 32}
STORE = {"rows": 20_000, "width": 16_384, "active": 300}


def bench(name: str, *, width: int = 16_384) -> dict[str, Any]:
    """Run one benchmark.

    Args:
        name: one of ``BENCHMARKS``.
        width: features of the SAE that ``load`` loads.

    Returns:
        ``{"name", "ours", "peers", "ratios", "equal", "machine"}``: seconds and peak extra MiB of each, ratios of
        seconds (above 1: ours is faster), and whether all results agree. ``load`` has no peers: "ours" holds
        "needed_mib", what the encoder takes in float32, and "ratios" the peak beside it.

    Raises:
        SpecError: ``load`` has no room for a file of that width.
    """
    if name == "load":
        return _summary(name, *_loaded(width))
    contenders = BENCHMARKS[name]
    measured: dict[str, list[tuple[float, float]]] = {contender: [] for contender in contenders}
    results: dict[str, NDArray[Any]] = {}
    for _ in range(ROUNDS):
        for contender in contenders:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                seconds, mib, result = process.submit(_measure, name, contender).result()
            measured[contender].append((seconds, mib))
            results[contender] = result
    summary = {
        contender: {
            "seconds": round(statistics.median(seconds for seconds, _ in runs), 4),
            "peak_mib": round(statistics.median(mib for _, mib in runs), 1),
        }
        for contender, runs in measured.items()
    }
    ours = summary.pop("latentprobe")
    ratios = {peer: round(figures["seconds"] / ours["seconds"], 2) for peer, figures in summary.items()}
    equal = all(np.allclose(result, results["latentprobe"], rtol=1e-3, atol=1e-3) for result in results.values())
    return _summary(name, ours, summary, ratios, equal)


def _loaded(width: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, float], bool]:
    """Ours, no peers, the peak beside what is needed, and whether it is right."""
    from latentprobe.experiment.bench_load import bench_load

    ours = bench_load(width)
    equal = ours.pop("equal")
    return {"width": width} | ours, {}, {"peak / needed": round(ours["peak_mib"] / ours["needed_mib"], 3)}, equal


def _summary(
    name: str, ours: dict[str, Any], peers: dict[str, Any], ratios: dict[str, float], equal: bool
) -> dict[str, Any]:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return {"name": name, "ours": ours, "peers": peers, "ratios": ratios, "equal": equal, "machine": machine}


def _measure(name: str, contender: str) -> tuple[float, float, NDArray[Any]]:
    """Prepare, then run one contender: seconds, MiB the process grew by, and a small digest of the result."""
    run = BENCHMARKS[name][contender]()
    before = peak_mib()
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, peak_mib() - before, result


def peak_mib() -> float:
    """Largest resident size of this process so far (Linux counts KiB, macOS bytes)."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (1024 * 1024 if sys.platform == "darwin" else 1024)


Run = Callable[[], NDArray[Any]]


def _encode_inputs() -> tuple[Any, Any]:
    """A JumpReLU SAE with about 80 active features a token, and hidden states for it."""
    import torch

    from latentprobe.encode.activations import Threshold
    from latentprobe.encode.hookpoints import HookPoint
    from latentprobe.encode.sae import SAE

    generator = torch.Generator().manual_seed(0)
    d_in, width = ENCODE["d_in"], ENCODE["width"]
    weights = torch.randn(d_in, width, generator=generator).div_(d_in**0.5)
    sae = SAE(
        "random", "0" * 64, HookPoint(0, "resid_post"), None, weights, torch.zeros(width),
        Threshold(torch.full((width,), 2.58)),
    )  # fmt: skip
    return sae, torch.randn(ENCODE["tokens"], d_in, generator=generator)


def _encode_ours() -> Run:
    from latentprobe.encode.pooling import pool

    sae, x = _encode_inputs()
    lengths = np.full(ENCODE["rows"], ENCODE["tokens"] // ENCODE["rows"])

    def run() -> NDArray[Any]:
        pooled = pool(sae.encode(x), lengths, ["max"])
        matrix = sp.csr_matrix((pooled.values["max"], pooled.indices, pooled.indptr), shape=(len(lengths), sae.width))
        return np.asarray(matrix.sum(axis=0)).ravel()

    return run


def _encode_dense() -> Run:
    """What SAE libraries do: the whole ``[tokens, width]`` array, ReLU, mask, product, then max over tokens."""
    import torch

    sae, x = _encode_inputs()

    @torch.inference_mode()
    def run() -> NDArray[Any]:
        pre = x @ sae.W_enc + sae.b_enc
        z = torch.relu(pre) * (pre > sae.activation.theta).to(pre.dtype)
        rows = z.view(ENCODE["rows"], -1, ENCODE["width"]).amax(1)
        return np.asarray(rows.sum(0).numpy())

    return run


def _store_rows() -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    rows, width, active = STORE["rows"], STORE["width"], STORE["active"]
    indices = np.sort(rng.integers(0, width // active, (rows, active)) + np.arange(active) * (width // active), axis=1)
    values = rng.gamma(1.0, 2.0, rows * active).astype(np.float16).astype(np.float32)
    indptr = np.arange(rows + 1, dtype=np.int64) * active
    return sp.csr_matrix((values, indices.ravel().astype(np.int32), indptr), shape=(rows, width))


def _store_ours() -> Run:
    from latentprobe.store import FeatureStore, SparseFeatures

    matrix = _store_rows()
    spans = np.zeros(matrix.nnz, np.int32)
    ids = tuple(str(row) for row in range(matrix.shape[0]))
    features = SparseFeatures(
        matrix.shape[1], ids, np.ones(len(ids), np.int32), matrix.indptr.astype(np.int64), matrix.indices,
        {"max": matrix.data}, spans, spans,
    )  # fmt: skip

    def run() -> NDArray[Any]:
        with tempfile.TemporaryDirectory() as folder:
            store = FeatureStore(Path(folder))
            store.write_shard("x", 0, features)
            store.finish("x", {}, 1)
            read = store.read("x")
            assert isinstance(read, SparseFeatures)
            return np.asarray(read.csr("max").sum(axis=0)).ravel()

    return run


def _store_npz() -> Run:
    matrix = _store_rows()

    def run() -> NDArray[Any]:
        with tempfile.TemporaryDirectory() as folder:
            sp.save_npz(Path(folder) / "x.npz", matrix)
            return np.asarray(sp.load_npz(Path(folder) / "x.npz").sum(axis=0)).ravel()

    return run


#: Benchmark to contenders; each prepares its inputs and returns what is timed. Loading has none: see `bench_load`.
BENCHMARKS: dict[str, dict[str, Callable[[], Run]]] = {
    "encode": {"latentprobe": _encode_ours, "dense torch": _encode_dense},
    "store": {"latentprobe": _store_ours, "scipy npz": _store_npz},
    "load": {},
}
