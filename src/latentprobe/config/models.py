"""Transfer between models: whose features tell what a model answers right, and which features of two are the same."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from latentprobe.config.backbone import BackboneSpec
from latentprobe.config.data import DataSpec
from latentprobe.config.experiment import EvaluateSpec, ExperimentSpec, ProbeSpec
from latentprobe.config.fields import Frozen, Name, Pooling


class ModelsSpec(ExperimentSpec):
    """Features of each source backbone predict the answers of each target model."""

    targets: Annotated[dict[str, str | None], Field(min_length=1)]
    """Column with a target's right and wrong answers -> the model among `backbones` that is the target itself, or
    null where it is none of them."""

    @model_validator(mode="before")
    @classmethod
    def _targets_are_the_labels(cls, values: Any) -> Any:
        """The label columns are the targets: what they say is written once."""
        if not isinstance(values, dict) or not isinstance(values.get("targets"), dict) or not values["targets"]:
            return values
        data = values.get("data")
        labels = tuple(values["targets"])
        label = labels if len(labels) > 1 else labels[0]
        if isinstance(data, dict):
            told = tuple(data["label"]) if isinstance(data.get("label"), list) else data.get("label", label)
            if told != label:
                raise ValueError("`targets` names the label columns; leave `data.label` out")
            values = {**values, "data": {**data, "label": label}}
        return values

    @model_validator(mode="after")
    def _own_models_are_sources(self) -> ModelsSpec:
        sources = [backbone.model for backbone in self.backbones]
        for column, model in self.targets.items():
            if model is not None and model not in sources:
                raise ValueError(f"the target {column} names {model}, which is none of the backbones; write null")
        if len(set(sources)) != len(sources):
            raise ValueError("each source is one backbone; put the layers of a model into one")
        if "hidden" not in self.baselines or "majority" not in self.baselines:
            raise ValueError("the baselines hidden and majority are part of the matrix; leave them in")
        return self


class MatchingSpec(Frozen):
    """Which features of one SAE are those of another, on the same rows."""

    name: Name
    """Short name: letters, digits, dots, dashes and underscores."""
    data: DataSpec
    """The rows; features are matched on training rows, and the labels serve the probe that is carried over."""
    first: BackboneSpec
    """The model, layer and SAE whose features are matched and whose probe is carried over."""
    second: BackboneSpec
    """The model, layer and SAE they are matched to."""
    pooling: Pooling = "max"
    """From tokens to one row."""
    features: Annotated[int, Field(ge=10, le=8192)] = 1024
    """Features of each side that are matched: those on in the most training rows."""
    permutations: Annotated[int, Field(ge=1, le=1000)] = 19
    """Shuffles of the second side's rows; a feature is matched if its partner beats all of them."""
    probe: ProbeSpec = ProbeSpec()
    """The linear model that is carried over."""
    evaluate: EvaluateSpec = EvaluateSpec()
    """Folds, seed and intervals."""

    @model_validator(mode="after")
    def _one_sae_a_side(self) -> MatchingSpec:
        for side in (self.first, self.second):
            if len(side.layers) != 1 or side.saes == "auto" or len(side.saes) != 1:
                raise ValueError("`first` and `second` each name one layer and one SAE")
        return self
