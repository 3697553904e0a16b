"""What SAELens' published table says of SAEs on the Hugging Face hub: more than ten thousand, known without a network.

A snapshot in the package, made by ``scripts/make_registry.py``; it holds facts and no weights. Knows nothing of how an
SAE is read.
"""

from __future__ import annotations

import functools
import gzip
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from latentprobe.encode.hookpoints import HookPoint
from latentprobe.errors import SAEError, nearest

__all__ = ["Entry", "Source", "at", "centred", "entries", "find", "is_model", "source"]

SNAPSHOT = Path(__file__).resolve().parents[2] / "assets" / "registry" / "sae-lens.json.gz"

_TRANSCODER = "a transcoder, which reads one place of a model and rebuilds another"

#: Conversions of SAELens whose SAEs are not read, and why.
_NOT_SAES = {
    "gemma_2_transcoder": _TRANSCODER,
    "mwhanna_transcoder": _TRANSCODER,
    "mntss_clt_layer_transcoder": "a cross-layer transcoder, which rebuilds other places than it reads",
    "temporal": "a temporal SAE, whose features depend on the tokens before",
    "connor_rob_hook_z": "weights in a file of their own format, which is not read",
}


class Entry(NamedTuple):
    """One SAE of the table; None where the table does not say."""

    release: str
    id: str
    repository: str
    path: str
    model: str
    family: str
    """The conversion that SAELens uses for it, or ``sae_lens`` for its own format."""
    hook: str | None
    width: int | None
    l0: float | None
    explained_variance: float | None
    neuronpedia: str | None
    norm_scaling_factor: float | None
    centred: bool
    """Trained on a model whose writing weights were centred, which its config does not say."""
    normalization: str | None
    """What is to be taken for ``normalize_activations`` of its config."""

    @property
    def reference(self) -> str:
        """What to write to load it."""
        return f"saelens:{self.release}/{self.id}"

    @property
    def layer(self) -> int | None:
        """The block whose output, or whose part, it reads; what is before a block is the output of the one before."""
        if (hook := _hook_point(self.hook)) is not None:
            return hook.layer
        match = re.match(r"blocks\.(\d+)\.", self.hook or "")
        return int(match[1]) if match else None

    @property
    def refused(self) -> str | None:
        """Why it is not read; None where nothing here speaks against it."""
        if self.family in _NOT_SAES:
            return _NOT_SAES[self.family]
        if self.path.startswith(("transcoder", "clt", "crosscoder")):
            return _TRANSCODER
        if self.hook is not None and _hook_point(self.hook) is None:
            return f"{self.hook}, a place that is not read"
        return None


class Source(NamedTuple):
    """Where the snapshot comes from."""

    name: str
    made: str
    releases: int
    saes: int


def find(name: str) -> Entry:
    """The entry of ``RELEASE/ID``, both exact; an id may hold slashes.

    Raises:
        SAEError: no such release, no such id in it, or it is nothing that is read here.
    """
    release, _, sae = name.partition("/")
    known = _by_release()
    if release not in known:
        raise SAEError(
            f"a release of SAELens' table was expected ({source().name}, {len(known)} releases)",
            got=f"saelens:{name}",
            fix=f"`latentprobe saes list` shows them{nearest(release, known)}",
        )
    if sae not in known[release]:
        raise SAEError(
            f"an SAE of the release {release} was expected, {len(known[release])} are known",
            got=repr(sae),
            fix=f"`latentprobe saes list --release {release}` shows them{nearest(sae, known[release])}",
        )
    entry = known[release][sae]
    if entry.refused is not None:
        raise SAEError(
            f"the SAE {entry.reference} cannot be used: an SAE reads and rebuilds one place behind or in a block",
            got=entry.refused,
            fix="use an SAE of the residual stream, of what an MLP or an attention adds to it, or of the heads; "
            "transcoders, cross-coders and skip connections are not read",
        )
    return entry


def entries() -> list[Entry]:
    """Every SAE of the table, by release, in the order of the table."""
    return [entry for saes in _by_release().values() for entry in saes.values()]


def at(origin: str) -> Entry | None:
    """The entry of a repository and path, ``org/name/path``; None where the table does not know it."""
    return _by_origin().get(origin)


def centred(origin: str) -> bool:
    """Whether the SAEs of a repository were trained on a model with centred writing weights."""
    return "/".join(origin.split("/")[:2]) in _centred_repositories()


def is_model(name: str, model: str) -> bool:
    """Whether a name means a model: the same id, or the same last part where one of them has only that.

    >>> is_model("gemma-2-2b", "google/gemma-2-2b"), is_model("gemma-2-2b", "gemma-2-2b-it")
    (True, False)
    """
    name, model = name.lower(), model.lower()
    bare = "/" not in name or "/" not in model
    return name == model or (bare and name.rsplit("/", 1)[-1] == model.rsplit("/", 1)[-1])


def source() -> Source:
    """What the snapshot is of, when it was made, and how much it holds."""
    snapshot = _snapshot()
    releases = snapshot["releases"]
    return Source(snapshot["source"], snapshot["made"], len(releases), sum(len(each["saes"]) for each in releases))


@functools.cache
def _hook_point(name: str | None) -> HookPoint | None:
    """The place of a hook's name, or None where it is none that is read."""
    try:
        return HookPoint.parse(name or "")
    except SAEError:
        return None


@functools.cache
def _snapshot() -> dict[str, Any]:
    try:
        snapshot: dict[str, Any] = json.loads(gzip.decompress(SNAPSHOT.read_bytes()))
    except (OSError, EOFError, ValueError) as error:
        raise SAEError(
            "the table of known SAEs comes with the package",
            got=f"{SNAPSHOT}: {error}",
            fix="install the package again: its files were changed",
        ) from error
    return snapshot


@functools.cache
def _by_release() -> dict[str, dict[str, Entry]]:
    return {each["release"]: {row[0]: _entry(each, row) for row in each["saes"]} for each in _snapshot()["releases"]}


@functools.cache
def _by_origin() -> dict[str, Entry]:
    return {f"{entry.repository}/{entry.path}": entry for entry in entries()}


@functools.cache
def _centred_repositories() -> frozenset[str]:
    return frozenset(each["repository"] for each in _snapshot()["releases"] if each.get("centred"))


def _entry(release: dict[str, Any], row: list[Any]) -> Entry:
    name, path, hook, width, l0, variance, neuronpedia, scale = row + [None] * (8 - len(row))
    return Entry(
        release=release["release"],
        id=name,
        repository=release["repository"],
        path=name if path is None else path,
        model=release["model"],
        family=release["family"],
        hook=hook,
        width=width,
        l0=l0,
        explained_variance=variance,
        neuronpedia=neuronpedia,
        norm_scaling_factor=scale,
        centred=release.get("centred", False),
        normalization=release.get("normalization"),
    )
