"""What extracting features would take: see :mod:`latentprobe.experiment.estimates`. Writes nothing that stays."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentprobe.config import HIDDEN_POOLINGS, BackboneSpec
from latentprobe.corpus import ImageFile, Rows
from latentprobe.encode.backbone import Backbone
from latentprobe.encode.extract import shared_reader
from latentprobe.encode.featurize import SHARD_ROWS, Source, featurize
from latentprobe.encode.known import Known
from latentprobe.encode.random_sae import RandomSAE
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import PlannedSource
from latentprobe.experiment.estimates import (
    CHARACTERS_A_TOKEN,
    COUNTED,
    INTERPRETER,
    STATES_A_TOKEN,
    Estimate,
    spread,
    timed,
)
from latentprobe.store import FeatureStore, SparseFeatures
from latentprobe.store.features import Features

__all__ = ["estimate_extraction"]

#: Buffers of an SAE's encoder: see its blocks of tokens and features.
ENCODER = 64 * 2**20
#: Measured on the SAEs of minilm: a text of T tokens lights L0 * T ** 0.8 features (exponents from 0.71 to 0.88), and
#: a stored feature takes 1 byte beside 4 of each pooling.
SPREAD, ENTRY = 0.8, 1


def estimate_extraction(
    spec: BackboneSpec,
    missing: Sequence[PlannedSource],
    rows: Rows,
    ids: Sequence[str],
    model: Known,
    saes: Mapping[str, Known],
    *,
    loads: int = 1,
) -> Estimate:
    """What it takes to extract some sources of one backbone.

    Args:
        spec: the backbone.
        missing: its sources that are not stored yet; at least one.
        rows, ids: the texts or images.
        model: what is known of it.
        saes: what is known of its SAEs, by reference; of those of the sources at least.
        loads: how often the model is loaded for it.
    """
    if model.here and all(saes[name].here for name in filter(None, map(_trained, missing))):
        return _measured(spec, missing, rows, ids, loads)
    return _known(missing, rows, saes)


def _as_large(source: PlannedSource, device: Any) -> SAE | None:
    """The encoder of a source; of a random one that of the SAE whose width and L0 it will have."""
    sae = source.sae.of if isinstance(source.sae, RandomSAE) else source.sae
    return sae and sae.to(device)


def _measured(
    spec: BackboneSpec, missing: Sequence[PlannedSource], rows: Rows, ids: Sequence[str], loads: int
) -> Estimate:
    """From some rows that go through the model and the SAEs."""
    start = time.perf_counter()
    images = isinstance(rows[0], ImageFile)
    backbone = shared_reader(spec.model_copy(update={"bos": missing[0].made_from["bos"]}), images=images)
    sources = [Source(s.hook, _as_large(s, backbone.device), s.poolings) for s in missing]
    loading = time.perf_counter() - start
    tokens, tokens_how = _tokens(backbone, rows)
    featurize(rows[:1], ids[:1], backbone, sources)  # what is set up on first use is no part of the rate
    parts: list[list[Features]] = []

    def work(some: list[int]) -> None:
        parts.append(featurize(_taken(rows, some), [ids[row] for row in some], backbone, sources))

    seen, seconds = timed(len(rows), work)
    share, done = len(rows) / len(seen), _count(backbone, _taken(rows, seen))
    how = f"measured on {len(seen)} rows" if len(seen) < len(rows) else "measured on all rows"
    return Estimate(
        tokens=tokens,
        tokens_how=tokens_how,
        store_bytes=int(sum(_stored_bytes(part) for part in parts) * share),
        store_how=how,
        memory_bytes=_memory(backbone, sources, parts, len(rows)),
        memory_how="weights, encoders, buffers and a shard of rows",
        seconds=round(loads * loading + seconds * max(1.0, tokens / done if done else share), 1),
        seconds_how=f"{how}, with the loading of the model",
    )


def _taken(rows: Rows, some: Sequence[int]) -> Rows:
    return [rows[row] for row in some]  # type: ignore[return-value]  # all are texts, or all are images


def _tokens(backbone: Backbone, rows: Rows) -> tuple[int, str]:
    """Tokens of all rows, special ones and those of prompts included."""
    if isinstance(rows[0], ImageFile):
        return backbone.max_tokens * len(rows), "as many for each image"
    characters = _characters(rows)
    if characters <= COUNTED:
        return _count(backbone, rows), "counted by the tokenizer"
    some = _taken(rows, spread(len(rows), 1000))
    share = characters / max(1, _characters(some))
    return int(_count(backbone, some) * share), f"estimated from {len(some)} texts"


def _characters(rows: Rows) -> int:
    return sum(len(row) for row in rows if isinstance(row, str))


def _count(backbone: Backbone, rows: Rows) -> int:
    return sum(len(window) for read in backbone.tokenize(rows) for window in read.windows)


def _stored_bytes(features: Sequence[Features]) -> int:
    """Bytes that some rows take in a store."""
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder))
        for number, rows in enumerate(features):
            store.write_shard(str(number), 0, rows)
        return sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))


def _memory(backbone: Backbone, sources: Sequence[Source], parts: Sequence[Sequence[Features]], n: int) -> int:
    """Peak of the process: everything that is held at the same time."""
    encoders = sum(4 * source.sae.d_in * source.sae.width for source in sources if source.sae)
    states = backbone.batch_tokens * backbone.d_model * 4 * STATES_A_TOKEN
    rows = sum(_held_bytes(features) for part in parts for features in part) / sum(len(part[0].ids) for part in parts)
    shard = int(2 * rows * min(n, SHARD_ROWS))  # batches, and their rows in order
    return INTERPRETER + backbone.weights_bytes + encoders + states + ENCODER * bool(encoders) + shard


def _held_bytes(features: Features) -> int:
    values = sum(array.nbytes for array in features.values.values())
    return values + (3 * features.indices.nbytes if isinstance(features, SparseFeatures) else 0)


def _known(missing: Sequence[PlannedSource], rows: Rows, saes: Mapping[str, Known]) -> Estimate:
    """From what is known of SAEs, where they or the model are not here."""
    n, images = len(rows), isinstance(rows[0], ImageFile)
    tokens = None if images else max(n, _characters(rows) // CHARACTERS_A_TOKEN)
    d_in = next((sae.facts["d_in"] for sae in saes.values() if sae.facts.get("d_in")), None)
    sizes = [_known_bytes(source, n, tokens, d_in, saes) for source in missing]
    store = None if None in sizes else sum(size for size in sizes if size is not None)
    how = "an SAE's width or L0, or the size of the hidden states, is not known"
    if images:
        how = "how many features an image lights is not known"
    return Estimate(
        tokens=tokens,
        tokens_how="the model, which knows how many an image has, is not here or lacks an SAE"
        if images
        else f"{CHARACTERS_A_TOKEN} characters a token, as the model or an SAE is not here",
        store_bytes=store,
        store_how=how if store is None else "from width and L0, as texts light the SAEs of minilm",
        memory_bytes=_encoders(missing, saes),
        memory_how="the encoders of the SAEs alone, in float32, without the model",
        seconds=None,
        seconds_how="the model or an SAE is not here",
    )


def _trained(source: PlannedSource) -> str | None:
    """The SAE of a source, or the one a random one stands beside."""
    sae = source.sae.of if isinstance(source.sae, RandomSAE) else source.sae
    return None if sae is None else sae.reference


def _known_bytes(
    source: PlannedSource, n: int, tokens: int | None, d_in: int | None, saes: Mapping[str, Known]
) -> int | None:
    """Bytes of one source in the store, from the shape of its SAE."""
    name = _trained(source)
    if name is None:
        poolings = source.poolings if source.prompted else HIDDEN_POOLINGS
        return None if d_in is None else 4 * d_in * n * len(poolings)
    width, l0 = saes[name].facts.get("width"), saes[name].facts.get("l0")
    if tokens is None or not width or not l0:
        return None
    active = min(width, l0 * (tokens / n) ** SPREAD)
    return int(n * active * (ENTRY + 4 * len(source.poolings)))


def _encoders(sources: Iterable[PlannedSource], saes: Mapping[str, Known]) -> int | None:
    """Bytes of all encoders of a pass, which are in memory together; None where a size is not known."""
    total = 0
    for name in filter(None, map(_trained, sources)):
        d_in, width = saes[name].facts.get("d_in"), saes[name].facts.get("width")
        if not d_in or not width:
            return None
        total += 4 * d_in * width
    return total
