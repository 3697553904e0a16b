"""What SAE features are compared with, as strong as it can honestly be."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from latentprobe.config import ProbeSpec
from latentprobe.corpus import Target
from latentprobe.learn import Recipe, SideBySide, choose, inner_folds
from latentprobe.learn.baselines import extractor_for, words_of
from latentprobe.learn.transforms import fit_transform

from .planted import labels, sparse_rows


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a I x 1", ["a", "I", "x", "1"]),
        ("naïve café — straße", ["naïve", "café", "straße"]),
        ("нет, это не так", ["нет", "это", "не", "так"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("cafe\u0301s", ["cafe\u0301s"]),
        ("今天天气", ["今", "天", "天", "气"]),
        ("カタカナ and kanji漢字", ["カ", "タ", "カ", "ナ", "and", "kanji", "漢", "字"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("مَرْحَبًا بك", ["مَرْحَبًا", "بك"]),
        ("so 😀😀!", ["so", "😀", "😀"]),
        ("... !?", []),
    ],
)
def test_words_are_words_in_any_script(text: str, words: list[str]) -> None:
    """Mistake 11: English rules for every language."""
    assert words_of(text) == words


def test_word_counts_are_scikit_learns_where_both_agree_on_words() -> None:
    texts = ["the cat sat", "the dog sat down", "no cat no dog"]
    expected = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    found = extractor_for("words")
    np.testing.assert_allclose(found.fit_transform(texts).toarray(), expected.fit_transform(texts).toarray(), rtol=1e-5)
    np.testing.assert_allclose(found.transform(["a dog"]).toarray(), expected.transform(["dog"]).toarray(), rtol=1e-5)


@pytest.mark.parametrize("features", ["words", "characters"])
def test_terms_are_learned_from_the_texts_fitted_on_alone(features: str) -> None:
    extractor = extractor_for(features)
    extractor.fit_transform(["aaa bbb", "bbb ccc"])
    assert extractor.transform(["zzz yyy"]).nnz == 0


@pytest.mark.parametrize("features", ["words", "characters", "length"])
def test_empty_texts_are_rows_too(features: str) -> None:
    extractor = extractor_for(features)
    assert extractor.fit_transform(["", "   ", ""]).shape[0] == 3
    assert extractor.transform(["some words", ""]).shape[0] == 2


def test_length_knows_nothing_but_length() -> None:
    rows = extractor_for("length").fit_transform(["aaa bb", "ccc dd", "ccc dd ee"])
    assert np.array_equal(rows[0], rows[1])
    np.testing.assert_allclose(rows[2], np.log1p([9, 3]), rtol=1e-6)


def _chosen(texts: list[str], target: Target, features: str):
    folds = inner_folds(target, np.arange(len(texts)), 4, seed=0)
    return choose(texts, target, folds, Recipe(features), ProbeSpec())


def test_the_majority_is_the_majority() -> None:
    y = np.array([0] * 30 + [1] * 70)
    chosen = _chosen(["x"] * 100, Target("binary", ("no", "yes"), y), "majority")
    assert chosen.probe.predict(np.zeros((3, 0)), "binary").tolist() == [1, 1, 1]
    assert chosen.probe.predict_proba(np.zeros((1, 0)), "binary")[0] == pytest.approx([0.3, 0.7])
    assert chosen.probe.C is None
    assert chosen.inner_macro_f1 == pytest.approx(0.7 * 2 / 1.7 / 2)


def test_each_baseline_learns_what_it_can_see() -> None:
    target = labels(200)
    rng = np.random.default_rng(0)
    filler = ["red", "green", "blue", "grey"]
    texts = [" ".join([*rng.choice(filler, 6), "marker" if y else "signal"]) for y in target.y]
    assert _chosen(texts, target, "words").inner_macro_f1 == 1.0
    assert _chosen(texts, target, "characters").inner_macro_f1 == 1.0
    longer = [text + " and more words" * int(y) for text, y in zip(texts, target.y, strict=True)]
    assert _chosen(longer, target, "length").inner_macro_f1 == 1.0
    assert _chosen(texts, target, "majority").inner_macro_f1 < 0.6


# -- hidden states in few dimensions, and beside SAE features ----------------------------------------------------------


def _hidden(n: int = 120, d: int = 12, seed: int = 0) -> np.ndarray:
    """Correlated columns of very different lengths, far from 0."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(n, d)) @ draw.normal(size=(d, d)) * draw.lognormal(0, 3, d) + draw.normal(0, 50, d)
    return rows.astype(np.float32)


