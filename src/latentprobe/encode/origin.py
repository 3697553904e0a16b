"""An SAE beside the library that owns its format, on the same hidden states. Optional: the library must be installed.

sparsify and dictionary_learning read their own folders; SAELens reads its own, and by release and id all families of
its published table. Knows nothing of models.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentprobe.encode.formats import describe
from latentprobe.encode.formats.references import on_hub
from latentprobe.encode.sae import SAE
from latentprobe.errors import MissingExtraError, SAEError
from latentprobe.files import read_json

__all__ = [
    "READERS",
    "Agreement",
    "Encode",
    "agreement",
    "compare_with_origin",
    "imported",
    "named",
    "plain_encode",
    "reading",
]

#: What differs less is rounding: values relative to the largest one, support as a share of active entries. That of
#: bfloat16, 2^-8: SAELens takes Llama Scope's directions for exactly of norm 1, which in that type they nearly are.
VALUES = SUPPORT = 2.0**-8

#: Hidden states ``[tokens, d_in]`` to features ``[tokens, width]``, both float32, as a library gives them.
Encode = Callable[[Tensor], Tensor]

#: What libraries raise on checkpoints that they do not read.
_UNREAD = (ValueError, KeyError, RuntimeError, OSError, AssertionError, TypeError, AttributeError)


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
        SAEError: no library reads this reference, it is not installed, or it fails to read it.
    """
    library, encode = _origin(reference)
    prepared = x - x.mean(dim=1, keepdim=True) if "centre" in sae.pre_ops else x  # it expects a changed model's states
    with torch.no_grad():
        theirs = encode(prepared.float()).float().numpy()
    return agreement(sae.encode(x).csr().toarray(), theirs, library)


def agreement(ours: NDArray[Any], theirs: NDArray[Any], library: str) -> Agreement:
    """How far two encodings of the same hidden states are apart, ``[tokens, width]`` each.

    >>> agreement(np.array([[0.0, 1.0, 2.0]]), np.array([[0.0, 3.0, 6.0]]), "another").scale
    3.0
    """
    both, either = (ours > 0) & (theirs > 0), (ours > 0) | (theirs > 0)
    if not both.any():
        return Agreement(library, 0, float("nan"), float("nan"), 1.0)
    scale = float(np.median(theirs[both] / ours[both]))
    return Agreement(
        library=library,
        active=int(both.sum()),
        scale=scale,
        max_difference=float(np.abs(ours * scale - theirs)[both].max() / np.abs(theirs).max()),
        support_difference=float(1 - both.sum() / either.sum()),
    )


def _origin(reference: str) -> tuple[str, Encode]:
    """The library that owns a reference's format, with its version, and its encode."""
    where, told = on_hub(reference), describe(reference)
    entry = None if where is None else where.entry
    own = READERS.get(told["format"])
    if own is not None and own.file in told["files"] and (entry is None or own.package != "sae-lens"):
        folder = Path(told["files"][own.file]).parent
        return named(own.package), own.encode(folder)
    if entry is None:
        raise SAEError(
            "a library that reads this SAE was expected: sparsify, dictionary_learning and SAELens read their own "
            "folders, SAELens its published table too",
            got=f"{reference}, of {told['format']}",
            fix="leave --origin out; docs/saes.md tells how this family is proven",
        )
    library = imported("sae-lens", "sae_lens")
    return named("sae-lens"), reading(
        "sae-lens", lambda: plain_encode(library.SAE.from_pretrained(entry.release, entry.id, device="cpu"))
    )


def reading(package: str, read: Callable[[], Encode]) -> Encode:
    """What a library makes of a checkpoint.

    Raises:
        SAEError: it does not read it.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return read()
    except _UNREAD as error:
        raise SAEError(
            f"a checkpoint that {named(package)} reads was expected, to compare with it",
            got=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            fix="leave --origin out; docs/saes.md tells how this family is proven",
        ) from error


def plain_encode(theirs: Any) -> Encode:
    """Encode of one of SAELens' SAEs, in float32, with the heads of attention side by side as they come here."""
    theirs = (theirs[0] if isinstance(theirs, tuple) else theirs).float()  # versions before 6 give a tuple
    if hasattr(theirs, "turn_off_forward_pass_hook_z_reshaping"):
        theirs.turn_off_forward_pass_hook_z_reshaping()
    encode: Encode = theirs.encode
    return encode


def _saelens_folder(library: Any, folder: Path) -> Encode:
    theirs = library.SAE.load_from_disk(str(folder), device="cpu")
    factor = read_json(folder / "cfg.json").get("norm_scaling_factor")
    if factor is not None:  # which only `from_pretrained` folds in
        theirs.fold_activation_norm_scaling_factor(factor)
    return plain_encode(theirs)


def _sparsify_folder(library: Any, folder: Path) -> Encode:
    theirs = library.SparseCoder.load_from_disk(folder, device="cpu").float()

    def encode(x: Tensor) -> Tensor:
        found = theirs.encode(x)
        return torch.zeros(len(x), theirs.num_latents).scatter_(1, found.top_indices, found.top_acts)

    return encode


def _dictionary_folder(library: Any, folder: Path) -> Encode:
    kind = read_json(folder / "config.json")["trainer"]["dict_class"]
    if kind == "AutoEncoder":  # whose features it would else multiply by the norms of their directions
        theirs = library.AutoEncoder.from_pretrained(folder / "ae.pt", normalize_decoder=False)
    else:
        theirs, _ = library.load_dictionary(str(folder), "cpu")
    theirs = theirs.float()
    if kind.startswith(("BatchTopK", "MatryoshkaBatchTopK")) and float(theirs.threshold) < 0:
        # No threshold was trained: the k largest of a batch, here of one token, so that none depends on the others.
        return lambda x: torch.cat([theirs.encode(row, use_threshold=False) for row in x[:, None]])
    encode: Encode = theirs.encode
    return encode


@dataclass(frozen=True)
class Library:
    """One that reads folders of its own format."""

    package: str
    module: str
    file: str
    """Which marks a folder."""
    read: Callable[[Any, Path], Encode]

    def encode(self, folder: Path) -> Encode:
        """Its encode of the SAE in a folder. Raises ``SAEError`` where it is not installed, or does not read it."""
        library = imported(self.package, self.module)
        return reading(self.package, lambda: self.read(library, folder))


#: Format to the library that owns it.
READERS = {
    "SAELens": Library("sae-lens", "sae_lens", "cfg.json", _saelens_folder),
    "sparsify": Library("eai-sparsify", "sparsify", "cfg.json", _sparsify_folder),
    "dictionary_learning": Library("dictionary-learning", "dictionary_learning.utils", "ae.pt", _dictionary_folder),
}


def imported(package: str, module: str) -> Any:
    """A library, imported; what it prints then does not belong on standard output."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return importlib.import_module(module)
    except ImportError as error:
        needed = "comparing with the library that owns the format"
        if package == "sae-lens":
            raise MissingExtraError("saelens", needed_for=needed, missing=package) from error
        raise SAEError(
            f"{needed} needs that library",
            got=f"the package '{package}' cannot be imported: {error}",
            fix=f"install {package}, best in an environment of its own: `make origins` makes one",
        ) from error


def named(package: str) -> str:
    """A package with its version, where it has one."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
