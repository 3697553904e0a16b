"""The features of a spec: planned, extracted where they are missing, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latentprobe.config import ExperimentSpec
from latentprobe.corpus import Corpus, read_corpus
from latentprobe.encode.extract import PlannedSource, extract, plan_sources
from latentprobe.errors import SpecError
from latentprobe.experiment.environment import Reporter, Silent
from latentprobe.experiment.places import require_room
from latentprobe.experiment.representations import representations
from latentprobe.store import FeatureStore, default_store

__all__ = ["Plan", "extract_features", "make_plan", "plan", "plan_rows"]


#: Baselines that are counted in texts.
TEXT_BASELINES = ("tfidf", "length")


@dataclass(frozen=True)
class Plan:
    """A spec with its rows read and its sources found: everything that can be refused has been."""

    spec: ExperimentSpec
    corpus: Corpus
    sources: tuple[tuple[PlannedSource, ...], ...]
    """One tuple a backbone."""
    store: FeatureStore

    @property
    def all_sources(self) -> list[PlannedSource]:
        """The sources of all backbones."""
        return [source for own in self.sources for source in own]

    def extract(self, reporter: Reporter) -> int:
        """Compute what the store does not have; the number of rows that went through a model."""
        require_room(self.store.root / "features")
        passed = 0
        for backbone, sources in zip(self.spec.backbones, self.sources, strict=True):
            stage = f"extract {backbone.model}"
            passed += extract(
                backbone,
                sources,
                self.corpus.rows,
                self.corpus.ids,
                self.store,
                progress=lambda done, total, stage=stage: reporter.progress(stage, done, total),  # type: ignore[misc]
                say=reporter.say,
            )
        return passed


def make_plan(spec: ExperimentSpec, store: Path | None) -> Plan:
    """Read the rows and find models and SAEs, computing nothing."""
    return plan_rows(spec, read_corpus(spec.data, folds=spec.evaluate.folds), store)


def plan_rows(spec: ExperimentSpec, corpus: Corpus, store: Path | None) -> Plan:
    """Find models and SAEs for rows that were read, computing nothing."""
    spec, corpus = _comparable(spec, corpus)
    hidden = "hidden" in spec.baselines
    sources = tuple(
        tuple(plan_sources(backbone, spec.pooling, corpus.fingerprint, hidden=hidden, images=corpus.images is not None))
        for backbone in spec.backbones
    )
    if not any(source.sae for own in sources for source in own):
        raise SpecError(
            "at least one SAE was expected: without one there is nothing to compare the baselines with",
            got="saes: []",
            fix="write `saes: auto`, or list references; `latentprobe saes list` shows what there is",
        )
    if not spec.baselines:
        raise SpecError(
            "at least one baseline was expected: a score alone says nothing",
            got="baselines: []",
            fix="write `baselines: [hidden, tfidf, majority]`",
        )
    return Plan(spec, corpus, sources, FeatureStore(store or default_store()))


def _comparable(spec: ExperimentSpec, corpus: Corpus) -> tuple[ExperimentSpec, Corpus]:
    """The spec without baselines that images do not have, and the corpus with a note on them."""
    absent = [name for name in spec.baselines if name in TEXT_BASELINES]
    if corpus.images is None or not absent:
        return spec, corpus
    kept = tuple(name for name in spec.baselines if name not in TEXT_BASELINES)
    if not kept:
        raise SpecError(
            "images have no words to count and no length",
            got=f"baselines: {list(spec.baselines)} for images",
            fix="write `baselines: [hidden, majority]`",
        )
    note = f"Left out, as the rows are images: {', '.join(absent)}."
    return spec.model_copy(update={"baselines": kept}), replace(corpus, notes=(*corpus.notes, note))


def plan(spec: ExperimentSpec, store: Path | None = None) -> dict[str, Any]:
    """What a run would do: rows, sources and what is stored of them, forward passes, probe fits."""
    planned = make_plan(spec, store)
    rows = representations(spec, planned.all_sources, planned.corpus, planned.store)
    missing = [source for source in planned.all_sources if source.fingerprint not in planned.store]
    fits = len(rows) * (len(spec.probe.C) * spec.evaluate.folds + 1)
    return {
        "name": spec.name,
        "rows": len(planned.corpus),
        "classes": len(planned.corpus.target.classes),
        "notes": list(planned.corpus.notes),
        "sources": len(planned.all_sources),
        "sources_to_extract": len(missing),
        "rows_through_a_model": sum(
            len(planned.corpus) for own in planned.sources if any(source in missing for source in own)
        ),
        "representations": len(rows),
        "probe_fits": fits,
        "store": str(planned.store.root),
    }


def extract_features(spec: ExperimentSpec, store: Path, *, reporter: Reporter | None = None) -> dict[str, Any]:
    """Only the features of a spec, into a store.

    Returns:
        ``{"rows", "passed", "sources": [{"model", "layer", "sae", "fingerprint"}]}``; ``passed`` counts rows that went
        through a model.
    """
    planned = make_plan(spec, store)
    passed = planned.extract(reporter or Silent())
    return {"rows": len(planned.corpus), "passed": passed, "sources": _named(planned.all_sources)}


def _named(sources: Sequence[PlannedSource]) -> list[dict[str, Any]]:
    return [
        {
            "model": source.model,
            "layer": source.hook.layer,
            "sae": source.sae.reference if source.sae else None,
            "fingerprint": source.fingerprint,
        }
        for source in sources
    ]
