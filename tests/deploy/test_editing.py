"""A bundle without some of its features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from latentprobe import Classifier
from latentprobe.deploy import Bundle
from latentprobe.deploy.editing import edited
from latentprobe.encode.backbone import Backbone
from latentprobe.explain.edit import without
from tests.deploy.tiny_world import TEXTS, make_bundle

DROP = [3, 17]


def cut(bundle: Bundle) -> Bundle:
    metrics = {"measured": "on nothing"}
    return edited(bundle, without(bundle.probe, DROP), bundle.calibration, DROP, metrics=metrics, refitted_on=None)


@pytest.mark.parametrize(
    "made",
    [
        dict(kind="binary"),
        dict(kind="multiclass", activation="gated", binarized=True),
        dict(kind="multilabel", activation="topk"),
        dict(kind="binary", pooling="top3"),
    ],
)
def test_an_edited_bundle_decides_as_the_original_with_the_features_off(
    tiny_bert: Path, backbone: Backbone, tmp_path: Path, made: dict[str, object]
) -> None:
    bundle = make_bundle(tiny_bert, **made)  # type: ignore[arg-type]
    new = cut(bundle)
    new.save(tmp_path / "new")
    loaded = Classifier.load(tmp_path / "new", device="cpu")
    off = bundle.probe.weights.copy()
    off[:, np.isin(bundle.probe.features, DROP)] = 0
    bundle.probe.weights[:] = off
    np.testing.assert_allclose(
        loaded.decision_function(TEXTS), Classifier(bundle, device="cpu").decision_function(TEXTS), atol=1e-5
    )
    assert loaded.bundle.encoder.width == (len(new.probe.features) if bundle.manifest.pruned else bundle.encoder.width)


def test_the_edit_stands_in_the_manifest_and_on_the_card(bundle: Bundle, tmp_path: Path) -> None:
    before = bundle.manifest.model_dump()
    new = cut(bundle)
    assert bundle.manifest.model_dump() == before
    new.save(tmp_path / "new")
    manifest = Bundle.load(tmp_path / "new").manifest
    (edit,) = manifest.edits
    assert [(feature.feature, feature.label) for feature in edit.dropped] == [(3, None), (17, '"refund", "money"')]
    assert edit.original == bundle.manifest.fingerprint != manifest.fingerprint
    assert not {3, 17} & {feature.feature for feature in manifest.features}
    assert 'features 3, 17 ("refund", "money") dropped, their weights removed' in manifest.card.notes[-1]
    assert manifest.card.limits[0] == "Its figures were measured on nothing."
    assert sum("figures were measured" in limit for limit in manifest.card.limits) == 1


def test_a_bundle_that_was_never_edited_has_the_fingerprint_it_had_before_there_were_edits(bundle: Bundle) -> None:
    assert bundle.manifest.edits == ()
    assert bundle.manifest.model_copy(update={"edits": ()}).sealed().fingerprint == bundle.manifest.fingerprint
