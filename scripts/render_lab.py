"""docs/lab.md as Markdown, from results/lab.json as `latentprobe lab --json` printed it.

Knows nothing of files: `render_docs.py` writes what this returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from render_reference import WRITTEN, table

__all__ = ["lab_page"]

INTRO = """# The laboratory

Which pooling is best, whether to binarize, how wide, which layer: on real data nobody knows what the right answer is,
and so nobody knows whether the comparison found it. `latentprobe lab` asks where it is known. A planted dictionary of
directions emits token states: sums of a few heavy-tailed features, more features than dimensions, noise, texts of
variable length, attention sinks if asked for. Some features follow the class, some the language, all others nothing.
An SAE that knows the dictionary reads them, as it is, merged, split or replaced by a random one; no trained SAE is
better than it. From there on everything is what every experiment goes through: the same passes, pooling, folds, probes
and scores. Only the model is a stand-in.

    latentprobe lab [NAME] [--json] [--out DIR]

Each claim has worlds where it should hold and worlds where it should fail, drawn anew for every seed. The figures are
means over {seeds} of them with 95 % t intervals; the difference is paired. It *holds* where it is surely more than
none, by at least .02; it is *level* where it surely lies within .05 of none (.1 for selection and transfer, whose
figures are coarser), and *reversed* where it surely is less; all else is *unclear*. A claim that came out as planted
says two things: that the claim is true of such worlds, and that the code can tell. It does not say how often real data
are like that: `latentprobe run` on your own data does.
"""

PLANTED = {True: "to hold", False: "to fail", None: "in between"}


def lab_page(results: Mapping[str, Any]) -> str:
    """The page: a summary, then each claim with its sentence and its figures."""
    claims = results["claims"]
    right = sum(claim["as_planted"] for claim in claims)
    parts = [
        WRITTEN + INTRO.format(seeds=results["seeds"]),
        f"{right} of {len(claims)} claims came out as planted in every world.\n",
        table(["claim", "what to do"], [[f"[{claim['name']}](#{claim['name']})", claim["lesson"]] for claim in claims]),
    ]
    return "\n".join([*parts, *(_one(claim) for claim in claims)])


def _one(claim: Mapping[str, Any]) -> str:
    """One claim: what is asked, what came out, and the figures of each world."""
    cases = claim["cases"]
    heads = ["when", *(case["when"] for case in cases)]
    rows = []
    for place, figure in enumerate(cases[0]["figures"]):
        name = f"**{figure['name']}**" if figure["name"] in (claim["better"], claim["than"]) else figure["name"]
        rows.append([name, *(_told(case["figures"][place]) for case in cases)])
    than = claim["than"] if isinstance(claim["than"], str) else f"{claim['than']:g}"
    rows.append([f"{claim['better']} − {than}", *(_told(case["difference"], "+") for case in cases)])
    rows.append(["planted", *(PLANTED[case["planted"]] for case in cases)])
    rows.append(["came out", *(case["outcome"] for case in cases)])
    figures = table(heads, rows, right=tuple(range(1, len(heads))))
    return f"## {claim['name']}\n\n*{claim['question']}* {claim['said']}\n\n{claim['verdict']}\n\n{figures}"


def _told(figure: Mapping[str, float], sign: str = "") -> str:
    """A figure with its interval."""
    value, low, high = (f"{figure[key]:{sign}.3f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
