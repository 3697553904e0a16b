"""What a classifier says of one text: plain values in the shape that ``predict`` writes, ready for JSON.

Knows how scores become labels and flags, and contributions become evidence; runs no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from latentprobe.corpus import ImageFile
from latentprobe.deploy.bundle import Bundle
from latentprobe.deploy.encoding import EncodedBatch, Lit
from latentprobe.explain import top_contributions

__all__ = [
    "Decision",
    "Explanation",
    "FeatureEvidence",
    "TokenEvidence",
    "decision_on",
    "evidence_for",
    "explanation_of",
]

#: Tokens shown for a feature, at most.
TOKENS = 5


class TokenEvidence(TypedDict):
    """A token on which a feature is active."""

    text: str
    """As the user wrote it: ``text[start:end]``. Of an image: ``patch``, and its number from 0 in reading order."""
    start: int
    end: int
    value: float
    """The feature's value on it."""
    share: float
    """What part of the feature's value over the text it made, by the pooling's own rule: 1 for the largest of a max,
    z over their sum for a sum or mean, alike for counted tokens. Over all tokens, also those not shown, they sum to 1.
    """


class FeatureEvidence(TypedDict):
    """A feature that moved a decision."""

    feature: int
    """Its number in the SAE."""
    label: str | None
    label_score: dict[str, float | None] | None
    """How well the label tells held-out words where the feature fires from others, 0.5 is chance: ``score``, ``low``
    and ``high`` among all such words, ``strongest``, ``strongest_low`` and ``strongest_high`` among the strongest tenth
    of them. None where it was not measured."""
    weight: float
    """For the class that is explained; positive speaks for it."""
    value: float
    """Pooled over the text."""
    contribution: float
    """What it adds to the decision: weight times value, or the weight alone where features are binarized."""
    tokens: list[TokenEvidence]
    """Where it is active, at most 5: those that made more of its value first, then the stronger."""


class Explanation(TypedDict):
    """One decision as a sum: ``intercept + features + others == decision``.

    The probability of the class is a rising function of that sum: with x = slope * decision + offset it is
    1 / (1 + exp(-x)), or of a multi-class task exp(x) over the sum of that over all classes.
    """

    towards: str
    """The class: the positive, the predicted or the likeliest one."""
    intercept: float
    features: float
    """Sum of the contributions shown."""
    others: float
    """Sum of the contributions not shown."""
    decision: float
    slope: float
    """With ``offset``, the calibration."""
    offset: float


class Decision(TypedDict):
    """One text decided.

    ``label``: the class; of a multi-label task, the names over their thresholds. ``score``: the probability of the
    positive class (binary), of the predicted one (multi-class), of the likeliest (multi-label). ``flagged`` and
    ``threshold`` are null for a multi-class task; of a multi-label one, ``threshold`` maps name to number.
    """

    id: str
    label: str | list[str]
    score: float
    probabilities: dict[str, float]
    flagged: bool | None
    threshold: float | dict[str, float] | None
    features: NotRequired[list[FeatureEvidence]]
    """Those that move the score most, either way; towards the positive, the predicted or the likeliest class."""
    explanation: NotRequired[Explanation]
    """How they, the others and the intercept sum to the decision."""


def decision_on(name: str, probabilities: NDArray[np.float64], bundle: Bundle) -> Decision:
    """The decision that the probabilities ``[classes]`` of one text lead to."""
    manifest = bundle.manifest
    by_class = dict(zip(manifest.classes, probabilities.tolist(), strict=True))
    label: str | list[str]
    flagged: bool | None = None
    threshold: float | dict[str, float] | None = None
    explained = explained_class(probabilities, bundle)
    score = float(probabilities[explained])
    if manifest.kind == "multiclass":
        label = manifest.classes[explained]
    elif manifest.kind == "binary":
        assert manifest.thresholds is not None
        threshold = manifest.thresholds[0]
        flagged = score >= threshold
        label = manifest.classes[int(flagged)]
    else:
        assert manifest.thresholds is not None
        threshold = dict(zip(manifest.classes, manifest.thresholds, strict=True))
        label = [name for name in manifest.classes if by_class[name] >= threshold[name]]
        flagged = bool(label)
    return Decision(id=name, label=label, score=score, probabilities=by_class, flagged=flagged, threshold=threshold)


def explained_class(probabilities: NDArray[np.float64], bundle: Bundle) -> int:
    """The class that score and features speak of: of two the positive one, else the likeliest."""
    return 1 if bundle.manifest.kind == "binary" else int(np.argmax(probabilities))


def explanation_of(
    features: Sequence[FeatureEvidence], decision: NDArray[np.float64], class_index: int, bundle: Bundle
) -> Explanation:
    """One decision as a sum of what is shown, what is not, and the intercept.

    Args:
        features: those shown.
        decision: values of the probe on the text, ``[K]``.
        class_index: the class they speak of.
        bundle: the classifier.
    """
    output = 0 if len(decision) == 1 else class_index
    of_label = class_index if bundle.manifest.kind == "multilabel" else 0
    intercept, shown = float(bundle.probe.intercept[output]), sum(part["contribution"] for part in features)
    return Explanation(
        towards=bundle.manifest.classes[class_index],
        intercept=intercept,
        features=shown,
        others=float(decision[output]) - intercept - shown,
        decision=float(decision[output]),
        slope=bundle.calibration.slope[of_label],
        offset=bundle.calibration.offset[of_label],
    )


def evidence_for(
    text: str | ImageFile, encoded: EncodedBatch, place: int, class_index: int, bundle: Bundle, k: int
) -> list[FeatureEvidence]:
    """The ``k`` features that move the score of a class most on one text, largest effect first.

    Args:
        text: the text itself; or the image, whose tokens are patches, counted from 0 in reading order.
        encoded: the batch it was encoded in.
        place: its place there.
        class_index: the class, by its place among the classes.
        bundle: the classifier.
        k: how many at most.
    """
    return [
        FeatureEvidence(
            feature=part.feature,
            **bundle.shown_label(part.feature),
            weight=part.weight,
            value=part.value,
            contribution=part.contribution,
            tokens=[
                TokenEvidence(text=_token(text, lit), start=lit.start, end=lit.end, value=lit.value, share=lit.share)
                for lit in encoded.lit_by(place, part.feature, most=TOKENS)
            ],
        )
        for part in top_contributions(bundle.probe, encoded.pooled[place], class_index, k)
    ]


def _token(text: str | ImageFile, lit: Lit) -> str:
    """A token as it reads: its characters, or its number where it is a patch; empty for a token of neither."""
    if isinstance(text, str):
        return text[lit.start : lit.end]
    return f"patch {lit.start}" if lit.end > lit.start else ""
