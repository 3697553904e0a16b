"""What a causal model answers: log-probabilities of given answers after a prompt, and greedy free text.

An answer's log-probability is the sum over its own tokens of log p(token | all before it), in float32. Answers of one
prompt that are read alike up to their last token share a pass. Knows nothing of which answer is right.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from latentprobe.config import TargetSpec
from latentprobe.encode.asking import Asked, Asker, Prompt
from latentprobe.encode.backbone import BATCH_TOKENS, window_size
from latentprobe.encode.loading import choose_device, choose_dtype, loading_from, read_weights
from latentprobe.encode.model_files import ModelFiles, find_model
from latentprobe.encode.sae import SAE
from latentprobe.encode.splice import is_causal, without_features
from latentprobe.errors import ModelError

__all__ = ["AnswerScore", "CausalModel", "find_target", "load_target", "target_identity"]

#: Raised when the same model, prompts and answers would give other scores or texts than before.
ANSWERS_VERSION = 1

#: Logits held at once: half a GiB of float32.
LOGITS = 2**27


@dataclass(frozen=True)
class AnswerScore:
    """One answer after one prompt."""

    log_probability: float
    """Sum over the answer's tokens, in nats."""
    tokens: int
    characters: int

    def normalized(self, by: Literal["tokens", "characters", "none"]) -> float:
        """The sum, or the mean over tokens or characters.

        >>> AnswerScore(-6.0, 2, 3).normalized("tokens")
        -3.0
        """
        return self.log_probability / {"tokens": self.tokens, "characters": self.characters, "none": 1}[by]


def find_target(spec: TargetSpec) -> ModelFiles:
    """The files of a model that is to answer.

    Raises:
        ModelError: not found, without tokenizer, or it predicts no next token.
    """
    files = find_model(spec.model, spec.revision)
    if not is_causal(files):
        raise ModelError(
            "a model that answers predicts next tokens: a causal language model",
            got=f"{files.name}: {', '.join(files.config.get('architectures') or ['no architecture named'])}",
            fix="name a checkpoint whose config.json says ...ForCausalLM",
        )
    return files


def target_identity(spec: TargetSpec, files: ModelFiles) -> dict[str, Any]:
    """All of a model that determines its answers, for fingerprints: content, not places."""
    device = choose_device(spec.device)
    return {
        "answers": ANSWERS_VERSION,
        **files.identity,
        "template": spec.template,
        "bos": spec.bos,
        "on_overflow": spec.on_overflow,
        "max_tokens": spec.max_tokens,
        "device": device.split(":")[0],
        "dtype": choose_dtype(spec.dtype, device, files),
        "libraries": {name: version(name) for name in ("torch", "transformers", "tokenizers")},
    }


def load_target(spec: TargetSpec, files: ModelFiles) -> CausalModel:
    """Load a whole causal model with its tokenizer.

    Raises:
        ModelError: weights that do not fit, no chat template or BOS token where one is asked for.
        SpecError: a device that is not there, more tokens than the model takes.
    """
    device = choose_device(spec.device)
    spec = spec.model_copy(update={"device": device, "dtype": choose_dtype(spec.dtype, device, files)})
    with loading_from(files):
        config = transformers.AutoConfig.from_pretrained(files.folder)
        model = read_weights(files, config, "AutoModelForCausalLM", spec.dtype)
        tokenizer = transformers.AutoTokenizer.from_pretrained(files.folder)
    return CausalModel(files, spec, model.eval().to(device), tokenizer)


