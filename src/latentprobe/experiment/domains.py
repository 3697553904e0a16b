"""The domains of a transfer, read and joined: one list of rows, of which each knows its domain and its unit.

What could not be compared fairly is refused here, before anything is computed. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.config import DomainSpec, TransferSpec
from latentprobe.corpus import Corpus, read_corpus
from latentprobe.corpus.split import without_leaks
from latentprobe.errors import CorpusError, SpecError, nearest
from latentprobe.learn import units_of
from latentprobe.learn.transfer import Domains

__all__ = ["Domain", "join", "read_domains"]

Read = Callable[..., Corpus]


@dataclass(frozen=True, eq=False)
class Domain:
    """The rows of a domain."""

    name: str
    spec: DomainSpec
    corpus: Corpus
    translation_of: str | None = None
    """The domain whose rows these are, translated."""


def read_domains(spec: TransferSpec, read: Read = read_corpus) -> list[Domain]:
    """Read every domain, with ``read``, in the order of the spec (of a column: of the first row of each), each followed
    by its translation.

    Raises:
        CorpusError: what `read_corpus` refuses, naming the domain; classes that differ between domains.
        SpecError: a domain to train on that is not there.
    """
    if spec.domains is not None:
        found = [Domain(name, data, _read(data, name, spec, read)) for name, data in spec.domains.items()]
    else:
        assert spec.data is not None and spec.domain is not None
        found = _by_column(spec.data, spec.domain, spec, read)
    _require_same_classes(found)
    names = [domain.name for domain in found]
    for name in spec.train or ():
        if name not in names:
            raise SpecError(
                "a domain to train on is one of those that are read",
                got=f"train: {name!r}; the domains are {', '.join(names)}",
                fix=f"name one of those{nearest(name, names)}",
            )
    return [one for domain in found for one in (domain, *_translations(domain))]


def _read(data: DomainSpec, name: str, spec: TransferSpec, read: Read, *, column: str | None = None) -> Corpus:
    more = [column for column in (data.translated, column) if column is not None and column not in data.by]
    try:
        return read(data.model_copy(update={"by": (*data.by, *more)}), folds=spec.evaluate.folds)
    except CorpusError as error:
        raise CorpusError(f"{error.problem} (domain {name!r})", got=error.got, fix=error.fix) from error


def _by_column(data: DomainSpec, column: str, spec: TransferSpec, read: Read) -> list[Domain]:
    """One source of rows, told apart by a column."""
    corpus = _read(data, "all of them", spec, read, column=column)
    values = np.array(corpus.columns[column], dtype=object)
    if without := int((values == "").sum()):
        raise CorpusError(
            "every row needs a domain", got=f"{without:,} without one in {column!r}", fix="fill the column in"
        )
    names = list(dict.fromkeys(values))
    if len(names) < 2:
        raise CorpusError(
            "transfer needs two domains",
            got=f"{names[0]!r} in every row of {column!r}",
            fix="name the column that tells languages, sources or modalities apart",
        )
    parts = [Domain(name, data, _part(corpus, np.flatnonzero(values == name), name)) for name in names]
    for part in parts:
        absent = [name for name, n in part.corpus.target.counts().items() if n < spec.evaluate.folds]
        if absent:
            raise CorpusError(
                f"every domain needs {spec.evaluate.folds} rows of each class, one for each inner fold",
                got=f"{part.name!r}: {part.corpus.target.counts()[absent[0]]} of {absent[0]!r}",
                fix="leave that domain out, add rows, or ask for fewer folds",
            )
    return parts


def _part(corpus: Corpus, rows: NDArray[np.int64], name: str) -> Corpus:
    """Some rows of a corpus."""

    def take(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[row] for row in rows)

    return replace(
        corpus,
        name=name,
        ids=take(corpus.ids),
        texts=take(corpus.texts),
        target=corpus.target.take(rows),
        groups=None if corpus.groups is None else take(corpus.groups),
        given_test=None if corpus.given_test is None else corpus.given_test[rows],
        images=None if corpus.images is None else take(corpus.images),
        columns={column: take(values) for column, values in corpus.columns.items()},
    )


def _require_same_classes(domains: Sequence[Domain]) -> None:
    first = domains[0]
    for other in domains[1:]:
        ours, theirs = first.corpus.target.classes, other.corpus.target.classes
        if ours == theirs:
            continue
        common = [name for name in ours if name in theirs]
        raise CorpusError(
            "every domain has the same classes, in the same order"
            + ("" if common else "; these have no label in common"),
            got=f"{', '.join(ours)} in {first.name!r}; {', '.join(theirs)} in {other.name!r}"[:400],
            fix="set `positive` alike in both"
            if set(ours) == set(theirs)
            else "name the column with the common labels, or leave out rows of the other classes",
        )


def _translations(domain: Domain) -> list[Domain]:
    if domain.spec.translated is None:
        return []
    corpus = replace(domain.corpus, texts=domain.corpus.columns[domain.spec.translated], notes=())
    return [Domain(f"{domain.name}, translated", domain.spec, corpus, translation_of=domain.name)]


def join(domains: Sequence[Domain], spec: TransferSpec) -> tuple[Domains, list[str]]:
    """All rows as one list, and sentences on what was done to them.

    Rows of one unit (of one group, with the same text or image, or translations of each other) will be in one fold.

    Raises:
        CorpusError: a text or group on both sides of a given split, in whichever domain.
    """
    names = tuple(domain.name for domain in domains)
    code = np.repeat(np.arange(len(domains)), [len(domain.corpus) for domain in domains])
    first = domains[0].corpus.target
    rows = Corpus(
        name=spec.name,
        ids=tuple(f"{domain.name}/{row}" for domain in domains for row in domain.corpus.ids),
        texts=tuple(key for domain in domains for key in domain.corpus.keys),
        target=replace(first, y=np.concatenate([domain.corpus.target.y for domain in domains])),
        groups=_groups(domains, own=spec.groups == "own"),
        given_test=None,
        notes=(),
    )
    given, notes = _given(domains, rows)
    wanted = spec.train or [domain.name for domain in domains if domain.translation_of is None]
    joined = Domains(
        names=names,
        target=rows.target,
        domain=code,
        units=units_of(rows),
        given_test=given,
        trained=tuple(names.index(name) for name in wanted),
        source=tuple(names.index(domain.translation_of or domain.name) for domain in domains),
    )
    return joined, notes


def _groups(domains: Sequence[Domain], *, own: bool) -> tuple[str, ...] | None:
    """The group of each row; None where no domain has groups or translations.

    A row without a group is one of its own: it, its copies, and its translation."""
    if all(domain.corpus.groups is None and domain.translation_of is None for domain in domains):
        return None
    groups = []
    for domain in domains:
        home = domain.translation_of or domain.name
        for row, group in zip(domain.corpus.ids, domain.corpus.groups or (None,) * len(domain.corpus), strict=True):
            alone = group is None or group == f"row\n{row}"
            groups.append(f"row\n{home}\n{row}" if alone else f"{home}\n{group}" if own else str(group))
    return tuple(groups)


def _given(domains: Sequence[Domain], rows: Corpus) -> tuple[NDArray[np.bool_] | None, list[str]]:
    """The given test rows of all domains, and what was moved there because its text or group stands there."""
    given = [domain.corpus.given_test for domain in domains]
    if any(part is None for part in given):
        return None, []
    test = np.concatenate([part for part in given if part is not None])
    # Of translations only the test rows are used.
    used = np.concatenate(
        [
            np.ones(len(domain.corpus), bool) if domain.translation_of is None else np.asarray(part, bool)
            for domain, part in zip(domains, given, strict=True)
        ]
    )
    at = np.flatnonzero(used)
    settled, notes = without_leaks(
        test[at],
        ids=[rows.ids[row] for row in at],
        copies=[rows.texts[row] for row in at],
        groups=None if rows.groups is None else [rows.groups[row] for row in at],
        on_leak="move" if any(domain.spec.on_leak == "move" for domain in domains) else "refuse",
    )
    test[at] = settled
    return test, notes
