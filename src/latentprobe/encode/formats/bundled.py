"""The SAEs that come with the package: folders in SAELens' layout, each with a card and labels.

Knows nothing of tensors: the folders are read by the loader of their format.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentprobe.encode.formats import saelens
from latentprobe.encode.formats.place import Place
from latentprobe.errors import SAEError, nearest
from latentprobe.files import sha256_file

__all__ = ["SAECard", "card_of", "find", "list_bundled", "names", "prove"]

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "saes"
CARD = "card.json"


@dataclass(frozen=True)
class SAECard:
    """The facts of a bundled SAE that help to choose one."""

    name: str
    reference: str
    """What to write to load it: ``bundled:NAME``."""
    model: str | None
    layer: int
    hook: str
    architecture: str
    d_in: int
    width: int
    bytes: int
    """Size of its weights on disk."""
    l0: float | None
    """Active features a token, on average over held-out text."""
    explained_variance: float | None
    """Share of the variance of held-out hidden states that its reconstructions explain."""
    dead_share: float | None
    """Share of features never seen active on the training text."""
    licence: str | None
    data: dict[str, str | None]
    """What it was trained on: name to licence."""


def list_bundled() -> list[SAECard]:
    """Every SAE that comes with the package, by name.

    Raises:
        SAEError: the package is damaged.
    """
    return [card_of(find(name)) for name in names()]


def find(name: str) -> Place:
    """The folder of a bundled SAE, its weights proven by the checksum in its card.

    Raises:
        SAEError: no such SAE, or its files are not the ones that were published.
    """
    if name not in names():
        raise SAEError(
            f"a bundled SAE is one of {', '.join(names()) or 'none: the package came without them'}",
            got=repr(name),
            fix=f"use one of them, as bundled:NAME{nearest(name, names())}",
        )
    folder = ASSETS / name
    return Place(f"bundled:{name}", folder, str(folder))


def prove(place: Place) -> None:
    """Refuse a bundled SAE whose weights have another checksum than its card says."""
    expected, came = place.config(CARD).get("sha256"), sha256_file(place.file(saelens.WEIGHTS))
    if came != expected:
        raise place.refusal(
            f"its weights have sha256 {expected}", got=came, fix="install the package again: its files were changed"
        )


def card_of(place: Place) -> SAECard:
    """The card of a bundled SAE."""
    facts, card = saelens.facts(place), place.config(CARD)
    held_out, training = _mapping(card, "held_out"), _mapping(card, "training")
    return SAECard(
        name=place.folder.name,
        reference=place.reference,
        model=facts.model,
        layer=facts.hook.layer,
        hook=facts.hook.name,
        architecture=facts.architecture,
        d_in=facts.d_in,
        width=facts.width,
        bytes=place.file(saelens.WEIGHTS).stat().st_size,
        l0=held_out.get("l0_mean"),
        explained_variance=held_out.get("explained_variance"),
        dead_share=training.get("dead_share"),
        licence=card.get("licence"),
        data={name: _mapping(training["data"], name).get("licence") for name in _mapping(training, "data")},
    )


def names() -> list[str]:
    """Names of the SAEs that come with the package."""
    return (
        sorted(path.name for path in ASSETS.iterdir() if (path / saelens.CONFIG).is_file()) if ASSETS.is_dir() else []
    )


def _mapping(values: dict[str, Any], key: str) -> dict[str, Any]:
    """A mapping inside a mapping; empty where it is not there."""
    inner = values.get(key)
    return inner if isinstance(inner, dict) else {}
