"""Every pooling beside a dense, token-by-token version of its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentprobe.encode.latents import TokenLatents
from latentprobe.encode.pooling import PooledRows, pool, shares
from latentprobe.errors import SAEError, SpecError

ALL = ("max", "sum", "mean", "last", "count", "rate", "top1", "top3", "top20", "rollmax1", "rollmax3", "rollmax50")


def sparse(z: np.ndarray) -> TokenLatents:
    rows, columns = np.nonzero(z)
    indptr = np.searchsorted(rows, np.arange(len(z) + 1))
    return TokenLatents(indptr, columns.astype(np.int32), z[rows, columns].astype(np.float32), z.shape[1])


def dense(rows: PooledRows, name: str, width: int) -> np.ndarray:
    out = np.zeros((len(rows.indptr) - 1, width))
    for row in range(len(out)):
        cells = slice(rows.indptr[row], rows.indptr[row + 1])
        out[row, rows.indices[cells]] = rows.values[name][cells]
    return out


def naive(z: np.ndarray, name: str) -> np.ndarray:
    """One text's dense latents ``[tokens, width]`` pooled, by the words of the definition."""
    tokens, width = z.shape
    if tokens == 0:
        return np.zeros(width)
    if name.startswith("top"):
        counts = np.zeros(width)
        for row in z:
            ranked = sorted((feature for feature in range(width) if row[feature] > 0), key=lambda j: (-row[j], j))
            counts[ranked[: int(name[3:])]] += 1
        return counts
    if name.startswith("rollmax"):
        k = min(int(name[7:]), tokens)
        return np.max([z[t - k + 1 : t + 1].mean(0) for t in range(k - 1, tokens)], axis=0)
    return {
        "max": z.max(0),
        "sum": z.sum(0),
        "mean": z.sum(0) / tokens,
        "last": z[-1],
        "count": (z > 0).sum(0),
        "rate": (z > 0).sum(0) / tokens,
    }[name]


def check(z: np.ndarray, lengths: list[int], poolings: tuple[str, ...] = ALL) -> None:
    rows = pool(sparse(z), np.array(lengths), poolings)
    texts = np.split(z, np.cumsum(lengths)[:-1]) if lengths else []
    assert len(rows.indptr) == len(lengths) + 1 and rows.indptr[-1] == len(rows.indices) == len(rows.peak)
    for name in poolings:
        assert rows.values[name].dtype == np.float32
        expected = np.array([naive(text.astype(float), name) for text in texts]).reshape(len(texts), z.shape[1])
        np.testing.assert_allclose(dense(rows, name, z.shape[1]), expected, rtol=1e-6, atol=1e-7, err_msg=name)
    for row, text in enumerate(texts):
        cells = slice(rows.indptr[row], rows.indptr[row + 1])
        np.testing.assert_array_equal(rows.indices[cells], np.flatnonzero((text > 0).any(0)))
        np.testing.assert_array_equal(rows.peak[cells], text.argmax(0)[rows.indices[cells]] if len(text) else [])


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=0, max_size=6),
    width=st.integers(1, 9),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    ties=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_pooling_equals_its_definition(lengths, width, density, ties, seed) -> None:
    draw = np.random.default_rng(seed)
    shape = (sum(lengths), width)
    values = draw.integers(1, 4, shape) if ties else draw.exponential(size=shape) + 1e-3
    check((values * (draw.random(shape) < density)).astype(np.float32), lengths)


