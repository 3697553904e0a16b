"""The features of a spec: found, extracted where they are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latentprobe.config import BackboneSpec, ExperimentSpec
from latentprobe.corpus import Corpus, read_corpus
from latentprobe.encode.extract import extract
from latentprobe.encode.sources import PlannedSource, plan_prompted, plan_sources
from latentprobe.encode.zero_shot import PlannedAnswers, ask, plan_answers
from latentprobe.errors import SpecError
from latentprobe.experiment.environment import Reporter, Silent
from latentprobe.experiment.places import require_room
from latentprobe.store import FeatureStore, OutcomeStore, default_store

__all__ = ["Finders", "Plan", "extract_features", "make_plan", "plan_rows"]

#: Baselines that read texts, which images have none of.
TEXT_BASELINES = ("tfidf", "length", "prompted", "zero_shot")
#: Baselines made of the pooled hidden states.
HIDDEN_BASELINES = ("hidden", "sae_hidden")


@dataclass(frozen=True)
class Finders:
    """Who reads rows and finds models and SAEs. A run insists on all of them; a plan makes do with what is known."""

    corpus: Callable[..., Corpus] = read_corpus
    sources: Callable[..., list[PlannedSource]] = plan_sources
    prompted: Callable[..., tuple[BackboneSpec, list[PlannedSource]]] = plan_prompted
    answers: Callable[..., list[PlannedAnswers]] = plan_answers


@dataclass(frozen=True)
class Plan:
    """A spec with its rows read and its sources found: everything that can be refused has been."""

    spec: ExperimentSpec
    corpus: Corpus
    sources: tuple[tuple[PlannedSource, ...], ...]
    """One tuple a backbone."""
    prompted: tuple[tuple[BackboneSpec, tuple[PlannedSource, ...]], ...]
    """Backbones that read the task's prompt, where the spec compares with that, and the sources of each."""
    answers: tuple[PlannedAnswers, ...]
    """Models that are asked for the class of each text, where the spec compares with that."""
    store: FeatureStore

    @property
    def passes(self) -> list[tuple[BackboneSpec, tuple[PlannedSource, ...]]]:
        """What runs over the rows: a backbone, and all that one pass of it serves."""
        return [*zip(self.spec.backbones, self.sources, strict=True), *self.prompted]

    @property
    def all_sources(self) -> list[PlannedSource]:
        """The sources of all backbones."""
        return [source for _, own in self.passes for source in own]

    @property
    def outcomes(self) -> OutcomeStore:
        """Where fits are kept, beside the features."""
        return OutcomeStore(self.store.root / "outcomes")

    def extract(self, reporter: Reporter) -> int:
        """Compute what the store does not have; the number of rows that went through a model."""
        require_room(self.store.root / "features")
        passed = 0
        for backbone, sources in self.passes:
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
        for planned in self.answers:
            stage = f"ask {planned.files.name}"
            passed += ask(
                planned,
                self.corpus.texts,
                self.corpus.ids,
                self.store,
                progress=lambda done, total, stage=stage: reporter.progress(stage, done, total),  # type: ignore[misc]
                say=reporter.say,
            )
        return passed


def make_plan(spec: ExperimentSpec, store: Path | None, find: Finders | None = None) -> Plan:
    """Read the rows and find models and SAEs, computing nothing."""
    find = find or Finders()
    return plan_rows(spec, find.corpus(spec.data, folds=spec.evaluate.folds), store, find)


def plan_rows(spec: ExperimentSpec, corpus: Corpus, store: Path | None, find: Finders | None = None) -> Plan:
    """Find models and SAEs for rows that were read, computing nothing."""
    find = find or Finders()
    spec, corpus = _comparable(spec, corpus)
    sources = tuple(
        tuple(
            find.sources(
                backbone,
                spec.pooling,
                corpus.fingerprint,
                hidden=bool(spec.components) or any(name in HIDDEN_BASELINES for name in spec.baselines),
                random="random_sae" in spec.baselines,
                images=corpus.images is not None,
            )
        )
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
    prompted, answers = tuple(_prompted(spec, corpus, find)), tuple(_answers(spec, corpus, find))
    return Plan(spec, corpus, sources, prompted, answers, FeatureStore(store or default_store()))


def _answers(spec: ExperimentSpec, corpus: Corpus, find: Finders) -> list[PlannedAnswers]:
    """The models that are asked the task."""
    if spec.task is None or "zero_shot" not in spec.baselines:
        return []
    if corpus.target.kind == "multilabel":
        raise SpecError(
            "zero_shot asks for one class a text",
            got=f"{len(corpus.target.classes)} label columns",
            fix="leave zero_shot out, or name one label column",
        )
    return find.answers(spec.task, spec.backbones, corpus.target.classes, corpus.fingerprint)


def _prompted(
    spec: ExperimentSpec, corpus: Corpus, find: Finders
) -> Iterator[tuple[BackboneSpec, tuple[PlannedSource, ...]]]:
    """The backbones as they read the task's prompt. Backbones that differ in what else they read do so alike."""
    known: set[str] = set()
    if spec.task is None or "prompted" not in spec.baselines:
        return
    for backbone in spec.backbones:
        reading, planned = find.prompted(backbone, spec.task, corpus.fingerprint)
        new = tuple(source for source in planned if source.fingerprint not in known)
        known |= {source.fingerprint for source in new}
        if new:
            yield reading, new


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
