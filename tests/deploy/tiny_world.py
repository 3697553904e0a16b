"""Bundles without training: a random probe on an SAE made by hand, on the tiny model of the encode tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from latentprobe.config import BackboneSpec
from latentprobe.corpus import Target
from latentprobe.deploy import Bundle, build_bundle, card_for
from latentprobe.encode.activations import Activation, Gated, GroupMax, Threshold, TopK
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.model_files import find_model
from latentprobe.encode.sae import SAE
from latentprobe.learn import Calibration, FittedProbe
from latentprobe.store.labels import FeatureLabel

D_IN, WIDTH = 16, 24

#: Features of the probe that have a weight.
USED = [1, 3, 7, 11, 14, 16, 17, 18, 21, 22]

TARGETS: dict[str, Target] = {
    "binary": Target("binary", ("no", "yes"), np.array([0, 1])),
    "multiclass": Target("multiclass", ("a", "b", "c"), np.array([0, 1, 2])),
    "multilabel": Target("multilabel", ("x", "y", "z"), np.eye(3)),
}

TEXTS = [
    "the cat sat on the mat",
    "",
    "money back please, never good",
    "a dog",
    "refund refund refund please the bad red dog never sat on the blue mat not very good money back",
    "bad",
]


def make_sae(activation: str = "threshold", *, d_in: int = D_IN, width: int = WIDTH) -> SAE:
    """A random SAE of which about a third of the features are active on a token of the tiny model."""
    rng = torch.Generator().manual_seed(1)
    kinds: dict[str, Activation] = {
        "threshold": Threshold(torch.rand(width, generator=rng)),
        "gated": Gated(torch.rand(width, generator=rng) + 0.5, torch.randn(width, generator=rng) / 5),
        "topk": TopK(7),
        "groupmax": GroupMax(3),
    }
    return SAE(
        reference=f"by hand, {activation}",
        sha256="a" * 64,
        hook=HookPoint(2, "resid_post"),
        model=None,
        W_enc=torch.randn(d_in, width, generator=rng) / d_in**0.5,
        b_enc=torch.randn(width, generator=rng) / 5 - 0.3,
        activation=kinds[activation],
        pre_ops=("centre",) if activation == "gated" else (),
    )


def make_probe(
    kind: str, *, binarized: bool = False, features: tuple[int, ...] = tuple(sorted([*USED, 8]))
) -> FittedProbe:
    """Random weights; those of feature 8 are all 0."""
    rng = np.random.default_rng(7)
    outputs = 1 if kind == "binary" else len(TARGETS[kind].classes)
    weights = rng.normal(size=(outputs, len(features)))
    weights[:, np.array(features) == 8] = 0
    return FittedProbe(
        features=np.array(features, np.int64),
        thresholds=rng.uniform(0, 0.8, len(features)).astype(np.float32) if binarized else None,
        weights=weights,
        intercept=rng.normal(size=outputs) / 3,
        C=0.1,
        converged=True,
    )


LABELS = {
    1: FeatureLabel("first"),
    17: FeatureLabel('"refund", "money"', "words", None, 0.55, 0.52, 0.58, 0.9, 0.85, 0.95),
}


def make_bundle(
    model: Path,
    *,
    kind: Literal["binary", "multiclass", "multilabel"] = "binary",
    activation: str = "threshold",
    pooling: str = "max",
    binarized: bool = False,
    probe: FittedProbe | None = None,
    at: HookPoint = HookPoint(2, "resid_post"),
    **spec: Any,
) -> Bundle:
    """A whole bundle on a tiny model."""
    scores = 3 if kind == "multilabel" else 1
    return build_bundle(
        probe or make_probe(kind, binarized=binarized),
        sae=replace(make_sae(activation), hook=at),
        backbone=BackboneSpec(model=str(model), layers=(at.layer,), hook=at.site, device="cpu", **spec),
        files=find_model(str(model)),
        pooling=pooling,
        binarize="auto" if binarized else "none",
        selection="all",
        target=TARGETS[kind],
        calibration=Calibration(kind, (1.5,) * scores, (0.0 if kind == "multiclass" else 0.2,) * scores, 0.1, 0.05),
        labels=LABELS,
        metrics={"macro_f1": 0.8, "low": 0.7, "high": 0.9},
        card=card_for("tiny", TARGETS[kind], measured="nowhere"),
    )
