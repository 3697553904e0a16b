"""Features on an accelerator are those of the CPU: a random model of Gemma 2 2B's shape and a JumpReLU SAE.

The same code runs on the CPU at a small scale, so that it is known to work where there is no accelerator. What may
differ is rounding, and where it is near a threshold, whether a feature is on; how much is stated in ``BOUNDS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from latentprobe.config import BackboneSpec
from latentprobe.encode.backbone import load_backbone
from latentprobe.encode.featurize import Source, featurize
from latentprobe.encode.formats import load_sae
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.store import SparseFeatures
from tests.encode.checkpoints import config_v6, write_saelens
from tests.encode.conftest import WORDS, save_tokenizer

LAYER = 2


@dataclass(frozen=True)
class Shape:
    """Sizes of a model and of its SAE."""

    hidden: int
    heads: int
    head: int
    intermediate: int
    width: int


#: Gemma 2 2B but for its 26 blocks, of which three are made, and its 256,000 words; and one with little to do.
REAL, TINY = Shape(2304, 8, 256, 9216, 16384), Shape(64, 4, 16, 128, 2048)

#: Type of the model to what may differ from float32 on the CPU: the root mean square of value differences, relative to
#: that of the values; and features on at one side only, as a share of those that are on. A model in bfloat16 on the CPU
#: is off by 0.0037 and 0.019 at the real scale.
BOUNDS = {"float32": (1e-4, 1e-3), "bfloat16": (1e-2, 5e-2)}

#: Where to run, and at which scale.
PLACES = [
    pytest.param("cpu", TINY, id="cpu, tiny"),
    pytest.param(
        "cuda",
        REAL,
        id="cuda, Gemma 2 2B",
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: torch finds none"),
        ],
    ),
]


def texts() -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(WORDS, length)) for length in (1, 5, 9, 20, 30, 36, 36, 36)]


def write_model(folder: Path, shape: Shape) -> Path:
    torch.manual_seed(0)
    config = transformers.Gemma2Config(
        vocab_size=64, hidden_size=shape.hidden, num_hidden_layers=LAYER + 1, num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads // 2, head_dim=shape.head, intermediate_size=shape.intermediate,
        max_position_embeddings=128, sliding_window=16, query_pre_attn_scalar=shape.head,
    )  # fmt: skip
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def states(model: Path) -> torch.Tensor:
    backbone = load_backbone(BackboneSpec(model=str(model), layers=(LAYER,), device="cpu", dtype="float32"))
    hook = HookPoint(LAYER, "resid_post")
    return backbone.hidden_states(backbone.tokenize(texts()), [hook])[hook]


def write_sae(folder: Path, shape: Shape, x: torch.Tensor) -> Path:
    """One that has about half a percent of its features on at a token: 80 of 16,384."""
    draw = torch.Generator().manual_seed(1)
    w = torch.randn(shape.hidden, shape.width, generator=draw) / shape.hidden**0.5
    theta = torch.full((shape.width,), 2.58 * float(x.square().mean().sqrt()))
    tensors = {"W_enc": w, "W_dec": w.T, "b_enc": torch.zeros(shape.width), "b_dec": torch.zeros(shape.hidden)}
    metadata = {"hook_name": f"blocks.{LAYER}.hook_resid_post", "prepend_bos": None}
    config = config_v6("jumprelu", d_in=shape.hidden, d_sae=shape.width, metadata=metadata)
    return write_saelens(folder, config, tensors | {"threshold": theta})


def features(model: Path, sae: Path, device: str, dtype: str) -> NDArray[np.float32]:
    """Pooled over each text as an experiment has them, ``[texts, width]``."""
    backbone = load_backbone(BackboneSpec(model=str(model), layers=(LAYER,), device=device, dtype=dtype))
    loaded = load_sae(str(sae))
    source = Source(loaded.hook, loaded.to(backbone.device), ("max",))
    rows = texts()
    (found,) = featurize(rows, [str(row) for row in range(len(rows))], backbone, [source])
    assert isinstance(found, SparseFeatures)
    return np.asarray(found.csr("max").toarray())


@pytest.mark.parametrize(("device", "shape"), PLACES)
def test_features_are_those_of_the_cpu_in_float32(tmp_path: Path, device: str, shape: Shape) -> None:
    model = write_model(tmp_path / "model", shape)
    sae = write_sae(tmp_path / "sae", shape, states(model))
    expected = features(model, sae, "cpu", "float32")
    assert 0.002 * expected.size < (expected > 0).sum() < 0.5 * expected.size
    for dtype, (values, support) in BOUNDS.items():
        found = features(model, sae, device, dtype)
        both, either = (found > 0) & (expected > 0), (found > 0) | (expected > 0)
        off = np.sqrt(np.square(found - expected)[both].mean() / np.square(expected)[both].mean())
        assert off < values and 1 - both.sum() / either.sum() < support, (dtype, off, 1 - both.sum() / either.sum())
        if dtype == "bfloat16":
            assert off > 0, "the model did not run in bfloat16"
