"""Which rows train and which test, and the inner folds of the training part.

The test part is drawn by content: a row's place follows from the hash of its text (or group), not from its position,
so that any other program can tell test rows apart and the order of the file changes nothing. Knows nothing of
features or probes.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.corpus import Corpus, Target
from latentprobe.errors import CorpusError

__all__ = ["Folds", "Split", "inner_folds", "outer_folds", "split", "unit_names", "units_of"]

Folds = Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""(rows to fit on, rows held out) of each inner fold, as positions in the training part."""

_RARE = 5
"""Label combinations of a multi-label task with fewer units than this are drawn from together."""


@dataclass(frozen=True, eq=False)
class Split:
    """The two parts of a corpus, as row positions in ascending order."""

    train: NDArray[np.int64]
    """Rows to fit and to choose on, [n_train]."""
    test: NDArray[np.int64]
    """Rows to judge on, [n_test]; they never choose anything."""
    moved: int = 0
    """Rows that were drawn for the test part and train after all, as near-copies of them train."""


def unit_names(corpus: Corpus) -> list[str]:
    """The name of what each row must not be parted from, one a row.

    Without groups that is the normalized text, or the hash of the image, so that copies stay together. With groups it
    is the group; groups that hold the same text or image are one unit, named after the first of them in sorted order,
    and so are texts or groups with a near-copy in common, where the corpus knows of near-copies.
    """
    names = _drawn_names(corpus)
    return names if corpus.near is None else _joined(names, corpus.near)


def _drawn_names(corpus: Corpus) -> list[str]:
    """What the draw of the test part goes by: as the units, but that near-copies count as different. So a test part
    that is drawn with them in mind is what is left of the one drawn without."""
    copies = corpus.keys
    return copies if corpus.groups is None else _joined(corpus.groups, copies)


def units_of(corpus: Corpus) -> NDArray[np.int64]:
    """The unit of each row as a number, [n]; rows with the same number stand on the same side of every split."""
    return np.unique(np.array(unit_names(corpus), dtype=object), return_inverse=True)[1].astype(np.int64)


