"""How a canonical SAE encodes, prunes and decodes."""

from __future__ import annotations

import doctest
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import latentprobe.encode.hookpoints
import latentprobe.encode.latents
import latentprobe.encode.pooling
import latentprobe.encode.sae
from latentprobe.encode.activations import Gated, GroupMax, Threshold, TopK
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.latents import TokenLatents
from latentprobe.encode.sae import SAE, without_b_dec
from latentprobe.errors import SAEError
from tests.encode.checkpoints import D_IN, WIDTH, states

HOOK = HookPoint(3, "resid_post")


def made(activation, width=WIDTH, d_in=D_IN, seed=0, **more) -> SAE:
    draw = torch.Generator().manual_seed(seed)
    w_enc, b_enc = torch.randn(d_in, width, generator=draw), torch.randn(width, generator=draw)
    return SAE("made here", "0" * 64, HOOK, "model", w_enc, b_enc, activation, **more)


def threshold(width=WIDTH, seed=5) -> Threshold:
    return Threshold(torch.rand(width, generator=torch.Generator().manual_seed(seed)) * 3)


def gated(width=WIDTH, seed=5) -> Gated:
    draw = torch.Generator().manual_seed(seed)
    return Gated(torch.rand(width, generator=draw) + 0.5, torch.randn(width, generator=draw))


def naive(sae: SAE, x: torch.Tensor) -> np.ndarray:
    pre = x.double().numpy() @ sae.W_enc.double().numpy() + sae.b_enc.double().numpy()
    match sae.activation:
        case Threshold(theta):
            return np.where(pre > theta.numpy(), np.maximum(pre, 0), 0)
        case Gated(scale, shift):
            return np.where(pre > 0, np.maximum(pre * scale.numpy() + shift.numpy(), 0), 0)
        case TopK(k):
            rank = np.argsort(np.argsort(-pre, axis=1, kind="stable"), axis=1, kind="stable")
            return np.where(rank < k, np.maximum(pre, 0), 0)


ACTIVATIONS = {"threshold": threshold(), "relu": Threshold(torch.zeros(WIDTH)), "gated": gated(), "topk": TopK(6)}
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latentprobe.encode.sae, "TOKENS", 4)
    monkeypatch.setattr(latentprobe.encode.sae, "FEATURES", 7)


@every_activation
def test_encoding_equals_a_dense_float64_encode(activation) -> None:
    sae, x = made(activation), states()
    z = sae.encode(x)
    np.testing.assert_allclose(z.csr().toarray(), naive(sae, x), atol=1e-4)
    assert len(z) == len(x) and z.width == WIDTH and len(z.values) > 50


@every_activation
def test_blocks_of_tokens_and_features_change_nothing(activation, small_blocks) -> None:
    sae, x = made(activation), states()
    np.testing.assert_allclose(sae.encode(x).csr().toarray(), naive(sae, x), atol=1e-4)


@every_activation
def test_latents_come_as_positive_float32_with_ascending_int32_indices(activation, small_blocks) -> None:
    z = made(activation).encode(states())
    assert (z.values.dtype, z.indices.dtype, z.indptr.dtype) == (np.float32, np.int32, np.int64)
    assert (z.values > 0).all()
    assert all((np.diff(z.indices[a:b]) > 0).all() for a, b in zip(z.indptr[:-1], z.indptr[1:], strict=True))


@every_activation
def test_a_tokens_latents_do_not_depend_on_the_other_tokens(activation) -> None:
    sae, x = made(activation), states(30)
    alone = np.concatenate([sae.encode(x[t : t + 1]).csr().toarray() for t in range(len(x))])
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    shuffled = sae.encode(x[order]).csr().toarray()
    np.testing.assert_allclose(sae.encode(x).csr().toarray(), alone, atol=1e-5)
    np.testing.assert_allclose(shuffled, alone[order.numpy()], atol=1e-5)


@every_activation
def test_the_same_states_give_the_same_bytes(activation) -> None:
    sae, x = made(activation), states()
    first, second = sae.encode(x), sae.encode(x.clone())
    assert first.values.tobytes() == second.values.tobytes() and first.indices.tobytes() == second.indices.tobytes()


