"""References to SAEs, and the one table of formats that can be read.

    bundled:NAME                                              comes with the package
    path/to/folder                                            a folder on this machine
    hf:ORG/REPO/PATH[@REVISION]                               a folder of a repository on the Hugging Face hub
    gemma-scope:2b-pt-res/layer_12/width_16k/average_l0_82    short for its folder on the hub

References are exact: nothing is matched by part of a name. A format is known by its files. To add one, write a module
with ``FILES``, ``facts`` and ``load`` and put it into the table. Weights are read, and torch imported, by ``load_sae``
only. Knows nothing of models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from latentprobe.encode.formats import bundled, gemma_scope, hub, saelens
from latentprobe.encode.formats.bundled import SAECard, list_bundled
from latentprobe.encode.formats.place import PICKLES, Facts, Place
from latentprobe.errors import SAEError, nearest

if TYPE_CHECKING:
    from latentprobe.encode.sae import SAE

__all__ = ["SAECard", "describe", "labels", "list_bundled", "load_sae"]

LABELS = "labels.jsonl"


class _Load(Protocol):
    def __call__(self, place: Place, *, decoder: bool) -> SAE: ...


@dataclass(frozen=True)
class _Format:
    """One format: its name, the files it needs (the first marks it), and how it is read."""

    name: str
    files: tuple[str, ...]
    facts: Callable[[Place], Facts]
    load: _Load


_FORMATS = (
    _Format("SAELens", saelens.FILES, saelens.facts, saelens.load),
    _Format("Gemma Scope 1", gemma_scope.FILES, gemma_scope.facts, gemma_scope.load),
)

#: Files that mark a format which is not read, so that it is refused by its name.
_NOT_READ = {
    "sae.safetensors": "sparsify",
    "params.safetensors": "Gemma Scope 2",
    "hyperparams.json": "Llama Scope",
    "ae.pt": "dictionary_learning",
}


def load_sae(reference: str, *, decoder: bool = False) -> SAE:
    """The SAE of a reference, proven: all tensors there, shapes that fit each other and the config, finite numbers.

    Args:
        reference: see the top of this module.
        decoder: also read the decoder, which takes as much memory as the encoder; for ``SAE.decode``.

    Raises:
        SAEError: there is no such SAE, it is damaged, or its scale, activation or hook point cannot be established.
        MissingExtraError: the reference is on the hub and huggingface_hub is not installed.
    """
    place, kind = _resolve(reference)
    if reference.startswith("bundled:"):
        bundled.prove(place)
    return kind.load(place, decoder=decoder)


def describe(reference: str) -> dict[str, Any]:
    """What is known of an SAE without reading its weights: plain values, ready for JSON.

    Keys: reference, format, model, layer, hook, architecture, d_in, width, files (name to full path), sizes (name to
    bytes); and for a bundled one its card, as :class:`SAECard` names it.

    Raises:
        SAEError: as :func:`load_sae`, as far as that can be seen from the config.
    """
    place, kind = _resolve(reference, weights=False)
    facts = kind.facts(place)
    card = asdict(bundled.card_of(place)) if reference.startswith("bundled:") else {}
    return card | {
        "reference": reference,
        "format": kind.name,
        "model": facts.model,
        "layer": facts.hook.layer,
        "hook": facts.hook.name,
        "architecture": facts.architecture,
        "d_in": facts.d_in,
        "width": facts.width,
        "files": {name: str(place.folder / name) for name in place.names()},
        "sizes": {name: (place.folder / name).stat().st_size for name in place.names()},
    }


def labels(reference: str) -> dict[int, str]:
    """Descriptions of features, from the ``labels.jsonl`` beside the weights: one ``{"feature", "label"}`` a line.

    Returns:
        Feature to description; empty where the SAE has no such file, as on the hub.

    Raises:
        SAEError: no such SAE, or a line is not of that form.
    """
    if reference.startswith(("hf:", "gemma-scope:")):
        return {}
    place, kind = _resolve(reference)
    if LABELS not in place.names():
        return {}
    width, described = kind.facts(place).width, {}
    for number, line in enumerate(place.file(LABELS).read_bytes().splitlines(), start=1):
        feature, label = _label(line)
        if not 0 <= feature < width:
            raise place.refusal(
                f"{LABELS} describes features 0 to {width - 1}, one a line, as feature and label",
                got=f"line {number}: {line[:80].decode(errors='replace')}",
                fix="correct that line, or remove the file",
            )
        described[feature] = label
    return described


def _label(line: bytes) -> tuple[int, str]:
    """Feature and description of a line; feature -1 where it is not of that form."""
    try:
        row = json.loads(line)
        feature, label = row["feature"], row["label"]
    except (ValueError, KeyError, TypeError):
        return -1, ""
    fits = isinstance(feature, int) and not isinstance(feature, bool) and isinstance(label, str)
    return (feature, label) if fits else (-1, "")


def _resolve(reference: str, *, weights: bool = True) -> tuple[Place, _Format]:
    """The folder of a reference and its format; from the hub, all its files or only the one that marks it."""
    scheme, colon, rest = reference.partition(":")
    if scheme == "bundled" and colon:
        place = bundled.find(rest)
    elif scheme == "hf" and colon:
        return _from_hub(reference, *_parse_hub(reference, rest), weights=weights)
    elif scheme == "gemma-scope" and colon:
        return _from_hub(reference, *_parse_gemma_scope(reference, rest), weights=weights)
    elif scheme == "saelens" and colon:
        raise SAEError(
            "releases of SAELens are named by the registry of SAELens, which is not read yet",
            got=reference,
            fix="name the folder of its repository: hf:ORG/REPO/PATH, as the release's page tells",
        )
    else:
        place = _local(reference)
    return place, _format_of(place)


def _local(reference: str) -> Place:
    """A folder on this machine."""
    try:
        folder = Path(reference).expanduser()
        if reference and folder.is_dir():
            place = Place(reference, folder, folder.resolve().as_posix())
            place.names()
            return place
        is_file = folder.is_file()
    except (OSError, RuntimeError) as error:  # no right to look, a name too long, a ~user there is not
        raise SAEError(
            "an SAE folder was expected", got=f"{reference[:200]}: {error}", fix="name a folder you may read"
        ) from error
    if re.match(r"[A-Za-z][\w-]+:", reference):
        schemes = ("bundled:", "hf:", "gemma-scope:", "saelens:")
        scheme = reference.partition(":")[0] + ":"
        raise SAEError(
            f"a reference starts with {', '.join(schemes)} or is a folder",
            got=reference,
            fix=f"correct {scheme}{nearest(scheme, schemes)}",
        )
    if reference in (names := [card.name for card in list_bundled()]):
        raise SAEError("an SAE folder was expected", got=reference, fix=f"write bundled:{reference}")
    raise SAEError(
        "an SAE folder was expected",
        got=f"{reference!r} is a file" if is_file else f"{reference!r} does not exist",
        fix=f"name the folder that holds {' or '.join(kind.files[0] for kind in _FORMATS)}{nearest(reference, names)}",
    )


def _parse_hub(reference: str, rest: str) -> tuple[str, str, str | None]:
    """Repository, path inside it, revision."""
    body, at, revision = rest.partition("@")
    parts = body.split("/")
    named = len(parts) >= 2 and all(re.fullmatch(r"\w[\w.-]*", part) for part in parts[:2])
    if not named or not _plain(parts) or (at and not _plain(revision.split("/"))):
        raise SAEError(
            "a reference to the hub is hf:ORG/REPO/PATH or hf:ORG/REPO/PATH@REVISION, without '..'",
            got=reference,
            fix="write organisation, repository and the folder inside it, separated by single slashes",
        )
    _refuse_pickle(reference, parts[-1])
    return "/".join(parts[:2]), "/".join(parts[2:]), revision or None


def _parse_gemma_scope(reference: str, rest: str) -> tuple[str, str, str | None]:
    """Repository of Google, path inside it, no revision."""
    parts = rest.split("/")
    if parts[-1] == "canonical":
        raise SAEError(
            "which SAE is the canonical one of a width stands in a registry that is not read yet",
            got=reference,
            fix="name its folder instead, such as .../average_l0_82; the repository's page lists them",
        )
    if len(parts) != 4 or not _plain(parts):
        raise SAEError(
            "a reference to Gemma Scope is gemma-scope:SIZE-TUNING-res/layer_L/width_W/average_l0_N",
            got=reference,
            fix="write it like gemma-scope:2b-pt-res/layer_12/width_16k/average_l0_82",
        )
    repository = f"google/gemma-scope-{parts[0]}"
    path = "/".join(parts[1:])
    gemma_scope.facts(Place(reference, Path(), f"{repository}/{path}"))  # refuse before anything is downloaded
    return repository, path, None


def _plain(parts: list[str]) -> bool:
    """Whether every part of a path is a name: not empty, '.' or '..', without backslash, colon, control character."""
    return all(re.fullmatch(r"[^\\:\x00-\x1f]+", part) and part not in (".", "..") for part in parts)


def _from_hub(
    reference: str, repository: str, path: str, revision: str | None, *, weights: bool
) -> tuple[Place, _Format]:
    """The files of one folder of a repository; its format is the first whose marking file is there."""
    for kind in _FORMATS:
        marking = hub.fetch(repository, str(PurePosixPath(path, kind.files[0])), revision)
        if marking is None:
            continue
        place = Place(reference, marking.parent, f"{repository}/{path}")
        for name in kind.files[1:] if weights else ():
            if hub.fetch(repository, str(PurePosixPath(path, name)), revision) is None:
                raise place.refusal(
                    f"{kind.files[0]} has {name} beside it",
                    got=f"no {name} in {repository}/{path}, or not in the cache and no network",
                    fix="check the path on the hub, and the network",
                )
        return place, kind
    raise SAEError(
        f"a folder with {' or '.join(kind.files[0] for kind in _FORMATS)} was expected",
        got=f"none in {repository}/{path}, or not in the cache and no network",
        fix="check the path on the hub, and the network; the folder is named, not a file in it",
    )


def _format_of(place: Place) -> _Format:
    """The one format whose marking file lies in a folder."""
    names = set(place.names())
    found = [kind for kind in _FORMATS if kind.files[0] in names]
    foreign = [_NOT_READ[name] for name in sorted(names & set(_NOT_READ))]
    if len(found) == 1 and (found[0].files[-1] in names or not foreign):
        return found[0]
    if foreign:
        raise place.refusal(
            f"its format is one of {', '.join(kind.name for kind in _FORMATS)}",
            got=f"files of {foreign[0]}",
            fix="use an SAE of a format that is read, or convert it to SAELens' own",
        )
    for name in sorted(names):
        _refuse_pickle(place.reference, name)
    raise place.refusal(
        f"its folder holds {' or '.join(kind.files[0] for kind in _FORMATS)}, one of them",
        got=f"in {place.folder}: {', '.join(sorted(names)) or 'no files'}",
        fix="name the folder in which the config and the weights lie",
    )


def _refuse_pickle(reference: str, name: str) -> None:
    if PurePosixPath(name).suffix in PICKLES:
        raise SAEError(
            f"the SAE {reference} cannot be used: pickled files run code when they are read, and are not",
            got=name,
            fix="convert the weights to safetensors with the library that wrote them",
        )
