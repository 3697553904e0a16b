"""The table of known SAEs: exact names, the nearest ones to a misspelt one, and facts without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch

from latentprobe.encode.formats import describe, gemma_scope, list_known, load_sae, registry
from latentprobe.errors import SAEError
from tests.encode.checkpoints import (
    D_IN,
    WIDTH,
    config_old,
    naive_encode,
    states,
    weights,
    write_gemma_scope,
    write_saelens,
)
from tests.encode.test_formats_references import COMMIT, cached


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_more_than_ten_thousand_saes_are_known_and_where_they_were_taken_from() -> None:
    known, source = list_known(), registry.source()
    assert len(known) == source.saes > 10_000 and source.releases > 150
    assert source.name.startswith("sae-lens 6.") and len(source.made) == 10
    assert len({row["reference"] for row in known}) == len(known)
    assert registry.SNAPSHOT.stat().st_size < 1_000_000
    assert sum(row["refused"] is None for row in known) > 9_000


def test_the_table_is_read_in_under_three_seconds_without_torch() -> None:
    code = (
        "import sys, time; from latentprobe.encode.formats import list_known\n"
        "assert len(list_known()) > 10000; print('torch' in sys.modules, time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, seconds = done.stdout.split()
    assert loaded == "False" and float(seconds) < 3


def test_the_list_is_filtered_by_model_layer_family_and_release() -> None:
    layer = list_known(model="gemma-2-2b", layer=12)
    assert layer and all((row["model"], row["layer"]) == ("gemma-2-2b", 12) for row in layer)
    assert list_known(model="google/gemma-2-2b", layer=12) == layer
    assert {row["family"] for row in layer} > {"gemma_2", "dictionary_learning_1"}
    qwen = list_known(family="qwen_scope", model="Qwen/Qwen3-8B-Base", layer=0)
    assert [row["width"] for row in qwen] == [65536, 65536] and {row["l0"] for row in qwen} == {50, 100}
    assert len(list_known(release="gpt2-small-res-jb")) == 13


def test_a_stream_before_a_block_is_listed_at_the_block_before() -> None:
    rows = {row["reference"]: row for row in list_known(release="gpt2-small-res-jb")}
    assert rows["saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre"]["layer"] == 7
    assert rows["saelens:gpt2-small-res-jb/blocks.11.hook_resid_post"]["layer"] == 11
    first = rows["saelens:gpt2-small-res-jb/blocks.0.hook_resid_pre"]
    assert first["layer"] == 0 and first["refused"] is None


def test_mistake_2_saes_of_a_tuned_model_are_not_listed_under_the_pretrained_one() -> None:
    tuned = list_known(release="gemma-scope-9b-it-res")
    assert tuned and {row["model"] for row in tuned} == {"gemma-2-9b-it"}


def test_canonical_names_one_folder(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gemma_scope._D_MODEL, "2b", D_IN)
    monkeypatch.setitem(gemma_scope._WIDTHS, "16k", WIDTH)
    path = registry.find("gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical").path
    write_gemma_scope(cached(hub, "google/gemma-scope-2b-pt-res", path), weights("jumprelu"))
    named = [
        "gemma-scope:2b-pt-res/layer_12/width_16k/canonical",
        "saelens:gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical",
        f"saelens:gemma-scope-2b-pt-res/{path}",
        f"gemma-scope:2b-pt-res/{path}",
        f"hf:google/gemma-scope-2b-pt-res/{path}",
    ]
    loaded = [load_sae(reference) for reference in named]
    assert len({sae.sha256 for sae in loaded}) == 1 and [sae.reference for sae in loaded] == named


def test_what_the_table_adds_to_a_config_is_applied(hub: Path) -> None:
    """Centring and rescaling of these releases stand in SAELens' table only."""
    x, tensors = states(), weights("standard")
    folder = cached(hub, "jbloom/GPT2-Small-SAEs-Reformatted", "blocks.8.hook_resid_pre")
    write_saelens(folder, config_old("standard", hook_point="blocks.8.hook_resid_pre", hook_name=None), tensors)
    config = json.loads((folder / "cfg.json").read_text())
    del config["hook_name"]
    (folder / "cfg.json").write_text(json.dumps(config | {"hook_layer": 8}))
    sae = load_sae("saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre")
    assert sae.hook.name == "blocks.7.hook_resid_post" and sae.pre_ops == ("centre",)
    centred = naive_encode(x - x.mean(1, keepdim=True), tensors, "standard")
    np.testing.assert_allclose(sae.encode(x).csr().toarray(), centred, atol=1e-4)

    folder = cached(hub, "JoshEngels/Mistral-7B-Residual-Stream-SAEs", "mistral_7b_layer_8")
    write_saelens(folder, config_old("standard", hook_name="blocks.8.hook_resid_pre", hook_layer=8), tensors)
    sae = load_sae("saelens:mistral-7b-res-wg/blocks.8.hook_resid_pre")
    rescaled = naive_encode(x, tensors, "standard", normalize="constant_norm_rescale")
    np.testing.assert_allclose(sae.encode(x).csr().toarray(), rescaled, atol=1e-4)


def test_only_what_is_no_sae_of_one_place_is_refused_by_the_table() -> None:
    refused = {row["refused"] for row in list_known() if row["refused"] is not None}
    assert refused == set(registry._NOT_SAES.values())


