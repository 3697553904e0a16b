"""Models that read images: hidden states are those of the block, of the tokens asked for, whatever is in the batch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from latentprobe.config import BackboneSpec
from latentprobe.corpus import ImageFile, read_images
from latentprobe.encode.backbone import load_backbone
from latentprobe.encode.featurize import IMAGE_CHARACTERS, SHARD_CHARACTERS, Source, featurize, shards
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.image_families import IMAGE_FAMILIES, hidden_size
from latentprobe.encode.images import ImageBackbone, load_image_backbone
from latentprobe.encode.model_files import find_model
from latentprobe.errors import LatentprobeError, MissingExtraError, ModelError, SpecError
from tests.deploy.tiny_world import make_sae
from tests.encode.tiny_images import MODELS, VISION_ONLY, WITH_LANGUAGE, save_model, save_pictures

Tiny = Callable[[str], Path]
SITES = ("resid_post", "resid_mid", "mlp_out", "attn_out", "attn_z")


@pytest.fixture(scope="session")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Folder of a random model that reads images, made once."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = save_model(name, tmp_path_factory.mktemp(name) / f"tiny-{name}")
        return made[name]

    return make


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[ImageFile]:
    return list(read_images(save_pictures(tmp_path_factory.mktemp("pictures"))).columns["image"])  # type: ignore[arg-type]


def load(folder: Path, *layers: int, **options: Any) -> ImageBackbone:
    return load_image_backbone(BackboneSpec(model=str(folder), layers=layers, **options))


def states(backbone: ImageBackbone, images: list[ImageFile], hook: HookPoint) -> list[torch.Tensor]:
    tokens = backbone.tokenize(images)
    return list(backbone.hidden_states(tokens, [hook])[hook].split([len(row) for row in tokens]))


def whole_model(name: str, folder: Path) -> tuple[torch.nn.Module, torch.nn.ModuleList, Any]:
    """The published class with its processor, and its blocks: nothing of ours."""
    makers = {"clip": "CLIPModel", "siglip": "SiglipModel"}
    if name in WITH_LANGUAGE:
        model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
        return model, model.model.language_model.layers, transformers.AutoProcessor.from_pretrained(folder)
    model = getattr(transformers, makers.get(name, "AutoModel")).from_pretrained(folder).eval()
    tower = model.vision_model if name in makers else model
    blocks = tower.layers if name == "vit" else tower.encoder.layers
    return tower, blocks, transformers.AutoImageProcessor.from_pretrained(folder)


def parts_of(name: str, block: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """The modules at which a block's sites are, by the names its own code has for them."""
    attention = block.attention if name == "vit" else block.self_attn
    projection = attention.out_proj if hasattr(attention, "out_proj") else attention.o_proj
    sandwiched = name in ("paligemma2", "gemma3")
    mlp = block.post_feedforward_layernorm if sandwiched else block.mlp
    attn_out = block.post_attention_layernorm if sandwiched else projection
    return {"resid_post": block, "resid_pre": block, "mlp_out": mlp, "attn_z": projection, "attn_out": attn_out}


def references(name: str, folder: Path, image: ImageFile, hooks: list[HookPoint]) -> list[torch.Tensor]:
    """States at some hook points for one image alone, all tokens, from this test's own hooks on the published class."""
    model, blocks, processor = whole_model(name, folder)
    kept: dict[tuple[int, str], torch.Tensor] = {}
    for hook in {(hook.layer, site) for hook in hooks for site in (*SITES, "resid_pre") if site != "resid_mid"}:
        module = parts_of(name, blocks[hook[0]])[hook[1]]
        if hook[1] in ("attn_z", "resid_pre"):
            module.register_forward_pre_hook(lambda m, args, hook=hook: kept.__setitem__(hook, args[0]))
        else:
            module.register_forward_hook(
                lambda m, args, out, hook=hook: kept.__setitem__(hook, out[0] if isinstance(out, tuple) else out)
            )
    picture = Image.open(image.path).convert("RGB")
    prompt = {"text": "<boi>" if name == "gemma3" else "<image>"} if name in WITH_LANGUAGE else {}
    inputs = processor(images=picture, **prompt, return_tensors="pt")
    inputs.pop("labels", None)
    with torch.no_grad():
        model(**inputs)
    for layer in {hook.layer for hook in hooks}:
        kept[layer, "resid_mid"] = kept[layer, "resid_pre"] + kept[layer, "attn_out"]
    states = [kept[hook.layer, hook.site] for hook in hooks]
    return [state.reshape(-1, state.shape[-1]) for state in states]


