"""Train on one domain, test on each: every choice made on the training domain, every row tested once.

All domains are cut into the same outer folds by unit, so that a text, its copies and its translations are in one fold
everywhere. What is fitted on a domain without a fold is tested on that fold of every domain: the native score and the
transferred ones come from the same models, with the same number of training rows. Knows nothing of languages, models
or how representations are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import ProbeSpec, TransferEvaluateSpec
from latentprobe.corpus import Target
from latentprobe.errors import StoreError
from latentprobe.learn.evaluate import Representation
from latentprobe.learn.outcome import Outcome, Task, work_out
from latentprobe.learn.probes import FittedProbe, Recipe
from latentprobe.learn.splits import Split, inner_folds
from latentprobe.learn.workers import in_workers, loaded
from latentprobe.store import OutcomeStore

__all__ = ["Choice", "Domains", "TrainingSet", "Transfer", "transfer"]


@dataclass(frozen=True, eq=False)
class Domains:
    """The n rows of all domains, one domain after the other."""

    names: tuple[str, ...]
    """Of the domains."""
    target: Target
    """Labels of all rows; every domain has every class."""
    domain: NDArray[np.int64]
    """Position of each row's domain in ``names``, [n]."""
    units: NDArray[np.int64]
    """Unit of each row, over all domains, [n]."""
    given_test: NDArray[np.bool_] | None
    """The test rows, [n], where the data give them; None: outer folds."""
    trained: tuple[int, ...]
    """Domains that are trained on."""
    source: tuple[int, ...]
    """For each domain itself, or the domain whose rows it holds in translation, which is tested only."""


@dataclass(frozen=True)
class TrainingSet:
    """Domains that are trained on together, and those they are tested on."""

    name: str
    kind: Literal["domain", "all", "leave_one_out"]
    members: tuple[int, ...]
    tests: tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """What was chosen of a family of representations, on one training set without one fold."""

    training_set: int
    fold: int
    family: str
    representation: int
    C: float | None
    inner_macro_f1: float
    n_train: int
    n_features: int


@dataclass(frozen=True, eq=False)
class Transfer:
    """What came out."""

    sets: tuple[TrainingSet, ...]
    """Each domain; then all together; then all but each."""
    families: tuple[str, ...]
    """``sae``, ``baseline`` (the best of all baselines), then each family of baselines."""
    choices: tuple[Choice, ...]
    """One a training set, fold and family."""
    predicted: Mapping[tuple[int, str], NDArray[np.int64]]
    """Training set and family to predicted codes, [n]; -1 on rows it is not tested on."""
    probabilities: Mapping[tuple[int, str], NDArray[np.float64]]
    """The same, calibrated on the training set, [n, classes]; nan on rows it is not tested on."""
    explored: Mapping[tuple[int, int], NDArray[np.int64]]
    """Training set of one domain and representation to predicted codes, [n]: chosen by nothing."""
    inner: NDArray[np.float64]
    """Inner macro F1, [representations, training sets of one domain, folds]."""
    common: int
    """The SAE representation with the best inner macro F1 over all single domains: whose features are compared."""
    probes: tuple[tuple[FittedProbe, ...], ...]
    """Of that representation: one a trained domain and fold."""
    train: tuple[tuple[NDArray[np.int64], ...], ...]
    """The rows each of those probes was fitted on."""