@settings(max_examples=100, deadline=None)
@given(length=st.integers(1, 25), k=st.integers(1, 30), seed=st.integers(0, 2**32 - 1))
def test_rolling_maxima_of_any_window_equal_their_definition(length: int, k: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    z = (draw.exponential(size=(length + 5, 4)) * (draw.random((length + 5, 4)) < 0.3)).astype(np.float32)
    check(z, [length, 5], (f"rollmax{k}",))


def test_many_tokens_of_many_texts() -> None:
    draw = np.random.default_rng(0)
    lengths = draw.integers(0, 60, 40).tolist()
    z = (draw.lognormal(size=(sum(lengths), 64)) * (draw.random((sum(lengths), 64)) < 0.2)).astype(np.float32)
    check(z, lengths)


def test_one_token_is_its_own_maximum_mean_and_last() -> None:
    check(np.array([[0, 2, 0.5]], np.float32), [1])


def test_a_text_without_tokens_or_without_active_features_has_an_empty_row() -> None:
    rows = pool(sparse(np.array([[0, 0], [0, 3]], np.float32)), np.array([0, 1, 0, 1, 0]), ALL)
    assert rows.indptr.tolist() == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("lengths", [[], [0], [0, 0, 0]])
def test_no_tokens_at_all_give_rows_all_the_same(lengths: list[int]) -> None:
    rows = pool(sparse(np.zeros((0, 5), np.float32)), np.array(lengths, np.int64), ALL)
    assert rows.indptr.tolist() == [0] * (len(lengths) + 1)
    assert all(len(values) == 0 for values in rows.values.values()) and set(rows.values) == set(ALL)


def test_mistake_3_a_row_is_the_same_bytes_whatever_stands_beside_it_in_the_batch() -> None:
    draw = np.random.default_rng(3)
    text = (draw.exponential(size=(7, 30)) * (draw.random((7, 30)) < 0.4)).astype(np.float32)
    other = (draw.exponential(size=(50, 30)) * 1e6).astype(np.float32)  # would drown the text in a running total
    alone = pool(sparse(text), np.array([7]), ALL)
    beside = pool(sparse(np.concatenate([other, text, other])), np.array([50, 7, 50]), ALL)
    cells = slice(beside.indptr[1], beside.indptr[2])
    np.testing.assert_array_equal(beside.indices[cells], alone.indices)
    np.testing.assert_array_equal(beside.peak[cells], alone.peak)
    for name in ALL:
        assert beside.values[name][cells].tobytes() == alone.values[name].tobytes(), name


def test_mistake_3_tokens_that_are_not_selected_count_nowhere() -> None:
    """Means and rates divide by the tokens given, not by a padded length."""
    rows = pool(sparse(np.array([[2.0], [0.0], [4.0]], np.float32)), np.array([2, 1]), ["mean", "rate"])
    assert rows.values["mean"].tolist() == [1.0, 4.0] and rows.values["rate"].tolist() == [0.5, 1.0]


def test_mistake_8_counting_means_above_zero_in_every_pooling() -> None:
    tiny = np.float32(1e-38)
    rows = pool(sparse(np.array([[tiny, 0]], np.float32)), np.array([1]), ["count", "rate", "top1", "max"])
    assert rows.indices.tolist() == [0]
    assert rows.values["count"].tolist() == rows.values["rate"].tolist() == rows.values["top1"].tolist() == [1]


def test_mistake_9_top_n_never_fills_up_with_inactive_features() -> None:
    z = np.array([[0, 0, 3, 0, 1], [0, 5, 0, 0, 0]], np.float32)
    rows = pool(sparse(z), np.array([2]), ["top4"])
    assert dense(rows, "top4", 5).tolist() == [[0, 1, 1, 0, 1]]


def test_of_equal_latents_the_lower_feature_is_among_the_top() -> None:
    z = np.array([[2, 2, 2, 9], [2, 2, 2, 1]], np.float32)
    assert dense(pool(sparse(z), np.array([2]), ["top2"]), "top2", 4).tolist() == [[2, 1, 0, 1]]


def test_a_feature_can_be_outside_the_top_and_not_last_yet_in_the_pattern() -> None:
    rows = pool(sparse(np.array([[1, 9], [0, 9]], np.float32)), np.array([2]), ["top1", "last"])
    assert rows.indices.tolist() == [0, 1]
    assert rows.values["top1"].tolist() == [0, 2] and rows.values["last"].tolist() == [0, 9]


def test_only_full_windows_count() -> None:
    z = np.array([[9], [0], [0], [0]], np.float32)
    rows = pool(sparse(z), np.array([4]), ["rollmax1", "rollmax3", "rollmax4", "rollmax9"])
    assert [float(values[0]) for values in rows.values.values()] == [9, 3, 2.25, 2.25]


def test_a_rolling_maximum_is_not_diluted_by_a_long_context() -> None:
    z = np.zeros((5000, 1), np.float32)
    z[4000:4010] = 1
    rows = pool(sparse(z), np.array([5000]), ["rollmax10", "mean"])
    assert float(rows.values["rollmax10"][0]) == 1 and float(rows.values["mean"][0]) == np.float32(0.002)


def test_sums_run_in_float64() -> None:
    z = np.random.default_rng(0).lognormal(sigma=3, size=(3000, 40)).astype(np.float32)
    rows = pool(sparse(z), np.array([3000]), ["sum", "mean"])
    exact = z.astype(np.float64).sum(0)  # rounded to float32 once, at the end
    np.testing.assert_array_equal(rows.values["sum"], exact.astype(np.float32))
    np.testing.assert_array_equal(rows.values["mean"], (exact / 3000).astype(np.float32))


def test_the_first_of_equal_tokens_is_the_peak() -> None:
    rows = pool(sparse(np.array([[1], [3], [3]], np.float32)), np.array([3]), ["max"])
    assert rows.peak.tolist() == [1] and rows.peak.dtype == np.int32


def test_the_pattern_does_not_depend_on_the_poolings_asked_for() -> None:
    z = np.array([[1, 0, 2], [0, 3, 0]], np.float32)
    assert pool(sparse(z), np.array([2]), []).indices.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "name", ["median", "top", "top0", "top-1", "rollmax", "rollmax0", "top1.5", "TOP3", "max ", ""]
)
def test_an_unknown_pooling_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="a pooling is one of") as refused:
        pool(sparse(np.ones((1, 1), np.float32)), np.array([1]), [name])
    assert refused.value.fix