@pytest.mark.parametrize("name", MODELS)
def test_every_site_of_every_family_is_that_of_the_published_class(
    image_model: Tiny, images: list[ImageFile], name: str
) -> None:
    """At the first, a middle and the last block; the third of four images in a batch against that image alone."""
    folder = image_model(name)
    hooks = [HookPoint(layer, site) for layer in (0, 2, 3) for site in SITES]  # type: ignore[arg-type]
    hooks.append(HookPoint(0, "resid_pre"))
    backbone = load(folder, 0, 2, 3, tokens="all")
    together = backbone.hidden_states(backbone.tokenize(images[:4]), hooks)
    for hook, expected in zip(hooks, references(name, folder, images[2], hooks), strict=True):
        state = together[hook].reshape(4, *expected.shape)[2]
        torch.testing.assert_close(state, expected, atol=5e-5, rtol=5e-5, msg=lambda text, hook=hook: f"{hook}: {text}")


@pytest.mark.parametrize("name", MODELS)
def test_two_images_do_not_have_the_same_states(image_model: Tiny, images: list[ImageFile], name: str) -> None:
    first, second = states(load(image_model(name), 2), images[:2], HookPoint(2, "resid_post"))
    assert (first - second).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vit", {"content": 16, "image": 16, "all": 17}),
        ("clip", {"content": 16, "image": 16, "all": 17}),
        ("siglip", {"content": 16, "image": 16, "all": 16}),
        ("paligemma2", {"content": 16, "image": 16, "text": 1, "all": 18}),
        ("gemma3", {"content": 4, "image": 4, "text": 4, "all": 11}),
        ("llava", {"content": 16, "image": 16, "text": 0, "all": 17}),
    ],
)
def test_tokens_are_those_asked_for(
    image_model: Tiny, images: list[ImageFile], name: str, expected: dict[Any, int]
) -> None:
    folder = image_model(name)
    everything = states(load(folder, 1, tokens="all"), images[:1], HookPoint(1, "resid_post"))[0]
    for choice, count in expected.items():
        backbone = load(folder, 1, tokens=choice)
        (tokens,) = backbone.tokenize(images[:1])
        (state,) = states(backbone, images[:1], HookPoint(1, "resid_post"))
        assert len(tokens) == len(state) == count
        picked = torch.from_numpy(tokens.selected[0])
        torch.testing.assert_close(state, everything[picked], atol=2e-5, rtol=2e-5)
    (tokens,) = load(folder, 1, tokens="image").tokenize(images[:1])
    assert tokens.spans.tolist() == [[patch, patch + 1] for patch in range(expected["image"])]


def test_patches_are_counted_in_reading_order(image_model: Tiny, tmp_path: Path) -> None:
    """One patch of an otherwise even picture is changed: the embedding changes at that patch alone."""
    folder = image_model("siglip")
    even = np.full((16, 16, 3), 90, np.uint8)
    odd = even.copy()
    odd[4:8, 8:12] = 250  # second row of patches, third of four in it
    for name, values in (("even", even), ("odd", odd)):
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    backbone = load(folder, 0)
    kept: list[torch.Tensor] = []
    backbone._blocks[0].register_forward_pre_hook(lambda m, args: kept.append(args[0]))
    states(backbone, list(read_images(tmp_path).columns["image"]), HookPoint(0, "resid_post"))  # type: ignore[arg-type]
    differs = (kept[0][0] - kept[0][1]).abs().amax(1) > 1e-4
    assert differs.nonzero().tolist() == [[6]]


