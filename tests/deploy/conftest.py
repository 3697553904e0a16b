"""A tiny random model, an SAE made by hand on it, and bundles of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from latentprobe.config import BackboneSpec
from latentprobe.deploy import Bundle
from latentprobe.encode.backbone import Backbone, shared_backbone
from tests.deploy.tiny_world import make_bundle
from tests.encode.conftest import tiny_model

__all__ = ["tiny_model"]


@pytest.fixture(scope="session")
def tiny_bert(tiny_model: Callable[[str], Path]) -> Path:
    return tiny_model("bert")


@pytest.fixture(scope="session")
def backbone(tiny_bert: Path) -> Backbone:
    return shared_backbone(BackboneSpec(model=str(tiny_bert), layers=(2,), device="cpu"))


@pytest.fixture
def bundle(tiny_bert: Path) -> Bundle:
    """A binary classifier on max-pooled features of an SAE with thresholds."""
    return make_bundle(tiny_bert)


@pytest.fixture(scope="session")
def minilm_classifier() -> Iterator[object]:
    """A classifier of rude and civil messages on the real embedded model and SAE."""
    from latentprobe import Classifier

    rude = [
        "you useless idiots",
        "go to hell",
        "what a bunch of liars",
        "shut up, you clown",
        "pathetic fools",
        "idiots",
    ]
    civil = [
        "thank you so much",
        "where is my order?",
        "please help me",
        "kind regards",
        "can I get a refund",
        "thanks",
    ]
    texts = [f"{words} {ending}" for words in rude + civil for ending in ("today", "again", "now", "😀")]
    yield Classifier.fit(texts, ["rude"] * 24 + ["civil"] * 24, positive="rude", folds=3)
