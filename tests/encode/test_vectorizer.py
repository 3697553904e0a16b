"""SAEVectorizer keeps scikit-learn's contract, and gives the features of an independent encode."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.validation import validate_data

from latentprobe.config import BackboneSpec, FitSpec
from latentprobe.encode import backbone as backbone_module
from latentprobe.encode.backbone import Backbone
from latentprobe.encode.extract import extract
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.sources import plan_sources
from latentprobe.encode.vectorizer import SAEVectorizer
from latentprobe.errors import CorpusError, LatentprobeError, ModelError, SAEError, SpecError
from latentprobe.store import FeatureStore, SparseFeatures
from tests.encode.conftest import WORDS

D_IN, WIDTH = 16, 20
TEXTS = ["the cat sat", "", "money back please refund", "a dog", "never refund " * 30, "bad"]


@pytest.fixture(scope="module")
def sae_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SAE of layer 2 of the tiny models, as SAELens writes it, with two labels."""
    folder = tmp_path_factory.mktemp("saes") / "tiny-sae"
    folder.mkdir()
    rng = torch.Generator().manual_seed(0)
    tensors = {
        "W_enc": torch.randn(D_IN, WIDTH, generator=rng),
        "W_dec": torch.nn.functional.normalize(torch.randn(WIDTH, D_IN, generator=rng), dim=1),
        "b_enc": torch.randn(WIDTH, generator=rng) / 5,
        "b_dec": torch.zeros(D_IN),
        "threshold": torch.rand(WIDTH, generator=rng),
    }
    safetensors.torch.save_file(tensors, folder / "sae_weights.safetensors")
    config = {
        "architecture": "jumprelu", "d_in": D_IN, "d_sae": WIDTH, "dtype": "float32", "apply_b_dec_to_input": False,
        "normalize_activations": "none", "metadata": {"model_name": "tiny", "hook_name": "blocks.2.hook_resid_post"},
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))
    lines = [{"feature": 3, "label": "cats"}, {"feature": 7, "label": '"refund"'}]
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture(scope="module")
def parameters(tiny_model: Callable[[str], Path], sae_folder: Path) -> dict[str, Any]:
    return {"model": str(tiny_model("bert")), "layer": 2, "sae": str(sae_folder), "device": "cpu"}


@pytest.fixture
def vectorizer(parameters: dict[str, Any]) -> SAEVectorizer:
    return SAEVectorizer(**parameters)


def encoded_by_hand(
    backbone: Backbone, folder: Path, text: str, hook: HookPoint = HookPoint(2, "resid_post")
) -> NDArray[Any]:
    """The SAE's features of each token of one text, [tokens, width], from the formula and the file."""
    tensors = safetensors.torch.load_file(folder / "sae_weights.safetensors")
    x = backbone.hidden_states(backbone.tokenize([text]), [hook])[hook]
    pre = x @ tensors["W_enc"] + tensors["b_enc"]
    return np.asarray(torch.where(pre > tensors["threshold"], pre.relu(), 0.0))


def test_rows_are_the_pooled_features_of_an_independent_encode(vectorizer: SAEVectorizer, sae_folder: Path) -> None:
    rows = vectorizer.fit_transform(TEXTS)
    assert sp.isspmatrix_csr(rows) and rows.dtype == np.float32 and rows.shape == (len(TEXTS), WIDTH)
    backbone, _ = vectorizer.loaded()
    for row, text in zip(rows.toarray(), TEXTS, strict=True):
        tokens = encoded_by_hand(backbone, sae_folder, text)
        np.testing.assert_allclose(row, tokens.max(axis=0) if len(tokens) else np.zeros(WIDTH), atol=1e-5)
    assert rows[1].nnz == 0 and rows.nnz > 20


@pytest.mark.parametrize("pooling", ["sum", "mean", "last", "count", "rate", "top3", "rollmax2"])
def test_every_pooling_can_be_asked_for(parameters: dict[str, Any], sae_folder: Path, pooling: str) -> None:
    vectorizer = SAEVectorizer(**parameters, pooling=pooling)
    row = vectorizer.fit_transform(["the cat sat on the mat"]).toarray()[0]
    tokens = encoded_by_hand(vectorizer.loaded()[0], sae_folder, "the cat sat on the mat")
    ranks = np.argsort(np.argsort(-tokens, axis=1, kind="stable"), axis=1)
    expected = {
        "sum": tokens.sum(0),
        "mean": tokens.mean(0),
        "last": tokens[-1],
        "count": (tokens > 0).sum(0),
        "rate": (tokens > 0).mean(0),
        "top3": ((tokens > 0) & (ranks < 3)).sum(0),
        "rollmax2": ((tokens[1:] + tokens[:-1]) / 2).max(0),
    }[pooling]
    np.testing.assert_allclose(row, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["blocks.2.hook_attn_out", "blocks.2.hook_resid_mid", "hook_embed"])
