"""One experiment: what is compared with what, and how it is judged."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from latentprobe.config.backbone import BackboneSpec
from latentprobe.config.data import DataSpec
from latentprobe.config.explain import ExplainSpec
from latentprobe.config.fields import Baseline, Binarize, Frozen, Pooling, PositiveFloat, Selection, Unique
from latentprobe.config.regimes import RegimesSpec
from latentprobe.config.task import TaskSpec


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
    """Features kept, chosen on training rows: all; the K best by standardized mean difference (top{K}), by the L1
    path (l1top{K}: those that enter first) or by the size of their weight beside all others (weight{K}); or l1, all
    that an L1 fit gives a weight."""
    task: TaskSpec | None = None
    """The question about each text, where a baseline needs one."""
    baselines: Annotated[tuple[Baseline, ...], Unique] = ("hidden", "tfidf", "majority")
    """What SAE features are compared with, on the same rows, tokens and grid: hidden states; `prompted`, those at the
    end of the task's prompt; `pca{K}`, K principal components of them, and `pca`, as many as each top{K} of
    `selection`; `sae_hidden`, SAE features and hidden states side by side; `random_sae`, an untrained encoder as wide
    and as sparse as each SAE; `zero_shot`, what a causal model answers to the task's prompt; TF-IDF of words and
    characters; text length; the most frequent class."""
    probe: ProbeSpec = ProbeSpec()
    """The linear model."""
    evaluate: EvaluateSpec = EvaluateSpec()
    """Folds, seed and intervals."""
    explain: ExplainSpec = ExplainSpec()
    """How the explanations of the chosen row are tested."""
    k_sparse: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Unique] = ()
    """Also fit with only the best so many features, by each rule of selection: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].
    The chosen SAE row, beside the best hidden state and the best word counts."""
    regimes: RegimesSpec | None = None
    """Also compare with little data, imbalance, label noise and on another source; `{}` for all but the last."""

    @field_validator("baselines")
    @classmethod
    def _have_what_they_need(cls, baselines: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "prompted" in baselines and info.data.get("task", ...) is None:
            raise ValueError("prompted reads the question of `task`; add one: {prompt: ...}")
        if "zero_shot" in baselines and info.data.get("task", ...) is None:
            raise ValueError("zero_shot answers the question of `task`; add one: {prompt: ...}")
        sizes = [name for name in info.data.get("selection", ["top1"]) if name.startswith("top")]
        if "pca" in baselines and not sizes:
            raise ValueError("pca takes its sizes from the top{K} of `selection`; add one, or name a size: pca64")
        return baselines

    @model_validator(mode="after")
    def _backbones_differ(self) -> ExperimentSpec:
        """Two equal (model, layer, hook, tokens) entries would put the same rows into the table twice."""
        places = [(b.model, layer, b.hook, b.selected) for b in self.backbones for layer in b.layers]
        if len(set(places)) != len(places):
            raise ValueError("the same model, layer, hook and tokens stand in two backbones; merge them")
        return self

    @property
    def components(self) -> tuple[int, ...]:
        """Numbers of principal components that `pca` and `pca{K}` ask for, ascending."""
        named = [name for name in self.baselines if name.startswith("pca")]
        named += self.selection if "pca" in named else ()
        return tuple(sorted({int(size[1]) for name in named if (size := re.fullmatch(r"(?:pca|top)(\d+)", name))}))

    @model_validator(mode="after")
    def _test_parts_are_drawn(self) -> ExperimentSpec:
        """Further test parts can only be drawn where the first one is."""
        if not isinstance(self.data.test, float) and (self.evaluate.repeats > 1 or self.evaluate.scheme == "nested"):
            raise ValueError(
                "the data give the test part, so no other can be drawn; "
                "leave out evaluate.scheme and evaluate.repeats, or give data.test as a share"
            )
        return self
