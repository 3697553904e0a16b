"""docs/edit.md as Markdown, with the figures of results/edit.json as `run_edit.py` kept them.

Knows nothing of files: `render_docs.py` writes what this returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from render_reference import WRITTEN, table

__all__ = ["edit_page"]

INTRO = """# Taking features out

A classifier that people can read can also be corrected by people. `latentprobe edit` takes features out of a finished
classifier and says what that does, on labelled rows, each figure with a 95 % bootstrap interval and each difference
paired: macro F1, accuracy, F1 of each class, the gaps between groups (`--by COLUMN`), and the rows whose label flips.

    latentprobe edit BUNDLE --drop 2470,3641 --out BUNDLE2 [--data DATA --text COL --label COL --by COL] [--refit DATA]
    latentprobe edit BUNDLE --propose --by COL --data DATA [--gap fpr] [--most 20] [--out BUNDLE2]
    latentprobe compare A B [--data DATA --text COL --label COL --by COL] [--out DIR]

**Exactly.** Without `--refit` weights are removed and nothing else changes: every decision is what it was with these
features off. The encoder columns leave the bundle with them. **With a refit** the remaining features are fitted anew
on `--refit`, with the C the classifier had, and calibrated anew; rows that stand in both `--refit` and `--data` are
refused. The bundle says nothing of the rows it was fitted on, so whether `--data` are new to it is for you to know.

The original is not touched. The new bundle's `probe.json` lists every edit (`edits`: the features with their labels,
what they were refitted on, the fingerprint of the original), its card has a note of it, and figures that no longer hold
are gone. `edit.json` and `edit.html` beside it hold the comparison; names of rows stand in them, texts don't.

**Which to drop.** `--propose` does to text what debiaSAE does to images (Sasse and others 2024, arXiv 2410.13146). Half
of the rows, drawn by content with groups and near-copies whole, are searched greedily: in each step the feature goes
whose removal lowers the widest gap most for what it costs in macro F1, one point for one point, both weighed by
probabilities. Of the steps the one with the least gap minus macro F1 on the labels of those rows is proposed. Every
figure that is shown with an interval comes from the other half. Two guards:

* the *widest* gap is too wide by chance in every resample, before and after alike; so the change of it has an interval
  and its value has none, and the two values that lay farthest apart before are followed as well;
* a gap can close because more, or less, is flagged at all. So a proposal for two classes is also shown beside the
  original with its *threshold moved* until it flags as many rows.

`compare` puts any two runs (by the predictions they left) or classifiers (on `--data`) side by side in the same way,
and lists the features that came and went.
"""

#: Each case, in the order in which they were tried: what it is called, and what is said of it.
SAID = {
    "hatecheck_five": (
        "five languages",
        """Multilingual HateCheck: hateful sentences in five languages, read by an English model; the gap is in recall.
Templates, not sentences, are what is drawn and resampled, and there are only some hundred of them in each half.
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
    "davidson_address": (
        "dialect, word of address",
        """The same tweets and the same gap; the list of words also has the word of address that is a slur elsewhere.
""",
    ),
    "hatecheck_ten": (
        "ten languages",
        """The first case again with all ten languages of Multilingual HateCheck.
""",
    ),
}

TRIED = """## Four gaps

All that were tried on these splits, in the order in which they were. A gap counts as closed where the interval of its
change on the rows held out lies below none. While the search was being written, two of them had closed on one other
random split of the same data: dialect with the word of address, .168 to .083 [-.149, -.032] for .008 of macro F1, and
recall over ten languages, .194 to .075 [-.206, -.005] for none (200 resamples; steps picked by eye out of twenty).
A gap that one half of the rows shows may hardly be there in the other: look at the rows held out before you trust an
edit, and at more than one split.
"""


