"""What stands around a text when the model reads it: the words of a prompt, or the marks of a chat template.

A frame is found once and is the same for every text, so that it is known to the character where the user's own text
begins and ends, whatever the user wrote. Knows nothing of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jinja2

from latentprobe.errors import ModelError

__all__ = ["Frame", "Framed", "chat_frame", "prompt_frame"]

#: What stands for the user's text while a template is looked at.
_MARK = "TheUsersOwnText"

#: Some templates ask for the day. Features must not change with it: this is the one Llama's own template falls back to.
_PINNED_DAY = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro %}\n"


@dataclass(frozen=True)
class Framed:
    """A text in its frame."""

    text: str
    """All of it, as the model reads it."""
    start: int
    """Where in it the user's text begins, and where it ends."""
    end: int
    skipped: int
    """White space at the beginning of the user's text that the template leaves out."""


@dataclass(frozen=True)
class Frame:
    """What stands before and after every text.

    >>> Frame("Is this rude? ", " Answer:").wrap("go away")
    Framed(text='Is this rude? go away Answer:', start=14, end=21, skipped=0)
    """

    before: str
    after: str
    strips: bool = False
    """Whether white space around the text is left out."""
    complete: bool = False
    """Whether special tokens are written out in it, so that the tokenizer must not add any."""

    def wrap(self, text: str) -> Framed:
        """A text in this frame."""
        own = text.strip() if self.strips else text
        start = len(self.before)
        return Framed(
            self.before + own + self.after,
            start,
            start + len(own),
            len(text) - len(text.lstrip()) if self.strips else 0,
        )


def prompt_frame(prompt: str) -> Frame:
    """The frame of a prompt with one ``{text}`` in it; other braces are braces."""
    before, after = prompt.split("{text}")
    return Frame(before, after)


def chat_frame(tokenizer: Any, name: str, prompt: str | None = None) -> Frame:
    """The frame that makes a text a user's turn; or, with a prompt, makes the prompt one and begins the answer to it.

    Args:
        tokenizer: of transformers, with its chat template.
        name: of the model, for messages.
        prompt: words with one ``{text}`` in them.

    Raises:
        ModelError: there is no chat template, it cannot be used for a lone user's turn, or it does more to the text
            than to leave out white space around it.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            "`template: chat` needs a model whose tokenizer has a chat template",
            got=f"{name}, which has none",
            fix="name the chat model of this family, or leave `template` out",
        )
    try:
        bare, spaced = (_render(tokenizer, text, prompt) for text in (_MARK, f"  {_MARK}\n"))
    except (jinja2.TemplateError, ValueError, TypeError) as error:
        raise ModelError(
            "`template: chat` needs a chat template that takes a lone user's turn",
            got=f"that of {name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            fix="write the turn out as a `prompt` instead",
        ) from error
    before, _, after = bare.partition(_MARK)
    times = bare.count(_MARK)
    for strips in (False, True):
        frame = Frame(before, after, strips, complete=True)
        # A template that trims the turn cuts a text at its edge on one side; with a prompt, it is cut on both here.
        if times == 1 and (spaced == frame.wrap(f"  {_MARK}\n").text or (strips and prompt is not None)):
            return frame
    raise ModelError(
        "`template: chat` needs a chat template that has the user's text in it once, as it is",
        got=f"that of {name}, which changes it or has it {times} times",
        fix="write the turn out as a `prompt` instead",
    )


def _render(tokenizer: Any, text: str, prompt: str | None) -> str:
    turn = [{"role": "user", "content": text if prompt is None else prompt.replace("{text}", text)}]
    template = _PINNED_DAY + tokenizer.get_chat_template()
    return str(
        tokenizer.apply_chat_template(
            turn, chat_template=template, tokenize=False, add_generation_prompt=prompt is not None
        )
    )
