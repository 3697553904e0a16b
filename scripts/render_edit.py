"""docs/edit.md as Markdown, with the figures of results/edit.json as `run_edit.py` kept them.

Knows nothing of files: `render_docs.py` writes what this returns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from render_reference import WRITTEN, table

__all__ = ["edit_page"]

INTRO = """# Taking features out

A classifier that people can read can also be corrected by people. `latentprobe edit` takes features out of a finished
classifier and says what that does, on labelled rows, each figure with a 95 % bootstrap interval and each difference
paired: macro F1, accuracy, F1 of each class, the gaps between groups (`--by COLUMN`), and the rows whose label flips.

    latentprobe edit BUNDLE --drop 2470,3641 --out BUNDLE2 [--data DATA --text COL --label COL --by COL] [--refit DATA]
    latentprobe edit BUNDLE --propose --by COL --data DATA [--gap fpr] [--most 20] [--refit DATA] [--out BUNDLE2]
    latentprobe compare A B [--data DATA --text COL --label COL --by COL] [--out DIR]

**Exactly.** Without `--refit` weights are removed and nothing else changes: every decision is what it was with these
features off. The encoder columns leave the bundle with them. **With a refit** the remaining features are fitted anew
on `--refit` (L2, balanced classes, the C the classifier had) and calibrated anew; rows that stand in both `--refit` and
`--data` are refused. What was dropped may come back through features that fire with it: look at the figures after the
refit. The bundle says nothing of the rows it was fitted on, so whether `--data` are new to it is for you to know.

The original is not touched. The new bundle's `probe.json` lists every edit (`edits`: the features with their labels,
what they were refitted on, the fingerprint of the original), its card has a note of it, and figures that no longer hold
are gone. `edit.json` and `edit.html` beside it hold the comparison; names of rows stand in them, texts don't.

**Which to drop.** `--propose` does to text what debiaSAE does to images (Sasse and others 2024, arXiv 2410.13146). Half
of the rows, drawn by content with groups and near-copies whole, are searched greedily: in each step the feature goes
whose removal lowers the widest gap most for what it costs in macro F1, one point for one point, both weighed by
probabilities. Every figure that is shown with an interval comes from the other half. Four guards:

* among thousands of features some close the gap of the rows searched by chance. So how many are proposed is learned by
  cross-validation around the whole search, inside the half that is searched: each of five folds is judged by the search
  on the other four, and of the numbers of steps as good as the best, within one standard error, the smallest is taken.
  It may be none;
* the *widest* gap is too wide by chance in every resample, before and after alike; so the change of it has an interval
  and its value has none, and the two values that lay farthest apart before are followed as well;
* a gap can close because more, or less, is flagged at all. So a proposal for two classes is also shown beside the
  original with its *threshold moved* until it flags as many rows;
* a gap can close because the group that fared better comes to fare as badly as the other. So the scores of both groups
  stand beside it.

`compare` puts any two runs (by the predictions they left) or classifiers (on `--data`) side by side in the same way,
and lists the features that came and went.
"""

HATECHECK = "Multilingual HateCheck, five languages, read by an English model. "

#: Each case, in the order in which they were declared: what it is called, and what is said of it.
SAID = {
    "hatecheck_five": (
        "five languages",
        HATECHECK
        + """The gap is in recall, between languages. Templates, in all their languages, are parted and resampled whole.
""",
    ),
    "davidson": (
        "dialect",
        """Davidson: tweets that are offensive or hateful against those that are neither. Classifiers of such data flag
harmless tweets in African American English more often than others (Davidson and others 2019, arXiv 1905.12516). The
column tells whether a tweet has one of some thirty spellings and words of that dialect (`scripts/run_edit.py`): a proxy
of the writing, not of the writer. Slurs are left out of the list. The gap is in the false positive rate.
""",
    ),
    "hatecheck_ten": (
        "ten languages",
        """The first case again with all ten languages of Multilingual HateCheck.
""",
    ),
    "davidson_people": (
        "tweets that name people",
        """The tweets of the second case; the gap in the false positive rate is between those with one of fifty terms