def _joined(groups: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Groups with a text (or cluster of near-copies) in common as one, one name a row."""
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    holder: dict[str, str] = {}
    for group, text in zip(groups, texts, strict=True):
        if text:  # empty texts are no copies of each other
            low, high = sorted((root(group), root(holder.setdefault(text, group))))
            parent[high] = low
    return [root(group) for group in groups]


def split(corpus: Corpus, *, test: float, seed: int) -> Split:
    """The test part the data give, or else one drawn by content and stratified by label.

    Inside each stratum (a class; for multi-label tasks a combination of answers) units are put in the order of
    ``sha256(f"{seed}:{unit}")`` and the lowest are taken until the share of rows is reached. Then near-copies that
    stand on both sides go to the training side.

    Args:
        corpus: the rows.
        test: share of rows to test on, above 0 and below 1; not used where ``corpus.given_test`` is there.
        seed: another one draws another test part.

    Raises:
        CorpusError: a class (of a multi-label task, an answer to a label) has no training row; or, in a part drawn
            here, no test row. A class that a given test part leaves out is noted by the corpus and not scored.

    >>> from latentprobe.corpus import corpus_from
    >>> parts = split(corpus_from([f"text {i}" for i in range(10)], ["a", "b"] * 5), test=0.2, seed=0)
    >>> len(parts.train), len(parts.test)
    (8, 2)
    """
    moved = 0
    if corpus.given_test is not None:
        is_test = np.asarray(corpus.given_test, dtype=bool)
    else:
        drawn = _drawn(_drawn_names(corpus), _strata(corpus.target), share=test, seed=seed)
        is_test = _whole(drawn, units_of(corpus)) if corpus.near is not None else drawn
        moved = int(drawn.sum() - is_test.sum())
        _require_every_class(corpus.target, is_test, what="test", moved=moved)
    _require_every_class(corpus.target, ~is_test, what="training")
    return Split(train=np.flatnonzero(~is_test), test=np.flatnonzero(is_test), moved=moved)


def outer_folds(corpus: Corpus, units: NDArray[Any], *, folds: int, seed: int) -> list[Split]:
    """Splits of which each row is tested on exactly once: the outer folds of nested cross-validation.

    Args:
        corpus: the rows.
        units: of `units_of`; they stay whole.
        folds: how many, at least 2.
        seed: of the shuffle.

    Raises:
        CorpusError: as `inner_folds`.
    """
    return [Split(np.sort(fit), np.sort(held)) for fit, held in inner_folds(corpus.target, units, folds, seed)]


def _whole(drawn: NDArray[np.bool_], units: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The drawn rows, [n], without those of units that also have a row that was not drawn."""
    parted = np.bincount(units, weights=~drawn) > 0
    return drawn & ~parted[units]


def _drawn(units: Sequence[str], strata: Sequence[Hashable], *, share: float, seed: int) -> NDArray[np.bool_]:
    """True, [n], on the rows of the units with the lowest hashes in each stratum."""
    size = Counter(units)
    members = _members(units, strata)
    chosen: set[str] = set()
    for names in members.values():
        wanted = share * sum(size[name] for name in names)
        ordered = sorted(names, key=lambda name: (_place(name, seed), name))
        drawn: list[str] = []
        taken = 0
        for name in ordered:
            # Half of the unit decides, so that the share is met as nearly as units of more than one row allow.
            if taken + size[name] / 2 <= wanted and len(drawn) < len(names) - 1:
                drawn.append(name)
                taken += size[name]
        if not drawn and len(names) > 1:
            drawn = ordered[:1]
        chosen.update(drawn)
    return np.array([unit in chosen for unit in units], dtype=bool)


def _place(unit: str, seed: int) -> int:
    """Where a unit stands in the order of the draw; `scripts/minilm_texts.py` leaves test rows out by the same rule."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{unit}".encode()).digest()[:8], "big")


def _members(units: Sequence[str], strata: Sequence[Hashable]) -> dict[Hashable, list[str]]:
    """Stratum -> its units. A unit of mixed labels belongs where most of its rows do; few of a mixture go together."""
    votes: dict[str, Counter[Hashable]] = defaultdict(Counter)
    for unit, stratum in zip(units, strata, strict=True):
        votes[unit][stratum] += 1
    members: dict[Hashable, list[str]] = defaultdict(list)
    for unit, count in votes.items():
        members[min(count, key=lambda stratum: (-count[stratum], str(stratum)))].append(unit)
    rare = [key for key, names in members.items() if isinstance(key, tuple) and len(names) < _RARE]
    together = [name for key in rare for name in members.pop(key)]
    return {**members, **({"rare": together} if together else {})}


def _strata(target: Target) -> list[Hashable]:
    """What to stratify each row by: its class, or its tuple of answers with "?" for a missing one."""
    if target.kind != "multilabel":
        return [int(code) for code in target.y]
    return [tuple("?" if np.isnan(answer) else int(answer) for answer in row) for row in target.y]


def _require_every_class(target: Target, rows: NDArray[np.bool_], *, what: str, moved: int = 0) -> None:
    counts, elsewhere = target.counts(rows), target.counts(~rows)
    absent = [name for name, n in counts.items() if not n]
    if absent:
        name = absent[0]
        raise CorpusError(
            f"every class needs a {what} row",
            got=f"{_listed(absent)} without one ({name!r}: {elsewhere[name]} of {elsewhere[name]} rows, "
            "or their texts or groups, are on the other side)",
            fix="add rows of it, join it with another class, or leave it out"
            + "; or let near-copies stand on both sides, with `near_duplicates: null`" * bool(moved),
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def inner_folds(target: Target, units: NDArray[Any], folds: int, seed: int) -> Folds:
    """Stratified folds of the training part; rows of one unit are held out together.

    Args:
        target: labels of the training rows, [n].
        units: unit of each training row, [n].
        folds: number of folds, at least 2.
        seed: of the shuffle.

    Returns:
        One (rows to fit on, rows held out) pair a fold; each row is held out exactly once.

    Raises:
        CorpusError: there are fewer units than folds, or some fold would have to be fitted without a class.

    >>> labels = Target("binary", ("no", "yes"), np.array([0, 1] * 5))
    >>> [held_out.size for _, held_out in inner_folds(labels, np.arange(10), folds=5, seed=0)]
    [2, 2, 2, 2, 2]
    """
    _, codes, size = np.unique(np.asarray(units), return_inverse=True, return_counts=True)
    if len(size) < folds:
        raise CorpusError(
            f"{folds} inner folds need as many different texts or groups",
            got=f"{len(size)} in the training part",
            fix="add rows or ask for fewer folds",
        )
    strata = _fold_strata(target, folds)
    # The splitters would warn of classes with fewer rows than folds; what matters is checked below, and refused.
    smallest = np.bincount(strata).min()
    chunks: Iterable[tuple[Any, Any]]
    if size.max() == 1 and smallest >= folds:
        from sklearn.model_selection import StratifiedKFold

        chunks = StratifiedKFold(folds, shuffle=True, random_state=seed).split(strata, strata)
    else:
        chunks = _grouped(strata, codes, folds, seed)
    pairs = [(np.asarray(fit, dtype=np.int64), np.asarray(held, dtype=np.int64)) for fit, held in chunks]
    _require_every_fold(target, pairs)
    return pairs


def _grouped(strata: NDArray[Any], units: NDArray[Any], folds: int, seed: int) -> list[tuple[Any, Any]]:
    from sklearn.model_selection import StratifiedGroupKFold

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(strata, strata, units))


def _fold_strata(target: Target, folds: int) -> NDArray[np.int64]:
    """Stratum of each row as a number; mixtures of answers with fewer rows than folds are one stratum."""
    strata = [str(stratum) for stratum in _strata(target)]
    if target.kind == "multilabel":
        count = Counter(strata)
        strata = [stratum if count[stratum] >= folds else "rare" for stratum in strata]
    return np.unique(strata, return_inverse=True)[1].astype(np.int64)


def _require_every_fold(target: Target, folds: Folds) -> None:
    for fit, _ in folds:
        absent = [name for name, n in target.counts(fit).items() if not n]
        if absent:
            total = target.counts()[absent[0]]
            raise CorpusError(
                "every inner fold must be fitted on rows of every class",
                got=f"{_listed(absent)} missing from a fold ({absent[0]!r} has {total} training rows, "
                "and copies of a text or rows of a group stay together)",
                fix="add rows of it, join it with another class, or ask for other folds or another seed",
            )
