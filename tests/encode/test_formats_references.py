"""What a reference may be, and what it leads to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch

from latentprobe.encode.formats import bundled, describe, gemma_scope, labels, list_bundled, load_sae
from latentprobe.errors import SAEError
from latentprobe.files import sha256_file
from tests.encode.checkpoints import (
    D_IN,
    WIDTH,
    config_v6,
    naive_encode,
    states,
    weights,
    write_gemma_scope,
    write_saelens,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hugging Face hub, and no way out of it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cached(hub: Path, repository: str, path: str, *, revision: str = "main", commit: str = COMMIT) -> Path:
    """The folder of a cached repository's snapshot, in the hub's own layout."""
    root = hub / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True, exist_ok=True)
    (root / "refs" / revision).write_text(commit)
    return root / "snapshots" / commit / path


def test_a_folder_of_a_repository_is_read_from_the_cache(hub: Path) -> None:
    tensors = weights("jumprelu")
    write_saelens(cached(hub, "someone/saes", "deep/down"), config_v6("jumprelu"), tensors)
    sae = load_sae("hf:someone/saes/deep/down")
    np.testing.assert_allclose(
        sae.encode(states()).csr().toarray(), naive_encode(states(), tensors, "jumprelu"), atol=1e-4
    )
    assert sae.reference == "hf:someone/saes/deep/down"
    facts = describe("hf:someone/saes/deep/down")
    assert facts["width"] == WIDTH and Path(facts["files"]["cfg.json"]).is_file()
    assert labels("hf:someone/saes/deep/down") == {}


def test_a_repository_may_be_the_folder_itself(hub: Path) -> None:
    write_saelens(cached(hub, "someone/one-sae", ""), config_v6("standard"), weights("standard"))
    assert load_sae("hf:someone/one-sae").width == WIDTH


def test_a_revision_chooses_among_versions(hub: Path) -> None:
    write_saelens(cached(hub, "someone/saes", "a"), config_v6("standard"), weights("standard"))
    newer = cached(hub, "someone/saes", "a", revision="v2", commit=OTHER)
    write_saelens(newer, config_v6("standard"), weights("standard", seed=1))
    main, tag = load_sae("hf:someone/saes/a"), load_sae("hf:someone/saes/a@v2")
    assert main.sha256 != tag.sha256
    assert load_sae(f"hf:someone/saes/a@{COMMIT}").sha256 == main.sha256
    assert load_sae(f"hf:someone/saes/a@{OTHER}").sha256 == tag.sha256


def test_only_the_config_and_the_weights_are_asked_for(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    plain = huggingface_hub.hf_hub_download

    def counted(**words):
        asked.append(words["filename"])
        return plain(**words)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", counted)
    write_saelens(cached(hub, "someone/saes", "a"), config_v6("standard"), weights("standard"))
    load_sae("hf:someone/saes/a")
    assert asked == ["a/cfg.json", "a/sae_weights.safetensors"]
    asked.clear()
    describe("hf:someone/saes/a")
    assert asked == ["a/cfg.json"]


def test_gemma_scope_is_short_for_its_repository(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gemma_scope._D_MODEL, "2b", D_IN)
    monkeypatch.setitem(gemma_scope._WIDTHS, "16k", WIDTH)
    path = "layer_12/width_16k/average_l0_82"
    write_gemma_scope(cached(hub, "google/gemma-scope-2b-pt-res", path), weights("jumprelu"))
    short, long = load_sae(f"gemma-scope:2b-pt-res/{path}"), load_sae(f"hf:google/gemma-scope-2b-pt-res/{path}")
    assert short.sha256 == long.sha256 and short.model == long.model == "google/gemma-2-2b"
    assert describe(f"gemma-scope:2b-pt-res/{path}")["layer"] == 12


def test_a_repository_known_to_leave_out_its_centring_is_centred(hub: Path) -> None:
    tensors, x = weights("standard"), states()
    config = config_v6("standard", metadata={"hook_name": "blocks.11.hook_resid_post"})
    repository = "jbloom/GPT2-Small-SAEs-Reformatted"
    write_saelens(cached(hub, repository, "blocks.11.hook_resid_post"), config, tensors)
    z = load_sae(f"hf:{repository}/blocks.11.hook_resid_post").encode(x).csr().toarray()
    np.testing.assert_allclose(z, naive_encode(x - x.mean(1, keepdim=True), tensors, "standard"), atol=1e-4)


@pytest.mark.parametrize("missing", ["sae_weights.safetensors", "cfg.json"])
def test_a_cached_folder_that_is_not_whole_is_refused(hub: Path, missing: str) -> None:
    folder = write_saelens(cached(hub, "someone/saes", "a"), config_v6("standard"), weights("standard"))
    (folder / missing).unlink()
    with pytest.raises(SAEError) as refused:
        load_sae("hf:someone/saes/a")
    assert missing in str(refused.value) and "someone/saes/a" in refused.value.got


def test_a_repository_that_may_not_be_read_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def gated(**words):
        raise OSError("401 Client Error. Access to this repository is restricted.")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", gated)
    with pytest.raises(SAEError, match="could not be fetched") as refused:
        load_sae("hf:someone/gated/a")
    assert "401" in refused.value.got and "hf auth login" in refused.value.fix


WRONG = {
    "": "folder",
    "hf:": "hf:ORG/REPO/PATH",
    "hf:someone": "hf:ORG/REPO/PATH",
    "hf:someone//a": "hf:ORG/REPO/PATH",
    "hf:someone/saes/": "hf:ORG/REPO/PATH",
    "hf:someone/saes/../../other/a": "without '..'",
    "hf:../saes/a": "without '..'",
    "hf:/someone/saes/a": "hf:ORG/REPO/PATH",
    "hf:someone/saes/a@": "hf:ORG/REPO/PATH",
    "hf:someone/saes/a@../b": "hf:ORG/REPO/PATH",
    "hf:someone/saes/a\\b": "hf:ORG/REPO/PATH",
    "hf:someone/saes/layer5.pt": "pickled files",
    "hf:some one/saes/a": "hf:ORG/REPO/PATH",
    "gemma-scope:": "gemma-scope:SIZE",
    "gemma-scope:2b-pt-res/layer_12": "gemma-scope:SIZE",
    "gemma-scope:2b-pt-res/layer_12/width_16k/../average_l0_82": "gemma-scope:SIZE",
    "gemma-scope:2b-pt-res/layer_12/width_17k/canonical": "did you mean 'layer_12/width_16k/canonical'",
    "gemma-scope:2b-pt-rez/layer_12/width_16k/canonical": "did you mean 'gemma-scope-2b-pt-res-canonical'",
    "gemma-scope:2b-pt-res/layer_12/width_16k/average": "path",
    "gemma-scope:2b-pt-embed/layer_12/width_16k/average_l0_82": "residual",
    "gemma-scope:2b-pt-mlp/embedding/width_4k/average_l0_6": "of the embedding",
    "gemma-scope:2b-pt-transcoders/layer_12/width_16k/average_l0_6": "transcoders, cross-coders",
    "gemma-scope:2b/layer_12/width_16k/average_l0_82": "path",
    "saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre": "no network",
    "saelens:gpt2-small-res-jb/blocks.8.hook_resid_post": "'blocks.8.hook_resid_pre'",
    "saelens:gpt2-small-res-jp/blocks.8.hook_resid_pre": "did you mean 'gpt2-small-res-jb'",
    "saelens:gpt2-small-res-jb": "release gpt2-small-res-jb",
    "saelens:": "a release of SAELens' table",
    "saelens:gemma-scope-2b-pt-transcoders/layer_0/width_16k/average_l0_76": "a transcoder",
    "saelens:mntss-gemma-2-2b-2.5m-clt-as-per-layer/layer_0": "a cross-layer transcoder",
    "saelens:gemma-scope-2-4b-pt-transcoders-all/layer_0_width_16k_l0_big": "a transcoder",
    "saelens:temporal-sae-gemma-2-2b/blocks.12.hook_resid_post": "temporal",
    "bundled:": "a bundled SAE is one of",
    "bundled:../../demo": "a bundled SAE is one of",
    "bundled:/etc": "a bundled SAE is one of",
    "bundled:minilm": "a bundled SAE is one of",
    "bundle:minilm-l3-4k": "starts with",
    "https://huggingface.co/someone/saes": "starts with",
    "no/such/folder": "does not exist",
    "x" * 5000: "too long",
    "~no_such_user_here/saes": "home directory",
}


@pytest.mark.parametrize(("reference", "says"), WRONG.items(), ids=lambda text: text[:60])
def test_a_reference_that_is_none_is_refused(hub: Path, reference: str, says: str) -> None:
    with pytest.raises(SAEError) as refused:
        load_sae(reference)
    assert says in str(refused.value) and refused.value.fix


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    folder = write_saelens(tmp_path, config_v6("standard"), weights("standard"))
    with pytest.raises(SAEError, match="is a file"):
        load_sae(str(folder / "cfg.json"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with two bundled SAEs."""
    monkeypatch.setattr(bundled, "ASSETS", tmp_path / "saes")
    for name in ("tiny-l3-40", "tiny-l5-40"):
        config = config_v6("jumprelu", metadata={"hook_name": f"blocks.{name[6]}.hook_resid_post"})
        folder = write_saelens(tmp_path / "saes" / name, config, weights("jumprelu"))
        card = {
            "sha256": sha256_file(folder / "sae_weights.safetensors"),
            "training": {"dead_share": 0.02, "data": {"letters": {"licence": "CC0"}}},
            "held_out": {"l0_mean": 31.5, "explained_variance": 0.8},
        }
        (folder / "card.json").write_text(json.dumps(card))
    lines = [{"feature": 3, "label": '"refund", "dinero"'}, {"feature": 0, "label": "first", "max": 1.0}]
    text = "\n".join(json.dumps(line) for line in lines)
    (tmp_path / "saes" / "tiny-l3-40" / "labels.jsonl").write_text(text, encoding="utf-8")
    return tmp_path / "saes"


