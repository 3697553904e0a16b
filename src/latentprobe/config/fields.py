"""What every spec is made of: frozen, documented values and the words they are written in. Knows no spec."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from latentprobe.errors import nearest

POOLINGS = ("max", "sum", "mean", "last", "count", "rate", "top{N}", "rollmax{K}")
HIDDEN_POOLINGS = ("mean", "max", "last")


def _pooling(name: str) -> str:
    if re.fullmatch(r"max|sum|mean|last|count|rate|(top|rollmax)[1-9]\d{0,5}", name):
        return name
    raise ValueError(f"a pooling is one of {', '.join(POOLINGS)}{nearest(name, POOLINGS)}")


def _binarize(value: str | float) -> str | float:
    if isinstance(value, str) and value not in ("none", "auto"):
        raise ValueError("binarize is none, auto or a number of at least 0")
    if not isinstance(value, str) and not 0 <= value < float("inf"):
        raise ValueError("a binarization threshold is a finite number of at least 0")
    return value if isinstance(value, str) else float(value)


def _selection(name: str) -> str:
    if re.fullmatch(r"all|l1|(top|l1top|weight)[1-9]\d{0,6}", name):
        return name
    raise ValueError("a selection is all, l1, or top{K}, l1top{K} or weight{K}, such as top256")


def _positive(value: float) -> float:
    if not 0 < value < float("inf"):
        raise ValueError("C, the inverse of the regularization strength, is a finite number above 0")
    return float(value)


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("the same value is listed twice")
    return values


Pooling = Annotated[str, AfterValidator(_pooling)]
Binarize = Annotated[str | float, AfterValidator(_binarize)]
Selection = Annotated[str, AfterValidator(_selection)]
PositiveFloat = Annotated[float, AfterValidator(_positive)]
Unique = AfterValidator(_unique)


class Frozen(BaseModel):
    """A value: no unknown keys, no changes after it is made, documentation under each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
