"""What a target model is asked, and how its answers are judged: the spec of `latentprobe behaviour`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from latentprobe.config.fields import Frozen, Name, Unique, Words

#: The words of a prompt that stand for a column.
PLACEHOLDERS = ("question", "context")


class TargetSpec(Frozen):
    """A causal language model that answers."""

    model: str
    """A Hugging Face id or a folder."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    template: Literal["chat"] | None = None
    """`chat`: the prompt is a user's turn in the model's chat template, and the answer begins the model's."""
    bos: Literal["auto", "always", "never"] = "auto"
    """BOS token before the prompt. `auto`: as the tokenizer does."""
    on_overflow: Literal["error", "truncate"] = "error"
    """A prompt longer than the model takes: refuse, or leave out the end of its context (or of its text)."""
    max_tokens: Annotated[int, Field(ge=8)] | None = None
    """Tokens of prompt and answer together. Default: what the model takes."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type the model computes in. `auto`: float32 on a CPU, the checkpoint's own on an accelerator."""


class QuestionSpec(Frozen):
    """Questions with their right answers: where they are, and which column means what."""

    path: str
    """Any file or reference that `data.path` of an experiment takes."""
    question: str = "question"
    """Column with the question."""
    answer: str = "answer"
    """Column with the right answer; for free text it may hold a list of them."""
    answer_as: Literal["words", "index", "letter"] = "words"
    """How that column names one of a row's choices: by its words, its number from 0, or its letter from A."""
    choices: str | Annotated[tuple[str, ...], Field(min_length=2), Unique] | None = None
    """Column with a list of a row's choices; or several columns, each with one."""
    id: str | None = None
    """Column with unique row names. Default: the row's number from 0, or its key in a JSON object of objects."""
    keep: Annotated[tuple[str, ...], Unique] = ()
    """Further columns to copy into the result: groups, languages, splits."""


class ConditionSpec(Frozen):
    """One way to ask: with the context, without it, or with another one."""

    prompt: str
    """What the model reads: words around {question}, and around {context} where there is one."""
    context: str | None = None
    """Column with the context; a list of texts is joined by line breaks."""
    answer: str | None = None
    """Column with the right answer under this condition, as where the context was swapped. Default: that of `data`."""

    @model_validator(mode="after")
    def _placeholders_are_filled(self) -> ConditionSpec:
        times = {name: len(re.findall(rf"{{{name}}}", self.prompt)) for name in PLACEHOLDERS}
        if times["question"] != 1:
            raise ValueError("a prompt says once where the question stands: {question}")
        if times["context"] != (self.context is not None):
            raise ValueError("a prompt says once where the context stands, {context}, if and only if a column is named")
        return self


class BehaviourSpec(Frozen):
    """Prompts labelled by whether a target model answers them right."""

    name: Name
    """Short name: letters, digits, dots, dashes and underscores."""
    target: TargetSpec
    """The model that answers."""
    data: QuestionSpec
    """The questions."""
    kind: Literal["choice", "yes_no", "free"]
    """`choice`: the likeliest of some answers; `yes_no`: of yes and no; `free`: what the model writes."""
    answers: Words | None = None
    """For answers that all rows share: what the answer column says -> the words to score. Of `yes_no` by default
    {yes: yes, no: no}."""
    conditions: Annotated[dict[str, ConditionSpec], Field(min_length=1)]
    """Name -> how to ask. The first one is what `answered_right` tells of."""
    normalize: Literal["tokens", "characters", "none"] = "tokens"
    """What the log-probability of an answer is divided by, so that long answers can win."""
    grade: Literal["exact", "contains", "starts"] = "exact"
    """When free text is right: it is the answer, has it among its words, or starts with it; letter case, articles and
    punctuation aside."""
    max_new_tokens: Annotated[int, Field(ge=1, le=1024)] = 16
    """Bound of free text, which ends at its first line break."""

    @model_validator(mode="after")
    def _answers_fit_the_kind(self) -> BehaviourSpec:
        named = [self.answers is not None, self.data.choices is not None]
        if self.kind == "choice" and sum(named) != 1:
            raise ValueError("`kind: choice` needs `answers`, the same for all rows, or `data.choices`, and not both")
        if self.kind == "yes_no" and (named[1] or (self.answers is not None and set(self.answers) != {"yes", "no"})):
            raise ValueError("`kind: yes_no` has the answers yes and no; write `kind: choice` for others")
        if self.kind == "free" and any(named):
            raise ValueError("`kind: free` has no choices; write `kind: choice`, or leave them out")
        if self.data.answer_as != "words" and not named[1]:
            raise ValueError("`answer_as` tells one of `data.choices`; leave it out")
        if wrong := [name for name in self.conditions if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name)]:
            raise ValueError(f"a condition is named by a letter, then letters, digits and underscores: {wrong[0]!r}")
        return self

    @property
    def fixed_answers(self) -> dict[str, str] | None:
        """Label -> words, where all rows share their answers."""
        return {"yes": "yes", "no": "no"} if self.kind == "yes_no" and self.answers is None else self.answers
