"""A world whose truth is known: texts as token states that are sums of planted directions, and why each is what it is.

    x[t] = gain[t] * sum_j z[t, j] * direction[j] + noise        z sparse, positive, heavy-tailed

Some directions follow the class, some the language, all others nothing. What follows the class can be how often a
feature fires, how strongly, once and loudly, in which sense, or a shift that no feature stands for. The settings are
after what is known of real activations: heavy-tailed values, more directions than dimensions, variable length, and
attention sinks that are many times as long as other tokens (Sun and others 2024). Knows nothing of SAEs and probes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAGNITUDE", "Emission", "Truth", "World", "emit"]

#: The median of what an active feature adds to a token, in units of a direction's length.
MAGNITUDE = 3.0
#: A language has this many features that fire in its texts only, each at this share of their tokens.
LANGUAGE_FEATURES, LANGUAGE_RATE = 8, 0.05
#: How long a sink is. Part of it points the same way in every sink, and the rest anywhere.
SINK_LENGTH, SINK_SHARE = 150.0, 0.8
#: A feature fires at no more than this share of a text's tokens.
MOST = 0.9

Evidence = Literal["rate", "size", "burst", "sense", "shift", "none"]
"""What about a causal feature follows the class: how often it fires; how strongly; one loud token; in which of its
senses it is meant; a direction outside of the dictionary instead of features; nothing."""


@dataclass(frozen=True)
class World:
    """Settings of a world."""

    evidence: Evidence = "rate"
    """What follows the class."""
    effect: float = 0.5
    """How much: ``rate`` and ``size``: log-ratio between a class and the middle; ``burst``: times the usual magnitude;
    ``sense``: probability of the class's own senses, minus one half; ``shift``: its length."""
    causal: int = 8
    """Features that follow the class in one language, half of them for either class."""
    causal_rate: float = 0.05
    """Share of tokens at which a causal feature fires where the class has no say."""
    loudness: float = 1.0
    """Times the usual magnitude, of causal features."""
    sides: int = 2
    """2: half of the causal features speak for either class; 1: all of them for class 1."""
    d: int = 96
    """Dimensions of a hidden state."""
    features: int = 192
    """Directions in the dictionary."""
    senses: int = 1
    """Directions around each of them, one of which is meant when it fires."""
    active: float = 5.0
    """Features active at a token on average."""
    tail: float = 0.4
    """Log standard deviation of magnitudes."""
    gain: float = 0.0
    """Log standard deviation of the gain of a token, common to its features."""
    topic: float = 0.7
    """Log standard deviation, from text to text, of the rate of a feature that is not causal."""
    noise: float = 0.1
    """Standard deviation of what each dimension adds."""
    tokens: float = 20.0
    """Median tokens of a text."""
    spread: float = 0.2
    """Log standard deviation of the number of tokens."""
    length_gap: float = 0.0
    """Log-ratio of the lengths of the two classes in the first half of the rows; reversed in the second."""
    span: int = 1
    """Tokens in a row that a ``burst`` takes."""
    sinks: float = 0.0
    """Sinks of a text on average."""
    depth: tuple[float, ...] = (1.0,)
    """For each layer, times the strength of causal features."""
    languages: int = 1
    """Languages, each with features of its own; rows take turns."""
    shared: float = 1.0
    """Share of the causal features that are the same in all languages; the others mean nothing elsewhere."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What was planted."""

    directions: NDArray[np.float32]
    """Unit vectors of the dictionary, [features, d]."""
    senses: NDArray[np.float32]
    """What an active feature adds in each of its senses, [features, senses, d]."""
    causal: NDArray[np.int64]
    """Features that follow the class, one row a language, [languages, causal]; even places speak for class 1."""
    spoken: NDArray[np.int64]
    """Features of a language, [languages, LANGUAGE_FEATURES]; empty rows where there is one language only."""


