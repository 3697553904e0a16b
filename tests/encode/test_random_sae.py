"""An untrained SAE differs from the trained one in its training, and in nothing else that can be helped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from latentprobe.config import BackboneSpec, TaskSpec
from latentprobe.encode import random_sae as module
from latentprobe.encode.activations import Activation, Threshold, TopK
from latentprobe.encode.backbone import Backbone, load_backbone
from latentprobe.encode.extract import extract
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.random_sae import RandomSAE, sample_states
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import plan_prompted, plan_sources
from latentprobe.files import sha256_json
from latentprobe.store import DenseFeatures, FeatureStore, SparseFeatures

Tiny = Callable[[str], Path]
D_IN, WIDTH = 16, 40
TEXTS = ["the cat sat on the mat", "refund", "", "please give the money back now " * 9, "a zzz dog", "red blue"]
IDS = [f"r{row}" for row in range(len(TEXTS))]


def trained(activation: Activation | None = None, pre_ops: tuple[str, ...] = (), seed: int = 0) -> SAE:
    draw = torch.Generator().manual_seed(seed)
    return SAE(
        f"sae {seed}", sha256_json([seed]), HookPoint(1, "resid_post"), None, torch.randn(D_IN, WIDTH, generator=draw),
        torch.randn(WIDTH, generator=draw), activation or Threshold(torch.full((WIDTH,), 200.0)), pre_ops,
    )  # fmt: skip


def states(n: int = 700) -> torch.Tensor:
    """Hidden states far from 0, as they are, with a loud direction."""
    x = torch.randn(n, D_IN, generator=torch.Generator().manual_seed(5))
    x[:, 3] = 40 * x[:, 3] + 200
    return x


@pytest.mark.parametrize(
    ("activation", "pre_ops"), [(None, ()), (TopK(4), ()), (None, ("layer_norm",)), (TopK(7), ("centre",))]
)
def test_as_many_features_are_on_as_of_the_trained_one(
    activation: Activation | None, pre_ops: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    sae, x = trained(activation, pre_ops), states()
    made = RandomSAE(sae).made(x)
    assert made.width == sae.width and made.hook == sae.hook and made.pre_ops == pre_ops
    assert abs(len(made.encode(x).values) - len(sae.encode(x).values)) <= 1
    monkeypatch.setattr(module, "BLOCK", 7)
    assert torch.equal(RandomSAE(sae).made(x).b_enc, made.b_enc)
    assert RandomSAE(sae).made(x).activation.theta[0] == pytest.approx(float(made.activation.theta[0]), rel=1e-5)


def test_the_encoder_is_ten_lines_of_numpy() -> None:
    sae, x = trained(), states()
    made = RandomSAE(sae).made(x)
    W = made.W_enc.double().numpy()
    np.testing.assert_allclose(np.linalg.norm(W, axis=0), 1, rtol=1e-6)
    assert np.abs(W.T @ W - np.eye(WIDTH)).max() < 0.95  # no column twice
    pre = (x.double().numpy() - x.double().numpy().mean(axis=0)) @ W
    wanted = len(sae.encode(x).values)
    theta = np.sort(pre.ravel())[-wanted - 1]
    assert float(made.activation.theta[0]) == pytest.approx(theta, rel=1e-4)
    z = np.where(pre > theta, pre, 0)
    np.testing.assert_allclose(made.encode(x).csr().toarray(), z, atol=5e-3)
    assert np.abs(pre.mean(axis=0)).max() < 1e-9  # centred: no feature is on everywhere


def test_an_sae_always_gets_the_same_one_and_another_sae_another() -> None:
    x = states()
    one, again, other = (RandomSAE(trained(seed=seed)).made(x) for seed in (0, 0, 1))
    assert torch.equal(one.W_enc, again.W_enc) and torch.equal(one.activation.theta, again.activation.theta)
    assert not torch.equal(one.W_enc, other.W_enc)
    assert len({one.sha256, other.sha256, trained().sha256}) == 3
    assert one.reference == "random:sae 0"


def test_an_sae_denser_than_any_threshold_gets_one_that_is_as_dense_as_can_be() -> None:
    dense = trained(Threshold(torch.zeros(WIDTH)))
    dense = SAE(
        dense.reference, dense.sha256, dense.hook, None, dense.W_enc * 0, dense.b_enc.abs() + 1, dense.activation
    )
    made = RandomSAE(dense).made(states())
    assert float(made.activation.theta[0]) == 0
    assert len(RandomSAE(dense).made(states(0)).encode(states(3)).values) > 0


# -- the sample ------------------------------------------------------------------------------------------------------


def test_the_sample_is_of_selected_tokens_alone_and_of_the_same_ones_at_every_hook(
    tiny_model: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = load_backbone(BackboneSpec(model=str(tiny_model("bert")), layers=(1, 2)))
    hooks = [HookPoint(layer, "resid_post") for layer in (1, 2)]
    every = {hook: backbone.hidden_states(backbone.tokenize(TEXTS), [hook])[hook].numpy() for hook in hooks}
    rows = {tuple(row): place for place, row in enumerate(np.round(every[hooks[0]], 3))}
    sampled = sample_states(backbone, TEXTS, hooks)
    assert all(len(x) == len(every[hooks[0]]) for x in sampled.values())  # fewer than are wanted: all of them
    monkeypatch.setattr(module, "SAMPLE_TOKENS", 10)
    first, second = (sample_states(backbone, TEXTS, hooks)[hook].numpy() for hook in hooks)
    assert len(first) == len(second) == 10
    distance = np.linalg.norm(every[hooks[0]][None] - first[:, None], axis=2)
    assert distance.min(axis=1).max() < 1e-4 and rows
    other = np.linalg.norm(every[hooks[1]][None] - second[:, None], axis=2)
    assert np.array_equal(distance.argmin(axis=1), other.argmin(axis=1))
    assert len(sample_states(backbone, ["", ""], hooks)[hooks[0]]) == 0


# -- in the store ----------------------------------------------------------------------------------------------------

MINILM = BackboneSpec(layers=(3,), saes=("bundled:minilm-l3-1k",))


def test_one_pass_serves_the_random_sae_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    forward = Backbone.hidden_states

    def counted(self: Backbone, batch: list, hooks: list) -> dict:
        passes.append(len(batch))
        return forward(self, batch, hooks)

    monkeypatch.setattr(Backbone, "hidden_states", counted)
    store = FeatureStore(tmp_path)
    planned = plan_sources(MINILM, ("max", "count"), "t", hidden=True, random=True)
    assert [source.reads for source in planned] == ["hidden", "bundled:minilm-l3-1k", "random:bundled:minilm-l3-1k"]
    assert len({source.fingerprint for source in planned}) == 3
    assert extract(MINILM, planned, TEXTS, IDS, store) == len(TEXTS)
    assert sum(passes) == 2 * len(TEXTS)  # the sample, here all rows, and the one pass
    real, random = (store.read(source.fingerprint) for source in planned[1:])
    assert isinstance(real, SparseFeatures) and isinstance(random, SparseFeatures)
    assert real.width == random.width and set(real.values) == set(random.values)
    np.testing.assert_array_equal(real.n_tokens, random.n_tokens)
    assert random.values["count"].sum() == pytest.approx(real.values["count"].sum(), abs=2)


def test_alone_or_with_others_the_same_numbers_are_stored(tmp_path: Path) -> None:
    planned = plan_sources(MINILM, ("max",), "t", hidden=True, random=True)
    found = []
    for name, some in (("all", planned), ("alone", planned[2:])):
        store = FeatureStore(tmp_path / name)
        extract(MINILM, some, TEXTS, IDS, store)
        found.append(store.shard_path(planned[2].fingerprint, 0).read_bytes())
    assert found[0] == found[1]


def test_what_is_wanted_without_random_saes_is_stored_under_the_names_it_had() -> None:
    plain = plan_sources(MINILM, ("max",), "t", hidden=True)
    assert [s.fingerprint for s in plain] == [
        s.fingerprint for s in plan_sources(MINILM, ("max",), "t", hidden=True, random=True)[:2]
    ]


# -- the end of a prompt -----------------------------------------------------------------------------------------------


def test_prompted_hidden_states_are_those_of_the_last_token_of_the_question(tmp_path: Path, tiny_model: Tiny) -> None:
    folder = tiny_model("llama")
    spec = BackboneSpec(model=str(folder), layers=(1, 2), saes=("no/matter",))
    reading, planned = plan_prompted(spec, TaskSpec(prompt="the {text} sat"), "t")
    assert [(source.hook.layer, source.poolings, source.reads) for source in planned] == [
        (layer, ("last",), "prompted hidden") for layer in (1, 2)
    ]
    store = FeatureStore(tmp_path)
    assert extract(reading, planned, ["cat", "dog"], ["a", "b"], store) == 2
    plain = load_backbone(BackboneSpec(model=str(folder), layers=(2,)))
    hook = HookPoint(2, "resid_post")
    stored = store.read(planned[1].fingerprint)
    assert isinstance(stored, DenseFeatures)
    for row, text in enumerate(("the cat sat", "the dog sat")):
        expected = plain.hidden_states(plain.tokenize([text]), [hook])[hook][-1]
        np.testing.assert_allclose(stored.values["last"][row], expected, atol=2e-5)
    other = plan_prompted(spec, TaskSpec(prompt="a {text} sat"), "t")[1]
    assert not {s.fingerprint for s in planned} & {s.fingerprint for s in other}
