"""A bundle without some of its features, which says so in its manifest and on its card. Knows nothing of data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from latentprobe.deploy.bundle import Bundle, thresholds_of
from latentprobe.deploy.bundle_files import serialized
from latentprobe.deploy.manifest import BundleCalibration, BundleEdit, Card, TensorFile
from latentprobe.learn import Calibration, FittedProbe

__all__ = ["edited"]


def edited(
    bundle: Bundle,
    probe: FittedProbe,
    calibration: Calibration,
    drop: Sequence[int],
    *,
    metrics: Mapping[str, Any],
    refitted_on: str | None,
) -> Bundle:
    """The bundle with another probe on fewer features; its encoder is cut down to them where it was before.

    Args:
        bundle: as it was; not changed.
        probe: on some of the bundle's features.
        calibration: of that probe.
        drop: the features that were taken out.
        metrics: how good the new probe is, ready for JSON.
        refitted_on: what the rows are called that it was fitted on anew; None where weights were only removed.
    """
    old = bundle.manifest
    places = np.searchsorted(bundle.probe.features, probe.features)
    encoder = bundle.encoder.columns(places) if old.pruned else bundle.encoder
    encoder = encoder.to("cpu")
    content = serialized((encoder, probe, calibration))
    manifest = old.model_copy(
        update={
            "thresholds": thresholds_of(calibration),
            "calibration": BundleCalibration(
                slope=calibration.slope,
                offset=calibration.offset,
                ece_before=calibration.ece_before,
                ece_after=calibration.ece_after,
            ),
            "C": probe.C,
            "converged": probe.converged,
            "features": tuple(old.features[int(place)] for place in places),
            "metrics": dict(metrics),
            "tensors": TensorFile(file="probe.safetensors", sha256=hashlib.sha256(content).hexdigest()),
            "edits": (
                *old.edits,
                BundleEdit(
                    dropped=tuple(feature for feature in old.features if feature.feature in set(drop)),
                    refitted_on=refitted_on,
                    original=old.fingerprint,
                ),
            ),
            "card": _card(old.card, bundle.labels, drop, refitted_on, str(metrics["measured"])),
        }
    )
    return Bundle(manifest.sealed(), encoder, probe, calibration)


def _card(card: Card, labels: Mapping[int, str], drop: Sequence[int], refitted_on: str | None, measured: str) -> Card:
    """The card with the edit among its notes, and without the figures that no longer hold."""
    named = ", ".join(f"{feature} ({labels[feature]})" if feature in labels else str(feature) for feature in drop)
    how = "their weights removed" if refitted_on is None else f"then fitted anew on {refitted_on}"
    when = datetime.now(UTC).isoformat(timespec="seconds")
    limits = [limit for limit in card.limits if not limit.startswith("Its figures were measured ")]
    return card.model_copy(
        update={
            "limits": (f"Its figures were measured {measured}.", *limits),
            "notes": (*card.notes, f"Edited on {when}: features {named} dropped, {how}."),
        }
    )