@pytest.mark.parametrize("name", ["paligemma2", "gemma3"])
def test_image_tokens_see_each_other_in_both_directions(image_model: Tiny, images: list[ImageFile], name: str) -> None:
    """Without the processor's token types the language model would look at an image causally."""
    folder = image_model(name)
    backbone = load(folder, 2)
    inputs = backbone._inputs([Image.open(images[0].path).convert("RGB")])
    assert "token_type_ids" in inputs
    state = states(backbone, images[:1], HookPoint(2, "resid_post"))[0]
    del inputs["token_type_ids"]
    chosen = torch.from_numpy(backbone._selected)[None]
    causal = backbone._run(inputs, [HookPoint(2, "resid_post")], chosen)[HookPoint(2, "resid_post")]
    assert (state[0] - causal[0]).abs().max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_an_image_does_not_depend_on_its_batch_mates(image_model: Tiny, images: list[ImageFile], name: str) -> None:
    backbone = load(image_model(name), 1, 3)
    hook = HookPoint(3, "resid_post")
    alone = [states(backbone, [image], hook)[0] for image in images]
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1]):
        for row, state in zip(order, states(backbone, [images[row] for row in order], hook), strict=True):
            torch.testing.assert_close(state, alone[row], atol=2e-5, rtol=2e-5)


