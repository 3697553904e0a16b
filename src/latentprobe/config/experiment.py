"""One experiment: what is compared with what, and how it is judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from latentprobe.config.backbone import BackboneSpec
from latentprobe.config.data import DataSpec
from latentprobe.config.fields import Binarize, Frozen, Pooling, PositiveFloat, Selection, Unique


class ProbeSpec(Frozen):
    """The linear model on top."""

    penalty: Literal["l2", "l1"] = "l2"
    """Logistic regression with this penalty."""
    C: Annotated[tuple[PositiveFloat, ...], Field(min_length=1), Unique] = (0.001, 0.01, 0.1, 1.0, 10.0)
    """Inverse regularization strengths; one is chosen on inner folds, for every representation from the same grid."""
    class_weight: Literal["balanced", "none"] = "balanced"
    """`balanced`: every class weighs the same in the fit."""
    also: Annotated[tuple[Literal["tree", "boosting", "centroid", "l1_path"], ...], Unique] = ()
    """Other classifiers on the rows that were chosen, beside the linear one: decision tree, gradient boosting, nearest
    (shrunken) centroid, and a linear model along the path of an L1 penalty."""


class EvaluateSpec(Frozen):
    """How the rows of the table are chosen and scored."""

    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Inner folds of the training part; everything that is chosen is chosen on them."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the split, the folds, the probes and the bootstrap."""
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Resamples of the test rows behind each interval."""
    scheme: Literal["holdout", "nested"] = "holdout"
    """`holdout`: one test part. `nested`: besides, each of `folds` outer folds is the test part once, and everything
    is chosen anew on the others."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """How often the whole procedure is done, each time with the next seed: test parts drawn, or sets of outer folds."""
    metric: Literal["macro_f1"] = "macro_f1"
    """What the choice is made by."""


class ExperimentSpec(Frozen):
    """One experiment: extract once, compare everything, keep the best as a classifier."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """Short name: letters, digits, dots, dashes and underscores."""
    data: DataSpec
    """The labelled examples."""
    backbones: Annotated[tuple[BackboneSpec, ...], Field(min_length=1)]
    """The models and layers."""
    pooling: Annotated[tuple[Pooling, ...], Field(min_length=1), Unique] = ("max", "mean", "sum", "count", "top20")
    """From tokens to one row: max, sum, mean, last, count, rate, top{N}, rollmax{K}."""
    binarize: Annotated[tuple[Binarize, ...], Field(min_length=1), Unique] = ("none", 1.0, "auto")
    """After pooling: none, 1 above a number, or 1 above a threshold learned per feature."""
    selection: Annotated[tuple[Selection, ...], Field(min_length=1), Unique] = ("all",)
    """Features kept, chosen on training rows: all, top{K} by standardized mean difference, l1."""
    baselines: Annotated[tuple[Literal["hidden", "tfidf", "majority", "length"], ...], Unique] = (
        "hidden",
        "tfidf",
        "majority",
    )
    """What SAE features are compared with, on the same rows, tokens and grid."""
    probe: ProbeSpec = ProbeSpec()
    """The linear model."""
    evaluate: EvaluateSpec = EvaluateSpec()
    """Folds, seed and intervals."""

    @model_validator(mode="after")
    def _backbones_differ(self) -> ExperimentSpec:
        """Two equal (model, layer, hook, tokens) entries would put the same rows into the table twice."""
        places = [(b.model, layer, b.hook, b.selected) for b in self.backbones for layer in b.layers]
        if len(set(places)) != len(places):
            raise ValueError("the same model, layer, hook and tokens stand in two backbones; merge them")
        return self

    @model_validator(mode="after")
    def _test_parts_are_drawn(self) -> ExperimentSpec:
        """Further test parts can only be drawn where the first one is."""
        if not isinstance(self.data.test, float) and (self.evaluate.repeats > 1 or self.evaluate.scheme == "nested"):
            raise ValueError(
                "the data give the test part, so no other can be drawn; "
                "leave out evaluate.scheme and evaluate.repeats, or give data.test as a share"
            )
        return self
