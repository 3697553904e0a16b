"""What a test part can tell, and what choosing on it would have gained."""

from __future__ import annotations

import numpy as np
import pytest

from latentprobe.learn.intervals import Difference, paired_difference
from latentprobe.learn.power import minimal_difference, power_of, winners_curse


def test_a_difference_of_the_minimal_size_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(0)
    error = 0.02
    seen = rng.normal(minimal_difference(error), error, 20_000)
    assert np.mean(np.abs(seen) > 1.959964 * error) == pytest.approx(0.8, abs=0.01)


def test_the_error_is_the_spread_of_the_resampled_differences() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(500), rng.random(500)
    assert paired_difference(0.0, first, second).error == pytest.approx(np.std(first - second, ddof=1))


def test_the_sentence_and_the_rows_needed_say_what_the_numbers_say() -> None:
    found = power_of(Difference(0.01, -0.02, 0.04, 0.4, error=0.0143), 0.86, 200)
    assert found["minimal_difference"] == pytest.approx(0.0143 * 2.8016, abs=1e-4)
    assert "200 test rows" in found["sentence"] and ".860 from 0.900" in found["sentence"]
    assert found["rows_needed"]["0.01"] == pytest.approx(200 * (found["minimal_difference"] / 0.01) ** 2, abs=1)
    assert found["rows_needed"]["0.02"] < found["rows_needed"]["0.01"]


def test_the_example_stays_between_nothing_and_one() -> None:
    assert "0.930 from 0.990" in power_of(Difference(0, 0, 0, 1, error=0.06 / 2.8016), 0.99, 50)["sentence"]
    assert "no two scores" in power_of(Difference(0, 0, 0, 1, error=0.5), 0.5, 5)["sentence"]


def test_two_that_never_differ_have_no_minimal_difference() -> None:
    found = power_of(Difference(0.0, 0.0, 0.0, 1.0, error=0.0), 0.9, 100)
    assert (found["minimal_difference"], found["rows_needed"]) == (None, {})


def test_the_curse_is_what_the_best_on_test_has_over_the_chosen_one() -> None:
    scores = {"sae": [0.8, 0.86, 0.84], "baseline": [0.7, 0.75]}
    rows = [
        {"kind": kind, "name": f"{kind} {i}", "macro_f1": score}
        for kind, own in scores.items()
        for i, score in enumerate(own)
    ]
    found = winners_curse(rows, {"sae": 2, "baseline": 4})
    assert found["sae"]["value"] == pytest.approx(0.02)
    assert (found["sae"]["rows"], found["sae"]["chosen"], found["sae"]["best_on_test"]) == (3, "sae 2", "sae 1")
    assert found["baseline"]["value"] == 0.0
    assert winners_curse(rows, {"sae": 0, "baseline": None}).keys() == {"sae"}
