"""Gemma Scope 1: what the path says, and its encode beside plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from latentprobe.config import BackboneSpec
from latentprobe.encode.backbone import load_backbone
from latentprobe.encode.formats import describe, gemma_scope, load_sae
from latentprobe.encode.formats.place import Place
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.errors import SAEError
from tests.encode.checkpoints import D_IN, DTYPES, WIDTH, naive_encode, states, weights, write_gemma_scope

PATH = "gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files at a size that tests can hold."""
    monkeypatch.setitem(gemma_scope._D_MODEL, "2b", D_IN)
    monkeypatch.setitem(gemma_scope._WIDTHS, "16k", WIDTH)


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_it_encodes_without_subtracting_b_dec(tmp_path: Path, dtype: str) -> None:
    tensors = weights("jumprelu", dtype)
    sae = load_sae(str(write_gemma_scope(tmp_path / PATH, tensors)), decoder=True)
    z = sae.encode(states())
    expected = naive_encode(states(), tensors, "jumprelu", subtract=False)
    np.testing.assert_allclose(z.csr().toarray(), expected, atol=1e-4)
    assert len(z.values) > 50 and DTYPES[dtype]
    rebuilt = expected @ tensors["W_dec"].double().numpy() + tensors["b_dec"].double().numpy()
    np.testing.assert_allclose(sae.decode(z).numpy(), rebuilt, atol=1e-3)
    assert sae.hook == HookPoint(12, "resid_post") and sae.model == "google/gemma-2-2b"


def test_the_decoder_is_left_on_disk_unless_asked_for(tmp_path: Path) -> None:
    assert load_sae(str(write_gemma_scope(tmp_path / PATH, weights("jumprelu")))).W_dec is None


def test_a_scaling_factor_of_one_is_nothing_and_another_is_refused(tmp_path: Path) -> None:
    tensors = weights("jumprelu")
    load_sae(str(write_gemma_scope(tmp_path / "a" / PATH, tensors | {"scaling_factor": torch.ones(WIDTH)})))
    with pytest.raises(SAEError, match="rescale"):
        load_sae(str(write_gemma_scope(tmp_path / "b" / PATH, tensors | {"scaling_factor": torch.zeros(WIDTH)})))


def facts(origin: str):
    return gemma_scope.facts(Place("reference", Path(), origin))


@pytest.mark.parametrize(
    ("repository", "model", "d_in"),
    [
        ("gemma-scope-9b-pt-res", "google/gemma-2-9b", 3584),
        ("gemma-scope-9b-it-res", "google/gemma-2-9b-it", 3584),
        ("gemma-scope-27b-pt-res", "google/gemma-2-27b", 4608),
    ],
)
def test_mistake_2_the_tuned_models_sae_is_never_the_pretrained_ones(repository: str, model: str, d_in: int) -> None:
    known = facts(f"google/{repository}/layer_20/width_131k/average_l0_24")
    assert (known.model, known.d_in, known.width) == (model, d_in, 131072)


def test_a_width_of_one_million_is_a_power_of_two() -> None:
    assert facts("gemma-scope-9b-pt-res/layer_9/width_1m/average_l0_14").width == 2**20


EMBEDDING = "gemma-scope-2b-pt-res/embedding/width_16k/average_l0_6"


@pytest.mark.parametrize("name", ["gemma", "gemma2", "gemma3_text"])
def test_features_of_an_embedding_are_those_of_the_row_of_its_table(
    tmp_path: Path, tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It was trained on the table; the model, in whichever module, multiplies by sqrt(d) what enters its stream."""
    monkeypatch.setitem(gemma_scope._D_MODEL, "2b", 16)
    tensors = {key: torch.randn(shape, generator=torch.Generator().manual_seed(len(key))) for key, shape in
               {"W_enc": (16, WIDTH), "W_dec": (WIDTH, 16), "b_enc": (WIDTH,), "b_dec": (16,)}.items()}  # fmt: skip
    tensors["threshold"] = torch.full((WIDTH,), 0.05)
    sae = load_sae(str(write_gemma_scope(tmp_path / EMBEDDING, tensors)), decoder=True)
    assert sae.hook == HookPoint(0, "embed") and sae.hook.name == "hook_embed"

    folder, text = tiny_model(name), "the cat sat on the mat"
    table = load_file(folder / "model.safetensors")["embed_tokens.weight"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = table[tokenizer(text, add_special_tokens=False)["input_ids"]]
    backbone = load_backbone(BackboneSpec(model=str(folder), layers=(0,), hook="embed"))
    x = backbone.hidden_states(backbone.tokenize([text]), [sae.hook])[sae.hook]
    expected = naive_encode(rows, tensors, "jumprelu", subtract=False)
    z, rebuilt = sae.reconstruct(x)
    assert (expected > 0).sum() > 50
    np.testing.assert_allclose(z.csr().toarray(), expected, atol=1e-4)
    t = {key: tensor.double().numpy() for key, tensor in tensors.items()}
    np.testing.assert_allclose(rebuilt.numpy(), 4 * (expected @ t["W_dec"] + t["b_dec"]), atol=1e-3)


@pytest.mark.parametrize(
    "origin",
    [
        "somewhere/layer_12/width_16k/average_l0_82",
        "my-gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82",
        "gemma-scope-2b-pt-res-copy/layer_12/width_16k/average_l0_82",
        "gemma-scope-2b-pt-res/layer_12/width_17k/average_l0_82",
        "gemma-scope-2b-pt-res/layer_012/width_16k/average_l0_82",
        "gemma-scope-2b-pt-res/layer_12/width_16k",
        "gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82/more",
        "gemma-scope-3b-pt-res/layer_12/width_16k/average_l0_82",
        "gemma-scope-2b-pt-embed/layer_12/width_16k/average_l0_82",
        "gemma-scope-2b-pt-transcoders/layer_12/width_16k/average_l0_82",
        "gemma-scope-2b-pt-mlp/embedding/width_4k/average_l0_6",
    ],
)
def test_a_path_that_is_not_exactly_that_of_an_sae_is_refused(origin: str) -> None:
    with pytest.raises(SAEError) as refused:
        facts(origin)
    assert refused.value.got and refused.value.fix


def test_the_files_must_have_the_size_the_path_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_gemma_scope(tmp_path / PATH, weights("jumprelu"))
    assert describe(str(folder))["width"] == WIDTH
    monkeypatch.setitem(gemma_scope._WIDTHS, "16k", WIDTH + 1)
    with pytest.raises(SAEError, match="W_enc"):
        load_sae(str(folder))


def test_pickled_arrays_are_never_unpickled(tmp_path: Path) -> None:
    folder = write_gemma_scope(tmp_path / PATH, weights("jumprelu"))
    arrays = dict(np.load(folder / "params.npz"))
    np.savez(folder / "params.npz", **(arrays | {"threshold": np.array([None] * WIDTH, dtype=object)}))
    with pytest.raises(SAEError, match="threshold") as refused:
        load_sae(str(folder))
    assert "object" in refused.value.got
