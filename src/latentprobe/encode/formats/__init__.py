"""SAEs by their references: loaded, described, and their features' labels.

What a reference may be is told in ``references.py``, which formats are read in ``table.py``, and what SAELens'
published table knows in ``registry.py``. Weights are read, and torch imported, by ``load_sae`` only. Knows nothing of
models.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from latentprobe.encode.formats import bundled, hub, registry, table
from latentprobe.encode.formats.bundled import SAECard, list_bundled
from latentprobe.encode.formats.labels import label_key, label_table, labels
from latentprobe.encode.formats.place import NOWHERE, Place
from latentprobe.encode.formats.references import OnHub, on_hub, resolve

if TYPE_CHECKING:
    from latentprobe.encode.sae import SAE

__all__ = [
    "SAECard",
    "describe",
    "label_key",
    "label_table",
    "labels",
    "list_bundled",
    "list_known",
    "load_sae",
    "table_source",
]


def load_sae(reference: str, *, decoder: bool = False) -> SAE:
    """The SAE of a reference, proven: all tensors there, shapes that fit each other and the config, finite numbers.

    Args:
        reference: a folder, ``bundled:NAME``, ``saelens:RELEASE/ID``, ``hf:ORG/REPO/PATH[@REVISION]``, or
            ``gemma-scope:2b-pt-res/layer_12/width_16k/canonical``; a file where the family is one file.
        decoder: also read the decoder, which takes as much memory as the encoder; for ``SAE.decode``.

    Raises:
        SAEError: there is no such SAE, it is damaged, or its scale, activation or hook point cannot be established.
        MissingExtraError: the reference is on the hub and huggingface_hub is not installed.
    """
    place, kind = resolve(reference)
    if reference.startswith("bundled:"):
        bundled.prove(place)
    return kind.load(place, decoder=decoder)


def describe(reference: str) -> dict[str, Any]:
    """What is known of an SAE without reading its weights: plain values, ready for JSON.

    Keys: reference, format, model, layer, hook, architecture, d_in, width, files (name to full path), sizes (name to
    bytes); for a bundled one its card, as :class:`SAECard` names it; and for one of SAELens' published table what that
    says: l0, explained_variance, neuronpedia, norm_scaling_factor, registry (which table, of which day). An SAE named
    by the table is described without a network: what neither the table nor the cache tells is None.

    Raises:
        SAEError: as :func:`load_sae`, as far as that can be seen from the config.
    """
    where = on_hub(reference)
    if where is not None and where.entry is not None and not reference.startswith("hf:"):
        return _of_entry(reference, where)
    place, kind = resolve(reference, weights=False)
    card: dict[str, Any] = {}
    if reference.startswith("bundled:"):
        card = asdict(bundled.card_of(place)) | {"family": "bundled", "refused": None}
    known = _published(where.entry) if where is not None and where.entry is not None else {}
    return card | known | {"reference": reference, "format": kind.name} | _facts(place, kind) | _files(place)


def list_known(
    *, model: str | None = None, layer: int | None = None, family: str | None = None, release: str | None = None
) -> list[dict[str, Any]]:
    """The SAEs of SAELens' published table, all or those that fit: reference, model, layer, hook, width, l0,
    explained_variance, neuronpedia, family, refused (why it is not read, or None).

    Args:
        model: its id, or the last part of it.
        layer: the block, as this package counts.
        family: SAELens' name of the conversion, or ``sae_lens``.
        release: of the table.
    """
    return [
        _row(entry)
        for entry in registry.entries()
        if (release is None or entry.release == release)
        and (family is None or entry.family == family)
        and (layer is None or entry.layer == layer)
        and (model is None or registry.is_model(model, entry.model))
    ]


def table_source() -> str:
    """Which table :func:`list_known` lists, and of which day."""
    source = registry.source()
    return f"{source.name}, {source.made}"


def _facts(place: Place, kind: table.Format) -> dict[str, Any]:
    facts = kind.facts(place)
    return {
        "model": facts.model,
        "layer": facts.hook.layer,
        "hook": facts.hook.name,
        "architecture": facts.architecture,
        "d_in": facts.d_in,
        "width": facts.width,
    }


def _files(place: Place) -> dict[str, Any]:
    names = [name for name in place.names() if place.has(name)] if place.folder.is_dir() else []
    return {
        "files": {name: str(place.folder / name) for name in names},
        "sizes": {name: (place.folder / name).stat().st_size for name in names},
    }


def _row(entry: registry.Entry) -> dict[str, Any]:
    """An entry of the table as a row of a list."""
    return {
        "reference": entry.reference,
        "model": entry.model,
        "layer": entry.layer,
        "hook": entry.hook,
        "width": entry.width,
        "l0": entry.l0,
        "explained_variance": entry.explained_variance,
        "neuronpedia": entry.neuronpedia,
        "family": entry.family,
        "refused": entry.refused,
    }


def _published(entry: registry.Entry) -> dict[str, Any]:
    """All that the table says of an SAE."""
    return {
        **_row(entry),
        "repository": entry.repository,
        "path": entry.path,
        "norm_scaling_factor": entry.norm_scaling_factor,
        "centred": entry.centred,
        "normalization": entry.normalization,
        "registry": table_source(),
    }


def _of_entry(reference: str, where: OnHub) -> dict[str, Any]:
    """What the table, the path and the hub's cache tell of an SAE."""
    assert where.entry is not None
    told: dict[str, Any] = {"format": None, "architecture": None, "d_in": None} | _published(where.entry)
    told["reference"] = reference
    origin = f"{where.repository}/{where.path}"
    kind = table.by_path(origin)
    single = kind is not None and not kind.files
    folder = hub.cached_folder(where.repository, "" if single else where.path, where.revision)
    place = Place(reference, folder or NOWHERE, origin, where.path if single else "")
    if kind is None and (config := next((name for name in table.CONFIGS if place.has(name)), None)):
        kind = table.by_config(place, config)
    if kind is not None:
        told |= {"format": kind.name} | _facts(place, kind)
    first = {name: told.pop(name) for name in ("reference", "format")}
    return first | told | _files(place)
