"""Every claim on its worlds, over several seeds: from the table of claims to one plain result.

Knows nothing of how results are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from latentprobe.errors import SpecError, nearest
from latentprobe.experiment.environment import Reporter, Silent
from latentprobe.experiment.lab.claims import CLAIMS, Case, Claim
from latentprobe.experiment.lab.verdicts import as_planted, outcome_of, over_worlds
from latentprobe.experiment.lab.world import World

__all__ = ["SEEDS", "judged", "run_lab"]

#: Worlds of each case.
SEEDS = 6


def run_lab(names: Sequence[str] = (), *, seeds: int = SEEDS, reporter: Reporter | None = None) -> dict[str, Any]:
    """Put claims to the test.

    Args:
        names: of claims; none: all.
        seeds: worlds of each case, drawn from seeds 0, 1, ...; at least 2.
        reporter: hears how far it is.

    Returns:
        {"name": "lab", "seeds", "claims": [claim]}, as `judged` makes them. The same arguments, the same result.

    Raises:
        SpecError: no claim of that name, or fewer than two seeds.
    """
    for name in names:
        if name not in CLAIMS:
            raise SpecError(
                "the name of a claim was expected",
                got=name,
                fix=f"use one of {', '.join(CLAIMS)}{nearest(name, CLAIMS)}",
            )
    if seeds < 2:
        raise SpecError("an interval needs at least two worlds", got=f"{seeds} seeds", fix="ask for more")
    asked = {name: CLAIMS[name] for name in names or CLAIMS}
    reporter = reporter or Silent()
    total = seeds * sum(len(claim.cases) for claim in asked.values())
    done = 0
    claims = []
    for name, claim in asked.items():
        figures: list[list[dict[str, float]]] = []
        for case in claim.cases:
            measured = []
            for seed in range(seeds):
                # One thread: sums in another order would give other last digits, and a few other predictions.
                with threadpool_limits(limits=1):
                    measured.append(claim.measure(case.world, claim.rows, seed))
                done += 1
                reporter.progress("worlds", done, total)
            figures.append(measured)
        claims.append(judged(name, claim, figures))
    return {"name": "lab", "seeds": seeds, "claims": claims}


def judged(name: str, claim: Claim, figures: Sequence[Sequence[dict[str, float]]]) -> dict[str, Any]:
    """One claim with its verdict.

    Args:
        name: of the claim.
        claim: what is claimed.
        figures: of each case, those of each of its worlds.

    Returns:
        {"name", "question", "said", "better", "than", "rows", "as_planted": whether each case came out as it was
        planted, "verdict": one sentence, "lesson", "cases": [{"when", "planted", "outcome", "difference", "figures",
        "world"}]}; a difference is {"value", "low", "high"}, a figure that and its name, and a world what is not as
        usual in it.
    """
    cases = [_case(claim, case, measured) for case, measured in zip(claim.cases, figures, strict=True)]
    told = [as_planted(case["planted"], case["outcome"]) for case in cases if case["planted"] is not None]
    return {
        "name": name,
        "question": claim.question,
        "said": claim.said,
        "better": claim.better,
        "than": claim.than,
        "rows": claim.rows,
        "as_planted": all(told),
        "verdict": _sentence(claim, cases),
        "lesson": claim.lesson,
        "cases": cases,
    }


def _case(claim: Claim, case: Case, measured: Sequence[dict[str, float]]) -> dict[str, Any]:
    than = claim.than
    differences = [one[claim.better] - (one[than] if isinstance(than, str) else than) for one in measured]
    difference = over_worlds(differences)
    usual = asdict(World())
    return {
        "when": case.when,
        "planted": case.planted,
        "outcome": outcome_of(difference, level=claim.level),
        "difference": difference.as_dict(),
        "figures": [{"name": name, **over_worlds([one[name] for one in measured]).as_dict()} for name in measured[0]],
        "world": {key: value for key, value in asdict(case.world).items() if value != usual[key] or key == "evidence"},
    }


#: How an outcome is said before "when".
_SAID = {"holds": "holds", "level": "makes no difference", "reversed": "turns around", "unclear": "cannot be told"}


def _sentence(claim: Claim, cases: Sequence[dict[str, Any]]) -> str:
    """The verdict: where it holds, then where not, each with its difference."""
    parts = []
    for outcome, words in _SAID.items():
        found = [f"{case['when']} ({_told(case['difference'])})" for case in cases if case["outcome"] == outcome]
        if found:
            parts.append(f"{words} when {', or when '.join(found)}")
    sentence = "; ".join(parts)
    than = claim.than if isinstance(claim.than, str) else f"{claim.than:g}"
    return f"{sentence[0].upper()}{sentence[1:]}: {claim.better} minus {than}."


def _told(difference: dict[str, float]) -> str:
    return "{value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**difference)
