"""What a check of an SAE reads: images in place of texts, and texts as the SAE's own training had them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from typer.testing import CliRunner

from latentprobe.cli.main import app
from latentprobe.config import BackboneSpec
from latentprobe.corpus import ImageFile, read_images
from latentprobe.encode.backbone import load_backbone
from latentprobe.encode.check import check_sae, measure
from latentprobe.encode.formats import load_sae
from latentprobe.errors import SpecError
from tests.encode.checkpoints import config_v6, write_saelens
from tests.encode.layouts.case import pt, put
from tests.encode.tiny_images import save_model, save_pictures

D = 16
EYE = torch.eye(D)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_model("vit", tmp_path_factory.mktemp("vit")))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("pictures"))


def images_of(folder: Path) -> list[ImageFile]:
    return [image for image in read_images(folder).columns["image"] if isinstance(image, ImageFile)]


def prisma(folder: Path, **changes: torch.Tensor) -> str:
    """A ViT-Prisma SAE that rebuilds nearly everything: each direction and its opposite."""
    config = {"model_name": "m", "hook_point_layer": 2, "layer_subtype": "hook_resid_post", "d_in": D, "d_sae": 2 * D}
    put(folder, "config.json", config)
    tensors = {"W_enc": torch.cat([EYE, -EYE], 1), "W_dec": 0.9 * torch.cat([EYE, -EYE])}
    tensors |= {"b_enc": torch.full((2 * D,), -0.05), "b_dec": torch.full((D,), 0.1)} | changes
    return str(pt(folder / "weights.pt", tensors).parent)


def test_an_sae_of_a_vision_encoder_is_checked_on_images(tmp_path: Path, vit: str, pictures: Path) -> None:
    images = images_of(pictures)
    checked = check_sae(prisma(tmp_path), model=vit, images=images, device="cpu")

    model = transformers.AutoModel.from_pretrained(vit).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(vit)
    kept: list[torch.Tensor] = []
    model.layers[2].register_forward_hook(lambda module, args, out: kept.append(out))
    for image in images:
        with torch.no_grad():
            model(**processor(images=Image.open(image.path).convert("RGB"), return_tensors="pt"))
    states = torch.cat([state[0] if isinstance(state, tuple) else state for state in kept])
    x = states[:, 1:].reshape(-1, D).double().numpy()  # without the class token
    both = np.concatenate([x - 0.1, 0.1 - x], 1)
    z = np.maximum(both - 0.05, 0)
    back = 0.9 * (z[:, :D] - z[:, D:]) + 0.1
    figures = checked.figures
    assert figures.tokens == len(x) == 16 * len(images) and checked.cross_entropy is None
    assert figures.l0 == pytest.approx((z > 0).sum(1).mean(), rel=1e-3)
    spread = ((x - x.mean(0)) ** 2).sum()
    assert figures.explained_variance == pytest.approx(1 - ((x - back) ** 2).sum() / spread, rel=1e-4)
    assert checked.verdict == "right"


def test_texts_and_images_and_texts_for_a_vision_encoder_are_refused(tmp_path: Path, vit: str, pictures: Path) -> None:
    sae = prisma(tmp_path)
    with pytest.raises(SpecError, match="texts or images"):
        check_sae(sae, model=vit, texts=["a"], images=images_of(pictures), device="cpu")
    with pytest.raises(SpecError, match="reads nothing else") as refused:
        check_sae(sae, model=vit, texts=["a"], device="cpu")
    assert "--images" in refused.value.fix


def test_the_command_takes_a_folder_of_images(tmp_path: Path, vit: str, pictures: Path) -> None:
    words = ["--model", vit, "--images", str(pictures), "--device", "cpu"]
    right = CliRunner().invoke(app, ["saes", "check", prisma(tmp_path / "right"), *words])
    assert right.exit_code == 0 and "96 tokens" in right.output and "verdict: right" in right.output
    upside_down = prisma(tmp_path / "wrong", W_dec=-torch.cat([EYE, -EYE]))
    wrong = CliRunner().invoke(app, ["saes", "check", upside_down, *words])
    assert wrong.exit_code == 2 and "verdict: wrong" in wrong.output


@pytest.mark.parametrize("prepends", [True, False])
def test_texts_are_read_with_a_bos_token_where_the_sae_was_trained_so(
    tmp_path: Path, byte_gpt2: Callable[..., Path], prepends: bool
) -> None:
    metadata: dict[str, Any] = {"hook_name": "blocks.1.hook_resid_post", "prepend_bos": prepends}
    config = config_v6("standard", d_in=D, d_sae=2 * D, metadata=metadata)
    tensors = {"W_enc": torch.cat([EYE, -EYE], 1), "W_dec": 0.9 * torch.cat([EYE, -EYE])}
    folder = write_saelens(tmp_path / "sae", config, tensors | {"b_enc": torch.zeros(2 * D), "b_dec": torch.ones(D)})
    model, texts = str(byte_gpt2()), ["the cat sat", "a hat"]
    found = check_sae(str(folder), model=model, texts=texts, device="cpu").figures
    expected = {}
    for bos in ("always", "never"):
        backbone = load_backbone(BackboneSpec(model=model, layers=(1,), device="cpu", bos=bos))
        expected[bos == "always"] = measure(load_sae(str(folder), decoder=True), backbone, texts)[0]
    assert expected[True] != expected[False] and found == expected[prepends]