def test_the_hook_point_is_the_saes_own(
    tiny_model: Callable[[str], Path], sae_folder: Path, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(sae_folder, tmp_path / "sae")
    config = json.loads((folder / "cfg.json").read_text())
    config["metadata"]["hook_name"] = name
    (folder / "cfg.json").write_text(json.dumps(config))
    hook = HookPoint.parse(name)
    settings = {"model": str(tiny_model("gpt2")), "sae": str(folder), "device": "cpu"}
    vectorizer = SAEVectorizer(layer=hook.layer, hook=hook.site, **settings)
    row = vectorizer.fit_transform(["the cat sat"]).toarray()[0]
    tokens = encoded_by_hand(vectorizer.loaded()[0], folder, "the cat sat", HookPoint.parse(name))
    np.testing.assert_allclose(row, tokens.max(axis=0), atol=1e-5)
    for layer, site in ((3, hook.site), (hook.layer, "mlp_out")):
        with pytest.raises((SAEError, SpecError)):
            SAEVectorizer(layer=layer, hook=site, **settings).fit(["the cat sat"])


def test_a_text_gives_the_same_row_whatever_stands_beside_it(vectorizer: SAEVectorizer) -> None:
    """Mistake 3: padding and batch mates changed a text's features."""
    together = vectorizer.fit_transform(TEXTS).toarray()
    alone = np.concatenate([vectorizer.transform([text]).toarray() for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(vectorizer.transform(TEXTS[::-1]).toarray()[::-1], together, atol=1e-5)


@pytest.mark.parametrize(
    "changed",
    [
        {"tokens": "all"},
        {"prompt": "the dog: {text} never", "select": "after"},
        {"prompt": "refund {text}", "select": "last", "pooling": "last"},
        {"max_tokens": 8, "on_overflow": "truncate"},
        {"dtype": "bfloat16"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_way_to_read_a_text_gives_the_rows_that_a_spec_gives(
    parameters: dict[str, Any], changed: dict[str, Any], tmp_path: Path
) -> None:
    rows = SAEVectorizer(**parameters, **changed).fit_transform(TEXTS)
    pooling = changed.get("pooling", "max")
    keys = {"model": parameters["model"], "layers": (2,), "saes": (parameters["sae"],), "device": "cpu"}
    spec = BackboneSpec(**keys, **{name: value for name, value in changed.items() if name != "pooling"})
    planned = plan_sources(spec, [pooling], "texts", hidden=False)
    store = FeatureStore(tmp_path)
    extract(spec, planned, TEXTS, list("abcdef"), store)
    stored = store.read(planned[0].fingerprint)
    assert isinstance(stored, SparseFeatures)
    np.testing.assert_array_equal(rows.toarray(), stored.csr(pooling).toarray())
    assert (rows != SAEVectorizer(**parameters, pooling=pooling).fit_transform(TEXTS)).nnz > 0


def test_its_parameters_are_the_settings_of_a_classifier_up_to_the_pooling() -> None:
    expected = {"layer", "sae", "pooling", *BackboneSpec.model_fields} - {"layers", "saes"}
    assert set(SAEVectorizer().get_params()) == expected
    assert FitSpec.of(**SAEVectorizer().get_params()) == FitSpec.of()


def test_no_texts_give_no_rows(vectorizer: SAEVectorizer) -> None:
    assert vectorizer.fit(TEXTS).transform([]).shape == (0, WIDTH)


def test_an_empty_text_is_an_empty_row_even_where_it_has_no_token_at_all(
    tiny_model: Callable[[str], Path], parameters: dict[str, Any], tmp_path: Path
) -> None:
    """A tokenizer that adds no special tokens gives the model nothing to run on."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model("gpt2"), folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**tokenizer, "post_processor": None}))
    vectorizer = SAEVectorizer(**{**parameters, "model": str(folder)})
    assert vectorizer.fit_transform([""]).nnz == 0
    rows = vectorizer.transform(["", "the cat", ""])
    assert np.diff(rows.indptr).tolist() == [0, vectorizer.transform(["the cat"]).nnz, 0]


def test_any_list_of_texts_will_do(vectorizer: SAEVectorizer) -> None:
    expected = vectorizer.fit_transform(TEXTS).toarray()
    for texts in (tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, object), pd.Series(TEXTS), (text for text in TEXTS)):
        np.testing.assert_array_equal(vectorizer.transform(texts).toarray(), expected)
    missing = [text or None for text in TEXTS]
    np.testing.assert_array_equal(vectorizer.transform(missing).toarray(), expected)


@pytest.mark.parametrize(
    "texts",
    ["a bare string", b"bytes", {"text": "a"}, pd.DataFrame({"text": ["a"]}), np.array([["a"]]), 7, [1.5], [b"a"]],
    ids=["string", "bytes", "mapping", "table", "two dimensions", "number", "list of numbers", "list of bytes"],
)
def test_what_is_no_list_of_texts_is_refused(vectorizer: SAEVectorizer, texts: Any) -> None:
    vectorizer.fit(TEXTS)
    for method in (vectorizer.fit, vectorizer.transform, vectorizer.fit_transform):
        with pytest.raises(CorpusError):
            method(texts)


def test_nothing_works_before_fit(vectorizer: SAEVectorizer) -> None:
    for call in (lambda: vectorizer.transform(TEXTS), vectorizer.get_feature_names_out, vectorizer.loaded):
        with pytest.raises(NotFittedError, match="call fit"):
            call()


def test_making_one_loads_nothing_and_looks_at_nothing() -> None:
    vectorizer = SAEVectorizer(model="no such model", layer=-3, sae="nonsense", pooling="median", tokens="?")
    assert vectorizer.get_params()["pooling"] == "median"


@pytest.mark.parametrize(
    ("changed", "error", "named"),
    [
        (dict(layer=-1), SpecError, "layer"),
        (dict(layer=1), SAEError, "blocks.2"),
        (dict(layer=9), SAEError, "blocks.2"),
        (dict(hook="mlp_out"), SAEError, "blocks.2.hook_resid_post"),
        (dict(prompt="no place for it"), SpecError, "prompt"),
        (dict(select="last"), SpecError, "select"),
        (dict(tokens="image"), SpecError, "tokens: image"),
        (dict(pooling="median"), SpecError, "pooling"),
        (dict(pooling="top0"), SpecError, "pooling"),
        (dict(tokens="some"), SpecError, "tokens"),
        (dict(device="abacus"), SpecError, "abacus"),
        (dict(model="./nowhere"), ModelError, "nowhere"),
        (dict(sae="./nowhere"), SAEError, "nowhere"),
        (dict(sae="bundled:minilm-l3-4k", layer=3), SAEError, "384"),
    ],
)
def test_a_wrong_parameter_is_refused_when_fitting(
    parameters: dict[str, Any], changed: dict[str, Any], error: type[LatentprobeError], named: str
) -> None:
    with pytest.raises(error) as refusal:
        SAEVectorizer(**{**parameters, **changed}).fit(TEXTS)
    assert named in refusal.value.got


def test_features_are_named_by_their_sae_and_number_and_described_beside(vectorizer: SAEVectorizer) -> None:
    names = vectorizer.fit(TEXTS).get_feature_names_out()
    assert len(names) == vectorizer.n_features_out_ == WIDTH and len(set(names)) == WIDTH
    assert names[7] == f"{vectorizer.sae}/7"
    assert (vectorizer.labels_[3], vectorizer.labels_[4], vectorizer.labels_[7]) == ("cats", None, '"refund"')


def test_bundled_features_have_short_names() -> None:
    vectorizer = SAEVectorizer().fit(["a text"])
    assert vectorizer.get_feature_names_out()[123] == "minilm-l3-4k/123"
    assert len(vectorizer.labels_) == 4096


def test_it_works_in_a_pipeline_and_a_grid_search(vectorizer: SAEVectorizer) -> None:
    texts = [f"{word} the mat" for word in ["refund", "money", "dog", "cat"] for _ in range(6)]
    labels = ["business"] * 12 + ["animals"] * 12
    pipeline = make_pipeline(vectorizer, LogisticRegression(C=100))
    search = GridSearchCV(pipeline, {"saevectorizer__pooling": ["max", "mean"]}, cv=3).fit(texts, labels)
    assert search.best_score_ > 0.9
    assert search.predict([texts[-1], texts[0], ""]).tolist()[:2] == ["animals", "business"]


@pytest.mark.slow
def test_it_works_in_other_processes(vectorizer: SAEVectorizer) -> None:
    pipeline = make_pipeline(vectorizer, LogisticRegression(C=100))
    search = GridSearchCV(pipeline, {"saevectorizer__pooling": ["max", "sum"]}, cv=2, n_jobs=2, error_score="raise")
    search.fit(TEXTS * 2, ["a", "b"] * len(TEXTS))
    assert len(search.cv_results_["params"]) == 2


def test_a_copy_leaves_the_model_behind_and_loads_it_again(vectorizer: SAEVectorizer) -> None:
    rows = vectorizer.fit_transform(TEXTS)
    state = vectorizer.__getstate__()
    assert not any(isinstance(value, torch.nn.Module | torch.Tensor | Backbone) for value in state.values())
    copied = copy.deepcopy(vectorizer)  # through the same state as a pickle
    assert "_backbone" not in vars(copied)
    assert (copied.transform(TEXTS) != rows).nnz == 0
    fresh = clone(vectorizer)
    assert fresh.get_params() == vectorizer.get_params()
    with pytest.raises(NotFittedError):
        fresh.transform(TEXTS)


def test_a_copy_refuses_another_model_under_the_same_name(parameters: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(parameters["model"], folder)
    copied = copy.deepcopy(SAEVectorizer(**{**parameters, "model": str(folder)}).fit(TEXTS))
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1
    safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="fitted with"):
        copied.transform(TEXTS)


def test_one_loaded_model_serves_calls_refits_and_clones(
    vectorizer: SAEVectorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = backbone_module.load_backbone
    monkeypatch.setattr(backbone_module, "load_backbone", lambda spec: loads.append(spec) or load(spec))
    backbone_module._kept_backbone.cache_clear()
    vectorizer.fit(TEXTS).transform(TEXTS)
    vectorizer.set_params(pooling="mean").fit(TEXTS).transform(TEXTS)
    clone(vectorizer).fit(TEXTS).transform(TEXTS)
    assert len(loads) == 1


class RowsAsTexts(SAEVectorizer):
    """Rows of numbers, as scikit-learn's checks give them, written out in words of the tiny model."""

    def fit(self, X: Any, y: object = None) -> Any:
        return super().fit(self._written(X, reset=True))

    def fit_transform(self, X: Any, y: object = None) -> Any:
        return self.fit(X).transform(X)

    def transform(self, X: Any) -> Any:
        self._require_fitted()
        return super().transform(self._written(X, reset=False))

    def _written(self, X: Any, *, reset: bool) -> list[str]:
        rows = validate_data(self, X, reset=reset)
        return [" ".join(WORDS[hash(round(float(v), 3)) % len(WORDS)] for v in row) for row in rows]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = True, False
        return tags


@pytest.fixture(scope="module")
def written_out(parameters: dict[str, Any]) -> RowsAsTexts:
    return RowsAsTexts(**parameters)


CHECKS = list(estimator_checks._yield_all_checks(RowsAsTexts(), legacy=True))
#: Not run: speaks of arrays of other libraries, and needs an environment variable before scipy is imported.
INAPPLICABLE = {"check_array_api_input"}


def name_of(check: Any) -> str:
    return str(getattr(check, "func", check).__name__)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check for check in CHECKS if name_of(check) not in INAPPLICABLE], ids=name_of)
def test_scikit_learn_s_own_checks_hold_on_numbers_written_as_words(check: Any, written_out: RowsAsTexts) -> None:
    """``check_estimator`` runs one check on an estimator of texts, as its data are numbers; so here they are words."""
    check("SAEVectorizer", clone(written_out))


def test_scikit_learn_knows_that_it_takes_texts() -> None:
    tags = SAEVectorizer().__sklearn_tags__()
    assert tags.input_tags.string and not tags.input_tags.two_d_array
    assert tags.requires_fit
    with pytest.warns(SkipTestWarning, match="requires input"):
        pairs = list(estimator_checks.estimator_checks_generator(SAEVectorizer()))
    for estimator, check in pairs:
        check(estimator)


def test_a_notebook_shows_the_vectorizer_and_its_settings() -> None:
    page = SAEVectorizer(layer=3, sae="<script>alert(1)</script>", pooling="sum")._repr_html_()
    assert "SAEVectorizer" in page and "pooling" in page and "sum" in page
    assert "<script>alert(1)" not in page
