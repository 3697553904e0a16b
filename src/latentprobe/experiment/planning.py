"""What some work would do, before it does it: passes, what must be fetched for them, what they are estimated to take.

Fetches nothing and writes nothing: a plan is made of what is on this machine and of what is known of the rest.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from latentprobe.config import (
    BehaviourSpec,
    EvaluateSpec,
    ExperimentSpec,
    FileTest,
    MatchingSpec,
    ModelsSpec,
    ProbeSpec,
    TransferSpec,
)
from latentprobe.encode.answers import target_identity
from latentprobe.encode.known import known_answers, known_prompted, known_sources, known_target, offline
from latentprobe.experiment.behaviour import answers_store, chunks_of, require_free_names
from latentprobe.experiment.estimate_asking import Asked
from latentprobe.experiment.estimates import CHARACTERS_A_TOKEN
from latentprobe.experiment.features import Finders, make_plan
from latentprobe.experiment.matching import plan_sides
from latentprobe.experiment.models import right_answers
from latentprobe.experiment.passes import Asking, Extraction, passes_of, work
from latentprobe.experiment.representations import representations
from latentprobe.experiment.stand_ins import KnownRows, known_questions
from latentprobe.experiment.transfer import make_transfer_plan
from latentprobe.store import FeatureStore, default_store

__all__ = ["plan"]

#: Bytes of a log-probability with its counts, as it is kept.
SCORE = 32

AnySpec = ExperimentSpec | TransferSpec | MatchingSpec | BehaviourSpec


def plan(spec: AnySpec, store: Path | None = None) -> dict[str, Any]:
    """What a run, a transfer, a matching or a set of questions would do, ready for JSON.

    Returns:
        Of every kind of spec: ``notes`` of the data; ``passes`` of a model over rows that are still to be done, each
        with model, what it does (extract, ask), rows and sources; ``rows_through_a_model``, the sum of their rows;
        ``references``: of each model and SAE whether it is here, whether the registry knows it, and its bytes;
        ``estimates``: tokens, store_bytes, memory_bytes and seconds of these passes, each with its value, None where
        it cannot be said, and how it was come by. Beside that what there is to compare: rows, classes, sources of
        features and how many are not stored yet, rows of the table, fits of probes; or prompts and how many are kept.

    Raises:
        LatentprobeError: what would stop the work, as far as it can be seen without a network.
    """
    with offline(data=_reads_the_hub(spec)):
        if isinstance(spec, TransferSpec):
            return _of_domains(spec, store)
        if isinstance(spec, MatchingSpec):
            return _of_two_sides(spec, store)
        if isinstance(spec, BehaviourSpec):
            return _of_questions(spec, store)
        return _of_an_experiment(spec, store)


def _reads_the_hub(spec: AnySpec) -> bool:
    """Whether any rows are a data set of the hub."""
    parts = [*spec.domains.values()] if isinstance(spec, TransferSpec) and spec.domains else [spec.data]
    tests = [getattr(part, "test", None) for part in parts]
    paths = [part.path for part in parts if part is not None]
    paths += [test.path for test in tests if isinstance(test, FileTest)]
    return any(path.startswith("hf:") for path in paths)


def _finders(rows: KnownRows) -> Finders:
    """What is here, and what is known of the rest."""
    return Finders(rows, known_sources, known_prompted, known_answers)


def _of_an_experiment(spec: ExperimentSpec, store: Path | None) -> dict[str, Any]:
    """An experiment, or the matrix of sources and targets."""
    planned = make_plan(spec, store, _finders(KnownRows(classes=_named_classes(spec))))
    rows = representations(planned.spec, planned.all_sources, planned.corpus, planned.store, planned.answers)
    times = _splits(spec.evaluate)
    if isinstance(spec, ModelsSpec):
        right_answers(planned)  # which refuses columns that say anything else
        times = len(spec.targets)
    return {
        "name": spec.name,
        "rows": len(planned.corpus),
        "classes": len(planned.corpus.target.classes),
        "notes": list(planned.corpus.notes),
        "representations": len(rows),
        "probe_fits": len(rows) * _fits(spec.probe, spec.evaluate.folds) * times,
        **work(passes_of([planned]), planned.store.root),
    }


def _of_domains(spec: TransferSpec, store: Path | None) -> dict[str, Any]:
    beside = (spec.domains or {}).values()
    stand_ins = KnownRows(beside=beside, column=spec.domain, domains=spec.train or ())
    planned = make_transfer_plan(spec, store, _finders(stand_ins))
    rows, trained = planned.representations, len(planned.joined.trained)
    together = (trained > 1) + trained * (trained > 2)  # all, and all but each: one fit a family
    fits = len(rows) * trained + len(set(planned.families)) * together
    rounds = 1 if planned.joined.given_test is not None else spec.evaluate.outer_folds
    return {
        "name": spec.name,
        "domains": [f"{domain.name} ({len(domain.corpus):,} rows)" for domain in planned.domains],
        "trained": [planned.joined.names[one] for one in planned.joined.trained],
        "rows": sum(len(domain.corpus) for domain in planned.domains),
        "classes": len(planned.joined.target.classes),
        "units": len(np.unique(planned.joined.units)),
        "notes": list(planned.notes),
        "representations": len(rows),
        "outer_folds": rounds,
        "probe_fits": fits * rounds * _fits(spec.probe, spec.evaluate.folds),
        **work(passes_of(planned.plans), planned.plans[0].store.root),
    }


def _of_two_sides(spec: MatchingSpec, store: Path | None) -> dict[str, Any]:
    find = _finders(KnownRows())
    corpus = find.corpus(spec.data, folds=spec.evaluate.folds)
    sides = plan_sides(spec, corpus, find)
    features = FeatureStore(store or default_store())
    passes = [
        Extraction(backbone, (source,), corpus, features)
        for backbone, source in zip((spec.first, spec.second), sides, strict=True)
    ]
    return {
        "name": spec.name,
        "rows": len(corpus),
        "classes": len(corpus.target.classes),
        "notes": list(corpus.notes),
        "features": spec.features,
        "permutations": spec.permutations,
        "probe_fits": 2 * _fits(spec.probe, spec.evaluate.folds),
        **work(passes, features.root),
    }


def _of_questions(spec: BehaviourSpec, store: Path | None) -> dict[str, Any]:
    require_free_names(spec)
    questions, files, memory = known_questions(spec), known_target(spec.target), answers_store(store)
    identity = target_identity(spec.target, files)
    chunks = [chunk for one in questions.conditions.values() for chunk in chunks_of(spec, questions, one, identity)]
    asked = {chunk.key: chunk for chunk in chunks if memory.read(chunk.key) is None}
    prompts = Asked.together([Asked(chunk.ids, chunk.prompts, chunk.room) for chunk in asked.values()])
    every = len(questions) * len(questions.conditions)
    return {
        "name": spec.name,
        "rows": len(questions),
        "conditions": list(questions.conditions),
        "prompts": every,
        "prompts_kept": every - len(prompts),
        "notes": list(questions.notes),
        **work([Asking(spec.target, files, prompts, *_kept_bytes(prompts))], memory.root.parent),
    }


def _kept_bytes(asked: Asked) -> tuple[int, str]:
    """What is kept of questions: the prompts, written as JSON within JSON, and what was said to each."""
    prompts = len(json.dumps(json.dumps([prompt.text for prompt in asked.prompts])))
    if isinstance(asked.room, int):
        return prompts + CHARACTERS_A_TOKEN * asked.room * len(asked), "prompts, and answers of full length"
    return prompts + SCORE * sum(map(len, asked.room)), f"prompts, and {SCORE} bytes a scored answer"


def _named_classes(spec: ExperimentSpec) -> tuple[str, ...]:
    """The classes, where the spec itself names them."""
    return tuple(spec.task.answers) if spec.task is not None and spec.task.answers else ()


def _fits(probe: ProbeSpec, folds: int) -> int:
    """How often a probe is fitted to choose C and to be kept."""
    return len(probe.C) * folds + 1


def _splits(how: EvaluateSpec) -> int:
    """How often all rows of the table are fitted."""
    return 1 + (how.repeats * how.folds if how.scheme == "nested" else how.repeats - 1)
