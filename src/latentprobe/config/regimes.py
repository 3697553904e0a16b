"""The four regimes in which SAE probes are said to help: little data, imbalance, label noise, covariate shift.

After Kantamneni, Engels and others 2025 (arXiv 2502.16681).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from latentprobe.config.fields import Frozen, Unique

__all__ = ["RegimesSpec", "ShiftSpec"]


Values = Annotated[tuple[str, ...], Field(min_length=1), Unique]


class ShiftSpec(Frozen):
    """Train on one source, test on another."""

    column: str
    """Column that names the source of a row; also to be listed in `data.by`."""
    train: str | Values
    """Its value, or values, on the rows to train on."""
    test: str | Values
    """Its value, or values, on the rows to test on."""

    @property
    def values(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Those to train on and those to test on."""
        train, test = ((one,) if isinstance(one, str) else one for one in (self.train, self.test))
        return train, test

    @model_validator(mode="after")
    def _sources_differ(self) -> ShiftSpec:
        train, test = self.values
        if both := sorted(set(train) & set(test)):
            raise ValueError(f"a source is trained on or tested on, not both: {', '.join(both)}")
        return self


class RegimesSpec(Frozen):
    """Which conditions to make from the training part; an empty list leaves a regime out."""

    rows: Annotated[tuple[Annotated[int, Field(ge=8)], ...], Unique] = (8, 16, 32, 64, 128, 256, 512)
    """Little data: numbers of training rows, with the shares of the classes as they are."""
    imbalance: Annotated[tuple[Annotated[float, Field(ge=0.01, le=0.99)], ...], Unique] = (
        0.05,
        0.1,
        0.25,
        0.5,
        0.75,
        0.9,
        0.95,
    )
    """Shares of the first class among the training rows, each with as many rows; the test part stays as it is."""
    noise: Annotated[tuple[Annotated[float, Field(ge=0, le=0.9)], ...], Unique] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    """Shares of the training labels replaced by another class; test labels stay true."""
    shift: ShiftSpec | None = None
    """Train on one source and test on another."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 5
    """Draws of training rows or wrong labels for each condition."""
