"""What every spec is made of: frozen, documented values and the words they are written in. Knows no spec."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from latentprobe.errors import nearest

POOLINGS = ("max", "sum", "mean", "last", "count", "rate", "top{N}", "rollmax{K}")
HIDDEN_POOLINGS = ("mean", "max", "last")
BASELINES = (
    "hidden", "prompted", "pca", "pca{K}", "sae_hidden", "random_sae", "zero_shot", "tfidf", "majority", "length",
)  # fmt: skip


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


def _baseline(name: str) -> str:
    if name in BASELINES or re.fullmatch(r"pca[1-9]\d{0,6}", name):
        return name
    raise ValueError(f"a baseline is one of {', '.join(BASELINES)}{nearest(name, BASELINES)}")


def _prompt(text: str) -> str:
    if text.count("{text}") != 1:
        raise ValueError("a prompt says once where the text stands: {text}")
    return text


def _positive(value: float) -> float:
    if not 0 < value < float("inf"):
        raise ValueError("C, the inverse of the regularization strength, is a finite number above 0")
    return float(value)


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("the same value is listed twice")
    return values


def _words(values: Any) -> Any:
    """YAML reads an unquoted ``yes`` as true and ``1`` as a number; here both are words."""
    if not isinstance(values, dict):
        return values
    return {_word(key): _word(value) for key, value in values.items()}


def _word(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int | float) else value


def _class_names(values: Any) -> Any:
    """A label that YAML reads as a truth value or a number is the word that a table has for it."""
    if not isinstance(values, dict):
        return values
    return {str(key).lower() if isinstance(key, bool) else str(key): value for key, value in values.items()}


def _told_apart(values: dict[str, str]) -> dict[str, str]:
    if len(values) < 2 or len(set(values.values())) != len(values) or not all(map(str.strip, values.values())):
        raise ValueError("at least two answers, each with words of its own")
    return values


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Words = Annotated[dict[str, str], BeforeValidator(_words), AfterValidator(_told_apart)]
ClassNames = Annotated[dict[str, str], BeforeValidator(_class_names), Field(min_length=2)]
Pooling = Annotated[str, AfterValidator(_pooling)]
Binarize = Annotated[str | float, AfterValidator(_binarize)]
Baseline = Annotated[str, AfterValidator(_baseline)]
Prompt = Annotated[str, AfterValidator(_prompt)]
Selection = Annotated[str, AfterValidator(_selection)]
PositiveFloat = Annotated[float, AfterValidator(_positive)]
Unique = AfterValidator(_unique)


class Frozen(BaseModel):
    """A value: no unknown keys, no changes after it is made, documentation under each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