for people (gay, black, Muslim, old, ...) and those with none, after Dixon and others (2018), who found classifiers of
toxicity to flag harmless sentences for such terms alone.
""",
    ),
    "hatecheck_target": (
        "target of the hate",
        HATECHECK
        + """The gap is in recall, between the five groups that the sentences of all five languages have. The same
templates are filled with each of them, so only the words for a group can make the difference.
""",
    ),
    "hatecheck_named": (
        "harmless sentences that name a group",
        HATECHECK
        + """The gap is in the false positive rate, between harmless sentences that name one of the groups that
hate is aimed at ("I love women") and those that name none. Nearly all hateful ones name one.
""",
    ),
}

TRIED = """## Six gaps

All that were tried, in the order in which they were declared. The rows are parted into five, texts or templates whole.
In each of five rounds a classifier is fitted on two parts, features are sought on two others, and both are judged on
the last: so each row is judged once, before and after, by a classifier and an edit that never saw it. *Change* is of
all rows together with a bootstrap interval, for these five classifiers and edits; *over rounds* is the mean change of
the five with the corrected resampled t interval (Nadeau and Bengio 2003), for others drawn alike, and how often the gap
got narrower. *Worst off before* is the score of the group that fared worst. A gap counts as surely narrower where the
first interval lies below none; six cases are six chances for that. Dialect and the two cases of languages had been
tried before, on one split each and with a search without inner folds: none of them closed there.
"""

SHOWN = """
**Dialect** narrows as one would want. Among what goes most often are words of the dialect; harmless tweets of either
kind are flagged less often, most of all those in dialect; the gap is narrower in all five rounds, and by more than with
a moved threshold that flags as many. It costs a point of macro F1. For other draws of rows to learn from it is likely
and not sure: five rounds are few. **Tweets that name people** go the same way with fewer features (words like black,
white and racist), though a round has only some fifty harmless ones to judge, and a moved threshold does nearly as well.

