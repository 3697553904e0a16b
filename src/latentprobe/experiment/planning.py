"""What a run would do, before it does it: work, what must be fetched for it, and what it is estimated to take.

Fetches nothing and writes nothing: a plan is made of what is on this machine and of what is known of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from latentprobe.config import EvaluateSpec, ExperimentSpec
from latentprobe.corpus import Corpus, corpus_from
from latentprobe.encode.known import Known, known_model, known_prompted, known_sae, known_sources, offline
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import PlannedSource
from latentprobe.errors import CorpusError
from latentprobe.experiment.estimates import Estimate, estimate_extraction
from latentprobe.experiment.features import Plan, make_plan, plan_rows
from latentprobe.experiment.representations import representations

__all__ = ["plan"]

#: What a plan counts with where the data are not here.
ROWS, WORDS = 1000, 40


def plan(spec: ExperimentSpec, store: Path | None = None) -> dict[str, Any]:
    """What a run would do, ready for JSON.

    Returns:
        rows, classes and notes of the data; sources of features, and how many are not stored yet; rows through a model,
        rows of the table, fits of probes; ``references``: of each model and SAE whether it is here, whether the
        registry knows it, and its bytes; ``estimates``: tokens, store_bytes, memory_bytes and seconds of extracting
        what is missing, each with its value, None where it cannot be said, and how it was come by.

    Raises:
        LatentprobeError: what would stop the run, as far as it can be seen without a network.
    """
    with offline(data=spec.data.path.startswith("hf:")):
        planned = _planned(spec, store)
        models = [known_model(backbone) for backbone, _ in planned.passes]
        saes = [[known_sae(name) for name in _references(sources)] for _, sources in planned.passes]
        estimates = [
            estimate_extraction(backbone, missing, planned.corpus, model, own)
            for (backbone, sources), model, own in zip(planned.passes, models, saes, strict=True)
            if (missing := [source for source in sources if source.fingerprint not in planned.store])
        ]
    missing = [source for source in planned.all_sources if source.fingerprint not in planned.store]
    asked = sum(answers.fingerprint not in planned.store for answers in planned.answers)
    rows = representations(planned.spec, planned.all_sources, planned.corpus, planned.store, planned.answers)
    return {
        "name": spec.name,
        "rows": len(planned.corpus),
        "classes": len(planned.corpus.target.classes),
        "notes": list(planned.corpus.notes),
        "sources": len(planned.all_sources),
        "sources_to_extract": len(missing),
        "rows_through_a_model": len(planned.corpus) * (len(estimates) + asked),
        "representations": len(rows),
        "probe_fits": len(rows) * (len(spec.probe.C) * spec.evaluate.folds + 1) * _splits(spec.evaluate),
        "store": str(planned.store.root),
        "references": _described("model", models) + _described("sae", [sae for own in saes for sae in own]),
        "estimates": _summed(estimates),
    }


def _planned(spec: ExperimentSpec, store: Path | None) -> Plan:
    try:
        return make_plan(spec, store, known_sources, known_prompted)
    except CorpusError as error:
        if not spec.data.path.startswith("hf:") or "cannot be loaded" not in error.problem:
            raise
        return plan_rows(spec, _stand_in_rows(spec), store, known_sources, known_prompted)


def _stand_in_rows(spec: ExperimentSpec) -> Corpus:
    """Rows of a usual size in place of a data set of the hub that is not on this machine."""
    words = [f"{row} " + "word " * (WORDS - 1) for row in range(ROWS)]
    corpus = corpus_from(words, [row % 2 for row in range(ROWS)])
    note = (
        f"{spec.data.path} is not on this machine, and a plan fetches nothing: all figures are for {ROWS:,} rows of "
        f"{WORDS} words in 2 classes. `hf download --repo-type dataset NAME` fetches it."
    )
    return replace(corpus, notes=(note,))


def _references(sources: Sequence[PlannedSource]) -> list[str]:
    """The SAEs of one backbone."""
    return list(dict.fromkeys(source.sae.reference for source in sources if isinstance(source.sae, SAE)))


def _splits(how: EvaluateSpec) -> int:
    """How often all rows of the table are fitted."""
    return 1 + (how.repeats * how.folds if how.scheme == "nested" else how.repeats - 1)


def _described(kind: str, known: list[Known]) -> list[dict[str, Any]]:
    """Each model or SAE once."""
    return [
        {
            "kind": kind,
            "reference": one.reference,
            "here": one.here,
            "download": not one.here,
            "known": one.here or bool(one.facts),
            "bytes": one.size,
        }
        for one in {one.reference: one for one in known}.values()
    ]


def _summed(estimates: list[Estimate]) -> dict[str, dict[str, Any]]:
    """The backbones run one after the other: memory is that of the largest, all else adds up."""
    kinds: dict[str, Callable[[list[Any]], Any]]
    kinds = {"tokens": sum, "store_bytes": sum, "memory_bytes": max, "seconds": sum}
    if not estimates:
        return {kind: {"value": 0, "how": "all features are stored"} for kind in kinds}
    found: dict[str, dict[str, Any]] = {}
    for kind, together in kinds.items():
        values = [getattr(one, kind) for one in estimates]
        hows = dict.fromkeys(getattr(one, f"{kind.removesuffix('_bytes')}_how") for one in estimates)
        found[kind] = {"value": None if None in values else together(values), "how": "; ".join(hows)}
    return found
