"""Prompts labelled by whether a target model answers them right: a table for `run`, and a manifest beside it.

What the model said is kept in the store, some rows at a time, so that an interrupted run goes on where it stopped. The
table appears whole, the manifest after it.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from latentprobe.config import BehaviourSpec
from latentprobe.encode.answers import AnswerScore, CausalModel, find_target, load_target, target_identity
from latentprobe.encode.asking import Prompt
from latentprobe.errors import CorpusError, OutputError
from latentprobe.experiment.environment import Reporter, Silent
from latentprobe.experiment.places import require_room
from latentprobe.experiment.questions import Condition, Questions, read_questions
from latentprobe.files import FORMAT, atomic_path, sha256_file, sha256_json, write_json
from latentprobe.learn.grading import confidence, graded, likeliest
from latentprobe.store import OutcomeStore, default_store

__all__ = ["Chunk", "answers_store", "chunks_of", "manifest_path", "require_free_names", "run_behaviour"]

#: Rows that are asked, and kept, together.
CHUNK = 128

FORMATS = (".parquet", ".jsonl", ".csv")


def manifest_path(out: Path) -> Path:
    """Where the provenance of a table of answers lies.

    >>> manifest_path(Path("answers.parquet")).name
    'answers.manifest.json'
    """
    return out.with_name(f"{out.stem}.manifest.json")


def run_behaviour(
    spec: BehaviourSpec, out: Path, *, store: Path | None = None, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Ask a model and write which prompts it answered right.

    Args:
        spec: the model, the questions, and how they are asked and judged.
        out: the table: .parquet, .jsonl or .csv, with the columns ``id``, those kept, ``question``, ``prompt``,
            ``answered_right``, ``answer``, ``expected`` and, where there are choices, ``confidence``; of every
            condition but the first the last five with its name and an underscore before them.
        store: folder where what the model said is kept. Default: ``$LATENTPROBE_STORE`` or the user's cache.
        reporter: who hears how far it is.

    Returns:
        The manifest, which lies beside the table.

    Raises:
        LatentprobeError: anything wrong with spec, data, model or folders, before the model is asked; and a model that
            answers everything right, or nothing, under the first condition: such labels are one class.
    """
    reporter = reporter or Silent()
    _require_format(out)
    require_room(out)
    questions = read_questions(spec)
    require_free_names(spec)
    asking = _Asking(spec, questions, answers_store(store), reporter)
    answered = {name: asking.condition(name, condition) for name, condition in questions.conditions.items()}
    _require_two_classes(spec, next(iter(answered.values())))
    table = _table(questions, answered)
    _write(table, out)
    manifest = _manifest(spec, questions, answered, asking, out)
    write_json(manifest_path(out), manifest)
    return manifest


def answers_store(store: Path | None) -> OutcomeStore:
    """Where what models said is kept."""
    return OutcomeStore((store or default_store()) / "answers")


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows that are asked, and kept, together."""

    ids: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    room: int | list[list[str]]
    """The words of each row's choices; of free text, how many tokens may be written."""
    key: str
    """Under which it is kept."""


def chunks_of(
    spec: BehaviourSpec, questions: Questions, condition: Condition, identity: Mapping[str, Any]
) -> Iterator[Chunk]:
    """All rows under one condition. ``identity`` is that of the target."""
    words = questions.words
    for start in range(0, len(questions), CHUNK):
        part = slice(start, start + CHUNK)
        prompts = condition.prompts[part]
        answers = None if words is None else [list(own) for own in words[part]]
        asked = {
            "target": identity,
            "prompts": [astuple(prompt) for prompt in prompts],
            "answers": answers,
            "max_new_tokens": spec.max_new_tokens if answers is None else None,
        }
        room = spec.max_new_tokens if answers is None else answers
        yield Chunk(questions.ids[part], prompts, room, sha256_json(asked))


@dataclass(frozen=True)
class _Answered:
    """All rows under one condition."""

    prompts: list[str]
    right: list[bool]
    said: list[str]
    expected: list[str]
    confidence: list[float] | None
    truncated: int

    def columns(self, prefix: str) -> dict[str, Any]:
        """The columns of the table."""
        columns = {
            "prompt": pa.array(self.prompts, pa.string()),
            "answered_right": pa.array(self.right, pa.bool_()),
            "answer": pa.array(self.said, pa.string()),
            "expected": pa.array(self.expected, pa.string()),
        }
        if self.confidence is not None:
            columns["confidence"] = pa.array(self.confidence, pa.float64())
        return {prefix + name: column for name, column in columns.items()}