def test_components_are_those_of_numpys_svd_of_standardized_columns() -> None:
    rows, new = _hidden(), _hidden(30, seed=1)
    found = extractor_for("pca5")
    ours, theirs = (
        found.fit_transform(rows),
        (rows - rows.mean(axis=0, dtype=np.float64)) / rows.std(axis=0, dtype=float),
    )
    u, s, vt = np.linalg.svd(theirs, full_matrices=False)
    unit = 16 / np.sqrt(rows.shape[1])  # rows of the length that all representations have
    np.testing.assert_allclose(np.abs(ours), np.abs(u[:, :5] * s[:5]) * unit, rtol=2e-3, atol=1e-3)
    scaled = (new - rows.mean(axis=0, dtype=np.float64)) / rows.std(axis=0, dtype=float)
    np.testing.assert_allclose(np.abs(found.transform(new)), np.abs(scaled @ vt[:5].T) * unit, rtol=2e-3, atol=1e-2)


def test_there_are_no_more_components_than_columns_or_rows() -> None:
    assert extractor_for("pca50").fit_transform(_hidden(120, 12)).shape == (120, 12)
    assert extractor_for("pca50").fit_transform(_hidden(8, 12)).shape == (8, 8)
    assert extractor_for("pca50").fit_transform(np.ones((8, 12), np.float32)).shape == (8, 0)


def test_components_are_learned_from_the_rows_of_a_fit_alone() -> None:
    """One held-out row of another world would turn every component, had it been seen."""
    target = labels(120)
    rows = _hidden()
    rows[:, 0] += 5 * rows[:, 0].std() * target.y
    folds = inner_folds(target, np.arange(120), 3, seed=0)
    turned = [folds[0], folds[0][::-1]]
    before = choose(rows, target, turned, Recipe("pca3"), ProbeSpec(C=(1.0,)))
    loud = rows.copy()
    loud[folds[0][1][:5]] *= 1000
    after = choose(loud, target, turned, Recipe("pca3"), ProbeSpec(C=(1.0,)))
    same = folds[0][1][5:]
    assert np.array_equal(before.out_of_fold[same], after.out_of_fold[same])


def test_side_by_side_each_block_is_scaled_as_it_is_alone() -> None:
    target = labels(120)
    sparse, dense = sparse_rows(target.y), _hidden()
    together = extractor_for("both").fit_transform(SideBySide(sparse, dense)).toarray()
    alone = [
        fit_transform(sparse, target, scaling="firing")[0].toarray(),
        fit_transform(dense, target, scaling="standard")[0],
    ]
    np.testing.assert_allclose(together, np.hstack(alone), rtol=1e-5, atol=1e-5)
    assert SideBySide(sparse, dense).shape == (120, 212)


@pytest.mark.parametrize("where", ["sparse", "dense"])
def test_side_by_side_finds_what_either_block_has(where: str) -> None:
    target = labels(160)
    noise = sparse_rows(np.zeros(160, dtype=np.int64))
    sparse, dense = (sparse_rows(target.y, planted=20) if where == "sparse" else noise), _hidden(160)
    if where == "dense":
        dense[:, 4] += 6 * dense[:, 4].std() * target.y
    rows = SideBySide(sparse, dense)
    folds = inner_folds(target, np.arange(160), 4, seed=0)
    chosen = choose(rows, target, folds, Recipe("both"), ProbeSpec())
    assert chosen.inner_macro_f1 > 0.75
    np.testing.assert_array_equal(chosen.decision(rows), chosen.decision(rows[np.arange(160)]))