@every_activation
def test_no_tokens_give_no_latents(activation) -> None:
    z = made(activation).encode(torch.zeros(0, D_IN))
    assert len(z) == 0 and z.csr().shape == (0, WIDTH)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_states_of_other_types_are_encoded_as_float32(dtype) -> None:
    sae, x = made(threshold()), states().to(dtype)
    np.testing.assert_array_equal(sae.encode(x).values, sae.encode(x.float()).values)


def test_mistake_8_a_value_at_its_threshold_is_off_and_one_just_above_is_on() -> None:
    sae = SAE("by hand", "", HOOK, None, torch.eye(2), torch.zeros(2), Threshold(torch.tensor([1.0, 0.0])))
    just_above = float(np.nextafter(np.float32(1), np.float32(2)))
    z = sae.encode(torch.tensor([[1.0, 0.0], [just_above, 1e-30], [-1.0, -0.0]]))
    assert z.csr().toarray().tolist() == [[0, 0], [just_above, np.float32(1e-30)], [0, 0]]


def test_a_gate_of_exactly_zero_is_off() -> None:
    sae = SAE("by hand", "", HOOK, None, torch.eye(2), torch.zeros(2), Gated(torch.ones(2), torch.ones(2)))
    assert sae.encode(torch.tensor([[0.0, 2.0]])).csr().toarray().tolist() == [[0, 3]]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_topk_takes_the_lower_index_of_equals_in_whatever_block_they_are(k: int, seed: int) -> None:
    width = 12
    x = torch.from_numpy(np.random.default_rng(seed).integers(-2, 4, (9, width)).astype(np.float32))
    sae = SAE("ties", "", HOOK, None, torch.eye(width), torch.zeros(width), TopK(k))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latentprobe.encode.sae, "FEATURES", 5)
        z = sae.encode(x).csr().toarray()
    np.testing.assert_array_equal(z, naive(sae, x))


def test_topk_never_fills_up_with_features_that_are_off() -> None:
    sae = SAE("few on", "", HOOK, None, torch.eye(4), torch.zeros(4), TopK(3))
    assert sae.encode(torch.tensor([[-1.0, 2.0, 0.0, -3.0]])).indices.tolist() == [1]


class _Largest(TorchDispatchMode):
    """Records the size of the largest tensor any operation returns."""

    numel = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor) and function is not torch.ops.aten.slice.Tensor:
                _Largest.numel = max(_Largest.numel, tensor.numel())
        return result


@pytest.mark.parametrize("activation", ["threshold", "gated", "topk"])
def test_memory_does_not_grow_with_the_width(activation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latentprobe.encode.sae, "TOKENS", 8)
    monkeypatch.setattr(latentprobe.encode.sae, "FEATURES", 64)
    width = 4096
    sae = made({"threshold": threshold(width), "gated": gated(width), "topk": TopK(6)}[activation], width, d_in=4)
    x = torch.randn(32, 4)
    _Largest.numel = 0
    with _Largest():
        sae.encode(x)
    assert 0 < _Largest.numel <= 8 * 64


BAD_INPUTS = {
    "one row": torch.zeros(D_IN),
    "a batch": torch.zeros(2, 3, D_IN),
    "another size": torch.zeros(2, D_IN + 1),
    "whole numbers": torch.zeros(2, D_IN, dtype=torch.int64),
    "booleans": torch.zeros(2, D_IN, dtype=torch.bool),
    "NaN": torch.full((2, D_IN), float("nan")),
    "infinity": torch.tensor([[1.0] * D_IN, [float("-inf")] * D_IN]),
    "numpy": np.zeros((2, D_IN), np.float32),
    "a list": [[0.0] * D_IN],
}


