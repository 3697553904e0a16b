"""A classifier without its language model: what is needed to use a fitted probe elsewhere, and nothing else.

Of an SAE with thresholds or gates only the encoder columns of the features in use are kept; of a TopK SAE, and of any
SAE under ``top{N}`` pooling, the whole encoder, as there a feature depends on all the others. Knows nothing of running
models, and leaves files to ``bundle_files``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from latentprobe.config import BackboneSpec
from latentprobe.corpus import Target
from latentprobe.deploy.bundle_files import read_folder, serialized, write_folder
from latentprobe.deploy.manifest import (
    UNSEALED,
    BundleBackbone,
    BundleCalibration,
    BundleFeature,
    BundleSAE,
    Card,
    Identity,
    Manifest,
    TensorFile,
    can_prune,
)
from latentprobe.encode.activations import Gated, GroupMax, Threshold, TopK
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.latents import TokenLatents
from latentprobe.encode.loading import choose_device, choose_dtype
from latentprobe.encode.model_files import ModelFiles
from latentprobe.encode.sae import SAE
from latentprobe.files import FORMAT
from latentprobe.learn import Calibration, FittedProbe
from latentprobe.store.labels import FeatureLabel, ShownLabel, shown_label

__all__ = ["Bundle", "build_bundle", "thresholds_of"]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A classifier without its language model.

    Made by :func:`build_bundle` and :meth:`load`.
    """

    manifest: Manifest
    """Everything but the numbers."""
    encoder: SAE
    """The columns of the features in use, or the whole encoder."""
    probe: FittedProbe
    """On the SAE's own numbering of features."""
    calibration: Calibration
    """From decisions to probabilities."""

    @property
    def hook(self) -> HookPoint:
        """Where the hidden states are taken."""
        return self.encoder.hook

    @property
    def labels(self) -> dict[int, str]:
        """Description of each feature in use that has one."""
        return {feature.feature: feature.label for feature in self.manifest.features if feature.label is not None}

    def shown_label(self, feature: int) -> ShownLabel:
        """What stands beside a feature's number wherever it is shown."""
        return self._shown_labels.get(feature) or shown_label({}, feature)

    @cached_property
    def _shown_labels(self) -> dict[int, ShownLabel]:
        return {
            one.feature: ShownLabel(
                label=one.label, label_score=None if one.label_score is None else one.label_score.model_dump()
            )
            for one in self.manifest.features
        }

    @property
    def backbone(self) -> BackboneSpec:
        """What must be loaded to use it, on any device."""
        model = self.manifest.backbone
        return BackboneSpec(
            model=model.model,
            revision=model.revision,
            layers=(model.layer,),
            hook=model.hook,
            saes=(self.manifest.sae.reference,),
            tokens=model.tokens,
            max_norm_ratio=model.max_norm_ratio,
            on_overflow=model.on_overflow,
            max_tokens=model.max_tokens,
            dtype=model.dtype,
            bos=model.bos,
            template=model.template,
            prompt=model.prompt,
            select=model.select,
        )

    def encode(self, states: Tensor) -> TokenLatents:
        """The features in use (or all) on each token, under the numbers they have in the SAE.

        Args:
            states: hidden states of the model at :attr:`hook`, ``[tokens, d_in]``.
        """
        latents = self.encoder.encode(states)
        if not self.manifest.pruned:
            return latents
        features = self.probe.features.astype(np.int32)[latents.indices]
        return TokenLatents(latents.indptr, features, latents.values, self.manifest.sae.width)

    def to(self, device: torch.device | str) -> Bundle:
        """The same bundle with its encoder on a device."""
        return replace(self, encoder=self.encoder.to(device))

    def save(self, path: str | Path) -> None:
        """Write the folder, atomically. A bundle that is there is replaced; any other folder with content is refused.

        Raises:
            OutputError: ``path`` is a file, a folder with other content, or cannot be written.
        """
        write_folder(Path(path), self.manifest, (self.encoder.to("cpu"), self.probe, self.calibration))

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Read a folder that :meth:`save` wrote.

        Raises:
            BundleError: it is missing, damaged, was changed since it was written, or is of another format.
        """
        manifest, parts = read_folder(Path(path))
        return cls(manifest, *parts)


def build_bundle(
    probe: FittedProbe,
    *,
    sae: SAE,
    backbone: BackboneSpec,
    files: ModelFiles,
    pooling: str,
    binarize: str | float,
    selection: str,
    target: Target,
    calibration: Calibration,
    labels: Mapping[int, FeatureLabel],
    metrics: Mapping[str, Any],
    card: Card,
    rows: Literal["texts", "images"] = "texts",
) -> Bundle:
    """What is needed to use a fitted probe elsewhere, and nothing else. Features without any weight are dropped.

    Args:
        probe: fitted on pooled features of ``sae``, in its own numbering.
        sae: the SAE, whole.
        backbone: the spec that the features were made with; its device is not kept, its type is.
        files: the model of that spec, as ``find_model`` gives it.
        pooling, binarize, selection: how a text became a row.
        target: kind and classes of the task; its labels are not kept.
        calibration: from decisions to probabilities.
        labels: those of features.
        metrics: how good it is, ready for JSON.
        card: the model card.
        rows: what the model reads.
    """
    described = _describe_sae(sae)
    probe = _without_idle_features(probe)
    pruned = can_prune(described, pooling)
    encoder = (sae.columns(probe.features) if pruned else replace(sae, W_dec=None, b_dec=None)).to("cpu")
    content = serialized((encoder, probe, calibration))
    manifest = Manifest(
        format=FORMAT,
        fingerprint=UNSEALED,
        kind=target.kind,
        classes=target.classes,
        positive=target.classes[1] if target.kind == "binary" else None,
        thresholds=thresholds_of(calibration),
        calibration=BundleCalibration(
            slope=calibration.slope,
            offset=calibration.offset,
            ece_before=calibration.ece_before,
            ece_after=calibration.ece_after,
        ),
        pooling=pooling,
        binarize=binarize,
        selection=selection,
        C=probe.C,
        converged=probe.converged,
        backbone=_describe_backbone(backbone, sae.hook, files, rows),
        sae=described,
        pruned=pruned,
        features=tuple(
            BundleFeature.model_validate({"feature": int(j), **shown_label(labels, int(j))}) for j in probe.features
        ),
        metrics=dict(metrics),
        tensors=TensorFile(file="probe.safetensors", sha256=hashlib.sha256(content).hexdigest()),
        card=card,
    )
    return Bundle(manifest.sealed(), encoder, probe, calibration)


def thresholds_of(calibration: Calibration) -> tuple[float, ...] | None:
    """The least probabilities that are flagged, by default.

    A decision is positive strictly above 0, and a score is flagged from its threshold on: so the threshold is the next
    number above the probability of a decision of 0.
    """
    if calibration.kind == "multiclass":
        return None
    return tuple(float(np.nextafter(at_zero, 1.0)) for at_zero in calibration.thresholds)


def _without_idle_features(probe: FittedProbe) -> FittedProbe:
    """The probe on the features that weigh something; on one without weight where none does."""
    used = np.flatnonzero(np.any(probe.weights != 0, axis=0))
    if len(used) == 0:
        empty = np.zeros((len(probe.intercept), 1))
        thresholds = None if probe.thresholds is None else np.zeros(1, np.float32)
        return replace(probe, features=np.zeros(1, np.int64), thresholds=thresholds, weights=empty)
    return replace(
        probe,
        features=probe.features[used],
        thresholds=None if probe.thresholds is None else probe.thresholds[used],
        weights=np.ascontiguousarray(probe.weights[:, used]),
    )


def _describe_sae(sae: SAE) -> BundleSAE:
    kinds: dict[type, Literal["threshold", "topk", "groupmax", "gated"]] = {
        Threshold: "threshold",
        TopK: "topk",
        GroupMax: "groupmax",
        Gated: "gated",
    }
    return BundleSAE(
        reference=sae.reference,
        sha256=sae.sha256,
        model=sae.model,
        d_in=sae.d_in,
        width=sae.width,
        activation=kinds[type(sae.activation)],
        k=sae.activation.k if isinstance(sae.activation, TopK | GroupMax) else None,
        pre_ops=sae.pre_ops,
    )


def _describe_backbone(
    spec: BackboneSpec, hook: HookPoint, files: ModelFiles, rows: Literal["texts", "images"]
) -> BundleBackbone:
    is_folder = spec.model != "minilm" and Path(spec.model).is_dir()
    return BundleBackbone(
        model=str(files.folder.resolve()) if is_folder else spec.model,
        revision=spec.revision or files.revision,
        layer=hook.layer,
        hook=hook.site,
        tokens=spec.tokens,
        max_norm_ratio=spec.max_norm_ratio,
        on_overflow=spec.on_overflow,
        max_tokens=spec.max_tokens,
        dtype=choose_dtype(spec.dtype, choose_device(spec.device), files),  # type: ignore[arg-type]  # checked there
        identity=Identity(**files.identity),
        bos=spec.bos,
        template=spec.template,
        prompt=spec.prompt,
        select=spec.select,
        rows=rows,
    )
