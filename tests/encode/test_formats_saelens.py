"""SAELens' native folders, beside its encode written down once more in plain numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import latentprobe.encode.formats.tensors
from latentprobe.encode.formats import describe, load_sae
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.errors import SAEError
from tests.encode.checkpoints import (
    D_IN,
    DTYPES,
    EXTRA,
    WIDTH,
    config_old,
    config_v6,
    naive_encode,
    states,
    weights,
    write_saelens,
)

CONFIGS = {"v6": config_v6, "old": config_old}


def assert_encodes(sae, expected: np.ndarray) -> None:
    z = sae.encode(states()).csr().toarray()
    np.testing.assert_allclose(z, expected, atol=2e-4)
    assert (z > 0).sum() > 50


@pytest.mark.parametrize("version", CONFIGS)
@pytest.mark.parametrize("architecture", EXTRA)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_architecture_version_and_type_encodes_as_saelens_does(tmp_path, architecture, version, dtype) -> None:
    tensors = weights(architecture, dtype)
    sae = load_sae(str(write_saelens(tmp_path, CONFIGS[version](architecture), tensors)))
    assert_encodes(sae, naive_encode(states(), tensors, architecture))
    assert sae.W_enc.dtype == torch.float32
    assert (sae.hook, sae.model, sae.width, sae.d_in) == (HookPoint(3, "resid_post"), "gpt2-small", WIDTH, D_IN)


@pytest.mark.parametrize("version", CONFIGS)
@pytest.mark.parametrize("said", [True, False, None])
def test_whether_it_was_trained_with_bos_is_kept(tmp_path: Path, version: str, said: bool | None) -> None:
    config = CONFIGS[version]("standard")
    place = config["metadata"] if version == "v6" else config
    place.pop("prepend_bos", None)
    place |= {} if said is None else {"prepend_bos": said}
    assert load_sae(str(write_saelens(tmp_path, config, weights("standard")))).prepend_bos is said


@pytest.mark.parametrize("version", CONFIGS)
@pytest.mark.parametrize("architecture", EXTRA)
def test_b_dec_is_subtracted_unless_the_config_says_not_to(tmp_path: Path, architecture: str, version: str) -> None:
    tensors = weights(architecture)
    config = CONFIGS[version](architecture, apply_b_dec_to_input=False)
    sae = load_sae(str(write_saelens(tmp_path / "without", config, tensors)))
    assert_encodes(sae, naive_encode(states(), tensors, architecture, subtract=False))
    del config["apply_b_dec_to_input"]
    sae = load_sae(str(write_saelens(tmp_path / "default", config, tensors)))
    assert_encodes(sae, naive_encode(states(), tensors, architecture, subtract=True))


@pytest.mark.parametrize("normalization", ["layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("architecture", EXTRA)
def test_run_time_normalization_is_applied_before_b_dec(tmp_path: Path, architecture: str, normalization: str) -> None:
    tensors = weights(architecture)
    config = config_v6(architecture, normalize_activations=normalization)
    sae = load_sae(str(write_saelens(tmp_path, config, tensors)))
    assert_encodes(sae, naive_encode(states(), tensors, architecture, normalize=normalization))


@pytest.mark.parametrize("said", ["expected_average_only_in", True])
@pytest.mark.parametrize("architecture", EXTRA)
def test_an_input_scale_is_folded_where_it_is_known(tmp_path: Path, architecture: str, said) -> None:
    tensors = weights(architecture)
    config = config_v6(architecture, normalize_activations=said, norm_scaling_factor=1.7)
    sae = load_sae(str(write_saelens(tmp_path, config, tensors)), decoder=True)
    expected = naive_encode(states(), tensors, architecture, scale=1.7)
    assert_encodes(sae, expected)
    rebuilt = (expected @ tensors["W_dec"].double().numpy() + tensors["b_dec"].double().numpy()) / 1.7
    np.testing.assert_allclose(sae.decode(sae.encode(states())).numpy(), rebuilt, atol=1e-2)


@pytest.mark.parametrize("scale", [None, 0, -1.0, "2", True, float("inf")])
def test_an_unknown_input_scale_is_refused_and_not_warned_about(tmp_path: Path, scale) -> None:
    config = config_v6("standard", normalize_activations="expected_average_only_in", norm_scaling_factor=scale)
    with pytest.raises(SAEError, match="scale"):
        load_sae(str(write_saelens(tmp_path, config, weights("standard"))))


def test_a_topk_sae_that_ranks_by_decoder_norm_returns_the_scaled_values(tmp_path: Path) -> None:
    tensors = weights("topk")
    config = config_v6("topk", rescale_acts_by_decoder_norm=True)
    sae = load_sae(str(write_saelens(tmp_path, config, tensors)), decoder=True)
    expected = naive_encode(states(), tensors, "topk", by_norm=True)
    assert_encodes(sae, expected)
    unit = tensors["W_dec"] / tensors["W_dec"].norm(dim=1, keepdim=True)
    rebuilt = expected @ unit.double().numpy() + tensors["b_dec"].double().numpy()
    np.testing.assert_allclose(sae.decode(sae.encode(states())).numpy(), rebuilt, atol=1e-3)
    assert load_sae(str(tmp_path)).W_dec is None


def test_old_names_of_the_hook_and_its_layer_are_read(tmp_path: Path) -> None:
    config = config_old("standard", hook_point="blocks.5.hook_mlp_out", hook_point_layer=5, hook_point_head_index=None)
    for key in ("hook_name", "hook_layer", "hook_head_index", "architecture"):
        del config[key]
    sae = load_sae(str(write_saelens(tmp_path, config, weights("standard"))))
    assert sae.hook == HookPoint(5, "mlp_out")


def test_attention_heads_come_side_by_side(tmp_path: Path) -> None:
    config = config_v6("standard", reshape_activations="hook_z", metadata={"hook_name": "blocks.3.attn.hook_z"})
    tensors = weights("standard")
    sae = load_sae(str(write_saelens(tmp_path, config, tensors)))
    assert sae.hook.site == "attn_z"
    assert_encodes(sae, naive_encode(states(), tensors, "standard"))


def test_a_model_with_centred_writing_weights_means_centred_states(tmp_path: Path) -> None:
    tensors = weights("jumprelu")
    config = config_v6("jumprelu", metadata={"model_from_pretrained_kwargs": {"center_writing_weights": True}})
    sae = load_sae(str(write_saelens(tmp_path / "resid", config, tensors)))
    x = states()
    assert_encodes(sae, naive_encode(x - x.mean(1, keepdim=True), tensors, "jumprelu"))
    config["metadata"]["hook_name"] = "blocks.3.attn.hook_z"  # not written to the residual stream
    sae = load_sae(str(write_saelens(tmp_path / "z", config, tensors)))
    assert_encodes(sae, naive_encode(x, tensors, "jumprelu"))


def test_other_keys_of_the_models_loading_change_nothing(tmp_path: Path) -> None:
    tensors = weights("jumprelu")
    config = config_v6("jumprelu", metadata={"model_from_pretrained_kwargs": {"dtype": "bfloat16", "n_devices": 2}})
    assert_encodes(load_sae(str(write_saelens(tmp_path, config, tensors))), naive_encode(states(), tensors, "jumprelu"))


@pytest.mark.parametrize("name", ["scaling_factor", "finetuning_scaling_factor"])
def test_a_finetuned_decoder_scales_reconstructions_and_not_latents(tmp_path: Path, name: str) -> None:
    tensors = weights("standard")
    factors = torch.rand(WIDTH, generator=torch.Generator().manual_seed(9)) + 0.5
    config = config_old("standard", finetuning_scaling_factor=True)
    sae = load_sae(str(write_saelens(tmp_path, config, tensors | {name: factors})), decoder=True)
    expected = naive_encode(states(), tensors, "standard")
    assert_encodes(sae, expected)
    rebuilt = (expected * factors.numpy()) @ tensors["W_dec"].double().numpy() + tensors["b_dec"].double().numpy()
    np.testing.assert_allclose(sae.decode(sae.encode(states())).numpy(), rebuilt, atol=1e-2)


def test_factors_of_one_need_no_announcement_and_others_do(tmp_path: Path) -> None:
    tensors = weights("standard")
    ones = write_saelens(tmp_path / "ones", config_old("standard"), tensors | {"scaling_factor": torch.ones(WIDTH)})
    assert load_sae(str(ones), decoder=True).W_dec is not None
    twos = write_saelens(tmp_path / "twos", config_old("standard"), tensors | {"scaling_factor": torch.ones(WIDTH) * 2})
    with pytest.raises(SAEError, match="scaling_factor"):
        load_sae(str(twos), decoder=True)


def test_the_decoder_is_read_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = latentprobe.encode.formats.tensors.Tensors.read
    monkeypatch.setattr(
        latentprobe.encode.formats.tensors.Tensors, "read", lambda self, name: read.append(name) or plain(self, name)
    )
    folder = write_saelens(tmp_path, config_v6("jumprelu", apply_b_dec_to_input=False), weights("jumprelu"))
    assert load_sae(str(folder)).W_dec is None and set(read) == {"W_enc", "b_enc", "threshold"}
    sae = load_sae(str(folder), decoder=True)
    assert sae.W_dec is not None and sae.b_dec is not None and {"W_dec", "b_dec"} < set(read)


def test_weights_do_not_change_when_their_file_does(tmp_path: Path) -> None:
    sae = load_sae(str(write_saelens(tmp_path, config_v6("jumprelu"), weights("jumprelu"))))
    expected = [sae.W_enc.clone(), sae.activation.theta.clone()]
    with (tmp_path / "sae_weights.safetensors").open("r+b") as stream:  # in place, as rsync --inplace would
        stream.seek(-1000, 2)
        stream.write(b"\0" * 1000)
    assert torch.equal(sae.W_enc, expected[0]) and torch.equal(sae.activation.theta, expected[1])


def test_the_hash_tells_weights_and_config_apart_and_not_the_place(tmp_path: Path) -> None:
    tensors, config = weights("standard"), config_v6("standard")
    first = load_sae(str(write_saelens(tmp_path / "a", config, tensors))).sha256
    assert load_sae(str(write_saelens(tmp_path / "b", config, tensors))).sha256 == first
    assert load_sae(str(write_saelens(tmp_path / "c", config, weights("standard", seed=1)))).sha256 != first
    other = config_v6("standard", apply_b_dec_to_input=False)
    assert load_sae(str(write_saelens(tmp_path / "d", other, tensors))).sha256 != first


def test_a_folder_is_described_without_reading_its_weights(tmp_path: Path) -> None:
    folder = write_saelens(tmp_path, config_v6("gated"), weights("gated"))
    save_file({"nonsense": torch.zeros(1)}, folder / "sae_weights.safetensors")
    facts = describe(str(folder))
    assert facts["architecture"] == "gated" and facts["width"] == WIDTH and facts["d_in"] == D_IN
    assert facts["hook"] == "blocks.3.hook_resid_post" and facts["layer"] == 3 and facts["format"] == "SAELens"
    assert facts["files"]["cfg.json"] == str(folder / "cfg.json") and set(facts["sizes"]) == set(facts["files"])
