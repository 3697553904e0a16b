"""From what a user writes to the files of one SAE, on this machine or fetched from the hub.

    bundled:NAME                                              comes with the package
    path/to/folder                                            a folder on this machine, or a file where that is all
    hf:ORG/REPO/PATH[@REVISION]                               a folder or file of a repository on the Hugging Face hub
    gemma-scope:2b-pt-res/layer_12/width_16k/average_l0_82    short for its folder on the hub; or .../canonical
    saelens:RELEASE/ID                                        an SAE of SAELens' published table

References are exact: nothing is matched by part of a name. Knows nothing of what the files mean.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from latentprobe.encode.formats import bundled, gemma_scope, hub, registry, table
from latentprobe.encode.formats.place import NOWHERE, Place
from latentprobe.encode.formats.table import Format
from latentprobe.errors import SAEError, nearest

__all__ = ["OnHub", "on_hub", "resolve"]

SCHEMES = ("bundled:", "hf:", "gemma-scope:", "saelens:")


class OnHub(NamedTuple):
    """Where on the hub an SAE lies."""

    repository: str
    path: str
    revision: str | None
    entry: registry.Entry | None
    """What the published table says of it, where it was named by it."""


def on_hub(reference: str) -> OnHub | None:
    """Repository and path of a reference; None for one that is no place on the hub.

    Raises:
        SAEError: it is written wrong, or names nothing that is known.
    """
    scheme, colon, rest = reference.partition(":")
    if scheme == "hf" and colon:
        return _parse_hub(reference, rest)
    if scheme == "gemma-scope" and colon:
        return _parse_gemma_scope(reference, rest)
    if scheme == "saelens" and colon:
        entry = registry.find(rest)
        return OnHub(entry.repository, entry.path, None, entry)
    return None


def resolve(reference: str, *, weights: bool = True) -> tuple[Place, Format]:
    """The files of a reference and their format; from the hub, all of them or only those that tell the facts.

    Raises:
        SAEError: there is no such SAE, or it is of no format that is read.
        MissingExtraError: the reference is on the hub and huggingface_hub is not installed.
    """
    where = on_hub(reference)
    if where is not None:
        return _fetch(reference, where, weights=weights)
    place = bundled.find(reference[8:]) if reference.startswith("bundled:") else _local(reference)
    kind = table.by_path(place.origin) if place.named else table.of_folder(place)
    assert kind is not None  # a file is only named under a path that tells its format
    return place, kind


def _local(reference: str) -> Place:
    """A folder or a file on this machine."""
    try:
        path = Path(reference).expanduser()
        if reference and path.is_dir():
            place = Place(reference, path, path.resolve().as_posix())
            place.names()
            return place
        is_file = path.is_file()
    except (OSError, RuntimeError) as error:  # no right to look, a name too long, a ~user there is not
        raise SAEError(
            "an SAE folder was expected", got=f"{reference[:200]}: {error}", fix="name a folder you may read"
        ) from error
    if is_file:
        return _local_file(reference, path)
    if re.match(r"[A-Za-z][\w-]+:", reference):
        scheme = reference.partition(":")[0] + ":"
        raise SAEError(
            f"a reference starts with {', '.join(SCHEMES)} or is a folder",
            got=reference,
            fix=f"correct {scheme}{nearest(scheme, SCHEMES)}",
        )
    names = bundled.names()
    if reference in names:
        raise SAEError("an SAE folder was expected", got=reference, fix=f"write bundled:{reference}")
    raise SAEError(
        "an SAE folder was expected",
        got=f"{reference!r} does not exist",
        fix=f"name the folder that holds the config and the weights{nearest(reference, names)}",
    )


def _local_file(reference: str, path: Path) -> Place:
    """A file that is an SAE by itself."""
    origin = path.absolute().as_posix()  # links are not followed: the hub's cache holds them, under published names
    kind = table.by_path(origin)
    if kind is not None and not kind.files:
        return Place(reference, path.parent, origin, path.name)
    if table.by_single_file(path.name) is not None:
        return Place(reference, path.parent, path.parent.resolve().as_posix())
    if not any(path.name in other.files for other in table.FORMATS):
        table.refuse_pickle(reference, path.name)
    raise SAEError(
        "an SAE folder was expected",
        got=f"{reference!r} is a file",
        fix=f"name its folder: {path.parent}",
    )


def _parse_hub(reference: str, rest: str) -> OnHub:
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
    repository, path = "/".join(parts[:2]), "/".join(parts[2:])
    known = registry.at(f"{repository}/{path}")
    if table.by_path(f"{repository}/{path}") is None and known is None:
        table.refuse_pickle(reference, parts[-1])
    return OnHub(repository, path, revision or None, known)


def _parse_gemma_scope(reference: str, rest: str) -> OnHub:
    """Repository of Google, path inside it, no revision."""
    parts = rest.split("/")
    if len(parts) != 4 or not _plain(parts):
        raise SAEError(
            "a reference to Gemma Scope is gemma-scope:SIZE-TUNING-SITE/layer_L/width_W/average_l0_N",
            got=reference,
            fix="write it like gemma-scope:2b-pt-res/layer_12/width_16k/average_l0_82, or .../canonical",
        )
    if parts[-1] == "canonical":
        entry = registry.find(f"gemma-scope-{parts[0]}-canonical/{'/'.join(parts[1:])}")
        return OnHub(entry.repository, entry.path, None, entry)
    repository, path = f"google/gemma-scope-{parts[0]}", "/".join(parts[1:])
    gemma_scope.facts(Place(reference, NOWHERE, f"{repository}/{path}"))  # refuse before anything is downloaded
    return OnHub(repository, path, None, registry.at(f"{repository}/{path}"))


def _plain(parts: list[str]) -> bool:
    """Whether every part of a path is a name: not empty, '.' or '..', without backslash, colon, control character."""
    return all(re.fullmatch(r"[^\\:\x00-\x1f]+", part) and part not in (".", "..") for part in parts)


def _fetch(reference: str, where: OnHub, *, weights: bool) -> tuple[Place, Format]:
    """The files of one SAE of a repository."""
    origin = f"{where.repository}/{where.path}"
    kind = table.by_path(origin)
    if kind is not None and not kind.files:
        return _fetch_file(reference, where, kind, weights=weights), kind
    place = Place(reference, NOWHERE, origin)
    if kind is None:
        place, kind = _by_config(reference, where)
    here = kind.files[:1] if place.folder != NOWHERE else ()
    for name in kind.files[len(here) :] if weights else ():
        fetched = _get(where, name)
        if fetched is None:
            raise place.refusal(
                f"{kind.files[0]} has {name} beside it" if name != kind.files[0] else f"its folder holds {name}",
                got=f"no {name} in {origin}, or not in the cache and no network",
                fix="check the path on the hub, and the network",
            )
        place = Place(reference, fetched.parents[name.count("/")], origin)
    for name in kind.optional:
        fetched = _get(where, name)
        if fetched is not None and not name.startswith("../"):
            place = Place(reference, fetched.parent, origin)
    return place, kind


def _fetch_file(reference: str, where: OnHub, kind: Format, *, weights: bool) -> Place:
    """A file that is an SAE by itself."""
    name, origin = PurePosixPath(where.path).name, f"{where.repository}/{where.path}"
    if not weights:
        return Place(reference, NOWHERE, origin, name)
    fetched = hub.fetch(where.repository, where.path, where.revision)
    if fetched is None:
        raise SAEError(
            f"a file of {kind.name} was expected",
            got=f"no {origin}, or not in the cache and no network",
            fix="check the path on the hub, and the network",
        )
    return Place(reference, fetched.parent, origin, name)


def _by_config(reference: str, where: OnHub) -> tuple[Place, Format]:
    """The folder and its format, by the first config that is there."""
    origin = f"{where.repository}/{where.path}"
    for config in table.CONFIGS:
        fetched = _get(where, config)
        if fetched is not None:
            place = Place(reference, fetched.parent, origin)
            return place, table.by_config(place, config)
    raise SAEError(
        f"a folder with {' or '.join(table.CONFIGS)} was expected",
        got=f"none in {origin}, or not in the cache and no network",
        fix="check the path on the hub, and the network; the folder is named, not a file in it",
    )


def _get(where: OnHub, name: str) -> Path | None:
    """A file of the SAE's folder, or of the one above; None where there is none."""
    folder = PurePosixPath(where.path)
    if name.startswith("../"):
        folder, name = folder.parent, name.removeprefix("../")
    return hub.fetch(where.repository, str(folder / name), where.revision)
