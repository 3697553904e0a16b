"""The bundle in memory and on disk: what is kept, that it is exact, and that damage is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from latentprobe.deploy import Bundle, Manifest
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.pooling import pool
from latentprobe.errors import BundleError, OutputError
from latentprobe.learn import FittedProbe
from tests.deploy.tiny_world import D_IN, USED, WIDTH, make_bundle, make_probe, make_sae

GOLDEN = Path(__file__).parent / "golden"

KINDS = ["binary", "multiclass", "multilabel"]
STATES = torch.randn(40, D_IN, generator=torch.Generator().manual_seed(3))


def pooled(encoded: Any, pooling: str) -> Any:
    import scipy.sparse as sp

    rows = pool(encoded, np.array([7, 0, 20, 13]), [pooling])
    return sp.csr_matrix((rows.values[pooling], rows.indices, rows.indptr), shape=(4, encoded.width)).toarray()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("binarized", [False, True])
@pytest.mark.parametrize("activation", ["threshold", "gated", "topk", "groupmax"])
def test_what_is_loaded_is_what_was_saved(
    tiny_bert: Path, tmp_path: Path, kind: Any, binarized: bool, activation: str
) -> None:
    bundle = make_bundle(tiny_bert, kind=kind, binarized=binarized, activation=activation)
    bundle.save(tmp_path / "bundle")
    loaded = Bundle.load(tmp_path / "bundle")
    assert loaded.manifest == bundle.manifest
    assert loaded.calibration == bundle.calibration
    assert loaded.encoder.pre_ops == bundle.encoder.pre_ops
    before, after = bundle.encode(STATES), loaded.encode(STATES)
    assert np.array_equal(before.indices, after.indices) and np.array_equal(before.values, after.values)
    rows = before.csr()
    assert np.array_equal(bundle.probe.decision(rows), loaded.probe.decision(rows))


@pytest.mark.parametrize("hook", [HookPoint(2, "attn_out"), HookPoint(0, "resid_pre")])
def test_a_bundle_keeps_its_hook_point(tiny_bert: Path, tmp_path: Path, hook: HookPoint) -> None:
    bundle = make_bundle(tiny_bert, at=hook)
    bundle.save(tmp_path / "bundle")
    loaded = Bundle.load(tmp_path / "bundle")
    assert loaded.hook == hook and (loaded.backbone.layers, loaded.backbone.hook) == ((hook.layer,), hook.site)


def test_the_same_bundle_is_saved_as_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "one")
    Bundle.load(tmp_path / "one").save(tmp_path / "two")
    for name in ("probe.json", "probe.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize("activation", ["threshold", "gated"])
@pytest.mark.parametrize("pooling", ["max", "mean", "last", "count", "rate", "rollmax3"])
def test_only_the_features_in_use_are_kept_and_they_are_computed_as_by_the_whole_sae(
    tiny_bert: Path, activation: str, pooling: str
) -> None:
    bundle = make_bundle(tiny_bert, activation=activation, pooling=pooling)
    assert bundle.manifest.pruned
    assert bundle.encoder.W_enc.shape == (D_IN, len(USED))  # the probe has one more, without weight
    whole = pooled(make_sae(activation).encode(STATES), pooling)
    kept = pooled(bundle.encode(STATES), pooling)
    np.testing.assert_allclose(kept[:, USED], whole[:, USED], atol=1e-6)
    assert whole[:, USED].any()  # else nothing was compared
    assert not kept[:, [j for j in range(WIDTH) if j not in USED]].any()


@pytest.mark.parametrize(
    ("activation", "pooling"), [("topk", "max"), ("groupmax", "max"), ("threshold", "top2"), ("gated", "top2")]
)
def test_where_features_depend_on_each_other_the_whole_encoder_is_kept_and_the_bundle_says_so(
    tiny_bert: Path, activation: str, pooling: str
) -> None:
    bundle = make_bundle(tiny_bert, activation=activation, pooling=pooling)
    assert not bundle.manifest.pruned
    assert bundle.encoder.width == WIDTH
    assert len(bundle.manifest.features) == len(USED)
    whole = pooled(make_sae(activation).encode(STATES), pooling)
    np.testing.assert_array_equal(pooled(bundle.encode(STATES), pooling), whole)


def test_pruning_under_topn_pooling_would_be_wrong(tiny_bert: Path) -> None:
    """The reason for the rule above: ranks among the kept features are not ranks among all."""
    few = make_sae().columns(USED).encode(STATES)
    assert (pooled(few, "top2") != pooled(make_sae().encode(STATES), "top2")[:, USED]).any()


def test_a_probe_without_any_weight_gives_a_bundle_that_predicts_its_intercept(tiny_bert: Path, tmp_path: Path) -> None:
    empty = FittedProbe(np.zeros(0, np.int64), None, np.zeros((1, 0)), np.array([0.3]), None, True)
    idle = make_probe("binary", features=(8,))
    for probe in (empty, idle):
        bundle = make_bundle(tiny_bert, probe=probe)
        bundle.save(tmp_path / "bundle")
        loaded = Bundle.load(tmp_path / "bundle")
        decision = loaded.probe.decision(loaded.encode(STATES).csr())
        np.testing.assert_array_equal(decision, np.broadcast_to(probe.intercept, (40, 1)))


def test_a_text_is_positive_in_use_exactly_where_its_decision_is_above_zero(bundle: Bundle) -> None:
    """Mistake 8: training counted a value above the threshold, serving one at the threshold as well."""
    (threshold,) = bundle.manifest.thresholds or ()
    decisions = np.array([[-1e-3], [0.0], [1e-9], [1.0]])
    scores = bundle.calibration.probabilities(decisions)[:, 1]
    assert (scores >= threshold).tolist() == (decisions[:, 0] > 0).tolist() == [False, False, True, True]


def test_the_manifest_says_what_was_trained_on_without_any_text(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "bundle")
    said = json.loads((tmp_path / "bundle" / "probe.json").read_text())
    assert said["format"] == 1
    assert said["positive"] == "yes"
    assert said["backbone"]["layer"] == 2 and said["backbone"]["dtype"] == "float32"
    assert said["features"][0] == {"feature": 1, "label": "first", "label_score": None}
    assert said["card"]["data"] == {"name": "tiny", "rows": 2, "classes": {"no": 1, "yes": 1}}
    assert said["card"]["limits"][0] == "Its figures were measured nowhere."
    assert "latentprobe" in said["card"]["versions"]


def test_the_fingerprint_covers_what_decides_and_leaves_the_card_to_people(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "bundle")
    path = tmp_path / "bundle" / "probe.json"
    said = json.loads(path.read_text())
    said["card"]["intended_use"] = "Sorting our post."
    path.write_text(json.dumps(said))
    assert Bundle.load(tmp_path / "bundle").manifest.card.intended_use == "Sorting our post."
    said["thresholds"] = [0.9]
    path.write_text(json.dumps(said))
    with pytest.raises(BundleError, match="as it was written"):
        Bundle.load(tmp_path / "bundle")


def damage(folder: Path, *, json_change: Any = None, tensor_change: Any = None) -> None:
    """Change a saved bundle and make its hashes right again, so that only the change itself can be noticed."""
    values = json.loads((folder / "probe.json").read_text())
    if tensor_change is not None:
        tensors = safetensors.torch.load_file(folder / "probe.safetensors")
        tensor_change(tensors)
        (folder / "probe.safetensors").write_bytes(safetensors.torch.save(tensors))
    values["tensors"]["sha256"] = hashlib.sha256((folder / "probe.safetensors").read_bytes()).hexdigest()
    if json_change is not None:
        json_change(values)
    with contextlib.suppress(ValueError):  # refused by its form before any fingerprint is looked at
        values["fingerprint"] = Manifest.model_validate(values).content_hash()
    (folder / "probe.json").write_text(json.dumps(values))


def change(**keys: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        damage(folder, json_change=lambda values: values.update(keys))

    return apply


def change_sae(**keys: Any) -> Callable[[Path], None]:
    return lambda folder: damage(folder, json_change=lambda values: values["sae"].update(keys))


def tensors(apply: Any) -> Callable[[Path], None]:
    return lambda folder: damage(folder, tensor_change=apply)


def fill(name: str, value: float) -> Callable[[Path], None]:
    return tensors(lambda read: read[name].view(-1)[:1].fill_(value))


def replaced(name: str, value: Any) -> Callable[[Path], None]:
    return tensors(lambda read: read.update({name: value}))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "no probe.json": lambda folder: (folder / "probe.json").unlink(),
    "no tensors": lambda folder: (folder / "probe.safetensors").unlink(),
    "probe.json is no JSON": lambda folder: (folder / "probe.json").write_text("{"),
    "probe.json is no mapping": lambda folder: (folder / "probe.json").write_text("[]"),
    "probe.json is no text": lambda folder: (folder / "probe.json").write_bytes(b"\xff\xfe{}"),
    "another format": change(format=2),
    "a format that is no number": change(format="1"),
    "unknown key": change(colour="red"),
    "unknown kind": change(kind="regression"),
    "unknown pooling": change(pooling="median"),
    "no features": change(features=[]),
    "a prompt without a place for the text": lambda folder: damage(
        folder, json_change=lambda values: values["backbone"].update(prompt="Is this rude?")
    ),
    "features out of order": lambda folder: damage(folder, json_change=lambda values: values["features"].reverse()),
    "NaN in JSON": change(thresholds=[float("nan")]),
    "threshold missing": change(thresholds=None),
    "class missing": change(classes=["yes"]),
    "positive is another": change(positive="no"),
    "unknown activation": change_sae(activation="groupmax"),
    "another activation": change_sae(activation="gated"),
    "unknown pre-operation": change_sae(pre_ops=["square"]),
    "feature beyond the width": change_sae(width=21),
    "pruned although ranks matter": change(pooling="top20"),
    "not pruned, it says": change(pruned=False),
    "binarized, it says": change(binarize=1.0),
    "other calibration": lambda folder: damage(
        folder, json_change=lambda values: values["calibration"].update(slope=[2.0])
    ),
    "tensors truncated": lambda folder: (folder / "probe.safetensors").write_bytes(
        (folder / "probe.safetensors").read_bytes()[:-8]
    ),
    "one bit of a tensor flipped": lambda folder: (folder / "probe.safetensors").write_bytes(
        (content := (folder / "probe.safetensors").read_bytes())[:-1] + bytes([content[-1] ^ 1])
    ),
    "tensors truncated, hash made right": lambda folder: (
        (folder / "probe.safetensors").write_bytes((folder / "probe.safetensors").read_bytes()[:-8]),
        damage(folder),
    ),
    "a hash of another file": lambda folder: (folder / "probe.json").write_text(
        (folder / "probe.json").read_text().replace('"sha256": "', '"sha256": "0', 1)
    ),
    "encoder too narrow": replaced("encoder.weight", torch.zeros(D_IN, 4)),
    "encoder of another size": replaced("encoder.weight", torch.zeros(D_IN + 1, len(USED))),
    "encoder in another type": replaced("encoder.weight", torch.zeros(D_IN, len(USED), dtype=torch.float64)),
    "bias too short": replaced("encoder.bias", torch.zeros(4)),
    "weights of another shape": replaced("probe.weights", torch.zeros(2, len(USED), dtype=torch.float64)),
    "a tensor missing": tensors(lambda read: read.pop("encoder.threshold")),
    "a tensor too many": replaced("encoder.decoder", torch.zeros(1)),
    "NaN in the encoder": fill("encoder.weight", float("nan")),
    "infinity in the weights": fill("probe.weights", float("inf")),
    "NaN in the intercept": fill("probe.intercept", float("nan")),
    "a negative threshold": fill("encoder.threshold", -1.0),
}


@pytest.mark.parametrize("damaging", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_bundle_is_refused_and_says_what_to_do(
    bundle: Bundle, tmp_path: Path, damaging: Callable[[Path], Any]
) -> None:
    bundle.save(tmp_path / "bundle")
    Bundle.load(tmp_path / "bundle")
    damaging(tmp_path / "bundle")
    with pytest.raises(BundleError) as refusal:
        Bundle.load(tmp_path / "bundle")
    assert str(tmp_path) in refusal.value.got
    assert refusal.value.fix


def test_what_a_manifest_did_not_always_have_leaves_the_old_fingerprint_as_it_was(tiny_bert: Path) -> None:
    plain = make_bundle(tiny_bert).manifest
    values = plain.model_dump(mode="json")
    for name in ("bos", "template", "prompt", "select"):
        del values["backbone"][name]
    assert Manifest.model_validate(values).content_hash() == plain.fingerprint
    unscored = plain.model_copy(
        update={"features": tuple(one.model_copy(update={"label_score": None}) for one in plain.features)}
    )
    values = unscored.model_dump(mode="json")
    for feature in values["features"]:
        del feature["label_score"]
    assert Manifest.model_validate(values).content_hash() == unscored.content_hash() != plain.fingerprint
    ways: list[dict[str, Any]] = [dict(bos="never"), dict(template="chat"), dict(prompt="a {text} b")]
    ways += [dict(prompt="a {text} c"), dict(prompt="a {text} b", select="last")]
    assert len({plain.fingerprint, *(make_bundle(tiny_bert, **way).manifest.fingerprint for way in ways)}) == 6


def test_no_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, got in (("nothing", "does not exist"), ("file", "is a file")):
        with pytest.raises(BundleError) as refusal:
            Bundle.load(tmp_path / name)
        assert got in refusal.value.got


def test_saving_replaces_a_bundle_but_no_other_folder(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "bundle")
    bundle.save(tmp_path / "bundle")
    Bundle.load(tmp_path / "bundle")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="new or empty folder"):
        bundle.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(OutputError):
        bundle.save(tmp_path / "mine" / "thesis.txt")


@pytest.mark.parametrize("folder", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
def test_every_format_ever_written_is_read_and_decides_as_it_did(folder: Path) -> None:
    """One golden bundle a format, kept for good, with the decisions it gave on recorded hidden states."""
    bundle = Bundle.load(folder)
    recorded = json.loads((folder / "decisions.json").read_text())
    latents = bundle.encode(torch.tensor(recorded["states"], dtype=torch.float32))
    decisions = bundle.probe.decision(latents.csr())
    np.testing.assert_allclose(decisions, recorded["decisions"], atol=1e-6)
    np.testing.assert_allclose(bundle.calibration.probabilities(decisions), recorded["probabilities"], atol=1e-6)