@pytest.mark.parametrize(
    ("reference", "hook", "pre_ops"),
    [
        ("gpt2-small-res-jb/blocks.0.hook_resid_pre", "blocks.0.hook_resid_pre", ("centre",)),
        ("gpt2-small-attn-out-v5-32k/blocks.5.hook_attn_out", "blocks.5.hook_attn_out", ("layer_norm",)),
        ("gpt2-small-resid-mid-v5-32k/blocks.5.hook_resid_mid", "blocks.5.hook_resid_mid", ("layer_norm",)),
    ],
)
def test_saes_of_attention_and_of_the_streams_before_and_between_are_read(
    hub: Path, reference: str, hook: str, pre_ops: tuple[str, ...]
) -> None:
    entry, tensors, x = registry.find(reference), weights("standard"), states()
    config = config_old("standard", hook_name=hook, hook_layer=int(hook.split(".")[1]))
    if pre_ops == ("layer_norm",):
        config["normalize_activations"] = "layer_norm"
    write_saelens(cached(hub, entry.repository, entry.path), config, tensors)
    sae = load_sae(entry.reference)
    assert sae.hook.name == hook == entry.hook and sae.pre_ops == pre_ops
    normalize = "none" if pre_ops == ("centre",) else "layer_norm"
    expected = naive_encode(x - x.mean(1, keepdim=True), tensors, "standard", normalize=normalize)
    np.testing.assert_allclose(sae.encode(x).csr().toarray(), expected, atol=1e-4)


def test_mistake_an_input_scale_that_only_the_table_knows_is_folded(hub: Path) -> None:
    entry = registry.find("gpt2-small-mlp-tm/blocks.1.hook_mlp_out")
    assert entry.norm_scaling_factor is not None and entry.centred
    tensors, x = weights("standard"), states()
    config = config_old("standard", hook_name="blocks.1.hook_mlp_out", hook_layer=1, normalize_activations=True)
    write_saelens(cached(hub, entry.repository, entry.path), config, tensors)
    sae = load_sae(entry.reference)
    expected = naive_encode(x - x.mean(1, keepdim=True), tensors, "standard", scale=entry.norm_scaling_factor)
    np.testing.assert_allclose(sae.encode(x).csr().toarray(), expected, atol=2e-4)


def test_the_scale_of_r1_distill_comes_from_the_table_where_nothing_else_says_it(hub: Path) -> None:
    entry = registry.find("llama_scope_r1_distill/l15r_800m_slimpajama")
    folder = cached(hub, entry.repository, entry.path)
    folder.mkdir(parents=True)
    config = {"hook_point_in": "blocks.15.hook_resid_post", "d_model": 4, "expansion_factor": 1}
    (folder / "config.json").write_text(json.dumps(config))
    from safetensors.torch import save_file

    shapes = {"encoder.weight": (4, 4), "encoder.bias": (4,), "decoder.weight": (4, 4), "decoder.bias": (4,)}
    tensors = {name: torch.randn(shape) for name, shape in shapes.items()} | {"log_jumprelu_threshold": torch.zeros(4)}
    save_file(tensors, folder / "sae_weights.safetensors")
    sae = load_sae(entry.reference)
    torch.testing.assert_close(sae.W_enc, tensors["encoder.weight"].T * entry.norm_scaling_factor)
    assert sae.model == "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"


def test_an_sae_is_described_without_a_network_by_what_the_table_says(hub: Path) -> None:
    told = describe("saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre")
    assert (told["model"], told["neuronpedia"]) == ("gpt2-small", "gpt2-small/8-res-jb") and told["l0"] > 10
    assert told["registry"].startswith("sae-lens") and told["centred"] and told["d_in"] is None
    told = describe("gemma-scope:2b-pt-res/layer_12/width_16k/canonical")
    assert (told["d_in"], told["width"], told["format"]) == (2304, 16384, "Gemma Scope 1") and json.dumps(told)
    told = describe("saelens:qwen-scope-3-8b-base-w64k-l50/layer7")
    assert (told["d_in"], told["width"], told["hook"]) == (4096, 65536, "blocks.7.hook_resid_post")
    told = describe("saelens:gemma-scope-2-4b-pt-att/layer_17_width_16k_l0_small")
    assert (told["d_in"], told["hook"], told["model"]) == (2048, "blocks.17.attn.hook_z", "google/gemma-3-4b-pt")


def test_what_is_cached_is_described_from_its_config(hub: Path) -> None:
    folder = cached(hub, "jbloom/GPT2-Small-SAEs-Reformatted", "blocks.11.hook_resid_post")
    write_saelens(
        folder, config_old("standard", hook_name="blocks.11.hook_resid_post", hook_layer=11), weights("standard")
    )
    told = describe("saelens:gpt2-small-res-jb/blocks.11.hook_resid_post")
    assert told["d_in"] == D_IN and told["format"] == "SAELens" and COMMIT in told["files"]["cfg.json"]


def test_every_readable_sae_of_a_path_format_is_described_as_the_table_says() -> None:
    """The table was made from paths by the script; the loaders read the same paths by themselves."""
    for row in list_known(family="gemma_2") + list_known(family="qwen_scope") + list_known(family="gemma_3"):
        if row["refused"] is None:
            told = describe(row["reference"])
            assert (told["hook"], told["width"]) == (row["hook"], row["width"]), row["reference"]


def test_a_damaged_table_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "SNAPSHOT", tmp_path / "none.json.gz")
    registry._snapshot.cache_clear()
    try:
        with pytest.raises(SAEError, match="comes with the package"):
            registry.source()
    finally:
        registry._snapshot.cache_clear()