def test_the_bundled_saes_are_listed_with_their_figures(package: Path) -> None:
    first, second = list_bundled()
    assert (first.name, first.reference, first.layer, first.width) == ("tiny-l3-40", "bundled:tiny-l3-40", 3, WIDTH)
    assert (first.l0, first.explained_variance, first.dead_share) == (31.5, 0.8, 0.02)
    assert first.data == {"letters": "CC0"} and second.layer == 5 and first.bytes > 1000
    facts = describe("bundled:tiny-l3-40")
    assert facts["l0"] == 31.5 and facts["format"] == "SAELens" and json.dumps(facts)


def test_a_bundled_sae_is_loaded_by_its_exact_name(package: Path) -> None:
    assert load_sae("bundled:tiny-l3-40").reference == "bundled:tiny-l3-40"
    with pytest.raises(SAEError, match="tiny-l3-40, tiny-l5-40") as refused:
        load_sae("bundled:tiny-l3")
    assert "did you mean 'tiny-l3-40'" in refused.value.fix


def test_a_bundled_name_without_its_scheme_is_recognised(package: Path) -> None:
    with pytest.raises(SAEError) as refused:
        load_sae("tiny-l3-40")
    assert refused.value.fix == "write bundled:tiny-l3-40"


def test_bundled_weights_that_were_changed_are_refused(package: Path) -> None:
    write_saelens(package / "tiny-l3-40", config_v6("jumprelu"), weights("jumprelu", seed=8))
    with pytest.raises(SAEError, match="sha256"):
        load_sae("bundled:tiny-l3-40")