@dataclass(frozen=True, eq=False)
class Emission:
    """What a world gave out."""

    states: tuple[NDArray[np.float32], ...]
    """Token states of each layer, text after text, [tokens of all rows, d]."""
    lengths: NDArray[np.int64]
    """Tokens of each row, [n]."""
    y: NDArray[np.int64]
    """Class of each row, 0 or 1, [n]."""
    language: NDArray[np.int64]
    """Language of each row, [n]."""
    truth: Truth
    """What was planted."""


def emit(world: World, n: int, seed: int) -> Emission:
    """A dictionary and ``n`` texts of a world.

    Args:
        world: its settings.
        n: rows; the classes are as even as can be, in each language and in each half.
        seed: of everything. The same seed gives the same dictionary and texts.

    >>> emission = emit(World(tokens=5), 10, seed=0)
    >>> emission.states[0].shape == (emission.lengths.sum(), 96), emission.y.sum()
    (True, np.int64(5))
    """
    rng = np.random.default_rng(seed)
    truth = _planted(world, rng)
    row = np.arange(n)
    language = row % world.languages
    y = _classes(n, world.languages, rng)
    lengths = _lengths(world, y, rng)
    token_row = np.repeat(row, lengths)
    values = _fired(_rates(world, truth, y, language, rng), token_row, world, rng)
    is_causal = np.zeros(world.features, bool)
    is_causal[truth.causal.ravel()] = True
    values[:, is_causal] *= np.float32(world.loudness)
    side = 2 * y - 1
    signs = _signs(world, truth, language)
    if world.evidence == "size":
        values *= np.exp(world.effect * side[:, None] * signs).astype(np.float32)[token_row]
    elif world.evidence == "burst":
        _burst(values, world, truth, y, language, lengths, rng)
    values *= np.exp(world.gain * rng.standard_normal((len(values), 1))).astype(np.float32)
    wanted = side[:, None] * signs if world.evidence == "sense" else np.zeros((n, world.features))
    causal, others = _summed(values, wanted[token_row], is_causal, world, truth, rng)
    if world.evidence == "shift":
        outside = _unit(rng.standard_normal((1, world.d)))
        causal = causal + (world.effect * side[token_row])[:, None].astype(np.float32) * outside
    states = [
        others + np.float32(strength) * causal + world.noise * rng.standard_normal(others.shape, dtype=np.float32)
        for strength in world.depth
    ]
    if world.sinks:
        states = _with_sinks(states, world, rng)
    return Emission(tuple(states), lengths, y, language, truth)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def _planted(world: World, rng: np.random.Generator) -> Truth:
    directions = _unit(rng.standard_normal((world.features, world.d)))
    around = _unit(rng.standard_normal((world.features, world.senses, world.d)))
    # A single sense is the direction itself; several lie at 45 degrees around it.
    senses = directions[:, None] + (around if world.senses > 1 else 0)
    drawn = rng.permutation(world.features)
    common = round(world.shared * world.causal)
    pools = [drawn[:common]]
    used = common
    for _ in range(world.languages):
        pools.append(drawn[used : used + world.causal - common])
        used += world.causal - common
    spoken = drawn[used : used + world.languages * LANGUAGE_FEATURES] if world.languages > 1 else drawn[:0]
    causal = np.stack([np.concatenate([pools[0], own]) for own in pools[1:]])
    return Truth(directions, np.asarray(senses, np.float32), causal, spoken.reshape(world.languages, -1))


