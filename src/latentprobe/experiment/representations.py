"""Every row that a spec asks to compare: each source, pooling, binarization and selection, and the baselines.

Knows how rows are named and where their numbers lie; fits nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from latentprobe.config import ExperimentSpec
from latentprobe.corpus import Corpus
from latentprobe.encode.extract import PlannedSource
from latentprobe.learn import Representation
from latentprobe.store import DenseFeatures, FeatureStore, SparseFeatures

__all__ = ["representations"]

#: The columns of a row that say what was compared; null where one does not apply.
COLUMNS = ("model", "layer", "sae", "width", "tokens", "pooling", "binarize", "selection")


def representations(
    spec: ExperimentSpec, sources: Sequence[PlannedSource], corpus: Corpus, store: FeatureStore
) -> list[Representation]:
    """The rows of the table, SAE rows first, in the order of the spec."""
    several = len(spec.backbones) > 1
    rows = [row for source in sources if source.sae for row in _sae_rows(spec, source, store, several)]
    for name in spec.baselines:
        if name == "hidden":
            bare = (source for source in sources if source.sae is None)
            rows += [row for source in bare for row in _hidden_rows(source, store, several)]
        else:
            rows += _text_rows(name, corpus)
    return rows


def _sae_rows(spec: ExperimentSpec, source: PlannedSource, store: FeatureStore, several: bool) -> list[Representation]:
    assert source.sae is not None
    rows = []
    for pooling in source.poolings:
        load = partial(_sparse, store, source.fingerprint, pooling)
        for binarize in spec.binarize:
            for selection in spec.selection:
                parts = [_place(source, several), short_name(source.sae.reference), pooling]
                parts += [f"binarized {binarize}"] * (binarize != "none") + [selection] * (selection != "all")
                columns = _columns(source, source.sae.width) | {
                    "sae": source.sae.reference,
                    "pooling": pooling,
                    "binarize": str(binarize),
                    "selection": selection,
                }
                rows.append(
                    Representation(
                        kind="sae",
                        name=" ".join(parts),
                        features="sparse",
                        load=load,
                        source=f"{source.fingerprint}/{pooling}",
                        binarize=binarize,
                        selection=selection,
                        columns=columns,
                    )
                )
    return rows


def _hidden_rows(source: PlannedSource, store: FeatureStore, several: bool) -> list[Representation]:
    return [
        Representation(
            kind="baseline",
            name=f"{_place(source, several)} hidden {pooling}",
            features="dense",
            load=partial(_dense, store, source.fingerprint, pooling),
            source=f"{source.fingerprint}/{pooling}",
            binarize="none",
            selection="all",
            columns=_columns(source, None) | {"pooling": pooling},
        )
        for pooling in source.poolings
    ]


def _text_rows(baseline: str, corpus: Corpus) -> list[Representation]:
    kinds = {"tfidf": {"words": "tfidf words", "characters": "tfidf characters"}}.get(baseline, {baseline: baseline})
    return [
        Representation(
            kind="baseline",
            name=name,
            features=features,  # type: ignore[arg-type]
            load=partial(list, corpus.texts),
            source=f"texts/{corpus.fingerprint}",
            binarize="none",
            selection="all",
            columns=dict.fromkeys(COLUMNS),
        )
        for features, name in kinds.items()
    ]


def _columns(source: PlannedSource, width: int | None) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {
        "model": source.model,
        "layer": source.hook.layer,
        "width": width,
        "tokens": source.tokens,
    }


def _place(source: PlannedSource, several: bool) -> str:
    site = "" if source.hook.site == "resid_post" else f" {source.hook.site}"
    model = f"{source.model} " if several else ""
    tokens = "" if source.tokens == "content" else f" ({source.tokens})"
    return f"{model}layer {source.hook.layer}{site}{tokens}"


def short_name(reference: str) -> str:
    """An SAE reference as it reads in a table.

    >>> short_name("bundled:minilm-l3-4k")
    'minilm-l3-4k'
    """
    return reference.removeprefix("bundled:")


def _sparse(store: FeatureStore, fingerprint: str, pooling: str) -> Any:
    features = store.read(fingerprint, [pooling])
    assert isinstance(features, SparseFeatures)
    return features.csr(pooling)


def _dense(store: FeatureStore, fingerprint: str, pooling: str) -> Any:
    features = store.read(fingerprint, [pooling])
    assert isinstance(features, DenseFeatures)
    return features.values[pooling]
