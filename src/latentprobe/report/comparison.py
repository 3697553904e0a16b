"""The page of two classifiers side by side: an edit before and after, or one run and another.

One file that opens offline, with the style and the script of the report. Knows nothing of how its figures came about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from latentprobe.report.html import filled
from latentprobe.report.wording import signed

__all__ = ["comparison_page", "edit_page", "score_lines"]

#: Features of each list, and flipped rows, that the page shows; the JSON beside it has all.
FEATURES, ROWS = 100, 2000
#: Figures of a score.
KINDS = ("before", "after", "change")


def edit_page(found: Mapping[str, Any]) -> str:
    """The page of what ``edit`` did.

    Args:
        found: the content of edit.json.
    """
    count = found["n_features"]
    how = f"fitted anew on {found['refitted_on']}" if found["refitted_on"] else "their weights removed, nothing fitted"
    lead = f"{len(found['dropped'])} of {count['before']:,} features dropped, {how}."
    return _page(found, "Edit", "Before and after an edit", lead, ("before", "after"), {"Dropped": found["dropped"]})


def comparison_page(found: Mapping[str, Any]) -> str:
    """The page of a comparison.

    Args:
        found: the content of comparison.json.
    """
    names, features = (found["first"], found["second"]), found["features"]
    lead = "They read different SAEs, so their features cannot be told apart one by one."
    lists = {}
    if features is not None:
        lead = f"{features['kept']:,} features in both, {len(features['came']):,} came, {len(features['went']):,} went."
        lists = {"Came": features["came"], "Went": features["went"]}
    return _page(found, "Comparison", f"{names[1]} in place of {names[0]}", lead, names, lists)


def _page(
    found: Mapping[str, Any],
    eyebrow: str,
    title: str,
    lead: str,
    names: tuple[str, str],
    lists: Mapping[str, list[Mapping[str, Any]]],
) -> str:
    scores = found["scores"]
    parts = {
        "eyebrow": eyebrow,
        "title": title,
        "lead": lead,
        "names": names,
        "data": found["data"],
        "n_rows": None if scores is None else scores["n_rows"],
        "lines": [] if scores is None else list(score_lines(scores)),
        "flipped": None if scores is None else scores["flipped"],
        "share": None if scores is None else f"{scores['flipped']['share']['value']:.1%}",
        "rows": [] if scores is None else [_row(row) for row in scores["flipped"].get("rows", [])[:ROWS]],
        "lists": {name: own[:FEATURES] for name, own in lists.items() if own},
        "search": _search(found.get("proposal")),
    }
    return filled("comparison.html.j2", parts)


def score_lines(scores: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A line a score: both values, of all but single groups the change and whether its interval leaves out none, and
    plain figures."""
    named = [("macro F1", scores["macro_f1"]), ("accuracy", scores["accuracy"])]
    named += [(f"F1 of {one['class']}", one) for one in scores["per_class"] if "change" in one]
    for column, by in scores["by"].items():
        for measure, change in by["changes"].items():
            if change is not None:
                same = change["same"]
                what = measure.replace("_", " ")
                named.append((f"widest gap in {what} by {column}", change["widest"]))
                named.append((f"{what} of {same['highest']} minus {same['lowest']}", same))
                for value in (same["highest"], same["lowest"]):
                    sides = {side: by["scores"][side]["values"][value][measure] for side in ("before", "after")}
                    named.append((f"{what} of {value}", sides))
    for name, one in named:
        change = one.get("change")
        yield {
            "name": name,
            "before": _value(one["before"]),
            "after": _value(one["after"]),
            "change": "" if change is None else signed(change["value"], 3),
            "interval": "" if change is None else f"[{signed(change['low'], 3)}, {signed(change['high'], 3)}]",
            "sure": change is not None and _is_sure(change),
            "plain": {"score": name} | {k: v for what in KINDS if what in one for k, v in _plain(what, one).items()},
        }


def _value(one: Any) -> str:
    if one is None:
        return "–"
    return f"{one:.3f}" if isinstance(one, float) else f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


def _is_sure(change: Mapping[str, float]) -> bool:
    """Whether an interval leaves out no change. A widest gap is too wide in every resample: where that alone moves it,
    its own change lies outside."""
    return not change["low"] <= 0 <= change["high"] and change["low"] <= change["value"] <= change["high"]


def _plain(what: str, one: Mapping[str, Any]) -> dict[str, float | None]:
    """A value of a score, with its interval where it has one, under names of its own."""
    value = one[what]
    if not isinstance(value, Mapping):
        return {what: value}
    return {what: value["value"], f"{what} low": value["low"], f"{what} high": value["high"]}


def _row(row: Mapping[str, Any]) -> dict[str, str]:
    """A flipped row, lists of labels as one text."""
    return {name: value if isinstance(value, str) else ", ".join(value) or "no label" for name, value in row.items()}


def _search(proposal: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The steps of a search, with their figures on the rows searched."""
    if proposal is None:
        return None
    return {
        **proposal,
        "measure": proposal["gap"].replace("_", " "),
        "steps": [
            step
            | {
                "gap": f"{step['searched']['gap']:.3f}",
                "score": f"{step['searched']['macro_f1']:.3f}",
                "change": f"{signed(step['inner']['change'], 3)} ± {step['inner']['error']:.3f}",
            }
            for step in proposal["steps"]
        ],
    }
