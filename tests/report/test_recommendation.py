"""The advice: each answer follows from the numbers of the run, and "no" is one of them."""

from __future__ import annotations

from typing import Any

import pytest

from latentprobe.report import recommendation


def row(kind: str, name: str, inner: float, **more: Any) -> dict[str, Any]:
    plain = dict.fromkeys(("model", "layer", "sae", "width", "tokens", "pooling", "binarize", "selection"))
    scores = {"inner_macro_f1": inner, "macro_f1": inner, "low": inner - 0.05, "high": inner + 0.05}
    return plain | {"kind": kind, "name": name, "n_features": 10} | scores | more


SAE = row("sae", "layer 3 sae max", 0.8, model="minilm", layer=3, sae="bundled:x", width=4096, pooling="max")
HIDDEN = row("baseline", "layer 3 hidden mean", 0.8, model="minilm", layer=3, pooling="mean")
WORDS = row("baseline", "tfidf words", 0.6)


def run(hidden: tuple[float, float], words: tuple[float, float] = (0.1, 0.2), **more: Any) -> dict[str, Any]:
    """A run whose SAE row differs from hidden states and from word counts by these intervals."""
    gaps = [
        {
            "baseline": name,
            "value": (low + high) / 2,
            "low": low,
            "high": high,
            "p_holm": 0.5 if low < 0 < high else 0.01,
        }
        for name, (low, high) in ((HIDDEN["name"], hidden), (WORDS["name"], words))
    ]
    known = {"name": "it", "n_train": 400, "n_test": 100, "n_rows": 500, "selected": SAE, "differences": gaps}
    return known | {"rows": [SAE, HIDDEN, WORDS], "best_baseline": HIDDEN} | more


def advice(*arguments: Any, **more: Any) -> dict[str, Any]:
    return recommendation(run(*arguments, **more), {"seconds": {"extract": 30.0}, "cpu_count": 2})


@pytest.mark.parametrize(
    ("hidden", "helps", "words"),
    [
        ((0.02, 0.08), "yes", "Use SAE features: they help here, by +0.050 [+0.020, +0.080]"),
        ((-0.08, -0.02), "no", "they don't help here, −0.050 [−0.080, −0.020]"),
        ((-0.03, 0.05), "level", "With 100 test rows one below about 0.04 can't be told from none."),
    ],
)
def test_whether_they_help_is_told_from_the_paired_difference(
    hidden: tuple[float, float], helps: str, words: str
) -> None:
    told = advice(hidden)
    assert told["helps"] == helps
    assert words in told["sentences"][0]


def test_a_difference_that_the_correction_takes_away_is_no_difference() -> None:
    results = run((0.001, 0.08))
    results["differences"][0]["p_holm"] = 0.06
    assert recommendation(results, {})["helps"] == "level"


def test_the_detectable_difference_of_the_run_goes_before_our_own_estimate() -> None:
    assert "below about 0.07" in advice((-0.03, 0.05), power={"minimal_difference": 0.07})["sentences"][0]


def test_word_counts_that_do_as_well_are_named_as_the_cheaper_way() -> None:
    assert (
        "Word counts do as well as can be told, without a language model"
        in advice((0.02, 0.08), (-0.01, 0.03))["sentences"][1]
    )
    assert advice((0.02, 0.08), (-0.09, -0.03))["sentences"][1].startswith("Word counts do better")


def point(value: Any, inner: float) -> dict[str, Any]:
    return {"value": value, "best": {"inner_macro_f1": inner}}


def test_of_layers_within_one_standard_error_the_shallowest_is_advised_and_of_poolings_the_best() -> None:
    # The standard error of an inner score here: 0.1 / (2 * 1.96) * sqrt(100 / 400) = 0.0128.
    layers = [point(1, 0.70), point(3, 0.791), point(5, 0.80)]
    poolings = [point("max", 0.79), point("sum", 0.80)]
    told = advice((0.02, 0.08), curves={"layer": layers, "pooling": poolings})
    assert told["setting"] == {"layer": 3, "width": 4096, "pooling": "sum"}
    assert any("5 is ahead by less than one standard error, and costs more" in line for line in told["sentences"])
    assert any("within one standard error of it: max" in line for line in told["sentences"])


def test_each_regime_gets_a_sentence_with_its_gain() -> None:
    gain = {"value": 0.02, "low": 0.01, "high": 0.03}
    whole = {"regime": "noise", "level": None, "gain": gain, "sae_chosen": 0.75}
    told = advice((0.02, 0.08), regimes={"conditions": [whole | {"level": 0.1}, whole]})
    (line,) = [line for line in told["sentences"] if "label noise" in line]
    assert "helps: +0.020 [+0.010, +0.030]" in line and "75 %" in line


def test_without_hidden_states_among_the_baselines_it_says_what_is_missing() -> None:
    results = run((0.02, 0.08))
    results["rows"] = [SAE, WORDS]
    assert "add `hidden` to the baselines" in recommendation(results, {})["sentences"][0]
