"""What a causal model answers: log-probabilities beside a naive loop over one answer at a time, and greedy text."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from latentprobe.config import TargetSpec
from latentprobe.encode.answers import AnswerScore, CausalModel, find_target, load_target
from latentprobe.encode.asking import Prompt, fill
from latentprobe.errors import CorpusError, ModelError, SpecError
from latentprobe.files import read_json
from tests.encode.conftest import CHATML, CONFIGS, save_byte_tokenizer, save_tokenizer

#: Families that predict next tokens, with all that is odd about their logits and positions.
CAUSAL = ("gpt2", "llama", "gemma2", "opt", "bloom", "falcon alibi")

PROMPTS = ("the cat sat on the", "a dog", "never not very good bad red blue the mat please")
ANSWERS = (("cat", "mat"), ("dog sat", "red", "blue mat good"), ("money back", "refund"))


def save_causal(folder: Path, family: str = "llama", **changes: Any) -> Path:
    """A random causal model whose tokens differ, with the word tokenizer of the tests or none."""
    torch.manual_seed(0)
    config = CONFIGS[family]()
    config.update(changes)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = save_causal(tmp_path_factory.mktemp("causal") / f"tiny-{family.replace(' ', '-')}", family)
        return made[family]

    return make


@pytest.fixture(scope="module")
def story(shared_models: Path) -> str:
    return str(shared_models / "stories260K")


def load(model: Path | str, **options: Any) -> CausalModel:
    spec = TargetSpec(model=str(model), device="cpu", **options)
    return load_target(spec, find_target(spec))


def prompts(*texts: str) -> list[Prompt]:
    return [Prompt(text) for text in texts]


@torch.no_grad()
def naive(model: Any, ids: Sequence[int], n_prompt: int) -> float:
    """Sum of the log-probabilities of all tokens after the prompt's, one pass for each of them."""
    total = 0.0
    for end in range(n_prompt, len(ids)):
        logits = model(torch.tensor([ids[:end]])).logits[0, -1].float()
        total += float(torch.log_softmax(logits, -1)[ids[end]])
    return total


def word_ids(folder: Path, text: str) -> list[int]:
    """The word tokenizer's ids behind its CLS, without the SEP it puts at the end."""
    return transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"][:-1]  # type: ignore[no-any-return]


@pytest.mark.parametrize("family", CAUSAL)
def test_scores_equal_a_loop_over_one_token_of_one_answer_at_a_time(causal: Callable[[str], Path], family: str) -> None:
    folder = causal(family)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    found = load(folder).score(prompts(*PROMPTS), ANSWERS)
    for prompt, answers, scores in zip(PROMPTS, ANSWERS, found, strict=True):
        for answer, score in zip(answers, scores, strict=True):
            ids, before = word_ids(folder, f"{prompt} {answer}"), word_ids(folder, prompt)
            assert ids[: len(before)] == before
            assert score.tokens == len(ids) - len(before) == len(answer.split())
            assert score.characters == len(answer)
            assert score.log_probability == pytest.approx(naive(model, ids, len(before)), rel=1e-4, abs=1e-4)


@pytest.mark.shared
def test_a_real_model_gives_what_the_naive_loop_gives(story: str) -> None:
    texts = ["Once upon a time there was a big dog. Was it big? Answer:", "Lily likes", "Tom saw"]
    answers = [["yes", "no", "maybe it was"], ["to play", "the"], ["Sue.", "a cat and a dog"]]
    tokenizer = transformers.AutoTokenizer.from_pretrained(story)
    model = transformers.AutoModelForCausalLM.from_pretrained(story).eval()
    found = load(story).score(prompts(*texts), answers)
    for text, own, scores in zip(texts, answers, found, strict=True):
        for answer, score in zip(own, scores, strict=True):
            ids, before = tokenizer(f"{text} {answer}")["input_ids"], tokenizer(text)["input_ids"]
            assert before == ids[: len(before)] and ids[0] == tokenizer.bos_token_id
            assert score.tokens == len(ids) - len(before)
            assert score.log_probability == pytest.approx(naive(model, ids, len(before)), rel=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "bloom", "gemma2"])
