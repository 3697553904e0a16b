"""The block of docs/behaviour.md about what was measured, from results/behaviour_*.json as `run_results.py` kept them.

Every sentence follows from the numbers by a rule.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from render_reference import table

__all__ = ["behaviour_block", "read_behaviour"]

#: Question sets in the order of the page, and what they are.
SETS = {
    "cloze": "Next-word questions from role plays and Wikipedia (`scripts/make_cloze.py`, in the manner of LAMBADA, "
    "Paperno and others 2016), each with three other words of the same text and about the same length.",
    "pubmedqa": "Questions on medical abstracts, answered yes, no or maybe (PubMedQA).",
}
#: A model that gives one answer to this share of all questions, or more, is not answering them.
ONE_WORD = 0.95

Figures = Mapping[str, Any]


def read_behaviour(folder: Path) -> list[dict[str, Any]]:
    """The question sets whose results are there, in the order of the page."""
    paths = [folder / f"behaviour_{name}.json" for name in SETS]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def behaviour_block(measured: Sequence[Figures]) -> str:
    """Each question set: what was answered, then whose features tell what is answered right."""
    return "\n".join(_question_set(one, SETS[one["name"]]) for one in measured)


def _question_set(results: Figures, told: str) -> str:
    of = f" of {results['groups']:,} texts or articles" if results["groups"] < results["rows"] else ""
    parts = [
        f"### {results['name']}: {results['rows']:,} questions{of}, asked of {results['target']}\n",
        f"{told} {_answered(results)}\n",
        _conditions(results),
    ]
    if results["saes"]:
        parts.append(_saes(results["saes"]) + "\n")
    targets = [target for crossed in results["models"].values() for target in crossed["targets"]]
    names = list(results["conditions"])
    for target, name in zip(targets, names, strict=True):
        parts += [f"Right or wrong {name} context: {_crossed(target, results['target'])}\n", _matrix(target)]
    return "\n".join(parts)


def _conditions(results: Figures) -> str:
    """Accuracy under each condition, over all rows and by source."""
    sources = results["by_source"]
    rows = []
    for name, one in results["conditions"].items():
        said = ", ".join(f"{word} {count:,}" for word, count in list(one["said"].items())[:3])
        cells = [f"{share[name]:.1%}" for share in sources.values()]
        rows.append([f"{name} context", _share(one["accuracy"]), *cells, said])
    heads = ["asked", "right", *(f"of {name} ({one['rows']:,})" for name, one in sources.items()), "said most often"]
    return table(heads, rows, right=tuple(range(1, 2 + len(sources))))


def _answered(results: Figures) -> str:
    """Whether the model answers at all, and what the context is worth to it."""
    sentences = []
    for name, one in results["conditions"].items():
        word, count = next(iter(one["said"].items()))
        if count >= ONE_WORD * results["rows"]:
            sentences.append(
                f'Asked {name} context, the model says "{word}" to {count:,} of {results["rows"]:,}: right and wrong '
                "are the given answers in disguise, and the table below tells of the questions alone."
            )
        else:
            beyond = {1: "more often than", -1: "less often than", 0: "as often as"}
            sign = _sign(one["accuracy"], results["blind"])
            sentences.append(
                f"Asked {name} context, the model is right {beyond[sign]} one that does not read "
                f"({results['blind']:.0%})."
            )
    gain = results["first_minus_second"]
    worth = {1: "helps it", -1: "harms it", 0: "neither surely helps nor surely harms it"}[_sign(gain, 0)]
    between = f"{100 * gain['value']:+.1f} points [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
    return " ".join([*sentences, f"The context {worth}: {between}."])


def _saes(saes: Mapping[str, Figures]) -> str:
    """How good the SAEs are that were trained on the target itself."""
    told = []
    for name, one in saes.items():
        recovered = f", {one['cross_entropy']['recovered']:.1%} of the cross entropy recovered"
        told.append(
            f"`{name}` explains {one['explained_variance']:.1%} of the variance with {one['l0']:.1f} of {one['width']} "
            f"features on at a token{recovered if one['cross_entropy'] else ''}"
        )
    return (
        "The SAEs of the target itself are small ones, trained here (`scripts/train_stories_saes.py`). "
        f"On the prompts, none of which they have seen: {'; '.join(told)}."
    )


def _matrix(target: Figures) -> str:
    """Sources and families: macro F1, and the differences to the target's own SAE features and to hidden states."""
    rows = [
        [
            cell["source"] or "",
            "SAE features" if cell["what"] == "sae" else "hidden states" if cell["what"] == "hidden" else cell["what"],
            _number(cell, cell["macro_f1"]),
            _difference(cell["minus_own"]),
            _difference(cell["minus_hidden"]),
        ]
        for cell in target["cells"]
    ]
    heads = ["features of", "", "macro F1", "minus the target's own SAE features", "minus the source's hidden states"]
    return table(heads, rows, right=(2, 3, 4))


def _crossed(target: Figures, model: str) -> str:
    """What the matrix says, by rule: intervals that leave out zero, or for a single score one half."""
    cells = target["cells"]
    telling = [_named(cell) for cell in cells if cell["low"] > 0.5]
    sentences = [
        f"{target['n_test']:,} test rows, {target['base_rate']:.0%} of them right. "
        + (f"Surely better than a coin: {', '.join(telling)}." if telling else "Nothing is surely better than a coin.")
    ]
    for cell in cells:
        if gap := cell["minus_hidden"]:
            sentences.append(f"SAE features of {cell['source']} are {_against(gap)} its hidden states.")
    others = [cell for cell in cells if cell["minus_own"] and cell["what"] == "sae"]
    for cell in others:
        sentences.append(f"Those of {cell['source']} are {_against(cell['minus_own'])} {model}'s own.")
    if target["own"] is None:
        sentences.append(f"There are no features of {model} itself to set beside them.")
    return " ".join(sentences)


def _named(cell: Figures) -> str:
    kinds = {"sae": "SAE features", "hidden": "hidden states"}
    return f"{kinds[cell['what']]} of {cell['source']}" if cell["source"] else str(cell["what"])


def _against(gap: Figures) -> str:
    return {1: "surely better than", -1: "surely worse than", 0: "not surely different from"}[_sign(gap, 0)]


def _sign(figure: Figures, than: float) -> int:
    """1 where an interval lies above a value, -1 where below, 0 where it holds it."""
    return int(figure["low"] > than) - int(figure["high"] < than)


def _number(figure: Figures, value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f} [{figure['low']:{sign}.3f}, {figure['high']:{sign}.3f}]"


def _difference(gap: Figures | None) -> str:
    return "" if gap is None else _number(gap, gap["value"], "+")


def _share(figure: Figures) -> str:
    return f"{figure['value']:.1%} [{figure['low']:.1%}, {figure['high']:.1%}]"