@pytest.mark.parametrize("x", BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_states_that_cannot_be_encoded_are_refused(x) -> None:
    with pytest.raises(SAEError) as refused:
        made(threshold()).encode(x)
    assert refused.value.got and refused.value.fix


def test_row_wise_operations_are_applied_in_order() -> None:
    x = states()
    bare = made(threshold())
    for name in ("centre", "layer_norm", "constant_norm_rescale"):
        sae = made(threshold(), pre_ops=("centre", name))
        h = x.double().numpy()
        h = h - h.mean(1, keepdims=True)
        if name == "layer_norm":
            h = h / (h.std(1, ddof=1, keepdims=True) + 1e-5)
        if name == "constant_norm_rescale":
            h = h * D_IN**0.5 / np.linalg.norm(h, axis=1, keepdims=True)
        np.testing.assert_allclose(sae.encode(x).csr().toarray(), naive(bare, torch.from_numpy(h)), atol=1e-4)


def test_a_row_of_zeros_cannot_be_rescaled() -> None:
    with pytest.raises(SAEError, match="constant_norm_rescale"):
        made(threshold(), pre_ops=("constant_norm_rescale",)).encode(torch.zeros(1, D_IN))


@pytest.mark.parametrize("activation", [threshold(), gated()], ids=["threshold", "gated"])
def test_a_pruned_sae_computes_its_features_alike_in_ascending_order(activation) -> None:
    sae, x = made(activation), states()
    whole, pruned = sae.encode(x).csr().toarray(), sae.columns([31, 2, 17])
    assert pruned.width == 3 and pruned.hook == sae.hook
    np.testing.assert_allclose(pruned.encode(x).csr().toarray(), whole[:, [2, 17, 31]], atol=1e-5)
    np.testing.assert_allclose(pruned.columns([1]).encode(x).csr().toarray(), whole[:, [17]], atol=1e-5)


def test_the_hash_of_a_pruned_sae_tells_its_features() -> None:
    sae = made(threshold())
    assert sae.columns([1, 2]).sha256 == sae.columns(np.array([2, 1])).sha256
    assert len({sae.sha256, sae.columns([1, 2]).sha256, sae.columns([1, 3]).sha256}) == 3


def test_a_topk_sae_is_not_pruned() -> None:
    with pytest.raises(SAEError, match="stand alone") as refused:
        made(TopK(3)).columns([1])
    assert "whole encoder" in refused.value.got


@pytest.mark.parametrize("features", [[], [1, 1], [-1], [WIDTH], [0.5], [[1]], [True]], ids=repr)
def test_features_that_do_not_exist_cannot_be_kept(features) -> None:
    with pytest.raises(SAEError):
        made(threshold()).columns(features)


def test_decoding_is_the_weighted_sum_of_decoder_rows() -> None:
    w_dec, b_dec = torch.randn(WIDTH, D_IN), torch.randn(D_IN)
    sae = made(threshold(), W_dec=w_dec, b_dec=b_dec)
    z = sae.encode(states())
    expected = z.csr().toarray().astype(float) @ w_dec.double().numpy() + b_dec.double().numpy()
    decoded = sae.decode(z)
    assert decoded.dtype == torch.float32
    np.testing.assert_allclose(decoded.numpy(), expected, atol=1e-3)
    pruned = sae.columns([3, 5])
    np.testing.assert_allclose(
        pruned.decode(pruned.encode(states())).numpy(),
        z.csr().toarray()[:, [3, 5]] @ w_dec[[3, 5]].numpy() + b_dec.numpy(),
        atol=1e-3,
    )


@pytest.mark.parametrize("lacking", ["decoder", "scale", "width"])
def test_decoding_is_refused_where_it_cannot_be_right(lacking: str) -> None:
    decoder = {"W_dec": torch.randn(WIDTH, D_IN), "b_dec": torch.randn(D_IN)}
    sae = made(threshold(), **(decoder if lacking != "decoder" else {}))
    if lacking == "scale":
        sae = made(threshold(), pre_ops=("layer_norm",), **decoder)
    z = sae.encode(states())
    if lacking == "width":
        z = TokenLatents(z.indptr, z.indices, z.values, WIDTH + 1)
    with pytest.raises(SAEError):
        sae.decode(z)


def test_moving_to_a_device_keeps_everything() -> None:
    decoder = {"W_dec": torch.randn(WIDTH, D_IN), "b_dec": torch.randn(D_IN)}
    for activation in ACTIVATIONS.values():
        sae = made(activation, **decoder)
        moved = sae.to("cpu")
        np.testing.assert_array_equal(moved.encode(states()).values, sae.encode(states()).values)


def test_the_decoder_bias_folds_into_the_encoder_bias() -> None:
    sae, x, b_dec = made(threshold()), states(), torch.randn(D_IN) * 10
    folded = without_b_dec(sae.b_enc, b_dec, sae.W_enc)
    expected = (x - b_dec).double() @ sae.W_enc.double() + sae.b_enc.double()
    torch.testing.assert_close((x @ sae.W_enc + folded).double(), expected, atol=1e-3, rtol=1e-4)


def test_folding_sums_in_float64() -> None:
    b_dec = torch.full((4096,), 1.0)
    b_dec[0] = 1e8
    folded = without_b_dec(torch.zeros(1), b_dec, torch.cat([-torch.ones(1, 1), torch.ones(4095, 1)]))
    assert float(folded) == np.float32(1e8 - 4095)


GOOD = {"W_enc": torch.zeros(3, 4), "b_enc": torch.zeros(4), "activation": Threshold(torch.zeros(4))}
BROKEN = {
    "bias of another width": {"b_enc": torch.zeros(5)},
    "weights of one dimension": {"W_enc": torch.zeros(4)},
    "no features": {"W_enc": torch.zeros(3, 0), "b_enc": torch.zeros(0), "activation": TopK(1)},
    "no inputs": {"W_enc": torch.zeros(0, 4)},
    "half precision": {"W_enc": torch.zeros(3, 4).half()},
    "NaN weight": {"W_enc": torch.full((3, 4), float("nan"))},
    "infinite bias": {"b_enc": torch.full((4,), float("inf"))},
    "negative threshold": {"activation": Threshold(torch.tensor([0.0, -1e-9, 1, 1]))},
    "NaN threshold": {"activation": Threshold(torch.full((4,), float("nan")))},
    "short threshold": {"activation": Threshold(torch.zeros(3))},
    "k of 0": {"activation": TopK(0)},
    "k above the width": {"activation": TopK(5)},
    "gate without scale": {"activation": Gated(torch.zeros(4), torch.zeros(4))},
    "decoder the other way": {"W_dec": torch.zeros(3, 4)},
    "unknown operation": {"pre_ops": ("softmax",)},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_an_sae_whose_parts_do_not_fit_is_not_made(change) -> None:
    SAE(reference="good", sha256="", hook=HOOK, model=None, **GOOD)
    with pytest.raises(SAEError, match="cannot be used") as refused:
        SAE(reference="broken", sha256="", hook=HOOK, model=None, **(GOOD | change))
    assert refused.value.got and refused.value.fix


def test_the_picture_of_an_sae_is_short() -> None:
    assert len(repr(made(threshold()))) < 300


@pytest.mark.parametrize(
    ("indptr", "indices", "values"),
    [
        ([0, 1], [0, 1], [1.0, 1.0]),
        ([1, 2], [0, 1], [1.0, 1.0]),
        ([0, 2, 1, 2], [0, 1], [1.0, 1.0]),
        ([0, 2], [0, 1], [1.0]),
        ([], [], []),
        ([0, 1], [4], [1.0]),
        ([0, 1], [-1], [1.0]),
        ([0, 1], [0], [0.0]),
        ([0, 1], [0], [float("nan")]),
    ],
)
def test_latents_that_are_not_whole_are_refused(indptr, indices, values) -> None:
    with pytest.raises(SAEError):
        TokenLatents(np.array(indptr, np.int64), np.array(indices, np.int32), np.array(values, np.float32), width=4)


@pytest.mark.parametrize(
    "name",
    [
        "blocks.0.hook_resid_post",
        "blocks.11.hook_mlp_out",
        "blocks.7.attn.hook_z",
        "blocks.3.hook_attn_out",
        "blocks.3.hook_resid_mid",
        "blocks.0.hook_resid_pre",
        "hook_embed",
    ],
)
def test_a_hook_name_comes_back_as_it_went_in(name: str) -> None:
    assert HookPoint.parse(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "blocks.3.hook_mlp_in",
        "blocks.3.hook_embed",
        "blocks.3.attn.hook_result",
        "blocks.-1.hook_resid_post",
        "blocks.03.hook_resid_post",
        "blocks.3.hook_resid_post.more",
        "xblocks.3.hook_resid_post",
        "hook_pos_embed",
        "",
        None,
    ],
)
def test_other_hook_names_are_refused(name) -> None:
    with pytest.raises(SAEError, match="a hook point is"):
        HookPoint.parse(name)


def test_the_stream_before_a_block_is_the_output_of_the_one_before() -> None:
    assert HookPoint.parse("blocks.8.hook_resid_pre") == HookPoint(7, "resid_post")
    assert HookPoint.parse("blocks.0.hook_resid_pre") == HookPoint(0, "resid_pre")


@pytest.mark.parametrize(
    ("layer", "site"),
    [(-1, "resid_post"), (1.0, "resid_post"), (True, "resid_post"), (1, "mlp"), (1, "resid_pre"), (1, "embed")],
)
def test_places_that_are_none_are_refused(layer, site) -> None:
    with pytest.raises(SAEError):
        HookPoint(layer, site)


@pytest.mark.parametrize(
    "module",
    [
        latentprobe.encode.hookpoints,
        latentprobe.encode.latents,
        latentprobe.encode.pooling,
        latentprobe.encode.sae,
    ],
    ids=lambda module: module.__name__,
)
def test_the_examples_in_the_documentation_run(module) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def groupmax(width: int, k: int, d_in: int = 6, seed: int = 0) -> SAE:
    draw = torch.Generator().manual_seed(seed)
    return SAE(
        "by hand",
        "0" * 64,
        HookPoint(0, "resid_post"),
        None,
        torch.randn(d_in, width, generator=draw),
        torch.randn(width, generator=draw),
        GroupMax(k),
    )


@pytest.mark.parametrize("block", [7, 12, 30, 60, 8192])
@pytest.mark.parametrize(("width", "k"), [(60, 1), (60, 5), (60, 60), (60, 12)])
def test_the_largest_of_each_group_is_kept_wherever_blocks_end(monkeypatch, width: int, k: int, block: int) -> None:
    monkeypatch.setattr(latentprobe.encode.sae, "FEATURES", block)
    sae, x = groupmax(width, k), torch.randn(40, 6, generator=torch.Generator().manual_seed(3))
    pre = (x @ sae.W_enc + sae.b_enc).clamp(min=0).reshape(40, k, -1)
    expected = torch.zeros_like(pre).scatter_(2, pre.argmax(2, keepdim=True), pre.amax(2, keepdim=True))
    np.testing.assert_allclose(sae.encode(x).csr().toarray(), expected.reshape(40, width).numpy(), atol=1e-5)


def test_of_equals_in_a_group_the_first_is_kept() -> None:
    sae = replace(groupmax(8, 2), W_enc=torch.ones(6, 8), b_enc=torch.tensor([0.0, 1, 1, 0, 2, 0, 0, 2]))
    assert sae.encode(torch.ones(1, 6)).indices.tolist() == [1, 4]


@pytest.mark.parametrize("k", [0, 7, 61])
def test_groups_that_do_not_make_up_the_width_are_refused(k: int) -> None:
    with pytest.raises(SAEError, match="groups"):
        groupmax(60, k)


def test_a_groupmax_sae_keeps_its_whole_encoder() -> None:
    with pytest.raises(SAEError, match="stand alone"):
        groupmax(60, 5).columns([1, 2])


@pytest.mark.parametrize(
    "pre_ops", [(), ("centre",), ("layer_norm",), ("constant_norm_rescale",), ("centre", "layer_norm")]
)
def test_a_reconstruction_lies_where_its_row_was(pre_ops: tuple[str, ...]) -> None:
    """An SAE that rebuilds exactly what it sees gives the rows back, whatever is done to them first."""
    eye = torch.eye(5)
    sae = SAE(
        "by hand",
        "0" * 64,
        HookPoint(0, "resid_post"),
        None,
        torch.cat([eye, -eye], 1),
        torch.zeros(10),
        Threshold(torch.zeros(10)),
        pre_ops,
        torch.cat([eye, -eye]),
        torch.zeros(5),
    )
    x = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1
    latents, rebuilt = sae.reconstruct(x)
    torch.testing.assert_close(rebuilt, x, atol=1e-4, rtol=1e-4)
    assert len(latents) == 20