def transfer(
    representations: Sequence[Representation],
    families: Sequence[str],
    domains: Domains,
    probe: ProbeSpec,
    settings: TransferEvaluateSpec,
    *,
    memory: OutcomeStore,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Transfer:
    """Fit on each domain, on all of them, and on all but each; choose on inner folds; predict every domain.

    On a single domain every representation is fitted, and of each family the one with the best inner macro F1 (of
    equals: fewer features, then the earlier) predicts. Domains together use, in each family, the representation with
    the best mean inner macro F1 over their members, with a C of their own.

    Args:
        representations: over the rows of all domains; at least one of the family ``sae`` and one other.
        families: family of each: ``sae``, or a name for a kind of baseline.
        domains: the rows.
        probe: the linear model and its grid.
        settings: outer and inner folds, seed.
        memory: where outcomes are kept as they come, and found again.
        jobs: processes; None: as many as there are cores.
        progress: called with fits done and fits in all.

    Raises:
        CorpusError: a class cannot be in every fold.
        StoreError: rows that are not there, or are not finite.
    """
    sets = _sets(domains)
    parts = _parts(domains, settings)
    tasks = [[_task(domains, one, part, probe, settings) for part in parts] for one in sets]
    members = _families(families)
    total = len(representations) * len(domains.trained) + len(members) * len(parts) * len(sets[len(domains.trained) :])
    work = _Work(representations, tasks, memory, jobs, domains.target.kind)
    work.progress = lambda done: progress(done, total) if progress is not None else None
    inner, size, explored = _explored(work, domains, len(representations))
    picks = _picked(inner, size, sets, members)
    pooled = sorted({(row, one, fold) for (one, fold, _), row in picks.items() if one >= len(domains.trained)})
    for _ in work.outcomes([(row, one, [fold]) for row, one, fold in pooled]):
        pass  # each is kept in memory, where it is read below
    if progress is not None:
        progress(total, total)  # families that choose the same representation are fitted once
    return Transfer(
        sets=sets,
        families=tuple(members),
        **_gathered(work, domains, picks),
        explored=explored,
        inner=inner,
        common=(common := min(members["sae"], key=lambda row: (-inner[row].mean(), row))),
        probes=tuple(
            tuple(work.again((common, one, fold)).probe for fold in range(len(parts)))
            for one in range(len(domains.trained))
        ),
        train=tuple(tuple(task.split.train for task in own) for own in tasks[: len(domains.trained)]),
    )


def _explored(
    work: _Work, domains: Domains, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[tuple[int, int], NDArray[np.int64]]]:
    """Inner macro F1 and number of features of each of n representations, single domain and fold, and the predictions
    of each representation and domain."""
    singles, folds = range(len(domains.trained)), range(len(work.tasks[0]))
    inner = np.empty((n, len(singles), len(folds)))
    size = np.empty_like(inner)
    predicted = {(one, row): _empty(domains) for one in singles for row in range(n)}
    for (row, one, fold), outcome in work.outcomes([(row, one, folds) for row in range(n) for one in singles]):
        inner[row, one, fold], size[row, one, fold] = outcome.inner_macro_f1, len(outcome.probe.features)
        predicted[one, row][work.tasks[one][fold].split.test] = outcome.detail.predicted
    return inner, size, predicted


def _picked(
    inner: NDArray[np.float64],
    size: NDArray[np.float64],
    sets: Sequence[TrainingSet],
    members: Mapping[str, Sequence[int]],
) -> dict[tuple[int, int, str], int]:
    """The representation of each training set, fold and family, from inner scores alone."""
    place = {one.members[0]: index for index, one in enumerate(sets) if one.kind == "domain"}
    picks = {}
    for index, one in enumerate(sets):
        own = [place[member] for member in one.members]
        for fold in range(inner.shape[2]):
            score, features = inner[:, own, fold].mean(axis=1), size[:, own, fold].sum(axis=1)
            for family, rows in members.items():
                picks[index, fold, family] = min(rows, key=lambda row: (-score[row], features[row], row))
    return picks


def _sets(domains: Domains) -> tuple[TrainingSet, ...]:
    every = tuple(range(len(domains.names)))
    sets = [TrainingSet(domains.names[one], "domain", (one,), every) for one in domains.trained]
    if len(domains.trained) > 1:
        sets.append(TrainingSet("all", "all", domains.trained, every))
    if len(domains.trained) > 2:
        for left in domains.trained:
            others = tuple(one for one in domains.trained if one != left)
            tests = tuple(one for one in every if domains.source[one] == left)
            sets.append(TrainingSet(f"all but {domains.names[left]}", "leave_one_out", others, tests))
    return tuple(sets)


def _parts(domains: Domains, settings: TransferEvaluateSpec) -> list[NDArray[np.bool_]]:
    """The test rows, [n], of each round: those the data give, or each outer fold, with its share of every class of
    every domain."""
    if domains.given_test is not None:
        return [domains.given_test]
    classes = domains.target.classes
    names = tuple(f"{domain}: {name}" for domain in domains.names for name in classes)
    strata = Target("multiclass", names, domains.domain * len(classes) + domains.target.y)
    parts = []
    for _, held_out in inner_folds(strata, domains.units, settings.outer_folds, settings.seed):
        part = np.zeros(len(domains.target), dtype=np.bool_)
        part[held_out] = True
        parts.append(part)
    return parts


def _task(
    domains: Domains,
    training_set: TrainingSet,
    part: NDArray[np.bool_],
    probe: ProbeSpec,
    settings: TransferEvaluateSpec,
) -> Task:
    train = np.flatnonzero(np.isin(domains.domain, training_set.members) & ~part)
    test = np.flatnonzero(np.isin(domains.domain, training_set.tests) & part)
    folds = inner_folds(domains.target.take(train), domains.units[train], settings.folds, settings.seed)
    return Task(domains.target, Split(train, test), folds, probe)


def _families(families: Sequence[str]) -> dict[str, list[int]]:
    """Family to its representations."""
    kinds = [kind for kind in dict.fromkeys(families) if kind != "sae"]
    members = {kind: [row for row, own in enumerate(families) if own == kind] for kind in ("sae", *kinds)}
    baselines = [row for row, own in enumerate(families) if own != "sae"]
    return {"sae": members.pop("sae"), "baseline": baselines, **members}


Position = tuple[int, int, int]
"""Representation, training set and fold."""


class _Work:
    """Outcomes by position, from memory or worked out and kept there."""

    def __init__(
        self,
        representations: Sequence[Representation],
        tasks: Sequence[Sequence[Task]],
        memory: OutcomeStore,
        jobs: int | None,
        kind: Literal["binary", "multiclass", "multilabel"],
    ) -> None:
        self._representations = representations
        self.tasks = tasks
        self._memory = memory
        self._jobs = jobs
        self._kind = kind
        self._done = 0
        self.progress: Callable[[int], None] = lambda done: None

    def kept(self, position: Position) -> Outcome | None:
        """An outcome that is in memory."""
        found = self._memory.read(self._key(position))
        return None if found is None else Outcome.restored(*found, self._kind)

    def again(self, position: Position) -> Outcome:
        """An outcome that was worked out before."""
        outcome = self.kept(position)
        if outcome is None:
            raise StoreError(
                "an outcome that was stored a moment ago was expected",
                got="nothing, or a damaged file",
                fix="see that nothing else empties the folder of the store, and run again",
            )
        return outcome

    def outcomes(self, wanted: Sequence[tuple[int, int, Sequence[int]]]) -> Iterator[tuple[Position, Outcome]]:
        """Some folds of some (representation, training set), in any order."""
        missing: list[tuple[int, int, list[int]]] = []
        for row, one, folds in wanted:
            found = {fold: self.kept((row, one, fold)) for fold in folds}
            for fold, outcome in found.items():
                if outcome is not None:
                    yield (row, one, fold), outcome
            if absent := [fold for fold, outcome in found.items() if outcome is None]:
                missing.append((row, one, absent))
            else:
                self._advance()
        sources = [self._representations[row] for row, _, _ in missing]
        calls = (
            (at, rows, _recipe(sources[at]), [self.tasks[missing[at][1]][fold] for fold in missing[at][2]])
            for at, rows in loaded(sources, len(self.tasks[0][0].target))
        )
        for at, outcomes in in_workers(_run, calls, len(missing), self._jobs):
            row, one, folds = missing[at]
            for fold, outcome in zip(folds, outcomes, strict=True):
                self._memory.write(self._key((row, one, fold)), outcome.values(), outcome.arrays())
                yield (row, one, fold), outcome
            self._advance()

    def _advance(self) -> None:
        self._done += 1
        self.progress(self._done)

    def _key(self, position: Position) -> str:
        row, one, fold = position
        representation = self._representations[row]
        return self.tasks[one][fold].key(representation.source, _recipe(representation))


def _run(at: int, rows: Any, recipe: Recipe, tasks: Sequence[Task]) -> tuple[int, list[Outcome]]:
    return at, [work_out(rows, recipe, task) for task in tasks]


def _recipe(representation: Representation) -> Recipe:
    return Recipe(representation.features, representation.binarize, representation.selection)


def _empty(domains: Domains) -> NDArray[np.int64]:
    return np.full(len(domains.target), -1, dtype=np.int64)


def _gathered(work: _Work, domains: Domains, picks: Mapping[tuple[int, int, str], int]) -> dict[str, Any]:
    """The predictions of what was chosen, put together from its folds."""
    predicted = {(one, family): _empty(domains) for one, _, family in picks}
    shape = (len(domains.target), len(domains.target.classes))
    probabilities = {key: np.full(shape, np.nan) for key in predicted}
    choices = []
    for (one, fold, family), row in picks.items():
        outcome, task = work.again((row, one, fold)), work.tasks[one][fold]
        predicted[one, family][task.split.test] = outcome.detail.predicted
        probabilities[one, family][task.split.test] = outcome.detail.probabilities
        n_train, n_features = len(task.split.train), len(outcome.probe.features)
        choices.append(Choice(one, fold, family, row, outcome.probe.C, outcome.inner_macro_f1, n_train, n_features))
    return {"choices": tuple(choices), "predicted": predicted, "probabilities": probabilities}