def test_a_rows_scores_do_not_depend_on_its_batch_mates_or_the_padding_side(
    causal: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    folder = tmp_path / "left"
    shutil.copytree(causal(family), folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.save_pretrained(folder)
    together = load(causal(family)).score(prompts(*PROMPTS), ANSWERS)
    for row, scores in enumerate(load(folder).score(prompts(*reversed(PROMPTS)), list(reversed(ANSWERS)))):
        alone = load(causal(family)).score(prompts(PROMPTS[-1 - row]), [ANSWERS[-1 - row]])[0]
        for one, two, three in zip(together[-1 - row], scores, alone, strict=True):
            assert one.log_probability == pytest.approx(two.log_probability, abs=1e-4)
            assert one.log_probability == pytest.approx(three.log_probability, abs=1e-4)


def test_answers_of_one_token_share_the_pass_over_their_prompt(
    causal: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(causal("llama"))
    fed: list[int] = []
    logits = model._logits
    monkeypatch.setattr(model, "_logits", lambda rows, *rest: fed.append(len(rows)) or logits(rows, *rest))
    model.score(prompts(*PROMPTS), [["cat", "dog", "mat"]] * 3)
    assert sum(fed) == 3
    model.score(
        prompts("the cat"), [["sat", "sat on", "red"]]
    )  # "sat on" feeds "sat", of which the others are prefixes
    assert sum(fed) == 4


def test_few_logits_at_a_time_give_the_same_scores(
    causal: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load(causal("llama")).score(prompts(*PROMPTS), ANSWERS)
    monkeypatch.setattr("latentprobe.encode.answers.LOGITS", 1)
    single = load(causal("llama")).score(prompts(*PROMPTS), ANSWERS)
    for some, others in zip(whole, single, strict=True):
        for one, two in zip(some, others, strict=True):
            assert one.log_probability == pytest.approx(two.log_probability, abs=1e-4)


def byte_model(folder: Path, **options: Any) -> Path:
    save_causal(folder, "gpt2", vocab_size=272, n_positions=64)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    save_byte_tokenizer(folder, **{"room": 60} | options)
    return folder


def test_mistake_12_bos_stands_before_the_prompt_when_it_is_asked_for(tmp_path: Path) -> None:
    folder = byte_model(tmp_path / "m")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids, before = tokenizer("the cat")["input_ids"], tokenizer("the")["input_ids"]
    ((without,),) = load(folder).score(prompts("the"), [["cat"]])
    ((with_bos,),) = load(folder, bos="always").score(prompts("the"), [["cat"]])
    bos = [tokenizer.bos_token_id]
    assert without.log_probability == pytest.approx(naive(model, ids, len(before)), abs=1e-4)
    assert with_bos.log_probability == pytest.approx(naive(model, bos + ids, len(before) + 1), abs=1e-4)
    assert abs(without.log_probability - with_bos.log_probability) > 0.01
    adds = byte_model(tmp_path / "adds", adds_bos=True)
    ((own,),) = load(adds).score(prompts("the"), [["cat"]])
    assert own.log_probability == pytest.approx(with_bos.log_probability, abs=1e-4)


def test_mistake_12_in_a_chat_template_the_answer_begins_the_models_own_turn(tmp_path: Path) -> None:
    template = CHATML + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    folder = byte_model(tmp_path / "m", chat_template=template)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    turn = [{"role": "user", "content": "the"}]
    before = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
    ids = before + tokenizer("cat")["input_ids"]
    ((score,),) = load(folder, template="chat").score(prompts("the"), [["cat"]])
    assert score.tokens == len(ids) - len(before)
    assert score.log_probability == pytest.approx(naive(model, ids, len(before)), abs=1e-4)


def test_a_token_across_the_border_belongs_to_the_answer(tmp_path: Path) -> None:
    """The space that ends the prompt is part of the token " cat" when the two are read as one string."""
    folder = byte_model(tmp_path / "m")
    model = load(folder)
    ((open_space,),) = model.score(prompts("the "), [["cat"]])
    ((closed,),) = model.score(prompts("the"), [["cat"]])
    assert open_space == closed and closed.tokens == 1


def test_length_normalization_lets_a_long_answer_win() -> None:
    short, long = AnswerScore(-3.0, 1, 2), AnswerScore(-6.0, 4, 12)
    assert short.normalized("none") > long.normalized("none")
    assert short.normalized("tokens") < long.normalized("tokens") == -1.5
    assert short.normalized("characters") < long.normalized("characters") == -0.5


def test_only_the_context_loses_its_end_and_no_more_than_it_must(causal: Callable[[str], Path]) -> None:
    model = load(causal("llama"), max_tokens=16, on_overflow="truncate")
    long = fill("{context} please {question}", {"context": "cat " * 30, "question": "red mat"}, may_cut="context")
    short = fill("{context} please {question}", {"context": "a dog", "question": "red mat"}, may_cut="context")
    fitted = model.fit([long, short], [["good bad", "not"]] * 2, ["long", "short"])
    assert fitted[1] == short
    assert fitted[0].text.endswith(" please red mat")
    # CLS, ten times "cat", please red mat, and two tokens of answer are the 16
    assert fitted[0].text.count("cat") == 10
    assert model.fit([long], 6, ["long"])[0].text.count("cat") == 6
    assert model.score(fitted, [["good bad", "not"]] * 2)


def test_a_prompt_that_does_not_fit_is_refused_by_its_row(causal: Callable[[str], Path]) -> None:
    prompt = fill("{context} {question}", {"context": "cat " * 30, "question": "red " * 20}, may_cut="context")
    with pytest.raises(CorpusError, match="row 'q7'"):
        load(causal("llama"), max_tokens=16).fit([prompt], [["a"]], ["q7"])
    with pytest.raises(CorpusError, match="without anything left"):
        load(causal("llama"), max_tokens=16, on_overflow="truncate").fit([prompt], [["a"]], ["q7"])
    with pytest.raises(SpecError, match="at most 40 tokens"):
        load(causal("llama"), max_tokens=41)


@torch.no_grad()
def greedy(model: Any, ids: list[int], n: int, end: int | None) -> list[int]:
    written: list[int] = []
    for _ in range(n):
        following = int(model(torch.tensor([ids + written])).logits[0, -1].argmax())
        written.append(following)
        if following == end:
            break
    return written


@pytest.mark.shared
def test_free_text_is_the_likeliest_token_again_and_again_up_to_a_line_break(story: str) -> None:
    texts = ["Once upon a time", "Lily and Tom went to the park. They", "The dog"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(story)
    model = transformers.AutoModelForCausalLM.from_pretrained(story).eval()
    loaded = load(story)
    found = loaded.generate(prompts(*texts), 24)
    for text, written in zip(texts, found, strict=True):
        tokens = greedy(model, tokenizer(text)["input_ids"], 24, tokenizer.eos_token_id)
        expected = tokenizer.decode(tokens, skip_special_tokens=True).strip()
        assert written and written == expected.splitlines()[0].strip()
    assert loaded.generate(prompts(texts[1]), 24) == [found[1]]


def test_sampling_settings_of_the_checkpoint_change_nothing(tmp_path: Path) -> None:
    folder = save_causal(tmp_path / "m")
    before = load(folder).generate(prompts("the cat", "a dog"), 8)
    settings = transformers.GenerationConfig(do_sample=True, temperature=9.0, repetition_penalty=5.0, max_length=3)
    settings.save_pretrained(folder)
    assert load(folder).generate(prompts("the cat", "a dog"), 8) == before


def test_models_that_cannot_answer_are_refused(
    causal: Callable[[str], Path], tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="a causal language model"):
        find_target(TargetSpec(model=str(tiny_model("bert"))))
    mute = tmp_path / "mute"
    shutil.copytree(causal("llama"), mute)
    (mute / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="fast tokenizer"):
        find_target(TargetSpec(model=str(mute)))
    with pytest.raises(ModelError, match="chat template"):
        load(causal("llama"), template="chat")
    assert read_json(causal("llama") / "config.json")["architectures"] == ["LlamaForCausalLM"]


def test_an_answer_without_tokens_or_without_anything_before_it_is_refused(
    causal: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match="tokens of its own"):
        load(causal("llama")).score(prompts("the cat"), [["  ", "mat"]])
    with pytest.raises(CorpusError, match="at least one of the prompt"):
        load(byte_model(tmp_path / "m")).score(prompts(""), [["cat"]])


def test_braces_of_a_question_are_braces() -> None:
    filled = fill("{x} {question} / {context}", {"question": "{context}", "context": "{question}"}, may_cut="context")
    assert filled.text == "{x} {context} / {question}"
    assert filled.text[filled.start : filled.end] == "{question}"
