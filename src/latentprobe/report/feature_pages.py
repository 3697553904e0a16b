"""Every feature the page names, by itself: evidence, histogram, a weight for each class, neighbours.

Sorts and words what evidence.json says. Knows nothing of HTML beyond the pictures of ``charts``.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from latentprobe.report import wording
from latentprobe.report.charts import bar, columns
from latentprobe.report.classes import example

__all__ = ["feature_pages"]

Section = dict[str, Any]

MOST = 400
"""Features with a page of their own."""
CLASSES = 12
"""Classes whose weight is shown, the largest first in either direction."""
EXAMPLES = 4


def feature_pages(evidence: Section) -> list[Section]:
    """A page a feature, in order of the largest contribution to any class; empty for a run of an older version."""
    profiles = evidence.get("profiles") or []
    named: dict[int, tuple[float, str, list[Section]]] = {}
    for one in evidence.get("classes") or []:
        for feature in one["features"]:
            added = feature["mean_contribution"]
            if feature["feature"] not in named or added > named[feature["feature"]][0]:
                named[feature["feature"]] = (added, one["class"], feature["examples"])
    known = [profile for profile in profiles if profile["feature"] in named]
    known.sort(key=lambda profile: -named[profile["feature"]][0])
    shown = known[:MOST]
    linked = {profile["feature"] for profile in shown}
    return [_page(profile, *named[profile["feature"]][1:], linked, evidence.get("neuronpedia")) for profile in shown]


def _page(profile: Section, name: str, examples: list[Section], linked: set[int], neuronpedia: str | None) -> Section:
    weights = sorted(profile["weights"].items(), key=lambda pair: -abs(pair[1]))
    heaviest = abs(weights[0][1]) or 1
    histogram = profile["histogram"]
    inside, outside = sum(histogram["inside"]), sum(histogram["outside"])
    highest = histogram["edges"][-1]
    title = f"on in {inside:,} rows of {histogram['class']} and {outside:,} others; highest value {highest:g}"
    return {
        "feature": profile["feature"],
        "label": profile["label"],
        "label_score": profile.get("label_score"),
        "class": name,
        "rate": wording.percent(profile["rate"]),
        "weights": [
            (
                of,
                wording.signed(weight, 3),
                bar(abs(weight) / heaviest, title=f"weight {weight:.3f}", kind="bar" if weight >= 0 else "against"),
            )
            for of, weight in weights[:CLASSES]
        ],
        "more_weights": max(0, len(weights) - CLASSES),
        "histogram": columns(histogram["inside"], histogram["outside"], title=title),
        "of": histogram["class"],
        "highest": wording.number(highest, 2),
        "inside": inside,
        "outside": outside,
        "neighbours": [
            {**one, "similarity": wording.number(one["similarity"]), "linked": one["feature"] in linked}
            for one in profile["neighbours"]
        ],
        "examples": [example(one, name) for one in examples[:EXAMPLES]],
        "neuronpedia": _address(neuronpedia, profile["feature"]),
    }


def _address(name: str | None, feature: int) -> str | None:
    """Where Neuronpedia shows a feature; None for a name that is none of its names."""
    if not name or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return None
    return f"https://www.neuronpedia.org/{quote(name)}/{feature}"