def test_a_label_may_hold_any_character_of_a_line(package: Path) -> None:
    line = json.dumps({"feature": 1, "label": "a\u2028b\x85c"}, ensure_ascii=False)
    (package / "tiny-l3-40" / "labels.jsonl").write_text(line + "\n", encoding="utf-8")
    assert labels("bundled:tiny-l3-40") == {1: "a\u2028b\x85c"}


def test_labels_are_read_by_feature(package: Path) -> None:
    assert labels("bundled:tiny-l3-40") == {3: '"refund", "dinero"', 0: "first"}
    assert labels(str(package / "tiny-l3-40")) == labels("bundled:tiny-l3-40")
    assert labels("bundled:tiny-l5-40") == {}


@pytest.mark.parametrize(
    "line", ['{"feature": 40, "label": "x"}', '{"feature": "3", "label": "x"}', '{"feature": 3}', "[]", "nonsense", ""]
)
def test_a_line_that_is_no_label_is_refused_by_its_number(package: Path, line: str) -> None:
    (package / "tiny-l3-40" / "labels.jsonl").write_text(f'{{"feature": 1, "label": "x"}}\n{line}\n')
    with pytest.raises(SAEError) as refused:
        labels("bundled:tiny-l3-40")
    assert refused.value.got.startswith("line 2")


@pytest.mark.parametrize("name", ["minilm-l1-4k", "minilm-l3-1k", "minilm-l3-4k", "minilm-l5-4k"])
def test_the_saes_of_this_package_load_and_encode_as_their_folders_say(name: str) -> None:
    if name not in [card.name for card in list_bundled()]:
        pytest.skip(f"{name} has not been trained in this checkout")
    sae = load_sae(f"bundled:{name}", decoder=True)
    assert sae.d_in == 384 and sae.hook.layer == int(name[8]) and sae.width == {"1k": 1024, "4k": 4096}[name[10:]]
    from safetensors.torch import load_file

    tensors = load_file(bundled.ASSETS / name / "sae_weights.safetensors")
    x = sae.W_enc.T[:64] * 3 + sae.b_dec
    expected = naive_encode(x, tensors, "jumprelu")
    z = sae.encode(x).csr().toarray()
    np.testing.assert_allclose(z[expected > 0], expected[expected > 0], atol=1e-3)
    assert ((z > 0) != (expected > 0)).mean() < 1e-5
    described = labels(f"bundled:{name}")
    assert all(0 <= feature < sae.width for feature in described) and torch.isfinite(sae.W_dec).all()


def test_listing_and_describing_do_not_import_torch() -> None:
    code = (
        "import sys; from latentprobe.encode.formats import describe, list_bundled, labels\n"
        "for card in list_bundled(): describe(card.reference), labels(card.reference)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