def edit_page(results: Mapping[str, Any]) -> str:
    """The page: what the commands do, all cases in one table, then each with its figures."""
    there = {name: results[name] for name in SAID if name in results}
    rows = [_row(SAID[name][0], found) for name, found in there.items()]
    heads = ["", "gap in", "before", "after", "change", "change of macro F1", "dropped", "closed"]
    return "\n".join([WRITTEN + INTRO, TRIED, table(heads, rows), *(_case(name, there[name]) for name in there)])


def _row(name: str, found: Mapping[str, Any]) -> list[str]:
    """A case in a line."""
    measure = found["proposal"]["gap"]
    gap = found["scores"]["by"][found["proposal"]["by"]]["changes"][measure]["widest"]
    closed = "yes" if gap["change"]["high"] < 0 else "no"
    figures = [*_values(gap), _change(found["scores"]["macro_f1"]), str(len(found["dropped"])), closed]
    return [name, measure.replace("_", " "), *figures]


def _case(name: str, found: Mapping[str, Any]) -> str:
    """One case: who was fitted on what, the steps, and what became of groups and rows."""
    title, about = SAID[name]
    said = f"## {title.capitalize()}\n\n{about}"
    search, scores = found["proposal"], found["scores"]
    fitted = (
        f"Fitted on {found['fitted']['rows']:,} rows (macro F1 {found['fitted']['macro_f1']:.3f} out of fold), "
        f"searched on {search['n_searched']:,}, judged on {search['n_held_out']:,}; {found['seconds']:.0f} s in all.\n"
    )
    flipped = scores["flipped"]
    changes = scores["by"][search["by"]]["changes"]
    rows = [["macro F1", *_values(scores["macro_f1"])], ["accuracy", *_values(scores["accuracy"])]]
    for measure, change in changes.items():
        if change is not None:
            name = measure.replace("_", " ")
            same = change["same"]
            rows.append([f"widest gap in {name}", *_values(change["widest"])])
            rows.append([f"{name}, {same['highest']} − {same['lowest']}", *_values(same)])
    parts = [said, fitted, _steps(search), table(["on the rows held out", "before", "after", "change"], rows)]
    parts.append(
        f"{flipped['n']:,} rows flip, {flipped['to_right']:,} to right and {flipped['to_wrong']:,} to wrong. "
        + _threshold(search)
    )
    return "\n".join(parts) + "\n"


def _steps(search: Mapping[str, Any]) -> str:
    """The steps that no other one beats on the rows searched."""
    rows = []
    for step in search["steps"]:
        held, seen = step["held_out"], step["searched"]
        if held is None:
            continue
        last = "" if step["feature"] is None else f"{step['feature']}: {step['label'] or 'no label'}"
        widest = held["gap"]["widest"]
        figures = [f"{seen['gap']:.3f}", f"{widest['after']:.3f}", _change(widest), _value(held["macro_f1"]["after"])]
        rows.append([f"**{step['n_dropped']}**" if step["proposed"] else str(step["n_dropped"]), last, *figures])
    heads = ["dropped", "the last one", "gap searched", "gap held out", "change", "macro F1 held out"]
    return table(heads, rows)


def _threshold(search: Mapping[str, Any]) -> str:
    moved = search["threshold"]
    if moved is None:
        return ""
    widest, score = moved["gap"]["widest"], moved["macro_f1"]
    return (
        f"The original with its threshold moved to flag as many rows has a gap of {widest['before']:.3f} and a macro "
        f"F1 of {score['before']['value']:.3f}; against it the edit changes the gap by {_change(widest)} and macro F1 "
        f"by {_change(score)}."
    )


def _values(one: Mapping[str, Any]) -> list[str]:
    return [_value(one["before"]), _value(one["after"]), _change(one)]


def _value(one: Any) -> str:
    return f"{one:.3f}" if isinstance(one, float) else f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


def _change(one: Mapping[str, Any]) -> str:
    change = one["change"]
    return f"{change['value']:+.3f} [{change['low']:+.3f}, {change['high']:+.3f}]".replace("-", "−")
