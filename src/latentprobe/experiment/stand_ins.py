"""Rows of a usual size in place of data sets of the hub that are not on this machine: for plans, which fetch nothing.

What is here is read as for the work itself, and refused as there. Knows nothing of models.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from latentprobe.config import BehaviourSpec, ColumnTest, DataSpec, FileTest, QuestionSpec
from latentprobe.corpus import Corpus, ImageFile, corpus_from, read_corpus
from latentprobe.corpus.images import require_pillow
from latentprobe.corpus.table import Table
from latentprobe.errors import CorpusError
from latentprobe.experiment.questions import Questions, questions_of, read_questions

__all__ = ["KnownRows", "known_questions"]

#: What a plan counts with where the data are not here: rows, words of a text or question, words of a context and of a
#: choice, pixels of a side of an image.
ROWS, WORDS, CONTEXT, CHOICE, PIXELS = 1000, 40, 200, 10, 224


class KnownRows:
    """As ``read_corpus``, with stand-ins where a data set of the hub is not here.

    Args:
        classes: of the stand-ins. Default: those of what is here of ``beside``, or else two.
        beside: what else is read, and has the same classes.
        column: column that tells domains apart.
        domains: what it is known to hold; a stand-in has two at least.
    """

    def __init__(
        self,
        *,
        classes: Sequence[str] = (),
        beside: Iterable[DataSpec] = (),
        column: str | None = None,
        domains: Sequence[str] = (),
    ) -> None:
        self._classes = tuple(classes)
        self._beside = list(beside)
        self._column = column
        self._domains = [*domains, "one", "another"][: max(2, len(domains))]
        self._made = 0

    def __call__(self, data: DataSpec, *, folds: int = 2) -> Corpus:
        """The rows.

        Raises:
            CorpusError: what `read_corpus` refuses, other than a data set that would have to be fetched.
        """
        try:
            return read_corpus(data, folds=folds)
        except CorpusError as error:
            if not _to_be_fetched(error, data):
                raise
        self._classes = self._classes or self._found_beside()
        self._made += 1
        return self._stand_in(data)

    def _found_beside(self) -> tuple[str, ...]:
        for data in self._beside:
            with contextlib.suppress(CorpusError):
                return read_corpus(data).target.classes
        return ("0", "1")

    def _stand_in(self, data: DataSpec) -> Corpus:
        classes = tuple(data.text) if isinstance(data.text, Mapping) else self._classes
        named: Any = [classes[row % len(classes)] for row in range(ROWS)]
        if not isinstance(data.label, str):
            named = {label: [row % 2 for row in range(ROWS)] for label in data.label}
        words = [f"{self._made} {row} " + "word " * (WORDS - 2) for row in range(ROWS)]
        corpus = corpus_from(words, named, positive=data.positive if data.positive in classes else None)
        domains = tuple(self._domains[row // len(classes) % len(self._domains)] for row in range(ROWS))
        told = f"rows of {WORDS} words" if data.image is None else f"images of {PIXELS} pixels a side"
        told += f" in {len(corpus.target.classes)} {'labels' if isinstance(named, dict) else 'classes'}"
        return replace(
            corpus,
            name=data.path.removeprefix("hf:"),
            texts=corpus.texts if data.image is None else ("",) * ROWS,
            images=None if data.image is None else _pictures(self._made),
            given_test=np.arange(ROWS) % 5 == 0 if isinstance(data.test, FileTest | ColumnTest) else None,
            columns={name: domains if name == self._column else corpus.texts for name in data.by},
            notes=(_note(data.path, told + f" and {len(self._domains)} domains" * (self._column is not None)),),
        )


def known_questions(spec: BehaviourSpec) -> Questions:
    """As ``read_questions``, with stand-ins where a data set of the hub is not here."""
    try:
        return read_questions(spec)
    except CorpusError as error:
        if not _to_be_fetched(error, spec.data):
            raise
    contexts = [condition.context for condition in spec.conditions.values() if condition.context is not None]
    questions = questions_of(spec, _asked(spec, contexts))
    told = f"questions of {WORDS} words" + f", contexts of {CONTEXT}" * bool(contexts)
    told += f", choices of {CHOICE}" * (spec.data.choices is not None)
    return replace(questions, notes=(_note(spec.data.path, told),))


def _asked(spec: BehaviourSpec, contexts: Sequence[str]) -> Table:
    """A table that has what a spec asks for."""
    data = spec.data
    choices: dict[str, Any] = {}
    if isinstance(data.choices, str):
        choices = {data.choices: [[_choice(name) for name in "ABCD"]] * ROWS}
        names = [_choice("A")]
    else:
        choices = {column: [_choice(column)] * ROWS for column in data.choices or ()}
        names = [*(spec.fixed_answers or map(_choice, data.choices or ())), "word"]
    answer = {"words": names[0], "index": "0", "letter": "A"}[data.answer_as]
    columns = {column: [f"{row}" for row in range(ROWS)] for column in (*data.keep, data.id or data.answer)}
    columns |= {column: [f"{column} {row} " + "word " * (CONTEXT - 2) for row in range(ROWS)] for column in contexts}
    answers = [data.answer, *(condition.answer for condition in spec.conditions.values() if condition.answer)]
    columns |= dict.fromkeys(answers, [answer] * ROWS) | choices
    columns[data.question] = [f"{row} " + "word " * (WORDS - 1) for row in range(ROWS)]
    return Table(data.path, columns)


def _choice(name: str) -> str:
    return f"{name} " + " ".join(["word"] * (CHOICE - 1))


def _pictures(made: int) -> tuple[ImageFile, ...]:
    """Grey images that count as different ones."""
    require_pillow()
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (PIXELS, PIXELS), "grey").save(file, "PNG")
    content = file.getvalue()
    digest = sha256(content).hexdigest()
    return tuple(ImageFile(Path(f"{row}.png"), digest, (), f"{made}/{row}", content) for row in range(ROWS))


def _to_be_fetched(error: CorpusError, data: DataSpec | QuestionSpec) -> bool:
    """Whether the hub would have to be asked for the data."""
    test = getattr(data, "test", None)
    paths = [data.path, *([test.path] if isinstance(test, FileTest) else [])]
    on_the_hub = any(re.match(r"hf:\w[\w.-]*(/[\w.-]+)?(:|$)", path) for path in paths)
    return on_the_hub and error.problem.endswith("cannot be loaded")


def _note(path: str, counted: str) -> str:
    return (
        f"{path} is not on this machine, and a plan fetches nothing: all figures are for {ROWS:,} {counted}. "
        "`hf download --repo-type dataset NAME` fetches it."
    )
