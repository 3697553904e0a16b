"""Curves along one choice."""

from __future__ import annotations

import numpy as np

from latentprobe.config import EvaluateSpec, ProbeSpec
from latentprobe.learn import Representation, Split, along, evaluate, k_sparse_representations

from .planted import labels, sparse_rows


def test_with_as_many_features_as_are_planted_every_rule_does_what_all_features_do() -> None:
    target = labels(400)
    rows = sparse_rows(target.y, planted=4)
    whole = Representation(kind="sae", name="all", features="sparse", load=lambda: rows, source="rows")
    made, told = k_sparse_representations([whole], [8, 1], n_classes=2)
    assert [(one["rule"], one["k"]) for one in told] == [
        (rule, k) for rule in ("mean difference", "L1 path", "weight") for k in (1, 8)
    ]
    parts = Split(train=np.arange(300), test=np.arange(300, 400))
    settings = EvaluateSpec(folds=3, bootstrap=100)
    rows_out = evaluate([whole, *made], target, np.arange(400), parts, ProbeSpec(C=(0.01, 0.1)), settings, jobs=1).rows
    full, *thin = [row["inner_macro_f1"] for row in rows_out]
    assert [row["n_features"] for row in rows_out[1:]] == [1, 8] * 3
    for one, eight in zip(thin[::2], thin[1::2], strict=True):
        assert one < eight > full - 0.02
    assert [row["selection"] for row in rows_out[1:]] == ["top1", "top8", "l1top1", "l1top8", "weight1", "weight8"]


def test_the_l1_path_is_left_out_where_there_are_many_classes() -> None:
    whole = Representation(kind="sae", name="all", features="sparse", load=lambda: None, source="rows")
    _, told = k_sparse_representations([whole], [4], n_classes=77)
    assert {one["rule"] for one in told} == {"mean difference", "weight"}


def test_a_point_of_a_curve_is_the_mean_and_the_row_that_inner_folds_prefer() -> None:
    def row(layer: int, pooling: str, inner: float, test: float) -> dict[str, object]:
        scores = {"inner_macro_f1": inner, "macro_f1": test, "low": test - 0.1, "high": test + 0.1}
        return {"kind": "sae", "name": f"{layer} {pooling}", "layer": layer, "pooling": pooling, "width": 8} | scores

    rows = [row(10, "max", 0.5, 0.9), row(9, "max", 0.7, 0.6), row(9, "sum", 0.9, 0.4)]
    rows.append({"kind": "baseline", "name": "hidden", "layer": 9, "inner_macro_f1": 1.0})
    curves = along(rows)
    assert set(curves) == {"layer", "pooling"}
    assert [point["value"] for point in curves["layer"]] == [9, 10]
    assert np.isclose(curves["layer"][0]["inner"], 0.8) and curves["layer"][0]["rows"] == 2
    best = curves["layer"][0]["best"]
    assert (best["name"], best["macro_f1"]) == ("9 sum", 0.4)
