"""The questions of a behaviour spec, read and checked: what is asked under each condition, and what is right.

Everything that can be wrong with the data is refused here, before a model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latentprobe.config import BehaviourSpec, ConditionSpec
from latentprobe.corpus.names import ids_of, name_of, numbered, require_unique
from latentprobe.corpus.sources import read_table
from latentprobe.corpus.table import Table
from latentprobe.corpus.texts import texts_of
from latentprobe.encode.asking import Prompt, fill
from latentprobe.errors import CorpusError

__all__ = ["Condition", "Questions", "questions_of", "read_questions"]

#: What a column of truth values may say for yes and no.
_SAME = {"true": "yes", "false": "no", "1": "yes", "0": "no", "yes": "true", "no": "false"}


@dataclass(frozen=True)
class Condition:
    """All rows, asked in one way."""

    prompts: tuple[Prompt, ...]
    expected: tuple[Any, ...]
    """The right answer of each row: position among its choices; of free text, the words that are right."""


@dataclass(frozen=True)
class Questions:
    """The rows of a behaviour spec."""

    ids: tuple[str, ...]
    questions: tuple[str, ...]
    names: tuple[tuple[str, ...], ...] | None
    """What each row's choices are called; None for free text."""
    words: tuple[tuple[str, ...], ...] | None
    """The words of each row's choices; None for free text."""
    conditions: Mapping[str, Condition]
    kept: Mapping[str, Sequence[object]]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


def read_questions(spec: BehaviourSpec) -> Questions:
    """Read and check what a spec asks.

    Raises:
        CorpusError: the file cannot be read, a column is missing, a row has no question, no right answer, fewer than
            two choices, or a right answer that is none of its choices.
    """
    data = spec.data
    several = (data.choices,) if isinstance(data.choices, str) else data.choices or ()
    wanted = [data.question, data.answer, *several, *data.keep]
    for condition in spec.conditions.values():
        wanted += [column for column in (condition.context, condition.answer) if column is not None]
    table = read_table(data.path, list(dict.fromkeys(wanted + [data.id] * (data.id is not None))))  # type: ignore[list-item]
    return questions_of(spec, table)


def questions_of(spec: BehaviourSpec, table: Table) -> Questions:
    """What a spec asks of a table that was read. Raises as :func:`read_questions` does."""
    data = spec.data
    ids = table.keys or numbered(len(table)) if data.id is None else ids_of(table.columns[data.id], column=data.id)
    require_unique(ids)
    notes: list[str] = []
    questions = _texts(table, data.question, ids, notes)
    if empty := [row for row, text in zip(ids, questions, strict=True) if not text.strip()]:
        raise CorpusError(
            f"every row needs a question in the column {data.question!r}",
            got=f"{len(empty)} without one, such as row {empty[0]!r}",
            fix="fill them in, or leave those rows out",
        )
    names, words = _choices(spec, table, ids)
    conditions = {
        name: _condition(spec, condition, table, ids, questions, names, notes)
        for name, condition in spec.conditions.items()
    }
    kept = {column: table.columns[column] for column in data.keep}
    return Questions(ids, questions, names, words, conditions, kept, tuple(dict.fromkeys(notes)))


def _texts(table: Table, column: str, ids: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    texts, more = texts_of(table.columns[column], ids, column=column)
    notes += [f"{column}: {note}" for note in more]
    return texts


def _choices(
    spec: BehaviourSpec, table: Table, ids: Sequence[str]
) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]] | tuple[None, None]:
    """Names and words of each row's choices."""
    if spec.fixed_answers is not None:
        fixed = spec.fixed_answers
        return (tuple(fixed),) * len(ids), (tuple(fixed.values()),) * len(ids)
    named = spec.data.choices
    if named is None:
        return None, None
    if isinstance(named, str):
        lists = [value if isinstance(value, list) else [] for value in table.columns[named]]
    else:
        lists = [list(values) for values in zip(*(table.columns[column] for column in named), strict=True)]
    for row, choices in zip(ids, lists, strict=True):
        words = [choice.strip() for choice in choices if isinstance(choice, str) and choice.strip()]
        if len(words) < 2 or len(words) != len(choices) or len(set(words)) != len(words):
            raise CorpusError(
                "each row needs two or more choices, all of them texts and no two the same",
                got=f"row {row!r}: {str(choices)[:80]}",
                fix="name the column with lists of choices, or the columns that hold one each, and mend that row",
            )
    every = tuple(tuple(choice.strip() for choice in choices) for choices in lists)
    return every, every


def _condition(
    spec: BehaviourSpec,
    condition: ConditionSpec,
    table: Table,
    ids: Sequence[str],
    questions: Sequence[str],
    names: Sequence[Sequence[str]] | None,
    notes: list[str],
) -> Condition:
    contexts = [""] * len(ids) if condition.context is None else _texts(table, condition.context, ids, notes)
    prompts = tuple(
        fill(condition.prompt, {"question": question, "context": context}, may_cut="context")
        for question, context in zip(questions, contexts, strict=True)
    )
    column = condition.answer or spec.data.answer
    answers = table.columns[column]
    expected: tuple[Any, ...]
    if names is None:
        expected = tuple(_words_of(value, row, column) for row, value in zip(ids, answers, strict=True))
    else:
        expected = tuple(
            _position(value, own, spec.data.answer_as, row, column)
            for row, value, own in zip(ids, answers, names, strict=True)
        )
    return Condition(prompts, expected)


def _words_of(value: object, row: str, column: str) -> tuple[str, ...]:
    """The answers that are right: one, or a list of them."""
    found = []
    for one in value if isinstance(value, list) else [value]:
        name = str(one) if isinstance(one, float) and one == one else _name(one, row, column)
        found += [name.strip()] if name else []
    if not found:
        raise _no_answer(row, column, value)
    return tuple(found)


def _position(value: object, names: Sequence[str], answer_as: str, row: str, column: str) -> int:
    """Which of a row's choices is right."""
    name = (_name(value, row, column) or "").strip()
    if not name:
        raise _no_answer(row, column, value)
    if answer_as == "words":
        name = name if name in names else _SAME.get(name.lower(), name)
        position = names.index(name) if name in names else -1
    elif answer_as == "letter":
        position = ord(name.upper()) - ord("A") if len(name) == 1 else -1
    else:
        position = int(name) if name.isascii() and name.isdigit() else -1
    if not 0 <= position < len(names):
        raise CorpusError(
            f"the right answer in the column {column!r} is one of the row's choices (`answer_as: {answer_as}`)",
            got=f"{name[:60]!r} in row {row!r}, where the choices are {', '.join(map(repr, names))[:120]}",
            fix="mend `answers`, `answer_as` or that row; questions without such an answer must be left out",
        )
    return position


def _name(value: object, row: str, column: str) -> str | None:
    try:
        return name_of(value)
    except ValueError as error:
        raise CorpusError(
            f"the column {column!r} must hold answers", got=f"{error} in row {row!r}", fix="name the column with them"
        ) from error


def _no_answer(row: str, column: str, value: object) -> CorpusError:
    return CorpusError(
        f"every row needs a right answer in the column {column!r}",
        got=f"{value!r} in row {row!r}",
        fix="fill it in, or leave the row out",
    )