def test_many_images_pass_in_several_batches(
    image_model: Tiny, images: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = load(image_model("vit"), 1)
    hook = HookPoint(1, "resid_post")
    whole = torch.cat(states(backbone, images, hook))
    monkeypatch.setattr("latentprobe.encode.backbone.BATCH_TOKENS", {"cpu": 40, "accelerator": 40})
    sizes: list[int] = []
    backbone._blocks[0].register_forward_pre_hook(lambda m, args: sizes.append(len(args[0])))
    torch.testing.assert_close(torch.cat(states(backbone, images, hook)), whole, atol=2e-5, rtol=2e-5)
    assert sizes == [2, 2, 2]


@pytest.mark.parametrize("name", MODELS)
def test_blocks_after_the_deepest_are_neither_loaded_nor_run(
    image_model: Tiny, images: list[ImageFile], name: str
) -> None:
    backbone = load(image_model(name), 2)
    assert len(backbone._blocks) == 3
    calls = [0] * 3
    for number, block in enumerate(backbone._blocks):
        block.register_forward_hook(lambda m, i, o, n=number: calls.__setitem__(n, calls[n] + 1))
    states(backbone, images[:2], HookPoint(1, "resid_post"))
    assert calls == [1, 1, 0]
    assert not any("lm_head" in parameter for parameter, _ in backbone._model.named_parameters())


@pytest.mark.parametrize("name", WITH_LANGUAGE)
def test_the_vision_tower_runs_whole_whatever_the_layer(image_model: Tiny, name: str) -> None:
    backbone = load(image_model(name), 0)
    towers = [m for m in backbone._model.modules() if isinstance(m, torch.nn.ModuleList) and m is not backbone._blocks]
    assert max(len(tower) for tower in towers) == 4


@pytest.mark.parametrize("name", ["vit", "paligemma2"])
def test_bfloat16_stays_near_float32(image_model: Tiny, images: list[ImageFile], name: str) -> None:
    hook = HookPoint(2, "resid_post")
    exact, rough = (
        states(load(image_model(name), 2, dtype=kind), images[:1], hook)[0] for kind in ("float32", "bfloat16")
    )
    assert rough.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(exact, rough).min() > 0.98


@pytest.mark.parametrize("name", ["vit", "paligemma2"])
def test_features_of_images_are_pooled_as_those_of_texts_are(
    image_model: Tiny, images: list[ImageFile], name: str
) -> None:
    backbone = load(image_model(name), 2)
    sae = make_sae(d_in=backbone.d_model)
    ids = [str(row) for row in range(len(images))]
    hook = HookPoint(2, "resid_post")
    sparse, hidden = featurize(
        images, ids, backbone, [Source(hook, sae, ("max", "sum")), Source(hook, None, ("mean",))]
    )
    for row, state in enumerate(states(backbone, images, hook)):
        z = np.maximum(state.numpy() @ sae.W_enc.numpy() + sae.b_enc.numpy(), 0)
        z = z * (z > sae.activation.theta.numpy())  # type: ignore[union-attr]
        np.testing.assert_allclose(sparse.csr("max")[row].toarray()[0], z.max(0), atol=1e-4)  # type: ignore[union-attr]
        np.testing.assert_allclose(hidden.values["mean"][row], state.mean(0).numpy(), atol=1e-5)
        span = slice(sparse.indptr[row], sparse.indptr[row + 1])  # type: ignore[union-attr]
        assert sparse.peak_start[span].tolist() == z.argmax(0)[sparse.indices[span]].tolist()  # type: ignore[union-attr]
    assert sparse.ids == tuple(ids) and set(sparse.n_tokens) == {16}


def test_shards_hold_some_hundred_images() -> None:
    many = [ImageFile(Path("a.png"), "0" * 64)] * 1200
    assert [len(shard) for shard in shards(many)] == [SHARD_CHARACTERS // IMAGE_CHARACTERS] * 2 + [200]


def test_the_table_of_families_is_the_one_tested_here() -> None:
    assert set(IMAGE_FAMILIES) == set(MODELS) - {"paligemma2"}  # whose model_type is paligemma


@pytest.mark.parametrize(("name", "size"), [("vit", 16), ("clip", 16), ("siglip_vision_model", 16), ("gemma3", 24)])
def test_the_size_of_the_hidden_state_is_read_from_the_part_that_is_hooked(
    image_model: Tiny, name: str, size: int
) -> None:
    folder = image_model(name)
    assert hidden_size(find_model(str(folder)).config) == load(folder, 0).d_model == size


def test_the_processor_is_part_of_what_a_model_is(image_model: Tiny, tmp_path: Path) -> None:
    copy = shutil.copytree(image_model("vit"), tmp_path / "tiny-vit")
    before = find_model(str(copy)).identity
    config = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps(config | {"do_normalize": False}))
    after = find_model(str(copy)).identity
    assert {key for key in before if before[key] != after[key]} == {"tokenizer"}


def refused(folder: Path, **options: Any) -> LatentprobeError:
    with pytest.raises(LatentprobeError) as caught:
        load(folder, 0, **options)
    return caught.value


def test_what_does_not_go_together_is_refused(image_model: Tiny, tiny_model: Tiny, tmp_path: Path) -> None:
    error = refused(tiny_model("bert"))
    assert isinstance(error, ModelError) and "paligemma" in error.fix
    error = refused(image_model("vit"), tokens="text")
    assert isinstance(error, SpecError) and "only a vision-language model" in error.problem
    with pytest.raises(SpecError, match="has layers 0 to 3"):
        load(image_model("paligemma2"), 4)
    error = refused(image_model("paligemma2"), hook="embed")
    assert isinstance(error, SpecError) and "resid_pre" in error.fix


def test_a_model_without_its_processor_is_refused(image_model: Tiny, tmp_path: Path) -> None:
    copy = shutil.copytree(image_model("vit"), tmp_path / "vit")
    (copy / "preprocessor_config.json").unlink()
    assert "preprocessor_config.json" in refused(copy).got
    copy = shutil.copytree(image_model("paligemma"), tmp_path / "paligemma")
    (copy / "tokenizer.json").unlink()
    assert "no tokenizer.json" in refused(copy).got


def test_a_processor_of_another_size_is_refused_when_the_model_is_loaded(image_model: Tiny, tmp_path: Path) -> None:
    copy = shutil.copytree(image_model("vit"), tmp_path / "vit")
    config = json.loads((copy / "preprocessor_config.json").read_text())
    (copy / "preprocessor_config.json").write_text(json.dumps(config | {"size": {"height": 20, "width": 20}}))
    assert isinstance(refused(copy), ModelError)


def test_weights_that_lack_a_tensor_are_refused(image_model: Tiny, tmp_path: Path) -> None:
    copy = shutil.copytree(image_model("gemma3"), tmp_path / "gemma3")
    tensors = load_file(copy / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "layers.0.self_attn.o_proj" not in name}
    assert len(kept) < len(tensors)
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    assert "lack tensors" in refused(copy).problem


def test_a_missing_pillow_is_one_error(image_model: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    assert isinstance(refused(image_model("vit")), MissingExtraError)


def test_vision_only_families_and_those_with_language_are_told_apart() -> None:
    with_language = {name for name, family in IMAGE_FAMILIES.items() if family.has_language}
    assert with_language == set(WITH_LANGUAGE) - {"paligemma2"}
    assert set(IMAGE_FAMILIES) - with_language == set(VISION_ONLY)


#: How checkpoints published before transformers 5 name their processors.
LEGACY: dict[str, dict[str, Any]] = {
    "vit": {"image_processor_type": "ViTImageProcessor", "feature_extractor_type": "ViTFeatureExtractor"},
    "clip": {"feature_extractor_type": "CLIPFeatureExtractor"},
    "siglip": {"image_processor_type": "SiglipImageProcessor", "processor_class": "SiglipProcessor"},
    "paligemma2": {"image_processor_type": "SiglipImageProcessor", "processor_class": "PaliGemmaProcessor"},
    "gemma3": {"image_processor_type": "Gemma3ImageProcessor", "processor_class": "Gemma3Processor"},
}


@pytest.mark.parametrize("name", LEGACY)
def test_processors_written_by_older_versions_give_the_same(
    image_model: Tiny, images: list[ImageFile], tmp_path: Path, name: str
) -> None:
    folder = image_model(name)
    copy = shutil.copytree(folder, tmp_path / "old")
    whole = copy / "processor_config.json"
    settings = json.loads((whole if whole.is_file() else copy / "preprocessor_config.json").read_text())
    pictures = settings.pop("image_processor", settings)
    for key in ("image_processor_type", "feature_extractor_type", "processor_class"):
        pictures.pop(key, None)
    (copy / "preprocessor_config.json").write_text(json.dumps(pictures | LEGACY[name]))
    if whole.is_file():
        whole.write_text(json.dumps({"processor_class": LEGACY[name]["processor_class"], "image_seq_length": 4}))
    hook = HookPoint(1, "resid_post")
    for old, new in zip(states(load(copy, 1), images, hook), states(load(folder, 1), images, hook), strict=True):
        torch.testing.assert_close(old, new)


@pytest.mark.parametrize("name", ["clip_vision_model", "llava"])
def test_a_processor_that_keeps_the_shape_of_images_is_refused(image_model: Tiny, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(image_model(name), tmp_path / name)
    path = next(file for file in (copy / "processor_config.json", copy / "preprocessor_config.json") if file.is_file())
    settings = json.loads(path.read_text())
    settings.get("image_processor", settings)["do_center_crop"] = False
    path.write_text(json.dumps(settings))
    backbone = load(copy, 0)
    for row, size in enumerate([(96, 24), (24, 24)]):
        Image.new("RGB", size, "red").save(tmp_path / f"{row}.png")
        wide = list(read_images(tmp_path / "0.png").columns["image"])
        square = list(read_images(tmp_path / f"{row}.png").columns["image"])
        with pytest.raises(ModelError, match="every image the same number of tokens"):
            states(backbone, [*wide, *square], HookPoint(0, "resid_post"))  # type: ignore[list-item]


@pytest.mark.parametrize("tokens", ["image", "text"])
def test_a_choice_among_an_images_tokens_is_refused_for_texts(tiny_model: Tiny, tokens: Any) -> None:
    with pytest.raises(SpecError, match="the rows are texts"):
        load_backbone(BackboneSpec(model=str(tiny_model("bert")), layers=(0,), tokens=tokens))


def test_a_vision_encoder_is_refused_for_texts(image_model: Tiny) -> None:
    with pytest.raises(ModelError, match="the rows are texts"):
        load_backbone(BackboneSpec(model=str(image_model("vit")), layers=(0,)))


@pytest.mark.parametrize("options", [{"prompt": "Is {text} red?"}, {"template": "chat"}, {"bos": "always"}])
def test_words_around_a_text_are_refused_for_images(image_model: Tiny, options: dict[str, Any]) -> None:
    assert "for images" in refused(image_model("paligemma2"), **options).got


@pytest.mark.parametrize("name", ["paligemma2", "gemma3", "llava"])
def test_texts_alone_go_through_the_language_model_of_a_vision_language_model(image_model: Tiny, name: str) -> None:
    folder = image_model(name)
    backbone = load_backbone(BackboneSpec(model=str(folder), layers=(1,), device="cpu", tokens="all"))
    tokens = backbone.tokenize(["word\nword\n\nword"])
    found = backbone.hidden_states(tokens, [HookPoint(1, "resid_post")])[HookPoint(1, "resid_post")]
    whole = getattr(transformers, IMAGE_FAMILIES["paligemma" if name == "paligemma2" else name].loader)
    model = whole.from_pretrained(folder).eval()
    with torch.inference_mode():
        given = {"input_ids": torch.tensor(tokens[0].windows[0])[None]}
        states = model(**given, output_hidden_states=True).hidden_states
    torch.testing.assert_close(found, states[2][0])
