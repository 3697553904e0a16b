"""What stands in a bundle's ``probe.json``, and the checks a file must pass to be read as one.

A manifest says everything about a classifier that a person or another program may want to read without loading it.
Its fingerprint covers all that decides; the model card is prose for people and may be edited by hand. Knows nothing of
tensors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from latentprobe.config import BackboneSpec, Binarize, Pooling, PositiveFloat, Selection, Site
from latentprobe.files import sha256_json

__all__ = [
    "UNSEALED",
    "BundleBackbone",
    "BundleCalibration",
    "BundleEdit",
    "BundleFeature",
    "BundleLabelScore",
    "BundleSAE",
    "Card",
    "Identity",
    "Manifest",
    "TensorFile",
    "can_prune",
]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """Frozen, without unknown keys, of finite numbers, documented under each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Identity(_Part):
    """Content hashes of a model: what it is, wherever it lies."""

    model: Name
    """Its name on the hub, or of its folder."""
    config: Sha256
    weights: Sha256
    tokenizer: Sha256


class BundleBackbone(_Part):
    """The model whose hidden states are read, and how."""

    model: Name
    """Hugging Face id, folder or alias, as it was named."""
    revision: str | None
    layer: Count
    hook: Site
    tokens: Literal["content", "all", "image", "text"]
    max_norm_ratio: Annotated[float, Field(gt=1)] | None
    on_overflow: Literal["window", "truncate", "error"]
    max_tokens: Annotated[int, Field(ge=8)] | None
    dtype: Literal["float32", "bfloat16", "float16"]
    """The type it computed in when the classifier was fitted."""
    identity: Identity
    bos: Literal["auto", "always", "never"] = "auto"
    template: Literal["chat"] | None = None
    prompt: str | None = None
    select: Literal["text", "after", "last"] = "text"
    rows: Literal["texts", "images"] = "texts"
    """What the model reads."""

    @model_validator(mode="after")
    def _can_be_asked_for(self) -> BundleBackbone:
        """Tokens, template, prompt and select go together as they must in a spec."""
        fields = self.model_dump(include={"tokens", "bos", "template", "prompt", "select"})
        BackboneSpec(layers=(self.layer,), **fields)
        return self


class BundleSAE(_Part):
    """The SAE that the encoder was taken from."""

    reference: Name
    sha256: Sha256
    """Content hash of its own files, not of the columns kept here."""
    model: str | None
    """The model it was trained on, as its maker calls it."""
    d_in: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    """Features of the whole SAE."""
    activation: Literal["threshold", "topk", "groupmax", "gated"]
    k: Annotated[int, Field(ge=1)] | None
    """Active features a token of a TopK SAE, groups of a group-max one."""
    pre_ops: tuple[str, ...]
    """Row-wise operations before the encoder, in order."""


class BundleCalibration(_Part):
    """From decisions to probabilities: logistic (softmax) of slope * decision + offset."""

    slope: tuple[Annotated[float, Field(gt=0)], ...]
    """One; for a multi-label task one a label."""
    offset: tuple[float, ...]
    """As many."""
    ece_before: float | None
    """Expected calibration error out of fold, before and after."""
    ece_after: float | None


class BundleLabelScore(_Part):
    """What a label is worth: how well it tells held-out words where its feature fires from others; 0.5 is chance."""

    score: Share | None
    """Among all words where it fires, with its 95 % interval."""
    low: Share | None
    high: Share | None
    strongest: Share | None
    """Among the strongest tenth of them, with its 95 % interval."""
    strongest_low: Share | None
    strongest_high: Share | None


class BundleFeature(_Part):
    """A feature that the classifier uses."""

    feature: Count
    """Its number in the SAE."""
    label: str | None
    """What it stands for, where that has been described."""
    label_score: BundleLabelScore | None = None
    """How far that is true, where that has been measured."""


class BundleEdit(_Part):
    """Features that were taken out of a finished classifier."""

    dropped: Annotated[tuple[BundleFeature, ...], Field(min_length=1)]
    refitted_on: str | None
    """What the rows are called that the rest was fitted on anew; null where weights were only removed."""
    original: Sha256
    """Fingerprint of the classifier they were taken out of."""