The other two that are surely narrower are so at a price. Harmless sentences that **name a group** are flagged more
often than before, and those that name none much more often: they are few, and macro F1 hardly tells. The **target of
the hate** makes less of a difference because nearly all is flagged, hateful or not. So read the scores of the groups,
not the gap alone. Between **languages** nothing closes surely, and ten fare worse than with a moved threshold.
"""


def edit_page(results: Mapping[str, Any]) -> str:
    """The page: what the commands do, all cases in one table, then each with its figures."""
    there = {name: results[name] for name in SAID if name in results}
    rows = [_row(SAID[name][0], found) for name, found in there.items()]
    heads = ["", "gap in", "before", "after", "change", "over rounds", "worst off before", "change of macro F1"]
    heads += ["dropped", "surely narrower"]
    return "\n".join([WRITTEN + INTRO, TRIED, table(heads, rows), SHOWN, *(_case(name, there[name]) for name in there)])


def _row(name: str, found: Mapping[str, Any]) -> list[str]:
    """A case in a line."""
    gap = found["scores"]["by"][found["by"]]["changes"][found["gap"]]["widest"]
    worst = _ends(found["scores"]["by"][found["by"]]["changes"][found["gap"]]["same"])[found["gap"] != "fpr"]
    fares = " to ".join(one.split()[0] for one in _of_value(found, worst, found["gap"]))
    over = f"{_interval(found['over_rounds'], 'mean')}, {found['over_rounds']['narrower']} of 5"
    counts = sorted({len(one["dropped"]) for one in found["rounds"]})
    dropped = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    sure = "yes" if gap["change"]["high"] < 0 else "no"
    if sure == "yes" and _all_worse(found):
        sure = "yes, but all fare worse"
    measure = found["gap"].replace("_", " ")
    score = _change(found["scores"]["macro_f1"])
    return [name, measure, *_values(gap), over, f"{worst}: {fares}", score, dropped, sure]


def _ends(same: Mapping[str, Any]) -> tuple[str, str]:
    """The values that were farthest apart, the highest first."""
    return same["highest"], same["lowest"]


def _all_worse(found: Mapping[str, Any]) -> bool:
    """Whether each value has a worse score after than before."""
    scores, measure = found["scores"]["by"][found["by"]]["scores"], found["gap"]
    sides = [[one[measure]["value"] for one in scores[side]["values"].values()] for side in ("before", "after")]
    return all((after > before) == (measure == "fpr") for before, after in zip(*sides, strict=True))


def _of_value(found: Mapping[str, Any], value: str, measure: str) -> list[str]:
    """The score of a value, before and after."""
    scores = found["scores"]["by"][found["by"]]["scores"]
    return [_value(scores[side]["values"][value][measure]) for side in ("before", "after")]


def _case(name: str, found: Mapping[str, Any]) -> str:
    """One case: its rounds, what became of scores and gaps, and which features went."""
    title, about = SAID[name]
    scores = found["scores"]
    rows = [["macro F1", *_values(scores["macro_f1"])], ["accuracy", *_values(scores["accuracy"])]]
    for measure, change in scores["by"][found["by"]]["changes"].items():
        if change is not None:
            name, same = measure.replace("_", " "), change["same"]
            rows.append([f"widest gap in {name}", *_values(change["widest"])])
            rows.append([f"{name}, {same['highest']} − {same['lowest']}", *_values(same)])
            rows += [[f"{name}, {value}", *_of_value(found, value, measure), ""] for value in _ends(same)]
    flipped = scores["flipped"]
    flips = f"{flipped['n']:,} rows flip, {flipped['to_right']:,} to right and {flipped['to_wrong']:,} to wrong. "
    heads = [f"on all {scores['n_rows']:,} rows", "before", "after", "change"]
    parts = [f"## {title.capitalize()}\n\n{about}", _rounds(found), table(heads, rows), flips + _threshold(found)]
    return "\n".join([*parts, _features(found)]) + "\n"


def _rounds(found: Mapping[str, Any]) -> str:
    rows = []
    for place, one in enumerate(found["rounds"]):
        counts = [f"{one[name]:,}" for name in ("n_fitted", "n_searched", "n_judged")]
        inner = f"{one['inner']['change']:+.3f} ± {one['inner']['error']:.3f}".replace("-", "−")
        gaps = [f"{one['gap'][side]:.3f}" for side in ("before", "after")]
        rows.append([str(place + 1), *counts, f"{one['macro_f1']:.3f}", str(len(one["dropped"])), inner, *gaps])
    heads = ["round", "fitted", "searched", "judged", "macro F1", "dropped", "inner folds", "gap before", "gap after"]
    return table(heads, rows)


def _features(found: Mapping[str, Any]) -> str:
    """The features that went in most rounds, six at most, and in how many."""
    named = {one["feature"]: one["label"] for own in found["rounds"] for one in own["dropped"]}
    counts = Counter(one["feature"] for own in found["rounds"] for one in own["dropped"])
    often = [f"{feature} ({named[feature] or 'no label'}) in {n}" for feature, n in counts.most_common(6) if n > 1]
    if not often:
        return "\nNo feature was dropped in more than one round."
    return f"\nDropped in most rounds of the five: {'; '.join(often)}."


def _threshold(found: Mapping[str, Any]) -> str:
    moved = found["threshold"]
    widest, score = moved["gap"]["widest"], moved["macro_f1"]
    return (
        f"The originals with their thresholds moved to flag as many rows have a gap of {widest['before']:.3f} and a "
        f"macro F1 of {score['before']['value']:.3f}; against them the edits change the gap by {_change(widest)} and "
        f"macro F1 by {_change(score)}."
    )


def _values(one: Mapping[str, Any]) -> list[str]:
    return [_value(one["before"]), _value(one["after"]), _change(one)]


def _value(one: Any) -> str:
    return f"{one:.3f}" if isinstance(one, float) else f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


def _change(one: Mapping[str, Any]) -> str:
    return _interval(one["change"], "value")


def _interval(one: Mapping[str, Any], middle: str) -> str:
    return f"{one[middle]:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]".replace("-", "−")
