"""Charts beside the table say what the files say."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from latentprobe.report.charts import Point, Scale, Series, columns, plot
from latentprobe.report.curves import calibration, regimes, sparse


def predictions(n: int = 400) -> dict[str, list]:
    make = random.Random(0)
    hostile = [make.random() for _ in range(n)]
    true = ["hostile" if make.random() < p**2 else "civil" for p in hostile]
    said = ["hostile" if p > 0.5 else "civil" for p in hostile]
    return {
        "true": true,
        "selected/label": said,
        "selected/p/civil": [1 - p for p in hostile],
        "selected/p/hostile": hostile,
    }


def results(**changes: object) -> dict:
    return {"classes": ["civil", "hostile"], "target": "binary", "selected": {"ece": 0.1}} | changes


def test_calibration_is_what_scikit_learn_makes_of_the_predictions() -> None:
    table = predictions()
    found = calibration(results(), table)
    assert found is not None
    right = np.array(table["true"]) == np.array(table["selected/label"])
    sure = np.maximum(table["selected/p/civil"], table["selected/p/hostile"])
    shares, means = calibration_curve(right, sure, n_bins=10)
    assert [line[0] for line in found["lines"]] == [f"{round(100 * mean)} %" for mean in means]
    assert [line[1] for line in found["lines"]] == [f"{round(100 * share)} %" for share in shares]
    assert sum(line[2] for line in found["lines"]) == 400


def test_calibration_is_left_out_where_a_row_is_not_simply_right_or_wrong() -> None:
    assert calibration(results(target="multilabel"), predictions()) is None
    assert calibration(results(), {"id": []}) is None


def test_a_chart_of_few_features_has_every_score_in_its_title_and_its_table() -> None:
    found = sparse(
        {
            "curves": {
                "k_sparse": [
                    {"representation": name, "rule": "weight", "k": k, "kind": kind, "inner_macro_f1": 0.7}
                    | {"macro_f1": score, "low": score - 0.1, "high": score + 0.1}
                    for name, kind, score in (("a", "sae", 0.6), ("b", "baseline", 0.5), ("c", "baseline", 0.4))
                    for k in (1, 16)
                ]
            }
        }
    )
    assert found is not None
    title = re.findall("<title>(.*?)</title>", found["plots"][0]["svg"])[0]
    assert "a: 1 features 0.60, 16 features 0.60" in title and "c: 1 features 0.40" in title
    assert [line["k"] for line in found["lines"]] == [1, 16] * 3
    classes = [one["class"] for one in found["legend"]]
    assert len(set(classes)) == 3, "lines of one kind have dashes of their own"


def test_a_gain_is_marked_as_one_only_where_its_interval_leaves_zero() -> None:
    def told(low: float, high: float) -> str:
        gain = {"value": (low + high) / 2, "low": low, "high": high}
        one = {"regime": "rows", "level": 20, "n_train": 20, "repeats": 1, "baseline": 0.5, "all": 0.6, "gain": gain}
        found = regimes({"regimes": {"conditions": [one], "left_out": []}})
        assert found is not None
        return str(found["groups"][0]["lines"][0]["svg"])

    assert "m-selected" in told(0.01, 0.05)
    assert "m-baseline" in told(-0.05, -0.01)
    assert "m-test" in told(-0.01, 0.05)


def test_a_plot_puts_points_where_their_values_are() -> None:
    made = plot(["1", "2"], Scale(0, 1, (0, 1)), [Series([Point(0, 0.25), Point(1, 1.0)], "selected", "l")], title="t")
    assert 'x1="25.00%" y1="75.00%" x2="75.00%" y2="0.00%"' in made


def test_a_histogram_stacks_both_parts_to_the_height_of_their_sum() -> None:
    made = str(columns([2, 1], [2, 0], title="t"))
    heights = [(float(y), float(high)) for y, high in re.findall(r'y="([\d.]+)%" height="([\d.]+)%"', made)]
    assert heights == [(50.0, 50.0), (0.0, 50.0), (75.0, 25.0)]
    with pytest.raises(ValueError, match="argument 2"):
        columns([1], [1, 2], title="t")
