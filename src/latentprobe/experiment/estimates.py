"""What extracting the features of a plan would take: tokens, room in the store, memory, seconds. All are estimates.

Where model and SAEs are on this machine, a few rows go through them and are scaled up; where they are not, what can be
said is said from sizes that are known, and the rest is None. Writes nothing that stays.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latentprobe.config import HIDDEN_POOLINGS, BackboneSpec
from latentprobe.corpus import Corpus
from latentprobe.encode.backbone import Backbone
from latentprobe.encode.extract import shared_reader
from latentprobe.encode.featurize import SHARD_ROWS, Source, featurize
from latentprobe.encode.known import Known
from latentprobe.encode.random_sae import RandomSAE
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import PlannedSource
from latentprobe.store import FeatureStore, SparseFeatures
from latentprobe.store.features import Features

__all__ = ["Estimate", "estimate_extraction"]

#: Rows of one sample, samples at most, and seconds after which no further one is taken.
ROWS, SAMPLES, SECONDS = 32, 3, 2.0
#: Characters up to which every text is tokenized to be counted.
COUNTED = 2_000_000
#: Where there is no tokenizer.
CHARACTERS_A_TOKEN = 4
#: Python with torch and transformers, and a model's own buffers for a token, in hidden states of 4 bytes.
INTERPRETER, STATES_A_TOKEN = 500 * 2**20, 16
#: Buffers of an SAE's encoder: see its blocks of tokens and features.
ENCODER = 64 * 2**20
#: Measured on the SAEs of minilm: a text of T tokens lights L0 * T ** 0.8 features (exponents from 0.71 to 0.88), and
#: a stored feature takes 1 byte beside 4 of each pooling.
SPREAD, ENTRY = 0.8, 1


@dataclass(frozen=True)
class Estimate:
    """What one backbone would take. None where it cannot be said."""

    tokens: int
    """That go through the model."""
    tokens_how: str
    store_bytes: int | None
    store_how: str
    memory_bytes: int | None
    memory_how: str
    seconds: float | None
    seconds_how: str


def estimate_extraction(
    spec: BackboneSpec, missing: Sequence[PlannedSource], corpus: Corpus, model: Known, saes: Sequence[Known]
) -> Estimate:
    """What it takes to extract some sources of one backbone.

    Args:
        spec: the backbone.
        missing: its sources that are not stored yet; at least one.
        corpus: the rows.
        model, saes: what is known of them.
    """
    if model.here and all(sae.here for sae in saes):
        return _measured(spec, missing, corpus)
    return _known(missing, corpus, {sae.reference: sae for sae in saes})


def _as_large(source: PlannedSource, device: Any) -> SAE | None:
    """The encoder of a source; of a random one that of the SAE whose width and L0 it will have."""
    sae = source.sae.of if isinstance(source.sae, RandomSAE) else source.sae
    return sae and sae.to(device)


def _measured(spec: BackboneSpec, missing: Sequence[PlannedSource], corpus: Corpus) -> Estimate:
    """From some rows that go through the model and the SAEs."""
    start = time.perf_counter()
    images = corpus.images is not None
    backbone = shared_reader(spec.model_copy(update={"bos": missing[0].made_from["bos"]}), images=images)
    sources = [Source(s.hook, _as_large(s, backbone.device), s.poolings) for s in missing]
    loading = time.perf_counter() - start
    tokens, tokens_how = _tokens(backbone, corpus)
    featurize(corpus.rows[:1], ["0"], backbone, sources)  # what is set up on first use is no part of the rate
    parts: list[list[Features]] = []
    done = seconds = 0.0
    for rows in _samples(len(corpus)):
        some = [corpus.rows[row] for row in rows]
        start = time.perf_counter()
        parts.append(featurize(some, [corpus.ids[row] for row in rows], backbone, sources))  # type: ignore[arg-type]
        seconds += time.perf_counter() - start
        done += _count(backbone, some)
        if seconds > SECONDS:
            break
    seen = sum(len(part[0].ids) for part in parts)
    share = len(corpus) / seen
    stored = int(sum(_stored_bytes(part) for part in parts) * share)
    how = f"measured on {seen} rows" if seen < len(corpus) else "measured on all rows"
    return Estimate(
        tokens=tokens,
        tokens_how=tokens_how,
        store_bytes=stored,
        store_how=how,
        memory_bytes=_memory(backbone, sources, parts, len(corpus)),
        memory_how="weights, encoders, buffers and a shard of rows",
        seconds=round(loading + seconds * max(1.0, tokens / done if done else share), 1),
        seconds_how=f"{how}, with the loading of the model",
    )


def _samples(n: int) -> list[list[int]]:
    """Rows from all over the data, in samples that have none in common."""
    spread = np.unique(np.linspace(0, n - 1, min(n, ROWS * SAMPLES)).astype(int))
    count = max(1, -(-len(spread) // ROWS))
    return [spread[first::count].tolist() for first in range(count)]


def _tokens(backbone: Backbone, corpus: Corpus) -> tuple[int, str]:
    """Tokens of all rows, special ones and those of prompts included."""
    if corpus.images is not None:
        return backbone.max_tokens * len(corpus), "as many for each image"
    characters = sum(map(len, corpus.texts))
    if characters <= COUNTED:
        return _count(backbone, corpus.texts), "counted by the tokenizer"
    rows = np.linspace(0, len(corpus) - 1, 1000).astype(int)
    some = [corpus.texts[row] for row in rows]
    share = characters / max(1, sum(map(len, some)))
    return int(_count(backbone, some) * share), f"estimated from {len(some)} texts"


def _count(backbone: Backbone, rows: Sequence[Any]) -> int:
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
    weights = sum(part.nbytes for part in backbone._model.parameters())  # those of the blocks that are run, no others
    return INTERPRETER + weights + encoders + states + ENCODER * bool(encoders) + shard


def _held_bytes(features: Features) -> int:
    values = sum(array.nbytes for array in features.values.values())
    return values + (3 * features.indices.nbytes if isinstance(features, SparseFeatures) else 0)


def _known(missing: Sequence[PlannedSource], corpus: Corpus, saes: dict[str, Known]) -> Estimate:
    """From what is known of SAEs that are not here."""
    n = len(corpus)
    tokens = max(n, sum(map(len, corpus.texts)) // CHARACTERS_A_TOKEN)
    d_in = next((sae.facts["d_in"] for sae in saes.values() if sae.facts.get("d_in")), None)
    sizes: list[int | None] = []
    for source in missing:
        facts = saes[source.sae.reference].facts if source.sae else {}
        width, l0 = facts.get("width"), facts.get("l0")
        if source.sae is None:
            sizes.append(None if d_in is None else 4 * d_in * n * len(HIDDEN_POOLINGS))
        elif corpus.images is not None or not width or not l0:
            sizes.append(None)
        else:
            active = min(width, l0 * (tokens / n) ** SPREAD)
            sizes.append(int(n * active * (ENTRY + 4 * len(source.poolings))))
    store = None if None in sizes else sum(size for size in sizes if size is not None)
    return Estimate(
        tokens=tokens,
        tokens_how=f"{CHARACTERS_A_TOKEN} characters a token, as the tokenizer is not here",
        store_bytes=store,
        store_how="an SAE's width or L0 is not known"
        if store is None
        else "from width and L0, as texts light the SAEs of minilm",
        memory_bytes=_encoders(saes.values()),
        memory_how="the encoders of the SAEs alone, in float32: the model is not here",
        seconds=None,
        seconds_how="the model or an SAE is not here",
    )


def _encoders(saes: Iterable[Known]) -> int | None:
    """Bytes of all encoders of a pass, which are in memory together; None where a size is not known."""
    total = 0
    for sae in saes:
        d_in, width = sae.facts.get("d_in"), sae.facts.get("width")
        if not d_in or not width:
            return None
        total += 4 * d_in * width
    return total
