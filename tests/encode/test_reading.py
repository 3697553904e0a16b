"""What a model is given to read, and which of it counts: BOS tokens, chat templates, prompts, windows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latentprobe.config import BackboneSpec
from latentprobe.encode.activations import Threshold
from latentprobe.encode.backbone import Backbone, load_backbone
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.model_files import find_model
from latentprobe.encode.reading import Tokens
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import settle_bos
from latentprobe.errors import CorpusError, ModelError, SpecError
from tests.encode.conftest import CHATML

Make = Callable[..., Path]
PROMPT = "Is this rude? {text} Answer:"
BOS, USER, END = 0, 1, 2


def load(folder: Path, **options: Any) -> Backbone:
    return load_backbone(BackboneSpec(model=str(folder), layers=(1,), **options))


def read(folder: Path, text: str, **options: Any) -> Tokens:
    return load(folder, **options).tokenize([text])[0]


def said(text: str, tokens: Tokens) -> list[str]:
    """The characters of each selected token."""
    return [text[start:end] for start, end in tokens.spans]


def tokenizer_of(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


# -- BOS -----------------------------------------------------------------------------------------------------------


def test_bos_is_put_before_each_window_and_is_no_content(byte_gpt2: Make) -> None:
    folder, text = byte_gpt2(), "the cat sat " * 20
    plain, begun = read(folder, text), read(folder, text, bos="always")
    assert all(window[0] != BOS for window in plain.windows)
    assert all(window[0] == BOS and len(window) <= 40 for window in begun.windows)
    assert said(text, plain) == said(text, begun)
    everything = read(folder, text, bos="always", tokens="all")
    assert len(everything) == sum(len(window) for window in begun.windows)
    assert tuple(everything.spans[0]) == (0, 0)
    assert [len(row) for row in load(folder, bos="always").tokenize(["", "a"])] == [0, 1]


@pytest.mark.parametrize(("bos", "first"), [("auto", BOS), ("always", BOS), ("never", None)])
def test_bos_that_the_tokenizer_adds_is_there_once_or_left_out(byte_gpt2: Make, bos: str, first: int | None) -> None:
    folder = byte_gpt2(adds_bos=True)
    (window,) = read(folder, "the cat", bos=bos).windows
    bare = tokenizer_of(folder)("the cat", add_special_tokens=False)["input_ids"]
    assert window.tolist() == ([] if first is None else [first]) + bare


def test_a_typed_bos_is_no_content_though_gpt2_calls_it_its_unknown_word_too(byte_gpt2: Make) -> None:
    text = "a<|end|>b"
    assert said(text, read(byte_gpt2(), text)) == ["a", "b"]


def test_bos_is_asked_of_a_tokenizer_without_one_in_vain(byte_gpt2: Make) -> None:
    folder = byte_gpt2(bos=False)
    with pytest.raises(ModelError, match="BOS token"):
        load(folder, bos="always")
    assert len(read(folder, "cat", bos="never")) == 2


def test_the_first_token_of_an_encoder_is_no_bos(tiny_model: Callable[[str], Path]) -> None:
    (window,) = read(tiny_model("bert"), "the cat", bos="never").windows
    assert window[0] == tokenizer_of(tiny_model("bert")).cls_token_id


def sae(prepend_bos: bool | None) -> SAE:
    weights = (torch.eye(2), torch.zeros(2), Threshold(torch.zeros(2)))
    hook = HookPoint(1, "resid_post")
    return SAE(f"sae {prepend_bos}", "0" * 64, hook, None, *weights, prepend_bos=prepend_bos)


@pytest.mark.parametrize(
    ("trained", "bos"),
    [((None,), "auto"), ((True, None), "always"), ((False,), "never"), ((), "auto"), ((True, True), "always")],
)
def test_bos_follows_how_the_saes_were_trained(trained: tuple[bool | None, ...], bos: str) -> None:
    spec = BackboneSpec(layers=(1,))
    assert settle_bos(spec, [sae(one) for one in trained]).bos == bos
    assert settle_bos(spec.model_copy(update={"bos": "never"}), [sae(one) for one in trained]).bos == "never"


def test_saes_trained_with_and_without_bos_do_not_share_a_pass() -> None:
    with pytest.raises(SpecError, match="all trained with a BOS"):
        settle_bos(BackboneSpec(layers=(1,)), [sae(True), sae(False)])


# -- chat templates ------------------------------------------------------------------------------------------------

SAYINGS = [
    "the cat sat",
    " \n the cat \t",
    "",
    "<|im_end|>\n<|im_start|>user\nthe cat<|im_end|>",
    "user",
    "TheUsersOwnText {{ bos_token }}",
    "naïve 😀 cat",
]


@pytest.mark.parametrize("text", SAYINGS)
def test_a_chat_is_read_as_transformers_reads_it_and_only_the_users_words_count(byte_gpt2: Make, text: str) -> None:
    folder = byte_gpt2(chat_template=CHATML, room=200)
    tokens = read(folder, text, template="chat", max_tokens=64)
    expected = tokenizer_of(folder).apply_chat_template([{"role": "user", "content": text}], return_dict=False)
    assert tokens.windows[0].tolist() == expected
    characters = sorted({place for start, end in tokens.spans for place in range(start, end)})
    typed = text.replace("<|im_end|>", "\0" * 10).replace("<|im_start|>", "\0" * 12)
    begin = len(typed) - len(typed.lstrip())
    own = [place for place in range(begin, begin + len(typed.strip())) if typed[place] != "\0"]
    assert characters == own


ANSWERING = CHATML + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


@pytest.mark.parametrize("prompt", ["Rude? {text} Say:", "{text}\nRude?", "Rude? {text}"])
def test_a_question_in_a_chat_is_read_to_where_the_answer_begins(byte_gpt2: Make, prompt: str) -> None:
    folder, text = byte_gpt2(chat_template=ANSWERING, room=200), "the cat"
    spec = BackboneSpec(model=str(folder), layers=(1,), prompt=prompt, select="last")
    spec = spec.model_copy(update={"template": "chat"})
    tokens, spaced = load_backbone(spec).tokenize([text, f" {text}\n"])
    turn = [{"role": "user", "content": prompt.replace("{text}", text)}]
    expected = tokenizer_of(folder).apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
    assert tokens.windows[0].tolist() == expected
    assert tokens.selected[0].tolist() == [False] * (len(expected) - 1) + [True]
    assert len(spaced.windows) == 1 and len(spaced) == 1


def test_with_tokens_all_the_marks_of_a_chat_count_too(byte_gpt2: Make) -> None:
    folder = byte_gpt2(chat_template=CHATML)
    tokens = read(folder, "cat", template="chat", tokens="all")
    assert len(tokens) == len(tokens.windows[0])
    assert [tuple(tokens.spans[place]) for place in (0, -1)] == [(0, 0), (3, 3)]


@pytest.mark.parametrize("options", [dict(template="chat"), dict(prompt=PROMPT)])
@pytest.mark.parametrize("text", ["the cat sat " * 30, "😀" * 60, "  " * 100, "cat" * 90, "the\u0301cat " * 40])
def test_each_window_of_a_long_text_has_the_whole_frame_and_no_character_is_lost(
    byte_gpt2: Make, text: str, options: dict[str, Any]
) -> None:
    folder = byte_gpt2(chat_template=CHATML.replace(" | trim", ""), room=64)
    tokens = read(folder, text, **options)
    frame = read(folder, "", **options).windows[0]
    assert len(tokens.windows) > 1
    assert all(len(window) <= 64 for window in tokens.windows)
    for window in tokens.windows:
        assert window[:6].tolist() == frame[:6].tolist() and window[-2:].tolist() == frame[-2:].tolist()
    covered = {place for start, end in tokens.spans for place in range(start, end)}
    assert covered == set(range(len(text)))
    assert np.all(np.diff(tokens.spans[:, 0]) >= 0)


def test_a_long_text_in_a_frame_is_cut_or_refused_as_the_spec_says(byte_gpt2: Make) -> None:
    folder, text = byte_gpt2(room=64), "the cat sat " * 30
    whole, first = (read(folder, text, prompt=PROMPT, on_overflow=fate) for fate in ("window", "truncate"))
    assert len(first.windows) == 1 and first.windows[0].tolist() == whole.windows[0].tolist()
    with pytest.raises(CorpusError, match="at most 64 tokens"):
        read(folder, text, prompt=PROMPT, on_overflow="error")


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (None, "has none"),
        ("{{ messages[0]['content'] }}{{ messages[0]['content'] }}", "2 times"),
        ("hello", "0 times"),
        ("{{ messages[0]['content'] | upper }}", "0 times"),
        ("{{ messages[0]['content'].replace(' ', '_') }}", "changes it"),
        ("{{ raise_exception('a system turn comes first') }}", "a system turn comes first"),
    ],
)
def test_a_chat_template_that_cannot_be_used_is_refused(byte_gpt2: Make, template: str | None, told: str) -> None:
    with pytest.raises(ModelError) as refused:
        load(byte_gpt2(chat_template=template), template="chat")
    assert told in refused.value.got


def test_a_template_that_names_the_day_always_names_the_same(byte_gpt2: Make) -> None:
    dated = "\n  {% set day = strftime_now('%d %b %Y') %}{{ day }}" + CHATML
    folder = byte_gpt2(chat_template=dated)
    assert tokenizer_of(folder).decode(read(folder, "a", template="chat").windows[0]).startswith("\n26 Jul 2024<|end|>")


@pytest.mark.parametrize(("bos", "count"), [("auto", 1), ("always", 1), ("never", 0)])
def test_a_chat_has_at_most_one_bos(byte_gpt2: Make, bos: str, count: int) -> None:
    """Templates write BOS themselves; a tokenizer that adds one would double it."""
    (window,) = read(byte_gpt2(chat_template=CHATML, adds_bos=True), "cat", template="chat", bos=bos).windows
    assert (window == BOS).sum() == count


def test_another_chat_template_is_another_model(byte_gpt2: Make) -> None:
    one = find_model(str(byte_gpt2(chat_template=CHATML))).identity
    other = find_model(str(byte_gpt2(chat_template=CHATML + " "))).identity
    assert one["tokenizer"] != other["tokenizer"]


# -- prompts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("select", "characters"),
    [("text", "the cat"), ("after", " Answer:"), ("last", ":")],
)
def test_a_prompt_is_read_as_one_string_and_select_says_what_counts(
    byte_gpt2: Make, select: str, characters: str
) -> None:
    folder, text = byte_gpt2(), "the cat"
    whole = tokenizer_of(folder)(PROMPT.replace("{text}", text))["input_ids"]
    tokens = read(folder, text, prompt=PROMPT, select=select)
    assert tokens.windows[0].tolist() == whole
    chosen = tokens.windows[0][tokens.selected[0]]
    spoken = tokenizer_of(folder).decode(chosen)
    assert spoken.removeprefix(" ") == characters.removeprefix(" ")
    if select == "text":
        assert "".join(said(text, tokens)) == text
    else:
        assert {tuple(span) for span in tokens.spans} == {(len(text), len(text))}


def test_a_token_across_the_seam_counts_with_the_characters_it_has_of_the_text(byte_gpt2: Make) -> None:
    """' the' holds the prompt's last blank and the text's first word."""
    text = "the dog"
    tokens = read(byte_gpt2(), text, prompt="Q: {text}")
    assert said(text, tokens)[0] == "the" and tuple(tokens.spans[0]) == (0, 3)


def test_braces_and_marks_in_a_text_are_words(byte_gpt2: Make) -> None:
    text = "{text} {{x}}"
    tokens = read(byte_gpt2(), text, prompt="A: {text} {B}")
    assert "".join(said(text, tokens)) == text


@pytest.mark.parametrize(("select", "count"), [("text", 0), ("last", 1), ("after", 8)])
def test_an_empty_text_in_a_prompt_has_no_tokens_of_its_own(byte_gpt2: Make, select: str, count: int) -> None:
    assert len(read(byte_gpt2(), "", prompt=PROMPT, select=select)) == count


def test_the_special_tokens_of_an_encoder_are_never_the_last(tiny_model: Callable[[str], Path]) -> None:
    folder = tiny_model("bert")
    tokens = read(folder, "cat", prompt="the {text} sat", select="last")
    vocabulary = tokenizer_of(folder).get_vocab()
    assert tokens.windows[0].tolist() == [vocabulary[word] for word in ("[CLS]", "the", "cat", "sat", "[SEP]")]
    assert tokens.selected[0].tolist() == [False, False, False, True, False]


def test_states_of_a_text_in_a_prompt_are_those_of_the_whole_string(byte_gpt2: Make) -> None:
    folder, hook = byte_gpt2(), HookPoint(1, "resid_post")
    model, kept = transformers.GPT2Model.from_pretrained(folder).eval(), []
    model.h[1].register_forward_hook(lambda m, i, o: kept.append(o[0] if isinstance(o, tuple) else o))
    with torch.no_grad():
        model(**tokenizer_of(folder)("Q: cat? A:", return_tensors="pt"))
    for select, part in (("text", slice(2, 3)), ("after", slice(3, 7)), ("last", slice(6, 7))):
        backbone = load(folder, prompt="Q: {text}? A:", select=select)
        ours = backbone.hidden_states(backbone.tokenize(["cat"]), [hook])[hook]
        torch.testing.assert_close(ours, kept[0].reshape(-1, 16)[part], atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("options", [dict(prompt="the cat " * 20 + "{text}"), dict(template="chat", max_tokens=16)])
def test_a_frame_that_leaves_no_room_is_refused(byte_gpt2: Make, options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="must have room for 8"):
        load(byte_gpt2(chat_template=CHATML), **options)


@pytest.mark.shared
@pytest.mark.parametrize("prompt", ["Story: {text} The end.", "{text}!", "Q:\n{text}"])
def test_a_tokenizer_that_writes_blanks_as_marks_keeps_every_character_too(shared_models: Path, prompt: str) -> None:
    """Llama's: a mark for the blank, put before the first word as well, and bytes for what it does not know."""
    backbone = load(shared_models / "stories260K", prompt=prompt)
    for text in ("Once upon a 😀 time", " lead", "naïve\n\nx  y ", "the cat sat " * 400):
        (tokens,) = backbone.tokenize([text])
        assert {place for start, end in tokens.spans for place in range(start, end)} == set(range(len(text)))
        assert all(len(window) <= 512 and window[0] == 1 for window in tokens.windows)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=120), options=st.sampled_from([dict(prompt=PROMPT), dict(template="chat"), {}]))
def test_any_text_keeps_its_characters_in_any_frame(text: str, options: dict[str, Any], many: Any) -> None:
    tokens = many(options).tokenize([text])[0]
    assert all(len(window) <= 64 for window in tokens.windows)
    covered = {place for start, end in tokens.spans for place in range(start, end)}
    assert covered == set(range(len(text)))


@pytest.fixture
def many(byte_gpt2: Make) -> Callable[[dict[str, Any]], Backbone]:
    """Backbones by their options, each loaded once."""
    folder, made = byte_gpt2(chat_template=CHATML.replace(" | trim", ""), room=64), {}

    def backbone(options: dict[str, Any]) -> Backbone:
        key = json.dumps(options)
        if key not in made:
            made[key] = load(folder, **options)
        return made[key]

    return backbone
