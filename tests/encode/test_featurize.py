"""One pass gives every source its rows, in order, whatever the batches are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from latentprobe.config import BackboneSpec
from latentprobe.encode import featurize as module
from latentprobe.encode.activations import Threshold
from latentprobe.encode.backbone import Backbone, load_backbone
from latentprobe.encode.extract import extract
from latentprobe.encode.featurize import Source, featurize, shards
from latentprobe.encode.formats import load_sae
from latentprobe.encode.formats.bundled import ASSETS
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import PlannedSource, plan_sources
from latentprobe.errors import ModelError, SAEError, SpecError
from latentprobe.files import sha256_json
from latentprobe.store import DenseFeatures, FeatureStore, SparseFeatures

Tiny = Callable[[str], Path]
WIDTH = 32
TEXTS = ["the cat sat on the mat", "refund", "", "please give the money back now " * 9, "a zzz dog", "red blue"]
IDS = [f"r{row}" for row in range(len(TEXTS))]


def random_sae(layer: int, d_in: int = 16, seed: int = 0) -> SAE:
    generator = torch.Generator().manual_seed(seed)
    return SAE(
        f"random {layer}", sha256_json([layer, seed]), HookPoint(layer, "resid_post"), None,
        torch.randn(d_in, WIDTH, generator=generator), torch.randn(WIDTH, generator=generator),
        Threshold(torch.full((WIDTH,), 0.5)),
    )  # fmt: skip


def backbone_of(folder: Path, *layers: int, **options: Any) -> Backbone:
    return load_backbone(BackboneSpec(model=str(folder), layers=layers, **options))


def naive(backbone: Backbone, sae: SAE, text: str, pooling: str) -> np.ndarray:
    """Ten lines of numpy on one text alone."""
    tokens = backbone.tokenize([text])
    x = backbone.hidden_states(tokens, [sae.hook])[sae.hook].numpy()
    if len(x) == 0:
        return np.zeros(WIDTH)
    pre = x @ sae.W_enc.numpy() + sae.b_enc.numpy()
    z = np.where(pre > 0.5, pre, 0)
    ranks = np.argsort(np.argsort(-z, axis=1, kind="stable"), axis=1)
    return {
        "max": z.max(0), "sum": z.sum(0), "mean": z.mean(0), "last": z[-1], "count": (z > 0).sum(0),
        "rate": (z > 0).mean(0), "top3": ((ranks < 3) & (z > 0)).sum(0),
    }[pooling]  # fmt: skip


POOLINGS = ("max", "sum", "mean", "last", "count", "rate", "top3")


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_one_pass_gives_every_layer_sae_and_pooling_as_ten_lines_of_numpy_do(tiny_model: Tiny, family: str) -> None:
    backbone = backbone_of(tiny_model(family), 1, 3)
    saes = [random_sae(1), random_sae(3), random_sae(3, seed=1)]
    found = featurize(TEXTS, IDS, backbone, [Source(sae.hook, sae, POOLINGS) for sae in saes])
    for sae, features in zip(saes, found, strict=True):
        assert isinstance(features, SparseFeatures) and features.ids == tuple(IDS)
        for pooling in POOLINGS:
            expected = np.stack([naive(backbone, sae, text, pooling) for text in TEXTS])
            np.testing.assert_allclose(features.csr(pooling).toarray(), expected, atol=5e-5, rtol=1e-4)
    assert found[0].n_tokens.tolist() == [6, 1, 0, 54, 3, 2]


def test_mistake_4_the_hidden_baseline_pools_the_same_tokens(tiny_model: Tiny) -> None:
    """REFERENCE mistake 4: the baseline saw only the last token."""
    backbone = backbone_of(tiny_model("bert"), 2)
    hook = HookPoint(2, "resid_post")
    hidden, sparse = featurize(
        TEXTS, IDS, backbone, [Source(hook, None, ("mean", "max", "last")), Source(hook, random_sae(2), ("max",))]
    )
    assert isinstance(hidden, DenseFeatures)
    np.testing.assert_array_equal(hidden.n_tokens, sparse.n_tokens)
    for row, text in enumerate(TEXTS):
        x = backbone.hidden_states(backbone.tokenize([text]), [hook])[hook].numpy()
        expected = (x.mean(0), x.max(0), x[-1]) if len(x) else (np.zeros(16),) * 3
        for pooling, values in zip(("mean", "max", "last"), expected, strict=True):
            np.testing.assert_allclose(hidden.values[pooling][row], values, atol=2e-5, rtol=2e-5)


def test_mistake_3_rows_do_not_depend_on_order_or_batch_size(tiny_model: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """REFERENCE mistakes 3 and 7: batch mates moved the features, and rows came out in the order of completion."""
    backbone, sae = backbone_of(tiny_model("bert"), 3), random_sae(3)
    source = [Source(sae.hook, sae, ("max", "sum"))]
    whole = featurize(TEXTS, IDS, backbone, source)[0].csr("sum").toarray()
    order = [3, 0, 5, 2, 4, 1]
    mixed = featurize([TEXTS[row] for row in order], [IDS[row] for row in order], backbone, source)[0]
    assert mixed.ids == tuple(IDS[row] for row in order)
    np.testing.assert_allclose(mixed.csr("sum").toarray(), whole[order], atol=1e-4)
    for budget in (1, 24, 10_000):
        monkeypatch.setattr("latentprobe.encode.backbone.BATCH_TOKENS", {"cpu": budget})
        np.testing.assert_allclose(featurize(TEXTS, IDS, backbone, source)[0].csr("sum").toarray(), whole, atol=1e-4)


def test_one_forward_pass_serves_all_sources(tiny_model: Tiny) -> None:
    backbone = backbone_of(tiny_model("bert"), 0, 1, 2)
    passes, blocks = [], []
    backbone._model.register_forward_pre_hook(lambda *_: passes.append(1))
    for block in backbone._blocks:
        block.register_forward_pre_hook(lambda *_: blocks.append(1))
    sources = [Source(HookPoint(layer, "resid_post"), None, ("mean",)) for layer in (0, 1, 2)]
    sources += [Source(HookPoint(layer, "resid_post"), random_sae(layer), POOLINGS) for layer in (0, 1, 2, 2)]
    featurize(TEXTS[:3], IDS[:3], backbone, sources)
    assert (len(passes), len(blocks)) == (1, 3)


def test_the_peak_is_the_token_that_lights_a_feature_most(tiny_model: Tiny) -> None:
    backbone, sae = backbone_of(tiny_model("bert"), 1), random_sae(1)
    features = featurize(TEXTS, IDS, backbone, [Source(sae.hook, sae, ("max",))])[0]
    assert isinstance(features, SparseFeatures)
    for row, text in enumerate(TEXTS):
        tokens = backbone.tokenize([text])
        x = backbone.hidden_states(tokens, [sae.hook])[sae.hook]
        for entry in range(features.indptr[row], features.indptr[row + 1]):
            feature = features.indices[entry]
            best = int((x @ sae.W_enc + sae.b_enc)[:, feature].argmax())
            assert (features.peak_start[entry], features.peak_end[entry]) == tuple(tokens[0].spans[best])


def test_attention_sinks_are_left_out_when_a_ratio_is_given(tiny_model: Tiny) -> None:
    text = "the cat sat on the mat"
    hook = HookPoint(1, "resid_post")
    plain = backbone_of(tiny_model("llama"), 1)
    norms = plain.hidden_states(plain.tokenize([text]), [hook])[hook].norm(dim=1).numpy()
    ratio = float(np.sort(norms / np.median(norms))[-2:].mean())  # between the two longest
    assert ratio > 1
    masked = featurize(
        [text, ""],
        ["a", "b"],
        backbone_of(tiny_model("llama"), 1, max_norm_ratio=ratio),
        [Source(hook, None, ("mean",))],
    )[0]
    assert masked.n_tokens.tolist() == [5, 0]


def test_shards_cover_every_row_once_and_bound_rows_and_characters() -> None:
    texts = ["x" * 400_000] * 5 + ["y"] * 5000
    cut = shards(texts)
    assert [row for part in cut for row in part] == list(range(len(texts)))
    assert all(len(part) <= 4096 for part in cut)
    assert all(len(part) == 1 or sum(len(texts[row]) for row in part) <= 1_000_000 for part in cut)


# -- plan, store, resume -------------------------------------------------------------------------------------------


MINILM = BackboneSpec(layers=(1, 3))


def plan(spec: BackboneSpec, texts: list[str] = TEXTS, poolings: tuple[str, ...] = ("max",)) -> list[PlannedSource]:
    return plan_sources(spec, poolings, sha256_json(texts), hidden=True)


def test_auto_means_every_bundled_sae_of_the_layers() -> None:
    planned = plan(MINILM)
    assert [(source.hook.layer, source.sae and source.sae.reference) for source in planned] == [
        (1, None), (1, "bundled:minilm-l1-4k"), (3, None), (3, "bundled:minilm-l3-1k"), (3, "bundled:minilm-l3-4k"),
    ]  # fmt: skip


def test_a_place_that_the_model_does_not_have_is_refused_before_anything_runs(tiny_model: Tiny) -> None:
    folder = str(tiny_model("gpt_neox"))
    with pytest.raises(ModelError, match="between attention and MLP"):
        plan(BackboneSpec(model=folder, layers=(1,), hook="resid_mid", saes=()))
    with pytest.raises(SAEError, match="before all blocks"):
        plan(BackboneSpec(model=folder, layers=(0, 1), hook="embed", saes=()))


def test_a_second_extraction_does_no_forward_pass_and_any_change_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path)
    assert extract(MINILM, plan(MINILM), TEXTS, IDS, store) == len(TEXTS)

    def no_model(spec: BackboneSpec) -> Backbone:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("latentprobe.encode.extract.load_backbone", no_model)
    assert extract(MINILM, plan(MINILM), TEXTS, IDS, store) == 0
    known = {source.fingerprint for source in plan(MINILM)}
    for change in (
        plan(MINILM.model_copy(update={"tokens": "all"})),
        plan(MINILM.model_copy(update={"bos": "always"})),
        plan(MINILM.model_copy(update={"template": "chat"})),
        plan(MINILM.model_copy(update={"prompt": "Is this rude? {text} Answer:"})),
        plan(MINILM.model_copy(update={"prompt": "Is this rude? {text} Answer:", "select": "after"})),
        plan(MINILM.model_copy(update={"prompt": "Is this rude? {text} Answer:", "select": "last"})),
        plan(MINILM.model_copy(update={"max_tokens": 64})),
        plan(MINILM.model_copy(update={"max_norm_ratio": 3.0})),
        plan(MINILM.model_copy(update={"on_overflow": "truncate"})),
        plan(MINILM.model_copy(update={"dtype": "bfloat16"})),
        plan(MINILM.model_copy(update={"layers": (5,)})),
        plan(MINILM, [*TEXTS[:-1], "other"]),
    ):
        assert not known & {source.fingerprint for source in change}
        known |= {source.fingerprint for source in change}
        with pytest.raises(AssertionError, match="a model was loaded"):
            extract(MINILM, change, TEXTS, IDS, store)
    known = {source.fingerprint for source in plan(MINILM)}
    other = plan(MINILM, poolings=("max", "sum"))
    assert [source.fingerprint in known for source in other] == [True, False, True, False, False]


def test_what_is_stored_was_read_with_the_bos_that_the_saes_want(
    tmp_path: Path, byte_gpt2: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Backbone] = []

    def load(spec: BackboneSpec) -> Backbone:
        loaded.append(load_backbone(spec))
        return loaded[-1]

    monkeypatch.setattr("latentprobe.encode.extract.load_backbone", load)
    monkeypatch.setattr("latentprobe.encode.sources.load_sae", lambda name: replace(random_sae(1), prepend_bos=True))
    spec = BackboneSpec(model=str(byte_gpt2()), layers=(1,), saes=("one",))
    planned = plan(spec)
    assert {(source.made_from["bos"], source.tokens) for source in planned} == {("always", "content")}
    store = FeatureStore(tmp_path / "store")
    extract(spec, planned, TEXTS, IDS, store)
    assert loaded[0].tokenize(["cat"])[0].windows[0][0] == 0
    never = plan(spec.model_copy(update={"bos": "never"}))
    assert not {source.fingerprint for source in planned} & {source.fingerprint for source in never}


def test_an_interrupted_extraction_goes_on_and_ends_byte_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_ROWS", 2)
    whole, resumed = FeatureStore(tmp_path / "whole"), FeatureStore(tmp_path / "resumed")
    planned = plan(MINILM)
    extract(MINILM, planned, TEXTS, IDS, whole)

    def interrupt(done: int, total: int) -> None:
        if done > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(MINILM, planned, TEXTS, IDS, resumed, progress=interrupt)
    assert not any(source.fingerprint in resumed for source in planned)
    assert extract(MINILM, planned, TEXTS, IDS, resumed) == 2
    files = sorted(path.relative_to(whole.root) for path in whole.root.rglob("*") if path.is_file())
    assert len(files) == len(planned) * 4
    for name in files:
        assert (whole.root / name).read_bytes() == (resumed.root / name).read_bytes()


def test_minilm_features_equal_an_independent_encode_at_layers_1_3_and_5() -> None:
    """All SAEs from one pass of ours; hidden states and features from transformers and numpy alone."""
    backbone = load_backbone(BackboneSpec(layers=(1, 3, 5)))
    texts = ["I want my money back.", "Wo ist mein Paket?", "you are all clowns " * 8]
    saes = [load_sae(f"bundled:minilm-{name}") for name in ("l1-4k", "l3-4k", "l3-1k", "l5-4k")]
    pooled = featurize(texts, ["a", "b", "c"], backbone, [Source(sae.hook, sae, ("max",)) for sae in saes])
    model = transformers.AutoModel.from_pretrained(backbone.files.folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(backbone.files.folder)
    outputs: dict[int, torch.Tensor] = {}
    for number, block in enumerate(model.encoder.layer):
        block.register_forward_hook(
            lambda m, a, o, n=number: outputs.__setitem__(n, o[0] if isinstance(o, tuple) else o)
        )
    for row, text in enumerate(texts):
        with torch.no_grad():
            model(**tokenizer(text, return_tensors="pt"))
        for sae, features in zip(saes, pooled, strict=True):
            raw = load_file(ASSETS / sae.reference.removeprefix("bundled:") / "sae_weights.safetensors")
            W_enc, b_enc, b_dec, threshold = (
                raw[name].astype(np.float32) for name in ("W_enc", "b_enc", "b_dec", "threshold")
            )
            x = outputs[sae.hook.layer].reshape(-1, 384)[1:-1].numpy()  # all but [CLS] and [SEP]
            pre = (x - b_dec) @ W_enc + b_enc
            z = np.where(pre > threshold, np.maximum(pre, 0), 0).max(0)
            close = np.abs(features.csr("max")[row].toarray()[0] - z) < 1e-3  # type: ignore[union-attr]
            assert close.mean() > 0.999  # all but a latent whose value stands at its threshold to the last bit


@pytest.mark.parametrize(
    ("spec", "error", "told"),
    [
        (BackboneSpec(layers=(3,), saes=("bundled:minilm-l5-4k",)), SAEError, "blocks.5.hook_resid_post"),
        (BackboneSpec(layers=(3,), saes=("bundled:minilm-l3-4kk",)), SAEError, "did you mean 'minilm-l3-4k'"),
        (BackboneSpec(layers=(2,)), SpecError, "layer 2"),
        (BackboneSpec(layers=(3,), hook="mlp_out"), SpecError, "has none"),
    ],
)
def test_an_sae_that_does_not_belong_there_is_refused(spec: BackboneSpec, error: type[Exception], told: str) -> None:
    with pytest.raises(error) as refused:
        plan(spec)
    assert told in str(refused.value)


def test_an_sae_for_another_size_of_hidden_state_is_refused(tiny_model: Tiny) -> None:
    spec = BackboneSpec(model=str(tiny_model("bert")), layers=(3,), saes=("bundled:minilm-l3-4k",))
    with pytest.raises(SAEError, match="size 16") as refused:
        plan(spec)
    assert "MiniLM" in refused.value.got
