"""The passes of models over rows that some work still has to do: what they need, and what they are estimated to take.

Knows nothing of what the features and answers are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentprobe.config import BackboneSpec, TargetSpec
from latentprobe.corpus import Corpus
from latentprobe.encode.asking import fill
from latentprobe.encode.known import Known, known_model, known_sae
from latentprobe.encode.model_files import ModelFiles
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import PlannedSource
from latentprobe.experiment.estimate_asking import Asked, estimate_asking
from latentprobe.experiment.estimate_extraction import estimate_extraction
from latentprobe.experiment.estimates import Estimate, summed
from latentprobe.experiment.features import Plan
from latentprobe.store import FeatureStore

__all__ = ["Asking", "Extraction", "passes_of", "work"]


@dataclass(frozen=True, eq=False)
class Extraction:
    """A backbone over some rows, and all that one pass of it serves."""

    backbone: BackboneSpec
    sources: tuple[PlannedSource, ...]
    corpus: Corpus
    store: FeatureStore

    @property
    def saes(self) -> list[str]:
        """References of its SAEs."""
        return list(dict.fromkeys(source.sae.reference for source in self.sources if isinstance(source.sae, SAE)))


@dataclass(frozen=True, eq=False)
class Asking:
    """A model that is asked something; of what is kept, nothing is asked."""

    spec: TargetSpec
    files: ModelFiles
    asked: Asked
    store_bytes: int
    """What its answers take where they are kept."""
    store_how: str


def passes_of(plans: Sequence[Plan]) -> list[Extraction | Asking]:
    """Every pass of some plans that share a store."""
    passes: list[Extraction | Asking] = []
    for plan in plans:
        passes += [Extraction(backbone, sources, plan.corpus, plan.store) for backbone, sources in plan.passes]
        for answers in plan.answers:
            rows = range(0 if answers.fingerprint in plan.store else len(plan.corpus))
            prompts = [fill(answers.prompt, {"text": plan.corpus.texts[row]}, may_cut="text") for row in rows]
            asked = Asked([plan.corpus.ids[row] for row in rows], prompts, [answers.words] * len(rows))
            size = 4 * len(answers.words) * len(rows)
            passes.append(Asking(answers.spec, answers.files, asked, size, "4 bytes a class and row"))
    return passes


def work(passes: Sequence[Extraction | Asking], store: Path) -> dict[str, Any]:
    """What the passes of a plan take, ready for JSON.

    Returns:
        sources of features, if there are any, and how many are to be extracted; passes that are to be done, and the
        rows that go through a model in them; the folder of the store; references and estimates: see
        :func:`latentprobe.experiment.plan`.
    """
    extractions = [one for one in passes if isinstance(one, Extraction)]
    askings = [one for one in passes if isinstance(one, Asking)]
    models = {one.backbone.model: known_model(one.backbone) for one in extractions}
    models |= {one.spec.model: known_model(one.spec) for one in askings}
    saes = {name: known_sae(name) for one in extractions for name in one.saes}
    todo = _to_extract(extractions)
    waiting = [one for one in askings if len(one.asked)]
    estimates = [_estimated(parts, models, saes) for parts in _alike(todo)] + [
        estimate_asking(one.spec, one.files, one.asked, models[one.spec.model], one.store_bytes, one.store_how)
        for one in waiting
    ]
    listed = _extracted(todo) + [
        {"model": one.spec.model, "does": "ask", "rows": len(one.asked), "sources": None} for one in waiting
    ]
    sources = {
        "sources": sum(len(one.sources) for one in extractions),
        "sources_to_extract": sum(len(one.sources) for one in todo),
    }
    return (sources if extractions else {}) | {
        "passes": listed,
        "rows_through_a_model": sum(one["rows"] for one in listed),
        "store": str(store),
        "references": _described("model", models.values()) + _described("sae", saes.values()),
        "estimates": summed(estimates),
    }


def _to_extract(extractions: Sequence[Extraction]) -> list[Extraction]:
    """The passes with the sources that are not stored; what an earlier pass stores, a later one finds."""
    seen: set[str] = set()
    todo = []
    for one in extractions:
        names = {source.fingerprint: source for source in one.sources}
        missing = tuple(source for name, source in names.items() if name not in one.store and name not in seen)
        seen |= {source.fingerprint for source in missing}
        if missing:
            todo.append(Extraction(one.backbone, missing, one.corpus, one.store))
    return todo


def _extracted(todo: Sequence[Extraction]) -> list[dict[str, Any]]:
    """One a backbone: the same model over the rows of several domains counts its rows together."""
    grouped: dict[BackboneSpec, list[Extraction]] = {}
    for one in todo:
        grouped.setdefault(one.backbone, []).append(one)
    return [
        {
            "model": backbone.model,
            "does": "extract",
            "rows": sum(len(part.corpus) for part in parts),
            "sources": sum(len(part.sources) for part in parts),
        }
        for backbone, parts in grouped.items()
    ]


def _alike(todo: Sequence[Extraction]) -> list[list[Extraction]]:
    """Passes that differ in their rows alone, together."""
    grouped: dict[Any, list[Extraction]] = {}
    for one in todo:
        reads = tuple((source.hook, source.reads, source.poolings) for source in one.sources)
        grouped.setdefault((one.backbone, reads, one.corpus.images is None), []).append(one)
    return list(grouped.values())


def _estimated(parts: Sequence[Extraction], models: dict[str, Known], saes: dict[str, Known]) -> Estimate:
    """Of passes that are alike."""
    backbone = parts[0].backbone
    rows: list[Any] = [row for part in parts for row in part.corpus.rows]
    ids = [row for part in parts for row in part.corpus.ids]
    return estimate_extraction(backbone, parts[0].sources, rows, ids, models[backbone.model], saes, loads=len(parts))


def _described(kind: str, known: Any) -> list[dict[str, Any]]:
    """Each model or SAE as JSON."""
    return [
        {
            "kind": kind,
            "reference": one.reference,
            "here": one.here,
            "download": not one.here,
            "known": one.here or bool(one.facts),
            "bytes": one.size,
        }
        for one in known
    ]
