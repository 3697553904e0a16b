"""What a causal model answers when the features that an explanation names are taken out of its own states.

The task of the spec is asked with and without them, and without random ones. Whether a probe reads a feature says
nothing of whether the model uses it: this asks the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from latentprobe.config import BackboneSpec
from latentprobe.encode.answers import CausalModel, load_target
from latentprobe.encode.asking import fill
from latentprobe.encode.formats import load_sae
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import PlannedSource
from latentprobe.encode.splice import is_causal
from latentprobe.encode.zero_shot import plan_answers
from latentprobe.experiment.features import Plan
from latentprobe.explain.faithfulness import compared

__all__ = ["Answering", "Removed", "answering", "spliced"]

#: Rows asked, each (1 + 1 + draws) times, and features taken out of each.
ROWS, FEATURES, DRAWS = 40, 8, 2


@dataclass(frozen=True, eq=False)
class Removed:
    """Features of one row, by number."""

    named: NDArray[np.int64]
    """The strongest first."""
    random: tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, eq=False)
class Answering:
    """A causal model with its task and an SAE on its states."""

    model: CausalModel
    sae: SAE
    prompt: str
    words: tuple[str, ...]
    """Of each class."""

    def distribution(self, text: str, name: str, features: Sequence[int] | None = None) -> NDArray[np.float64]:
        """Shares of the classes ``[classes]`` in the answer: softmax of the mean log-probability of their words."""
        asked = self.model.fit([fill(self.prompt, {"text": text}, may_cut="text")], [self.words], [name])
        with nullcontext() if features is None else self.model.without(self.sae, features):
            (scores,) = self.model.score(asked, [self.words])
        return np.asarray(softmax([score.normalized("tokens") for score in scores]), np.float64)


def answering(plan: Plan, source: PlannedSource, backbone: BackboneSpec) -> Answering | str:
    """What can be asked of the model that the SAE reads; or why nothing can."""
    task, target = plan.spec.task, plan.corpus.target
    assert isinstance(source.sae, SAE)
    obstacles = {
        "The spec has no task to ask.": task is None,
        "The model is not a causal one.": not is_causal(source.files),
        "The task is one class a text.": target.kind == "multilabel",
        "Another model answers the task.": task is not None and task.model is not None,
        "The rows are images.": plan.corpus.images is not None,
        "The SAE does not read the residual stream.": not source.hook.site.startswith("resid"),
        "The SAE changes each state before it reads it.": bool(source.sae.pre_ops),
    }
    why = next((reason for reason, holds in obstacles.items() if holds), None)
    if why is not None:
        return why
    assert task is not None
    (planned,) = plan_answers(task, [backbone], target.classes, plan.corpus.fingerprint)
    model = load_target(planned.spec, planned.files)
    sae = load_sae(source.sae.reference, decoder=True).to(model.device)
    return Answering(model, sae, planned.prompt, planned.words)


def spliced(
    asked: Answering | str, texts: Sequence[str], removed: Sequence[Removed | None], how: dict[str, Any]
) -> dict[str, Any]:
    """How far answers move when named features are taken out, beside random ones.

    Args:
        asked: of :func:`answering`.
        texts: test rows.
        removed: features of each; None where none speaks for the decision.
        how: ``units``, ``resamples`` and ``seed`` of the bootstrap.

    Returns:
        ``defined`` and ``why``; or ``moved``: total variation distance between the answers with and without (0 to 1),
        in the shape of the other tests.
    """
    if isinstance(asked, str):
        return {"defined": False, "why": asked}
    named, random = (np.full((len(texts), 1), np.nan) for _ in range(2))
    rows = [row for row, one in enumerate(removed) if one is not None and len(one.random[0])][:ROWS]
    for row in rows:
        one = removed[row]
        assert one is not None
        size = min(FEATURES, len(one.named), len(one.random[0]))
        before = asked.distribution(texts[row], str(row))
        moved = [
            np.abs(asked.distribution(texts[row], str(row), features[:size].tolist()) - before).sum() / 2
            for features in (one.named, *one.random[:DRAWS])
        ]
        named[row, 0], random[row, 0] = moved[0], np.mean(moved[1:])
    return {"defined": True, "features": FEATURES, "moved": compared([FEATURES], named, random, **how)}
