"""Labels of an SAE's features: imported from files, kept in the user's data folder, and from then on shown everywhere.

Whose labels they are is proven first: labels of another model, another SAE or another width are refused, because each
of their numbers would name the wrong feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from latentprobe.encode.formats import describe, label_key, label_table, list_known
from latentprobe.encode.formats.registry import is_model
from latentprobe.errors import SAEError, nearest
from latentprobe.explain.label_sources import Described, one_each, read_published
from latentprobe.store.labels import LabelTable, write_label_table

__all__ = ["import_labels", "shown_labels"]


def import_labels(source: Path, *, sae: str | None = None) -> dict[str, Any]:
    """Read labels from files into the table of the SAE they are of, in place of those that were there.

    Args:
        source: as ``read_published`` takes it.
        sae: reference of the SAE. Default: the one SAE of the published table with Neuronpedia's id in the files.

    Returns:
        The table's provenance, with sae, labels (how many) and file.

    Raises:
        CorpusError: the files hold no labels.
        SAEError: they are of another model, SAE or width, or it cannot be told of which.
    """
    published = read_published(source)
    model, identity = _one(published.rows, "model"), _one(published.rows, "source")
    reference = sae or _by_identity(model, identity)
    facts = describe(reference)
    _require_same(facts, model, identity)
    _require_width(facts, [row.feature for row in published.rows])
    features = one_each(published.rows)
    provenance = {
        "source": source.name,
        "sha256": published.sha256,
        "files": published.files,
        "made": date.today().isoformat(),
        "how": "imported",
        "model": model or facts["model"],
        "source_id": identity,
        "width": facts["width"],
        "types": sorted({row.type for row in features.values() if row.type}),
        "explainers": sorted({row.explainer for row in features.values() if row.explainer}),
    }
    file = write_label_table(label_key(reference), LabelTable(features, provenance))
    return {"sae": reference, "labels": len(features), **provenance, "file": str(file)}


def shown_labels(sae: str, features: Sequence[int] = ()) -> dict[str, Any]:
    """Where the labels of an SAE come from and how many there are, and those of some features."""
    table = label_table(sae)
    rows = {feature: table.features.get(feature) for feature in features}
    return {
        **table.provenance,
        "sae": sae,
        "labels": len(table.features),
        "scored": len(table.scores),
        "features": {feature: None if row is None else row._asdict() for feature, row in rows.items()},
    }


def _one(rows: Sequence[Described], name: str) -> str | None:
    """What all rows say of their model or source; None where none says it."""
    said = sorted({value for row in rows if (value := getattr(row, name)) is not None})
    if len(said) > 1:
        raise SAEError(
            f"labels of one SAE were expected, with one {name}",
            got=", ".join(said[:4]),
            fix="import one SAE's folder or file at a time",
        )
    return said[0] if said else None


def _by_identity(model: str | None, identity: str | None) -> str:
    """Reference of the SAE that Neuronpedia calls so."""
    if model is None or identity is None:
        raise SAEError(
            "labels that say of which SAE they are were expected",
            got=f"model {model}, source {identity}",
            fix="name the SAE: --sae REF",
        )
    name = identity if "/" in identity else f"{model}/{identity}"
    known = [row for row in list_known() if row["neuronpedia"] == name and row["refused"] is None]
    places: dict[str, str] = {label_key(row["reference"]): row["reference"] for row in known}
    if len(places) != 1:
        near = nearest(name, {row["neuronpedia"] for row in list_known() if row["neuronpedia"]})
        raise SAEError(
            f"one SAE that Neuronpedia calls {name} was expected",
            got=f"{len(places)} in the published table"
            + (f": {', '.join(sorted(places.values())[:3])}" if places else near.replace("; did you mean", ", near")),
            fix="name the SAE: --sae REF",
        )
    return next(iter(places.values()))


def _require_same(facts: dict[str, Any], model: str | None, identity: str | None) -> None:
    """Refuse labels of another model or SAE than this one, as far as either says what it is."""
    known = facts.get("neuronpedia")
    if known and model and identity:
        fits = (identity if "/" in identity else f"{model}/{identity}") == known
    else:
        own = facts.get("model")
        layer = (identity or "").split("/")[-1].split("-")[0]
        fits = own is None or model is None or _same_model(model, own)
        fits = fits and (not layer.isdigit() or facts["layer"] is None or int(layer) == facts["layer"])
    if not fits:
        raise SAEError(
            f"labels of {facts['reference']} were expected"
            + (f", which Neuronpedia calls {known}" if known else f", of {facts.get('model')} layer {facts['layer']}"),
            got=f"labels of {model or 'an unnamed model'}, {identity or 'an unnamed SAE'}",
            fix="name the SAE they are of, or get the labels of this one",
        )


def _same_model(name: str, own: str) -> bool:
    """Whether a source's name of a model means the SAE's."""
    aliases = {"gpt2-small": "gpt2"}
    return is_model(aliases.get(name, name), aliases.get(own, own))


def _require_width(facts: dict[str, Any], features: Sequence[int]) -> None:
    """Refuse labels of an SAE of another width: beyond this one, or whole and of fewer features."""
    width, numbers = facts.get("width"), set(features)
    if width is None:
        return
    highest = max(numbers)
    # a file of some features may end anywhere, but one that has all up to a thousandth is of an SAE of that width
    whole = len(numbers) == highest + 1 and len(numbers) % 1024 == 0 and len(numbers) < width
    if highest >= width or whole:
        raise SAEError(
            f"labels of an SAE with {width} features were expected",
            got=f"labels of the features {min(numbers)} to {highest}",
            fix="name the SAE they are of: --sae REF",
        )
