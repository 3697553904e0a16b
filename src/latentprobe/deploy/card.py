"""The model card of a new classifier. Knows nothing of models and files."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from latentprobe.corpus import Target
from latentprobe.deploy.manifest import Card

__all__ = ["card_for"]

_PACKAGES = ("latentprobe", "numpy", "scikit-learn", "torch", "transformers", "tokenizers")

_LIMITS = {
    "texts": (
        "It knows texts like those it was trained on; measure it on your own before you rely on it.",
        "Its features come from a language model and an SAE, with the gaps and biases of both; a label is a short "
        "description of examples and may miss what a feature does elsewhere.",
        "An explanation says what moved this classifier's score, not why a text was written or what its author meant.",
        "It sees one text at a time, without its author, its context or what came before.",
    ),
    "images": (
        "It knows images like those it was trained on; measure it on your own before you rely on it.",
        "Its features come from a model of images and an SAE, with the gaps and biases of both; a label is a short "
        "description of examples and may miss what a feature does elsewhere. A label made on texts may not hold on "
        "images.",
        "An explanation says what moved this classifier's score and in which patch, not what the patch shows: each "
        "patch has seen all the others.",
    ),
}


def card_for(name: str, target: Target, *, measured: str, notes: Sequence[str] = (), rows: str = "texts") -> Card:
    """A card for a classifier, to be made more precise by hand.

    Args:
        name: what the data are called.
        target: the labels it was fitted on; only their numbers are told.
        measured: the end of "Its figures were measured ...".
        notes: sentences on the data.
        rows: what it reads, ``texts`` or ``images``.
    """
    classes = ", ".join(repr(name) for name in target.classes)
    return Card(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data={"name": name, "rows": len(target), "classes": dict(target.counts())},
        versions={"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        intended_use=f"Deciding between {classes} for {rows} like those of {name}, "
        "beside a person who can overrule it.",
        limits=(f"Its figures were measured {measured}.", *_LIMITS[rows]),
        notes=tuple(notes),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
