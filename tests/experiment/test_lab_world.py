"""Planted worlds are as their settings say, and the way through the project's own code reads them as numpy does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from latentprobe.experiment.lab.oracle import MERGED, THRESHOLD, oracle
from latentprobe.experiment.lab.table import Arm, halves, pooled
from latentprobe.experiment.lab.world import MAGNITUDE, SINK_LENGTH, Emission, World, emit


def latents(emission: Emission, layer: int = 0) -> NDArray[np.float32]:
    """What the planted dictionary reads of each token, [tokens, features]."""
    z = emission.states[layer] @ emission.truth.directions.T
    return np.where(z > THRESHOLD, z, 0)


def rate_by_class(emission: Emission, features: NDArray[np.int64]) -> tuple[float, float]:
    """Share of tokens of class 0, and of class 1, on which features fire."""
    label = np.repeat(emission.y, emission.lengths)
    fires = latents(emission)[:, features] > 0
    return float(fires[label == 0].mean()), float(fires[label == 1].mean())


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    one, again, other = (emit(World(), 20, seed).states[0].tobytes() for seed in (3, 3, 4))
    assert one == again != other


def test_classes_are_even_in_each_half_and_language() -> None:
    emission = emit(World(languages=2), 200, seed=0)
    first = np.arange(200) < 100
    for language in (0, 1):
        for half in (first, ~first):
            assert emission.y[half & (emission.language == language)].mean() == 0.5


def test_causal_features_fire_as_much_more_often_as_the_effect_says_and_others_do_not() -> None:
    # So sparse that directions hardly meet: what is read is what was planted.
    emission = emit(World("rate", effect=0.5, causal_rate=0.1, active=0.5, d=512, tail=0.1), 400, seed=0)
    causal = emission.truth.causal[0]
    against, for_it = rate_by_class(emission, causal[::2])
    assert for_it / against == pytest.approx(np.exp(1.0), rel=0.1)
    for_it, against = rate_by_class(emission, causal[1::2])
    assert for_it / against == pytest.approx(np.exp(1.0), rel=0.1)
    others = np.setdiff1d(np.arange(192), causal)
    zero, one = rate_by_class(emission, others)
    assert zero == pytest.approx(one, rel=0.1)


def test_magnitudes_have_the_median_and_the_tail_they_should() -> None:
    emission = emit(World("none", active=0.1, causal_rate=0.0, d=512, tail=0.3, noise=0.0), 400, seed=0)
    strongest = latents(emission).max(axis=1)
    fired = strongest[strongest > 0]
    assert np.median(fired) == pytest.approx(MAGNITUDE, rel=0.05)
    assert np.log(fired).std() == pytest.approx(0.3, rel=0.15)


def test_without_evidence_nothing_follows_the_class() -> None:
    zero, one = rate_by_class(emit(World("none", causal_rate=0.1, d=512), 400, seed=0), np.arange(192))
    assert zero == pytest.approx(one, rel=0.05)


def test_a_burst_is_in_every_text_for_as_many_tokens_as_its_span() -> None:
    emission = emit(World("burst", effect=20, span=4, tokens=12, spread=0.0), 50, seed=0)
    loud = latents(emission)[:, emission.truth.causal[0]].max(axis=1) > 40
    assert (loud.reshape(50, 12).sum(axis=1) == 4).all()


def test_lengths_follow_the_class_one_way_in_training_and_the_other_in_the_test_part() -> None:
    emission = emit(World(length_gap=0.8, spread=0.0, tokens=50), 100, seed=0)
    first = np.arange(100) < 50
    longer = {half: emission.lengths[rows & (emission.y == 1)].mean() > 50 for half, rows in ((0, first), (1, ~first))}
    assert longer == {0: True, 1: False}


def test_sinks_are_as_long_as_they_should_be_and_nothing_else_is() -> None:
    world = World(sinks=1.0)
    norms = np.linalg.norm(emit(world, 300, seed=0).states[0], axis=1)
    sinks = norms > SINK_LENGTH / 2
    assert sinks.sum() / 300 == pytest.approx(1.0, rel=0.2)
    np.testing.assert_allclose(norms[sinks], SINK_LENGTH, rtol=0.5)
    assert norms[~sinks].max() < SINK_LENGTH / 3


def test_a_layer_without_evidence_holds_none_of_the_causal_features() -> None:
    emission = emit(World(depth=(0.0, 1.0), d=512, active=0.5), 100, seed=0)
    causal = emission.truth.causal[0]
    fires = [(latents(emission, layer)[:, causal] > 0).mean() for layer in (0, 1)]
    assert fires[0] < 0.002 < 0.03 < fires[1]


def test_languages_share_as_many_causal_features_as_they_should() -> None:
    for shared, common in ((1.0, 8), (0.5, 4), (0.0, 0)):
        first, second = emit(World(languages=2, shared=shared), 8, seed=0).truth.causal
        assert len(set(first) & set(second)) == common


def test_a_wide_sae_reads_each_sense_alone() -> None:
    emission = emit(World(senses=4, features=32), 8, seed=0)
    encoder = oracle("wide", emission, 0, seed=0).W_enc.numpy()
    for feature in (0, 31):
        read = emission.truth.senses[feature] @ encoder[:, 4 * feature : 4 * feature + 4]
        np.testing.assert_allclose(read, np.eye(4), atol=1e-4)


def test_a_narrow_sae_reads_what_its_features_say_together() -> None:
    emission = emit(World(), 8, seed=0)
    encoder = oracle("narrow", emission, 0, seed=0).W_enc.numpy()
    np.testing.assert_allclose(encoder[:, 1], emission.truth.directions[MERGED : 2 * MERGED].sum(axis=0), atol=1e-6)


def test_a_random_sae_is_as_often_active_as_the_true_one() -> None:
    emission = emit(World(), 100, seed=0)
    true, random = (oracle(kind, emission, 0, seed=0) for kind in ("true", "random"))
    states = torch.from_numpy(emission.states[0])
    active = [len(sae.encode(states).values) for sae in (true, random)]
    assert active[1] == pytest.approx(active[0], rel=0.01)
    assert float((true.W_enc * random.W_enc).sum(dim=0).abs().max()) < 0.6


@pytest.mark.parametrize("ratio", [None, 5.0])
def test_what_the_project_pools_is_what_numpy_pools(ratio: float | None) -> None:
    emission = emit(World(sinks=0.5, spread=0.6), 60, seed=0)
    arms = [Arm(name, name, max_norm_ratio=ratio) for name in ("max", "sum", "count")]
    arms.append(Arm("hidden", "mean", None, max_norm_ratio=ratio))
    found = pooled(emission, arms, seed=0)
    ends = np.cumsum(emission.lengths)
    z = latents(emission)
    for row, (start, end) in enumerate(zip(ends - emission.lengths, ends, strict=True)):
        states = emission.states[0][start:end]
        norms = np.linalg.norm(states, axis=1)
        keep = norms <= (ratio or np.inf) * np.median(norms)
        expected = [
            z[start:end][keep].max(axis=0),
            z[start:end][keep].sum(axis=0),
            (z[start:end][keep] > 0).sum(axis=0),
        ]
        for matrix, values in zip(found, expected, strict=False):
            np.testing.assert_allclose(matrix[row].toarray()[0], values, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(found[3][row], states[keep].mean(axis=0), rtol=1e-4, atol=1e-4)


def test_training_and_test_rows_are_of_the_languages_asked_for() -> None:
    emission = emit(World(languages=2), 40, seed=0)
    split = halves(emission, train=1, test=0)
    assert set(emission.language[split.train]) == {1} and set(emission.language[split.test]) == {0}
    assert split.train.max() < 20 <= split.test.min()
