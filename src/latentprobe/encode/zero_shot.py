"""What a causal model answers when it is asked for the class of each text: scores of the classes, stored like features.

A row is the mean log-probability of each class's words after the task's prompt. Nothing is learned. Knows nothing of
labels.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentprobe.config import BackboneSpec, TargetSpec, TaskSpec
from latentprobe.encode.answers import find_target, load_target, target_identity
from latentprobe.encode.asking import fill
from latentprobe.encode.featurize import shards
from latentprobe.encode.model_files import ModelFiles
from latentprobe.errors import SpecError
from latentprobe.store import DenseFeatures, FeatureStore
from latentprobe.store.feature_store import fingerprint

__all__ = ["SCORES", "PlannedAnswers", "ask", "plan_answers"]

#: Name of the stored scores.
SCORES = "mean_log_probability"

#: Rows that are scored together.
ROWS = 256

#: A class by the other name that YAML and data files give it.
_SAME = {"yes": "true", "no": "false", "true": "yes", "false": "no"}


@dataclass(frozen=True)
class PlannedAnswers:
    """One model asked one task, and everything that determines its scores."""

    spec: TargetSpec
    files: ModelFiles
    prompt: str
    words: tuple[str, ...]
    """Of each class, in the order of the classes."""
    made_from: dict[str, Any]
    """What the fingerprint is taken of."""

    @property
    def fingerprint(self) -> str:
        """Name of the matrix in the store."""
        return fingerprint(self.made_from)


def plan_answers(
    task: TaskSpec,
    backbones: Sequence[BackboneSpec],
    classes: Sequence[str],
    texts_fingerprint: str,
    find: Callable[[TargetSpec], ModelFiles] = find_target,
) -> list[PlannedAnswers]:
    """What the baseline `zero_shot` asks for: the task's model, or that of each backbone, as ``find`` has its files.

    Raises:
        ModelError: a model is not found, or is none that answers.
        SpecError: the answers are not one for each class.
    """
    words = _words(task, classes)
    asked = [
        TargetSpec(
            model=task.model or backbone.model,
            revision=None if task.model else backbone.revision,
            template=task.template,
            on_overflow="truncate",
            device=backbone.device,
            dtype=backbone.dtype,
        )
        for backbone in backbones
    ]
    planned: dict[str, PlannedAnswers] = {}
    for spec in asked:
        files = find(spec)
        made_from = {
            "texts": texts_fingerprint,
            **target_identity(spec, files),
            "prompt": task.prompt,
            "words": list(words),
            "machine": platform.machine(),
        }
        one = PlannedAnswers(spec, files, task.prompt, words, made_from)
        planned.setdefault(one.fingerprint, one)
    return list(planned.values())


def _words(task: TaskSpec, classes: Sequence[str]) -> tuple[str, ...]:
    """The words of each class; YAML's true is both "true" and "yes"."""
    if task.answers is None:
        return tuple(classes)
    named = {name if name in classes else _SAME.get(name, name): words for name, words in task.answers.items()}
    if set(named) != set(classes) or len(set(named.values())) < len(classes):
        raise SpecError(
            "`task.answers` has words of its own for each class",
            got=f"{', '.join(task.answers)} for the classes {', '.join(classes)[:200]}",
            fix="write {class: words} for every class and no other; put yes and no in quotes",
        )
    return tuple(named[name] for name in classes)


def ask(
    planned: PlannedAnswers,
    texts: Sequence[str],
    ids: Sequence[str],
    store: FeatureStore,
    *,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Score and store what is missing; a text that is too long loses its end.

    Returns:
        Number of rows that went through the model; 0 when all was stored.
    """
    name = planned.fingerprint
    if name in store:
        return 0
    model = load_target(planned.spec, planned.files)
    passed = shortened = 0
    cut = shards(texts)
    for number, rows in enumerate(cut):
        if store.shard_path(name, number).is_file():
            continue
        scores = np.empty((len(rows), len(planned.words)), np.float32)
        for start in range(rows.start, rows.stop, ROWS):
            part = range(start, min(start + ROWS, rows.stop))
            prompts = [fill(planned.prompt, {"text": texts[row]}, may_cut="text") for row in part]
            answers = [planned.words] * len(part)
            fitted = model.fit(prompts, answers, [ids[row] for row in part])
            shortened += sum(len(one.text) < len(whole.text) for one, whole in zip(fitted, prompts, strict=True))
            found = model.score(fitted, answers)
            scores[start - rows.start : part.stop - rows.start] = [
                [score.normalized("tokens") for score in own] for own in found
            ]
            passed += len(part)
            if progress is not None:
                progress(part.stop, len(texts))
        part_ids = tuple(ids[rows.start : rows.stop])
        n_tokens = np.zeros(len(rows), np.int32)
        store.write_shard(name, number, DenseFeatures(len(planned.words), part_ids, n_tokens, {SCORES: scores}))
    store.finish(name, planned.made_from, len(cut))
    if say is not None:
        more = f"; {shortened} texts without their end" if shortened else ""
        say(f"{planned.files.name} was asked{more}")
    return passed