class _Asking:
    """The target model, loaded when something is asked that is not known yet."""

    def __init__(self, spec: BehaviourSpec, questions: Questions, memory: OutcomeStore, reporter: Reporter) -> None:
        self._spec = spec
        self._questions = questions
        self._memory = memory
        self._reporter = reporter
        self._model: CausalModel | None = None
        self.files = find_target(spec.target)
        self.identity = target_identity(spec.target, self.files)

    def condition(self, name: str, condition: Condition) -> _Answered:
        """What the model says to all rows under one condition, and whether it is right."""
        read: list[str] = []
        said: list[Any] = []
        for chunk in chunks_of(self._spec, self._questions, condition, self.identity):
            known = self._chunk(chunk)
            read += known["prompts"]
            said += known["said"]
            self._reporter.progress(f"ask {self.files.name} {name}", len(read), len(self._questions))
        truncated = sum(text != prompt.text for text, prompt in zip(read, condition.prompts, strict=True))
        if self._questions.names is None:
            return self._free(condition, read, said, truncated)
        return self._chosen(condition, read, said, truncated)

    def _chunk(self, chunk: Chunk) -> Mapping[str, Any]:
        """What was said to some rows: kept, or asked now and kept."""
        if known := self._memory.read(chunk.key):
            return known[0]
        model = self._loaded()
        fitted = model.fit(chunk.prompts, chunk.room, chunk.ids)
        said: list[Any]
        if isinstance(chunk.room, int):
            said = list(model.generate(fitted, chunk.room))
        else:
            said = [[astuple(score) for score in own] for own in model.score(fitted, chunk.room)]
        values = {"prompts": [prompt.text for prompt in fitted], "said": said}
        self._memory.write(chunk.key, values, {})
        return values

    def _loaded(self) -> CausalModel:
        if self._model is None:
            self._model = load_target(self._spec.target, self.files)
            where = f"{self._model.spec.device} in {self._model.spec.dtype}"
            self._reporter.say(f"{self.files.name} on {where}, {self._model.max_tokens} tokens a prompt")
        return self._model

    def _free(self, condition: Condition, read: list[str], said: list[str], truncated: int) -> _Answered:
        right = [graded(text, words, self._spec.grade) for text, words in zip(said, condition.expected, strict=True)]
        return _Answered(read, right, said, [" | ".join(words) for words in condition.expected], None, truncated)

    def _chosen(self, condition: Condition, read: list[str], said: list[Any], truncated: int) -> _Answered:
        names = self._questions.names
        assert names is not None
        scores = [[AnswerScore(*one).normalized(self._spec.normalize) for one in own] for own in said]
        chosen = [likeliest(own) for own in scores]
        return _Answered(
            read,
            [pick == right for pick, right in zip(chosen, condition.expected, strict=True)],
            [own[pick] for own, pick in zip(names, chosen, strict=True)],
            [own[right] for own, right in zip(names, condition.expected, strict=True)],
            [confidence(own) for own in scores],
            truncated,
        )


def _table(questions: Questions, answered: Mapping[str, _Answered]) -> pa.Table:
    columns: dict[str, Any] = {"id": pa.array(questions.ids, pa.string())}
    columns |= {name: pa.array(list(values)) for name, values in questions.kept.items()}
    columns["question"] = pa.array(questions.questions, pa.string())
    for number, (name, one) in enumerate(answered.items()):
        columns |= one.columns(f"{name}_" if number else "")
    return pa.table(columns)


def _write(table: pa.Table, out: Path) -> None:
    """The table in the format its name says, atomically; the same rows give the same bytes."""
    with atomic_path(out) as temporary:
        if out.suffix == ".parquet":
            pq.write_table(table, temporary, compression="zstd")
            return
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            if out.suffix == ".jsonl":
                stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())
                return
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(table.column_names)
            for row in table.to_pylist():
                writer.writerow([str(value).lower() if isinstance(value, bool) else value for value in row.values()])


def _manifest(
    spec: BehaviourSpec, questions: Questions, answered: Mapping[str, _Answered], asking: _Asking, out: Path
) -> dict[str, Any]:
    """Where the labels come from."""
    return {
        "format": FORMAT,
        "name": spec.name,
        "file": out.name,
        "sha256": sha256_file(out),
        "rows": len(questions),
        "conditions": {
            name: {
                "right": sum(one.right),
                "wrong": len(one.right) - sum(one.right),
                "truncated": one.truncated,
                "said": dict(Counter(one.said).most_common(10)),
            }
            for name, one in answered.items()
        },
        "notes": list(questions.notes),
        "target": asking.identity,
        "latentprobe": version("latentprobe"),
        "spec": spec.model_dump(mode="json"),
    }


def _require_format(out: Path) -> None:
    if out.suffix not in FORMATS:
        raise OutputError(
            "the format of the table is told by the end of its name",
            got=out.name,
            fix=f"name a file that ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}",
        )


def require_free_names(spec: BehaviourSpec) -> None:
    """Refuse a kept column that the table has of its own."""
    own = {"id", "question"}
    for number, name in enumerate(spec.conditions):
        prefix = f"{name}_" if number else ""
        own |= {prefix + column for column in ("prompt", "answered_right", "answer", "expected", "confidence")}
    if taken := sorted(own & set(spec.data.keep)):
        raise CorpusError(
            "kept columns have names that the table of answers does not have itself",
            got=", ".join(taken),
            fix="leave them out of `keep`, or rename them in the file",
        )


def _require_two_classes(spec: BehaviourSpec, first: _Answered) -> None:
    if all(first.right) or not any(first.right):
        said = ", ".join(f"{text!r} {n} times" for text, n in Counter(first.said).most_common(3))
        raise CorpusError(
            "a model that answers some questions right and others wrong was expected: its answers are the labels",
            got=f"{sum(first.right)} of {len(first.right)} right; it said {said}",
            fix="ask other questions or another model, or change `prompt`, `answers` or `grade`",
        )
