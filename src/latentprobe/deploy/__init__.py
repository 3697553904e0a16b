"""Classifiers to use: the bundle on disk, and texts in, decisions out.

    Classifier      fit, load, predict, decide, explain
    Bundle          what is saved: only the features in use
    build_bundle    from a fitted probe and its SAE to a bundle
    fit_bundle      from a labelled corpus to a bundle
    card_for        the model card of a new one

Imports torch when it is imported, and the language model's library with it.
"""

from __future__ import annotations

from latentprobe.deploy.bundle import Bundle, build_bundle
from latentprobe.deploy.card import card_for
from latentprobe.deploy.classifier import Classifier
from latentprobe.deploy.decisions import Decision, FeatureEvidence, TokenEvidence
from latentprobe.deploy.fitting import fit_bundle
from latentprobe.deploy.manifest import Card, Manifest

__all__ = [
    "Bundle",
    "Card",
    "Classifier",
    "Decision",
    "FeatureEvidence",
    "Manifest",
    "TokenEvidence",
    "build_bundle",
    "card_for",
    "fit_bundle",
]
