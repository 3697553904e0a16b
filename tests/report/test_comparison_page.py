"""The page of two classifiers side by side."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from run_folders import SCORED

from latentprobe.corpus import Target
from latentprobe.learn.paired import paired_scores
from latentprobe.report.comparison import comparison_page, edit_page

HOSTILE = "</script><script>alert(1)</script>\u202e<img src=x onerror=alert(1)>"


def found(**more: Any) -> dict[str, Any]:
    target = Target("binary", ("no", HOSTILE), np.arange(80) % 2)
    after = np.where(np.arange(80) % 5 == 0, 1 - target.y, target.y)
    columns = {HOSTILE: [f"{HOSTILE}{i % 2}" for i in np.arange(80) // 2]}
    ids = [f"{HOSTILE}{i}" for i in range(80)]
    scores = paired_scores(target, target.y, after, np.arange(80), ids=ids, columns=columns, resamples=50)
    feature = {"feature": 7, "label": HOSTILE, "weight": -0.5}
    return {
        "data": HOSTILE,
        "scores": scores,
        "first": HOSTILE,
        "second": "new",
        "features": {"came": [feature], "went": [], "kept": 3},
        "dropped": [feature],
        "refitted_on": HOSTILE,
        "n_features": {"before": 4, "after": 3},
    } | more


def test_nothing_of_a_stranger_s_text_becomes_markup() -> None:
    for page in (comparison_page(found()), edit_page(found())):
        assert page.count("<script") == page.count("</script") == 1 and "<img" not in page
        assert "\u202e" not in page and "&lt;img src=x" in page
        assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_the_page_has_every_flip_and_every_score() -> None:
    page = comparison_page(found())
    assert page.count("<td>wrong</td>") == 16
    assert "16 flipped (20.0%)" in page and "widest gap in accuracy" in page
    assert "weight −0.5" in page


def test_a_feature_that_came_or_was_dropped_has_its_label_s_score_where_it_is_known() -> None:
    scored = {"feature": 7, "label": "you", "weight": -0.5, "label_score": SCORED}
    words = "label score 0.90 (0.85 to 0.95) where strongest, 0.55 (0.52 to 0.58) wherever on"
    assert words in comparison_page(found(features={"came": [scored], "went": [], "kept": 3}))
    assert words in edit_page(found(dropped=[scored]))
    for unknown in (scored | {"label_score": None}, {"feature": 7, "label": "you"}):
        assert "label score" not in edit_page(found(dropped=[unknown]))


def test_a_gap_is_shown_with_the_scores_it_is_between() -> None:
    """A gap also closes where the better group comes to fare as badly as the other."""
    one = found()
    (by,) = one["scores"]["by"].values()
    same = by["changes"]["fpr"]["same"]
    page = edit_page(one)
    for value in (same["highest"], same["lowest"]):
        for side in ("before", "after"):
            own = by["scores"][side]["values"][value]["fpr"]
            assert f"{own['value']:.3f} [{own['low']:.3f}, {own['high']:.3f}]" in page


def test_an_edit_that_was_not_measured_says_so() -> None:
    page = edit_page(found(scores=None, data=None))
    assert "labelled rows were not given" in page and "Rows that flipped" not in page


def test_a_search_shows_each_step_with_what_inner_folds_say_of_it() -> None:
    step = {"searched": {"gap": 0.25, "macro_f1": 0.75}, "inner": {"change": -0.125, "error": 0.0625}}
    steps = [step | {"n_dropped": 0, "feature": None, "label": None, "proposed": False}]
    steps += [step | {"n_dropped": 1, "feature": 7, "label": HOSTILE, "proposed": True}]
    proposal = {"by": HOSTILE, "gap": "macro_f1", "n_searched": 11, "n_held_out": 12, "steps": steps, "threshold": None}
    page = edit_page(found(proposal=proposal))
    assert page.count("−0.125 ± 0.062") == 2 and page.count("<td>yes</td>") == 1 and "11 rows" in page
    assert page.count("<script") == 1 and "<img" not in page
