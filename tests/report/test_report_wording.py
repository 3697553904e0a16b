from __future__ import annotations

from typing import Any

import pytest

from latentprobe.report import wording

SAE = {"kind": "sae", "name": "s", "sae": "bundled:some-sae",
       "layer": 3, "pooling": "max", "binarize": "none", "selection": "all",
       "macro_f1": 0.914, "low": 0.868, "high": 0.944, "inner_macro_f1": 0.9, "selected": True}  # fmt: skip
HIDDEN = {"kind": "baseline", "name": "layer 5 hidden mean", "layer": 5, "pooling": "mean", "binarize": "none",
          "selection": "all", "macro_f1": 0.911, "low": 0.87, "high": 0.94, "inner_macro_f1": 0.9,
          "selected": False}  # fmt: skip
MAJORITY = {"kind": "baseline", "name": "majority", "layer": None, "pooling": None, "binarize": None,
            "selection": None, "macro_f1": 0.33, "low": 0.33, "high": 0.33, "inner_macro_f1": 0.33,
            "selected": False}  # fmt: skip


def results(low: float, value: float, high: float) -> dict[str, Any]:
    return {"n_test": 200, "selected": SAE, "best_baseline": HIDDEN, "rows": [SAE, HIDDEN, MAJORITY],
            "difference": {"value": value, "low": low, "high": high, "p": 0.5}}  # fmt: skip


def test_the_headline_says_score_interval_rows_and_baseline() -> None:
    assert " ".join(wording.headline(results(-0.02, 0.003, 0.03))) == (
        "The best readable classifier (SAE features of layer 3, max-pooled) reaches macro F1 0.91 [0.87, 0.94] on "
        "200 test rows. The best baseline, hidden states of layer 5, mean-pooled, reaches 0.91 [0.87, 0.94]. "
        "The difference, 0.00 [−0.02, +0.03], is within what 200 test rows can tell."
    )


def test_a_readable_classifier_that_loses_is_said_to_lose() -> None:
    lost = results(-0.08, -0.05, -0.02)
    assert wording.verdict(lost["difference"]) == "behind"
    assert "the baseline is better" in wording.headline(lost)[-1]
    assert "−0.05 [−0.08, −0.02]" in wording.headline(lost)[-1]


def test_it_is_ahead_only_where_the_whole_interval_is() -> None:
    assert wording.verdict(results(0.01, 0.03, 0.05)["difference"]) == "ahead"
    assert wording.verdict(results(0.0, 0.03, 0.05)["difference"]) == "level"
    assert wording.verdict(results(-0.05, -0.03, 0.0)["difference"]) == "level"
    assert wording.verdict(None) == "alone"


def test_a_score_that_guessing_would_reach_is_called_so() -> None:
    assert wording.warning(results(0, 0, 0)) is None
    hollow = results(0, 0, 0) | {"selected": SAE | {"low": 0.31}}
    assert "most frequent class" in str(wording.warning(hollow))


def test_a_higher_test_score_than_the_selected_one_is_explained() -> None:
    assert wording.temptation(results(0, 0, 0)) is None
    higher = SAE | {"macro_f1": 0.95, "selected": False, "layer": 1}
    said = wording.temptation(results(0, 0, 0) | {"rows": [SAE, higher, HIDDEN]})
    assert said and "0.950" in said and "some-sae, layer 1, max-pooled" in said and "training part only" in said


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (SAE | {"binarize": "1.0"}, "SAE features of layer 3, max-pooled, binarized at 1"),
        (SAE | {"binarize": "auto", "pooling": "top20"},
         "SAE features of layer 3, counted among the top 20 of a token, binarized at learned thresholds"),
        (SAE | {"selection": "top256"}, "SAE features of layer 3, max-pooled, the best 256 features"),
        (SAE | {"selection": "l1", "pooling": "rollmax8"},
         "SAE features of layer 3, largest mean over 8 tokens, chosen by L1"),
        (HIDDEN, "hidden states of layer 5, mean-pooled"),
        (MAJORITY, "always the most frequent class"),
        (MAJORITY | {"name": "tfidf words"}, "TF-IDF words"),
        (MAJORITY | {"name": "length"}, "text length alone"),
    ],
)  # fmt: skip
def test_a_row_is_named_as_a_person_would(row: dict[str, Any], words: str) -> None:
    assert wording.representation(row) == words


def test_counts_have_their_plural() -> None:
    assert wording.counted(1, "row") == "1 row"
    assert wording.counted(2000, "row") == "2,000 rows"
    assert wording.counted(3, "class") == "3 classes"


def test_minus_zero_is_zero() -> None:
    assert wording.signed(-0.0001) == "0.00"
    assert wording.signed(-0.006) == "−0.01"
    assert wording.interval(-0.1, 0.1, plus=True) == "[−0.10, +0.10]"
    assert wording.interval(None, None) == ""


@pytest.mark.parametrize(
    ("row", "family", "said"),
    [
        (HIDDEN, "hidden", "hidden states of layer 5, mean-pooled"),
        (
            HIDDEN | {"name": "layer 5 prompted hidden last", "pooling": "last"},
            "prompted",
            "hidden states after the question of layer 5, at the last token",
        ),
        (
            HIDDEN | {"selection": "pca64"},
            "pca",
            "principal components of hidden states of layer 5, mean-pooled, 64 of them",
        ),
        (
            SAE | {"kind": "baseline"},
            "both",
            "SAE features and hidden states together of layer 3, max-pooled",
        ),
        (
            SAE | {"kind": "baseline", "sae": "random:bundled:some-sae"},
            "random",
            "features of an untrained SAE of layer 3, max-pooled",
        ),
    ],
)
def test_each_kind_of_baseline_has_its_words(row: dict[str, Any], family: str, said: str) -> None:
    assert (wording.family(row), wording.representation(row)) == (family, said)
