"""Every row that a spec asks to compare: each source, pooling, binarization and selection, and the baselines.

Knows how rows are named and where their numbers lie; fits nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from latentprobe.config import ExperimentSpec
from latentprobe.corpus import Corpus
from latentprobe.encode.random_sae import RandomSAE
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import PlannedSource
from latentprobe.encode.zero_shot import SCORES, PlannedAnswers
from latentprobe.learn import Representation, SideBySide
from latentprobe.store import DenseFeatures, FeatureStore, SparseFeatures

__all__ = ["representations"]

#: The columns of a row that say what was compared; null where one does not apply.
COLUMNS = ("model", "layer", "sae", "width", "tokens", "pooling", "binarize", "selection")


def representations(
    spec: ExperimentSpec,
    sources: Sequence[PlannedSource],
    corpus: Corpus,
    store: FeatureStore,
    answers: Sequence[PlannedAnswers] = (),
) -> list[Representation]:
    """The rows of the table, SAE rows first, in the order of the spec."""
    several = len(spec.backbones) > 1
    rows = [row for source in sources if isinstance(source.sae, SAE) for row in _sae_rows(spec, source, store, several)]
    bare = [source for source in sources if source.sae is None and not source.prompted]
    for name in dict.fromkeys("pca" if name.startswith("pca") else name for name in spec.baselines):
        if name == "hidden":
            rows += [row for source in bare for row in _hidden_rows(source, store, several)]
        elif name == "prompted":
            rows += [row for source in sources if source.prompted for row in _hidden_rows(source, store, several)]
        elif name == "pca":
            rows += [
                _components(row, k)
                for source in bare
                for row in _hidden_rows(source, store, several)
                for k in spec.components
            ]
        elif name == "zero_shot":
            rows += [_zero_shot_row(planned, store) for planned in answers]
        elif name == "sae_hidden":
            rows += _joint_rows(sources, store, several)
        elif name == "random_sae":
            random = [source for source in sources if isinstance(source.sae, RandomSAE)]
            rows += [row for source in random for row in _sae_rows(spec, source, store, several)]
        else:
            rows += _text_rows(name, corpus)
    return rows


def _sae_rows(spec: ExperimentSpec, source: PlannedSource, store: FeatureStore, several: bool) -> list[Representation]:
    """The rows of an SAE, or of a random one."""
    assert source.sae is not None
    is_random = isinstance(source.sae, RandomSAE)
    rows = []
    for pooling in source.poolings:
        load = partial(_sparse, store, source.fingerprint, pooling)
        for binarize in spec.binarize:
            for selection in spec.selection:
                parts = [_place(source, several), _sae_name(source.sae.reference), pooling]
                parts += [f"binarized {binarize}"] * (binarize != "none") + [selection] * (selection != "all")
                columns = _columns(source, source.sae.width) | {
                    "sae": source.sae.reference,
                    "pooling": pooling,
                    "binarize": str(binarize),
                    "selection": selection,
                }
                rows.append(
                    Representation(
                        kind="baseline" if is_random else "sae",
                        family="random" if is_random else "sae",
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
            family="prompted" if source.prompted else "hidden",
            name=f"{_place(source, several)} {source.reads} {pooling}",
            features="dense",
            load=partial(_dense, store, source.fingerprint, pooling),
            source=f"{source.fingerprint}/{pooling}",
            binarize="none",
            selection="all",
            columns=_columns(source, None) | {"pooling": pooling},
        )
        for pooling in source.poolings
    ]


def _components(row: Representation, k: int) -> Representation:
    """A row of hidden states, reduced to their first k principal components."""
    pca = f"pca{k}"
    return replace(row, name=f"{row.name} {pca}", features=pca, family="pca", columns={**row.columns, "selection": pca})


def _joint_rows(sources: Sequence[PlannedSource], store: FeatureStore, several: bool) -> list[Representation]:
    """The features of each SAE beside the hidden states they were read from, under the same pooling where hidden states
    have it, else beside their mean."""
    bare = {_origin(source): source for source in sources if source.sae is None and not source.prompted}
    rows = []
    for source in sources:
        if not isinstance(source.sae, SAE):
            continue
        hidden = bare[_origin(source)]
        for pooling in source.poolings:
            other = pooling if pooling in hidden.poolings else "mean"
            name = f"{_place(source, several)} {_sae_name(source.sae.reference)} {pooling} with hidden {other}"
            rows.append(
                Representation(
                    kind="both",
                    name=name,
                    features="both",
                    load=partial(_side_by_side, store, (source.fingerprint, pooling), (hidden.fingerprint, other)),
                    source=f"{source.fingerprint}/{pooling}+{hidden.fingerprint}/{other}",
                    columns=_columns(source, source.sae.width)
                    | {"sae": source.sae.reference, "pooling": pooling, "binarize": "none", "selection": "all"},
                )
            )
    return rows


def _origin(source: PlannedSource) -> tuple[Any, ...]:
    """What a spec allows once: a model, a hook point and the tokens read."""
    return source.model, source.hook, source.tokens


def _zero_shot_row(planned: PlannedAnswers, store: FeatureStore) -> Representation:
    return Representation(
        kind="baseline",
        name=f"zero-shot {planned.files.name}",
        features="scores",
        load=partial(_dense, store, planned.fingerprint, SCORES),
        source=f"{planned.fingerprint}/{SCORES}",
        columns=dict.fromkeys(COLUMNS) | {"model": planned.spec.model, "tokens": planned.prompt},
    )


def _text_rows(baseline: str, corpus: Corpus) -> list[Representation]:
    kinds = {"tfidf": {"words": "tfidf words", "characters": "tfidf characters"}}.get(baseline, {baseline: baseline})
    return [
        Representation(
            kind="baseline",
            family=baseline,
            name=name,
            features=features,
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
    tokens = "" if source.tokens == "content" or source.prompted else f" ({source.tokens})"
    return f"{model}layer {source.hook.layer}{site}{tokens}"


def _sae_name(reference: str) -> str:
    """An SAE reference as it reads in a table.

    >>> _sae_name("bundled:minilm-l3-4k"), _sae_name("random:bundled:minilm-l3-4k")
    ('minilm-l3-4k', 'random SAE minilm-l3-4k')
    """
    of = reference.removeprefix("random:")
    return "random SAE " * (of != reference) + of.removeprefix("bundled:")


def _sparse(store: FeatureStore, fingerprint: str, pooling: str) -> Any:
    features = store.read(fingerprint, [pooling])
    assert isinstance(features, SparseFeatures)
    return features.csr(pooling)


def _dense(store: FeatureStore, fingerprint: str, pooling: str) -> Any:
    features = store.read(fingerprint, [pooling])
    assert isinstance(features, DenseFeatures)
    return features.values[pooling]


def _side_by_side(store: FeatureStore, sae: tuple[str, str], hidden: tuple[str, str]) -> SideBySide:
    return SideBySide(_sparse(store, *sae), _dense(store, *hidden))