class CausalModel:
    """A loaded causal model that answers.

    Made by :func:`load_target`.

    Attributes:
        files: where the model came from and what identifies it.
        max_tokens: tokens of prompt and answer together.
        batch_tokens: padded tokens in one forward pass.
        d_model: size of the hidden state.
        vocabulary: tokens there are.
    """

    def __init__(self, files: ModelFiles, spec: TargetSpec, model: Any, tokenizer: Any) -> None:
        self.files = files
        self.spec = spec
        self.max_tokens = window_size(files, spec.max_tokens, model.config, tokenizer)
        self._model = model
        self._tokenizer = tokenizer
        self._device = torch.device(spec.device)
        self.batch_tokens = BATCH_TOKENS["cpu" if self._device.type == "cpu" else "accelerator"]
        self.d_model = int(model.config.get_text_config().hidden_size)
        self.vocabulary = int(model.config.get_text_config().vocab_size)
        self._asker = Asker(tokenizer, spec, max_tokens=self.max_tokens, name=files.name)
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._device

    @property
    def weights_bytes(self) -> int:
        """Memory of the weights."""
        return sum(part.nbytes for part in self._model.parameters())

    def count(self, prompts: Sequence[Prompt], room: Sequence[Sequence[str]] | int) -> int:
        """Tokens that go through the model when fitted prompts are scored or, with a number as ``room``, go on for as
        many new tokens each."""
        if isinstance(room, int):
            return sum(map(len, self._asker.open(prompts))) + room * len(prompts)
        return sum(map(len, _shared(self._asker.ask(prompts, room))[0]))

    def fit(self, prompts: Sequence[Prompt], room: Sequence[Sequence[str]] | int, ids: Sequence[str]) -> list[Prompt]:
        """The prompts as :meth:`Asker.fit` makes them fit; with ``on_overflow: error``, refused where one does not."""
        if self.spec.on_overflow == "error":
            prompts = [Prompt(prompt.text) for prompt in prompts]
        return self._asker.fit(prompts, room, ids)

    def score(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> list[list[AnswerScore]]:
        """The log-probability of each answer after its prompt.

        Args:
            prompts: what is asked, one a row, fitted.
            answers: words of each row's answers. They follow the prompt after one space, unless there is white space
                already; in a chat template they begin the model's turn.

        Returns:
            One list a row, in the order of its answers. A row's scores do not depend on the other rows.

        Raises:
            CorpusError: an answer without a token of its own.
        """
        asked = self._asker.ask(prompts, answers)
        passes, places = _shared(asked)
        sums: dict[tuple[int, int], float] = {}
        for batch in self._batches(passes, [min(first for *_, first, _ in own) for own in places]):
            wanted = [(at, *place) for at, number in enumerate(batch) for place in places[number]]
            for (_, row, answer, _, _), value in zip(
                wanted, self._sums([passes[n] for n in batch], wanted), strict=True
            ):
                sums[row, answer] = value
        return [
            [
                AnswerScore(sums[row, number], len(one.ids) - one.first, len(answers[row][number].strip()))
                for number, one in enumerate(own)
            ]
            for row, own in enumerate(asked)
        ]

    @contextmanager
    def without(self, sae: SAE, features: Sequence[int]) -> Iterator[None]:
        """While it is open, the model reads its own states without some features: see ``without_features``."""
        with without_features(self._model.base_model, sae, features):
            yield

    @torch.inference_mode()
    def _sums(self, fed: Sequence[NDArray[np.int64]], wanted: Sequence[Any]) -> list[float]:
        """Log-probability of each wanted (position in the batch, row, answer, first, tokens), from one pass."""
        longest = max(map(len, fed))
        begin = min(first for *_, first, _ in wanted) - 1
        logits = self._logits(fed, longest, begin)
        at = np.concatenate([np.full(len(tokens), place) for place, *_, tokens in wanted])
        position = np.concatenate([np.arange(len(tokens)) + first - 1 - begin for *_, first, tokens in wanted])
        token = torch.from_numpy(np.concatenate([tokens for *_, tokens in wanted])).to(self._device)
        rows = logits[torch.from_numpy(at), torch.from_numpy(position)].float()
        found = torch.log_softmax(rows, dim=-1).gather(1, token[:, None])[:, 0].double().cpu().numpy()
        ends = np.cumsum([len(tokens) for *_, tokens in wanted])
        return [float(part.sum()) for part in np.split(found, ends[:-1])]

    def _logits(self, fed: Sequence[NDArray[np.int64]], longest: int, begin: int) -> torch.Tensor:
        """Logits at positions ``begin`` and on, ``[rows, longest - begin, vocabulary]``, of right-padded rows."""
        ids = np.zeros((len(fed), longest), np.int64)
        attended = np.zeros((len(fed), longest), np.int64)
        for row, own in enumerate(fed):
            ids[row, : len(own)], attended[row, : len(own)] = own, 1
        options = {"logits_to_keep": longest - begin} if self._keeps else {}
        logits: torch.Tensor = self._model(
            input_ids=torch.from_numpy(ids).to(self._device),
            attention_mask=torch.from_numpy(attended).to(self._device),
            use_cache=False,
            **options,
        ).logits
        return logits[:, -(longest - begin) :]

    def _batches(self, rows: Sequence[NDArray[np.int64]], firsts: Sequence[int] | None = None) -> Iterator[list[int]]:
        """Rows in order of length, cut by padded tokens and, where logits are kept from ``firsts`` on, by logits."""
        batch: list[int] = []
        for row in sorted(range(len(rows)), key=lambda row: (len(rows[row]), row)):
            size = len(rows[row]) * (len(batch) + 1)
            kept = 0
            if firsts is not None:
                begin = min(firsts[each] for each in [*batch, row]) - 1
                kept = (len(rows[row]) - begin) * (len(batch) + 1) * self.vocabulary
            if batch and (size > self.batch_tokens or kept > LOGITS):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[str]:
        """The likeliest token again and again: free text after each prompt, up to its first line break.

        Args:
            prompts: what is asked, fitted.
            max_new_tokens: bound of each text, which also ends where the model ends it.
        """
        opened = self._asker.open(prompts)
        texts = [""] * len(prompts)
        ends = self._model.generation_config.eos_token_id
        settings = transformers.GenerationConfig(
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            max_new_tokens=max_new_tokens,
            eos_token_id=ends if ends is not None else self._tokenizer.eos_token_id,
            pad_token_id=0,
        )
        for batch in self._batches(opened):
            longest = max(1, *(len(opened[row]) for row in batch))
            ids = np.zeros((len(batch), longest), np.int64)
            attended = np.zeros((len(batch), longest), np.int64)
            for at, row in enumerate(batch):
                own = opened[row]
                ids[at, longest - len(own) :], attended[at, longest - len(own) :] = own, 1
            written = self._model.generate(
                input_ids=torch.from_numpy(ids).to(self._device),
                attention_mask=torch.from_numpy(attended).to(self._device),
                generation_config=settings,
            )
            for at, row in enumerate(batch):
                text = self._tokenizer.decode(written[at, longest:].tolist(), skip_special_tokens=True)
                texts[row] = (text.strip().splitlines() or [""])[0].strip()
        return texts


def _shared(asked: Sequence[Sequence[Asked]]) -> tuple[list[NDArray[np.int64]], list[list[Any]]]:
    """What must be fed, and for each pass the (row, answer, first, tokens) that are read off it.

    An answer's last token is never fed, so that all answers of one token share the pass over the prompt.
    """
    passes: list[NDArray[np.int64]] = []
    places: list[list[Any]] = []
    for row, own in enumerate(asked):
        begin = len(passes)
        for number in sorted(range(len(own)), key=lambda number: -len(own[number].ids)):
            fed = own[number].ids[:-1]
            found = [n for n in range(begin, len(passes)) if np.array_equal(passes[n][: len(fed)], fed)]
            if not found:
                passes.append(fed)
                places.append([])
                found = [len(passes) - 1]
            places[found[0]].append((row, number, own[number].first, own[number].ids[own[number].first :]))
    return passes, places