def _classes(n: int, languages: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Even in each language and each half: rows come in blocks of one of each class for each language."""
    blocks = -(-n // (2 * languages))
    first = rng.integers(2, size=(blocks, languages))
    return np.stack([first, 1 - first], axis=1).reshape(-1)[:n]


def _lengths(world: World, y: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    side = np.where(np.arange(len(y)) < len(y) / 2, 1, -1) * (2 * y - 1)
    log = np.log(world.tokens) + world.length_gap / 2 * side + world.spread * rng.standard_normal(len(y))
    return np.asarray(np.maximum(np.rint(np.exp(log)), max(3, world.span)), np.int64)


def _signs(world: World, truth: Truth, language: NDArray[np.int64]) -> NDArray[np.int64]:
    """1 where a feature speaks for class 1 in the row's language, -1 for class 0, else 0, [n, features]."""
    signs = np.zeros((world.languages, world.features), np.int64)
    for spoken, causal in enumerate(truth.causal):
        signs[spoken, causal] = 1
        if world.sides == 2:
            signs[spoken, causal[1::2]] = -1
    return signs[language]


def _rates(
    world: World, truth: Truth, y: NDArray[np.int64], language: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Share of its tokens at which a row fires each feature, [n, features]."""
    usual = np.exp(rng.standard_normal(world.features))
    usual[truth.causal.ravel()] = 0
    usual[truth.spoken.ravel()] = 0
    usual *= world.active / usual.sum()
    topics = np.exp(world.topic * rng.standard_normal((len(y), world.features)) - world.topic**2 / 2)
    rates = usual * topics
    rates[:, truth.causal.ravel()] = world.causal_rate
    for own, features in enumerate(truth.spoken):
        rates[np.ix_(language == own, features)] = LANGUAGE_RATE
    if world.evidence == "rate":
        rates *= np.exp(world.effect * (2 * y - 1)[:, None] * _signs(world, truth, language))
    return np.asarray(np.minimum(rates, MOST), np.float32)


def _fired(
    rates: NDArray[np.float32], token_row: NDArray[np.int64], world: World, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Magnitude of each feature at each token, mostly 0, [tokens, features]."""
    fires = rng.random((len(token_row), world.features), dtype=np.float32) < rates[token_row]
    values = np.zeros(fires.shape, np.float32)
    values[fires] = MAGNITUDE * np.exp(world.tail * rng.standard_normal(int(fires.sum())))
    return values


def _burst(
    values: NDArray[np.float32],
    world: World,
    truth: Truth,
    y: NDArray[np.int64],
    language: NDArray[np.int64],
    lengths: NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    """One feature of the row's class, loud at one place of each row."""
    first = np.cumsum(lengths) - lengths
    for row, label in enumerate(y):
        own = truth.causal[language[row], (1 - label) :: 2]
        at = first[row] + rng.integers(lengths[row] - world.span + 1)
        values[at : at + world.span, rng.choice(own)] = np.float32(MAGNITUDE * world.effect)


def _summed(
    values: NDArray[np.float32],
    wanted: NDArray[np.float64] | NDArray[np.int64],
    is_causal: NDArray[np.bool_],
    world: World,
    truth: Truth,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What causal features and all others add to each token, each meant in one of its senses."""
    causal, others = (np.zeros((len(values), world.d), np.float32) for _ in range(2))
    if world.senses == 1:
        meant = np.zeros(values.shape, np.int64)
    else:
        # The first half of a causal feature's senses is of its own class, with the probability that the effect says.
        own = rng.random(values.shape) < 0.5 + world.effect * np.abs(wanted)
        half = world.senses // 2
        meant = rng.integers(half, size=values.shape) + np.where(own == (wanted >= 0), 0, half)
    for sense in range(world.senses):
        part = np.where(meant == sense, values, np.float32(0))
        causal += part[:, is_causal] @ truth.senses[is_causal, sense]
        others += part[:, ~is_causal] @ truth.senses[~is_causal, sense]
    return causal, others


def _with_sinks(states: list[NDArray[np.float32]], world: World, rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Some tokens, any of a text, replaced by sinks: the same ones at every layer."""
    tokens = len(states[0])
    is_sink = rng.random(tokens) < world.sinks / world.tokens
    common = _unit(rng.standard_normal((1, world.d)))
    anywhere = _unit(rng.standard_normal((int(is_sink.sum()), world.d)))
    sinks = np.float32(SINK_LENGTH) * (
        np.float32(SINK_SHARE) * common + np.float32((1 - SINK_SHARE**2) ** 0.5) * anywhere
    )
    replaced = []
    for state in states:
        state[is_sink] = sinks
        replaced.append(state)
    return replaced