class TensorFile(_Part):
    """The file with the numbers."""

    file: Literal["probe.safetensors"]
    sha256: Sha256


class Card(_Part):
    """The model card: for people, free to edit, and no part of the fingerprint."""

    created: str
    """Date and time in UTC, ISO 8601."""
    data: dict[str, JsonValue]
    """What it was trained on: name, number of rows, rows of each class. Never texts."""
    versions: dict[str, str]
    """Package to version."""
    intended_use: str
    limits: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Manifest(_Part):
    """The content of ``probe.json``."""

    format: int
    fingerprint: Sha256
    """Content hash of everything else but the card."""
    kind: Literal["binary", "multiclass", "multilabel"]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    positive: str | None
    """Of two classes, the one that is scored and flagged: the second."""
    thresholds: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None
    """Probabilities from which on a class is flagged: one for two classes, one a label, null for several classes."""
    calibration: BundleCalibration
    pooling: Pooling
    binarize: Binarize
    selection: Selection
    C: PositiveFloat | None
    """Inverse regularization strength; null where no feature was left to fit."""
    converged: bool
    """Whether the solver met its tolerance."""
    backbone: BundleBackbone
    sae: BundleSAE
    pruned: bool
    """Whether only the encoder columns of ``features`` are kept; else the whole encoder is."""
    features: Annotated[tuple[BundleFeature, ...], Field(min_length=1)]
    """Ascending by number, in the order of the probe's weights."""
    metrics: dict[str, JsonValue]
    tensors: TensorFile
    card: Card
    edits: tuple[BundleEdit, ...] = ()
    """Every edit since it was fitted, the first one first."""

    @model_validator(mode="after")
    def _agrees(self) -> Manifest:
        """What two fields say of the same thing is the same."""
        numbers = [feature.feature for feature in self.features]
        n_scores = {"binary": 1, "multiclass": None, "multilabel": len(self.classes)}[self.kind]
        checks = {
            "features are in ascending order, each once": sorted(set(numbers)) == numbers,
            f"features are below {self.sae.width}": numbers[-1] < self.sae.width,
            "classes differ": len(set(self.classes)) == len(self.classes),
            "a binary classifier has two classes": self.kind != "binary" or len(self.classes) == 2,
            "positive is the second of two classes": self.positive
            == (self.classes[1] if self.kind == "binary" else None),
            "there is a threshold for each score": _size(self.thresholds) == n_scores,
            "slope and offset have as many numbers as there are scores": _size(self.calibration.slope)
            == _size(self.calibration.offset)
            == (n_scores or 1),
            "k goes with topk and groupmax": (self.sae.activation in RANKING) == (self.sae.k is not None),
            "only features that stand alone are pruned": not self.pruned or can_prune(self.sae, self.pooling),
        }
        if broken := [rule for rule, kept in checks.items() if not kept]:
            raise ValueError(broken[0])
        return self

    def sealed(self) -> Manifest:
        """The same manifest with its right fingerprint."""
        return self.model_copy(update={"fingerprint": self.content_hash()})

    def content_hash(self) -> str:
        """What the fingerprint must be.

        A field that was added later has a default, which says what was done before there was the field; at its default
        it leaves the fingerprint as it was.
        """
        content: dict[str, Any] = self.model_dump(mode="json", exclude={"fingerprint", "card"}, exclude_defaults=True)
        return sha256_json(content)


def _size(values: tuple[float, ...] | None) -> int | None:
    return None if values is None else len(values)


#: Activations whose features depend on each other.
RANKING = ("topk", "groupmax")


def can_prune(sae: BundleSAE, pooling: str) -> bool:
    """Whether some features can be computed without the others.

    A TopK SAE ranks all features of a token, and so does ``top{N}`` pooling; a group-max one those of a group.
    """
    return sae.activation not in RANKING and not pooling.startswith("top")


#: A fingerprint to start from, replaced by :meth:`Manifest.sealed`.
UNSEALED = "0" * 64
