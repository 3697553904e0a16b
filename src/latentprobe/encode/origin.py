"""An SAE beside the library that owns its format, on the same hidden states. Optional: the library must be installed.

SAELens reads its own folders, and by release and id all families of its published table. Knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentprobe.encode.formats import describe
from latentprobe.encode.formats.references import on_hub
from latentprobe.encode.sae import SAE
from latentprobe.errors import MissingExtraError, SAEError

__all__ = ["Agreement", "compare_with_origin"]

#: What differs less is rounding: values relative to the largest one, support as a share of active entries.
VALUES, SUPPORT = 1e-3, 1e-3


@dataclass(frozen=True)
class Agreement:
    """Our features beside those of the library."""

    library: str
    active: int
    """Entries that are active on both sides."""
    scale: float
    """The library's values are this many times ours; 1 but for families that are kept in another scale."""
    max_difference: float
    """Largest difference of a value, after that scale, relative to the largest value."""
    support_difference: float
    """Share of active entries that are active on one side only."""

    @property
    def agrees(self) -> bool:
        """Whether they differ by no more than rounding."""
        return self.active > 0 and self.max_difference < VALUES and self.support_difference < SUPPORT


def compare_with_origin(reference: str, sae: SAE, x: Tensor) -> Agreement:
    """Encode hidden states twice.

    Args:
        reference: of the SAE.
        sae: as it was loaded here, on the CPU.
        x: hidden states at its hook point, as the model as published gives them.

    Raises:
        MissingExtraError: sae-lens is not installed.
        SAEError: sae-lens cannot load this reference.
    """
    theirs = _load(reference)
    prepared = x - x.mean(dim=1, keepdim=True) if "centre" in sae.pre_ops else x  # it expects a changed model's states
    with torch.no_grad():
        expected = theirs.encode(prepared.float()).float().numpy()
    ours = sae.encode(x).csr().toarray()
    both, either = (ours > 0) & (expected > 0), (ours > 0) | (expected > 0)
    if not both.any():
        return Agreement(_name(), 0, float("nan"), float("nan"), 1.0)
    scale = float(np.median(expected[both] / ours[both]))
    largest = float(np.abs(expected).max())
    return Agreement(
        library=_name(),
        active=int(both.sum()),
        scale=scale,
        max_difference=float(np.abs(ours * scale - expected)[both].max()) / largest,
        support_difference=float(1 - both.sum() / either.sum()),
    )


def _load(reference: str) -> Any:
    """The library's own SAE of a reference."""
    try:
        import sae_lens
    except ImportError as error:
        raise MissingExtraError(
            "saelens", needed_for="comparing with the library that owns the format", missing="sae-lens"
        ) from error
    where, told = on_hub(reference), describe(reference)
    if where is not None and where.entry is not None:
        theirs = sae_lens.SAE.from_pretrained(where.entry.release, where.entry.id, device="cpu")
        theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    elif told["format"] == "SAELens" and "cfg.json" in told["files"]:
        theirs = sae_lens.SAE.load_from_disk(str(Path(told["files"]["cfg.json"]).parent), device="cpu")
    else:
        raise SAEError(
            "a library that reads this SAE was expected: SAELens reads its own folders and its published table",
            got=f"{reference}, of {told['format']}",
            fix="leave --origin out; docs/saes.md tells how this family is proven",
        )
    if hasattr(theirs, "turn_off_forward_pass_hook_z_reshaping"):
        theirs.turn_off_forward_pass_hook_z_reshaping()  # heads come side by side here
    return theirs


def _name() -> str:
    try:
        return f"sae-lens {version('sae-lens')}"
    except PackageNotFoundError:
        return "sae-lens"
