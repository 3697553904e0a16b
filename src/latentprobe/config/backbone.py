"""A model, its layers and SAEs, and which of a row's tokens count."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from latentprobe.config.fields import Frozen, Prompt, Unique

#: Where a hidden state is taken: in a block, or before all of them.
Site = Literal["resid_post", "resid_mid", "mlp_out", "attn_out", "attn_z", "resid_pre", "embed"]


class BackboneSpec(Frozen):
    """A model, the layers to look at, and the SAEs to look through."""

    model: str = "minilm"
    """A Hugging Face id, a folder, or the alias `minilm`."""
    revision: str | None = None
    """Branch, tag or commit on the hub. Default: the alias's pinned one, else the hub's main."""
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), Unique]
    """Blocks, counted from 0; layer L is the output of block L."""
    hook: Site = "resid_post"
    """Where the hidden state is taken. Of block L: its output, the stream between attention and MLP (`resid_mid`), what
    its MLP or its attention adds to the stream, or the heads before their projection (`attn_z`). With `layers: [0]`
    alone: what enters the first block (`resid_pre`), or the token embedding (`embed`)."""
    saes: Literal["auto"] | Annotated[tuple[str, ...], Unique] = "auto"
    """`auto`: every bundled SAE of those layers; or a list of references."""
    accept_model: bool = False
    """Take SAEs that name another model as the one they were trained on, such as the base model of a tuned one."""
    tokens: Literal["content", "all", "image", "text"] = "content"
    """`content` leaves special tokens out, and of an image's tokens takes those of the image; `image` and `text` tell
    apart the tokens of a vision-language model; padding is never selected."""
    bos: Literal["auto", "always", "never"] = "auto"
    """BOS token before each window. `auto`: as the SAEs were trained, where they say it; else as the tokenizer does."""
    template: Literal["chat"] | None = None
    """`chat`: each text is a user's turn in the model's chat template; with `tokens: content`, only it is selected."""
    prompt: Prompt | None = None
    """Words around each text, which stands where they say {text}: "Is this rude? {text} Answer:"."""
    select: Literal["text", "after", "last"] = "text"
    """With a prompt: features of the text's own tokens, of those after it, or of the last token."""
    max_norm_ratio: Annotated[float, Field(gt=1)] | None = None
    """Leave out tokens whose hidden state is more than this many times as long as the text's median one."""
    on_overflow: Literal["window", "truncate", "error"] = "window"
    """A text longer than the model takes: pool over several windows, each with the whole prompt or template, keep only
    the first, or refuse."""
    max_tokens: Annotated[int, Field(ge=8)] | None = None
    """Tokens a window, special ones included. Default: what the model takes."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type the model computes in. `auto`: float32 on a CPU, the checkpoint's own on an accelerator."""

    @field_validator("prompt")
    @classmethod
    def _prompt_stands_alone(cls, prompt: str | None, info: ValidationInfo) -> str | None:
        if prompt is not None and info.data.get("template"):
            raise ValueError("a prompt and a chat template exclude each other; leave one of them out")
        if prompt is not None and info.data.get("tokens") == "all":
            raise ValueError("with a prompt, `select` says which tokens are taken; leave `tokens: all` out")
        return prompt

    @field_validator("select")
    @classmethod
    def _selects_from_a_prompt(cls, select: str, info: ValidationInfo) -> str:
        prompt = info.data.get("prompt", "{text}")  # absent where the prompt itself is refused
        if select != "text" and prompt is None:
            raise ValueError("`select` goes with a prompt; add one, or leave `select` out")
        if select == "after" and not prompt.partition("{text}")[2].strip() and "prompt" in info.data:
            raise ValueError("`select: after` takes the tokens after the text; write words after {text}")
        return select

    @property
    def selected(self) -> str:
        """What is selected of a text, as tables name it.

        >>> BackboneSpec(layers=(3,)).selected
        'content'
        >>> BackboneSpec(layers=(3,), prompt="Is {text} rude?", select="last", bos="never").selected
        'last token in "Is {text} rude?", bos never'
        """
        if self.prompt is not None:
            where = {"text": "text", "after": "after the text", "last": "last token"}[self.select]
            what = f'{self.template or ""} {where} in "{self.prompt}"'.lstrip()
        else:
            what = f"{self.template} {self.tokens}" if self.template else self.tokens
        return what if self.bos == "auto" else f"{what}, bos {self.bos}"