@pytest.mark.parametrize("lengths", [[], [1], [3], [3, -1], [[2]]])
def test_lengths_that_do_not_add_up_to_the_tokens_are_refused(lengths) -> None:
    with pytest.raises(SAEError, match="add up"):
        pool(sparse(np.ones((2, 1), np.float32)), np.array(lengths, np.int64), ["max"])


def naive_parts(z: np.ndarray, name: str) -> np.ndarray:
    """What each token of one text adds to one feature's pooled value, by the words of the definition; z is a column."""
    tokens = len(z)
    if name == "max":
        return np.where(z == z.max(), z.max() / (z == z.max()).sum(), 0)
    if name.startswith("rollmax"):
        k = min(int(name[7:]), tokens)
        first = int(np.argmax([z[t : t + k].astype(np.float32).sum(dtype=float) for t in range(tokens - k + 1)]))
        return np.where((np.arange(tokens) >= first) & (np.arange(tokens) < first + k), z / k, 0)
    alone = np.where(np.arange(tokens) == tokens - 1, z, 0)
    return {"sum": z, "mean": z / tokens, "last": alone, "count": z > 0, "rate": (z > 0) / tokens}[name] * 1.0


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    density=st.sampled_from([0.1, 0.5, 1.0]),
    ties=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_shares_split_each_pooled_value_by_the_rule_of_the_pooling(lengths, density, ties, seed) -> None:
    draw = np.random.default_rng(seed)
    shape = (sum(lengths), 6)
    values = draw.integers(1, 4, shape).astype(np.float32) if ties else draw.exponential(size=shape) + 1e-3
    z = np.where(draw.random(shape) < density, values, 0).astype(np.float32)
    latents = sparse(z)
    token, feature = np.nonzero(z)
    for name in ALL:
        made = np.zeros(shape)
        made[token, feature] = shares(latents, np.array(lengths), name)
        pooled = dense(pool(latents, np.array(lengths), [name]), name, 6)
        for row, (text, part) in enumerate(
            zip(*(np.split(x, np.cumsum(lengths)[:-1]) for x in (z, made)), strict=True)
        ):
            np.testing.assert_allclose(part.sum(0), pooled[row] > 0, atol=1e-12, err_msg=name)
            if name.startswith("top"):
                each = np.array([naive(one[None].astype(float), name) for one in text])
            elif name.startswith("rollmax") and ties:
                continue  # of equally full windows several may be named
            else:
                each = np.stack([naive_parts(column, name) for column in text.T.astype(float)], axis=1)
            np.testing.assert_allclose(part * pooled[row], each, rtol=1e-5, atol=1e-6, err_msg=name)
