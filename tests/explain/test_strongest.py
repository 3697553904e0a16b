"""The texts that light one feature most are found without looking at any other."""

from __future__ import annotations

import numpy as np

from latentprobe.explain.strongest import strongest
from latentprobe.store import SparseFeatures

TEXTS = ["one two", "ONE  two", "three", "four five", "six"]


def features() -> SparseFeatures:
    """Feature 2 is on in rows 0 to 3, strongest in 3; row 4 has nothing; rows 0 and 1 hold the same text."""
    return SparseFeatures(
        4,
        tuple("abcde"),
        np.full(5, 2, np.int32),
        np.array([0, 2, 3, 4, 6, 6]),
        np.array([1, 2, 2, 2, 0, 2], np.int32),
        {"max": np.array([9.0, 3.0, 2.0, 0.0, 9.0, 5.0], np.float32)},
        np.array([0, 4, 5, 0, 0, 5], np.int32),
        np.array([3, 7, 8, 5, 4, 9], np.int32),
    )


def test_the_strongest_texts_come_first_each_once_with_the_token_that_is_lit() -> None:
    found = strongest(features(), "max", 2, TEXTS, limit=5)
    assert [(one["id"], one["value"]) for one in found] == [("d", 5.0), ("a", 3.0)]  # not its copy b, nor c at 0
    assert [one["text"][one["start"] : one["end"]] for one in found] == ["five", "two"]
    assert strongest(features(), "max", 2, TEXTS, limit=1) == found[:1]


def test_a_feature_that_is_nowhere_has_no_text() -> None:
    assert strongest(features(), "max", 3, TEXTS) == []


def test_of_an_image_the_patch_is_named() -> None:
    (found, _) = strongest(features(), "max", 2, ["x/a.png", "x/b.png", "c", "d", "e"], images=True)
    assert found["text"] == "d: patch 5" and found["text"][found["start"] : found["end"]] == "patch 5"
