"""One classifier without a comparison."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from latentprobe.config.backbone import BackboneSpec
from latentprobe.config.experiment import ProbeSpec
from latentprobe.config.fields import Binarize, Frozen, Pooling, Selection
from latentprobe.errors import SpecError, nearest

__all__ = ["FitSpec"]


class FitSpec(Frozen):
    """One classifier without a comparison: a model, one layer and SAE of it, and what is made of its features."""

    backbone: BackboneSpec
    """The model, with one layer and one SAE."""
    pooling: Pooling = "max"
    """From tokens to one row: max, sum, mean, last, count, rate, top{N}, rollmax{K}."""
    binarize: Binarize = "none"
    """After pooling: none, 1 above a number, or auto, 1 above a threshold learned per feature."""
    selection: Selection = "all"
    """Features kept: all, top{K} by standardized mean difference, l1."""
    probe: ProbeSpec = ProbeSpec()
    """The linear model."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Inner folds; rows of one group, and copies of a row, are held out together."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the folds and the interval."""

    @field_validator("backbone")
    @classmethod
    def _one_of_each(cls, backbone: BackboneSpec) -> BackboneSpec:
        if backbone.saes == "auto" or len(backbone.saes) != 1 or len(backbone.layers) != 1:
            raise ValueError("a classifier has one layer and one SAE, named by its reference")
        return backbone

    @property
    def sae(self) -> str:
        """Reference of the SAE."""
        return self.backbone.saes[0]

    @classmethod
    def of(cls, *, layer: int = 3, sae: str = "bundled:minilm-l3-4k", **settings: Any) -> FitSpec:
        """The spec of flat settings, as functions and the command line take them.

        Args:
            layer: the one layer.
            sae: reference of the one SAE.
            settings: other keys of ``BackboneSpec``, ``FitSpec`` and ``ProbeSpec``, by their names there.

        Raises:
            SpecError: naming the setting that is unknown or out of range.

        >>> FitSpec.of(prompt="Is {text} rude?", select="last", C=[0.1]).backbone.selected
        'last token in "Is {text} rude?"'
        """
        rooms: dict[str, type[Frozen]] = {"backbone": BackboneSpec, "probe": ProbeSpec}
        names = {name: room for room, spec in rooms.items() for name in spec.model_fields}
        known = [name for name in {**names, **cls.model_fields} if name not in (*rooms, "layers", "saes", "also")]
        if unknown := [name for name in settings if name not in known]:
            raise SpecError(
                "a setting of a classifier was expected",
                got=unknown[0],
                fix=f"use one of {', '.join(['layer', 'sae', *known])}{nearest(unknown[0], known)}",
            )
        nested: dict[str, dict[str, Any]] = {"backbone": {"layers": (layer,), "saes": (sae,)}, "probe": {}}
        for name in names.keys() & settings.keys():
            nested[names[name]][name] = settings.pop(name)
        try:
            return cls.model_validate(nested | settings)
        except ValidationError as error:
            fault = error.errors()[0]
            name = next((str(part) for part in fault["loc"] if part not in rooms), "settings")
            raise SpecError(
                "a parameter cannot be used",
                got=f"{name.replace('layers', 'layer').replace('saes', 'sae')}={fault['input']!r}",
                fix=fault["msg"].removeprefix("Value error, "),
            ) from error
