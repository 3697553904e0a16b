"""A spec is right, or every fault in it is named at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from latentprobe.config import BackboneSpec, ExperimentSpec, FileTest, FitSpec, ProbeSpec, parse_spec, read_spec
from latentprobe.errors import SpecError

MINIMAL: dict[str, Any] = {"name": "x", "data": {"path": "a.csv"}, "backbones": [{"layers": [3]}]}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The minimal spec with one value set at a dotted path."""
    spec = yaml.safe_load(yaml.safe_dump(MINIMAL))
    *way, last = path.split(".")
    at: Any = spec
    for step in way:
        at = at[int(step)] if step.isdigit() else at.setdefault(step, {})
    at[last] = value
    return spec


def test_a_minimal_spec_gets_every_default() -> None:
    spec = parse_spec(MINIMAL)
    assert spec.pooling == ("max", "mean", "sum", "count", "top20")
    assert spec.binarize == ("none", 1.0, "auto")
    assert spec.probe.C == (0.001, 0.01, 0.1, 1.0, 10.0)
    assert spec.backbones[0].model == "minilm"


def test_a_completed_spec_reads_back_as_itself() -> None:
    spec = parse_spec(changed("data.test", {"path": "b.csv"}))
    assert isinstance(spec.data.test, FileTest)
    assert ExperimentSpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("data.lable", "y", "did you mean 'label'"),
        ("probee", {}, "did you mean 'probe'"),
        ("probe.C", [-1], "above 0"),
        ("probe.C", [], "probe.C"),
        ("probe.C", [1, 1], "twice"),
        ("probe.C", [float("inf")], "above 0"),
        ("pooling", ["mx"], "did you mean 'max'"),
        ("pooling", ["top0"], "a pooling is one of"),
        ("pooling", ["rollmax"], "a pooling is one of"),
        ("pooling", [], "pooling"),
        ("binarize", ["non"], "none, auto or a number"),
        ("binarize", [-0.5], "at least 0"),
        ("selection", ["best"], "all, l1, or top{K}"),
        ("baselines", ["hiden"], "did you mean 'hidden'"),
        ("baselines", ["pca0"], "a baseline is one of"),
        ("baselines", ["pca"], "top{K}"),
        ("baselines", ["prompted"], "`task`"),
        ("task", {"prompt": "Is this rude?"}, "once where the text stands: {text}"),
        ("task", {"prompt": "{text} Rude?", "answer": {}}, "did you mean 'answers'"),
        ("task", {"prompt": "{text} Rude?", "answers": {"yes": ""}}, "task.answers.yes"),
        ("task", {"prompt": "{text} Rude?", "template": "alpaca"}, "chat"),
        ("backbones.0.layers", [-1], "greater than or equal to 0"),
        ("backbones.0.layers", [], "layers"),
        ("backbones.0.layers", [3, 3], "twice"),
        ("backbones.0.tokens", "some", "content"),
        ("backbones.0.bos", "yes", "always"),
        ("backbones.0.template", "alpaca", "chat"),
        ("backbones.0.prompt", "Is this rude?", "once where the text stands: {text}"),
        ("backbones.0.prompt", "{text} or {text}", "once where the text stands: {text}"),
        ("backbones.0.select", "after", "`select` goes with a prompt"),
        ("backbones.0.select", "first", "backbones.0.select"),
        ("backbones.0.max_norm_ratio", 0.5, "greater than 1"),
        ("data.test", 1.5, "data.test"),
        ("data.label", ["one"], "data.label"),
        ("evaluate.folds", 1, "greater than or equal to 2"),
        ("evaluate.seed", -1, "evaluate.seed"),
        ("name", "../up", "name"),
        ("backbones", [], "backbones"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_what_is_allowed(path: str, value: Any, told: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_spec(changed(path, value))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"prompt": "Rude? {text}", "template": "chat"}, "exclude each other"),
        ({"prompt": "Rude? {text}", "tokens": "all"}, "leave `tokens: all` out"),
        ({"prompt": "Rude? {text} ", "select": "after"}, "words after {text}"),
    ],
)
def test_what_excludes_each_other_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_spec(MINIMAL | {"backbones": [{"layers": [3]} | options]})
    assert told in refused.value.fix
    assert "{'" not in refused.value.got  # the field, not the whole mapping


def test_one_layer_may_be_read_in_several_ways() -> None:
    ways = [{}, {"tokens": "all"}, {"bos": "never"}, {"template": "chat"}]
    ways += [
        {"prompt": prompt, "select": select} for prompt in ("A {text} b", "B {text} b") for select in ("text", "last")
    ]
    spec = parse_spec(MINIMAL | {"backbones": [{"layers": [3]} | way for way in ways]})
    assert len({backbone.selected for backbone in spec.backbones}) == len(ways)


def test_the_sizes_of_pca_are_those_named_and_those_selected() -> None:
    spec = parse_spec(MINIMAL | {"selection": ["all", "top64", "top8", "l1"], "baselines": ["pca", "pca64", "pca100"]})
    assert spec.components == (8, 64, 100)
    assert parse_spec(MINIMAL | {"selection": ["top64"], "baselines": ["pca32"]}).components == (32,)
    assert parse_spec(MINIMAL | {"selection": ["top64"]}).components == ()


def test_all_faults_are_told_at_once() -> None:
    spec = changed("data.lable", "y") | {"pooling": ["mx"], "folds": 3}
    with pytest.raises(SpecError) as refused:
        parse_spec(spec)
    for fault in ("data.lable", "pooling.0", "unknown key folds"):
        assert fault in refused.value.got


def test_the_same_place_twice_is_refused() -> None:
    with pytest.raises(SpecError, match="cannot be used"):
        parse_spec(MINIMAL | {"backbones": [{"layers": [1, 3]}, {"layers": [3]}]})


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "", "a: [1", "\x00"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(SpecError):
        read_spec(tmp_path / "s.yaml")


def test_a_missing_spec_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(SpecError, match="a spec file was expected"):
            read_spec(path)


def test_yaml_that_would_build_objects_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(SpecError, match="not valid YAML"):
        read_spec(tmp_path / "s.yaml")


def test_data_paths_are_relative_to_the_spec(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(changed("data.test", {"path": "t.csv"})))
    data = read_spec(tmp_path / "s.yaml").data
    assert data.path == str(tmp_path / "a.csv")
    assert isinstance(data.test, FileTest) and data.test.path == str(tmp_path / "t.csv")


def test_models_and_saes_that_are_folders_are_relative_to_the_spec(tmp_path: Path) -> None:
    backbones = [{"model": "../tiny", "layers": [3], "saes": ["./sae", "../sae", "bundled:minilm-l3-1k", "sae"]}]
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(changed("backbones", backbones)))
    (backbone,) = read_spec(tmp_path / "s.yaml").backbones
    above = tmp_path.parent
    assert backbone.model == str(above / "tiny")
    assert backbone.saes == (str(tmp_path / "sae"), str(above / "sae"), "bundled:minilm-l3-1k", "sae")


def test_every_field_is_documented() -> None:
    def fields(model: type) -> list[tuple[str, str | None]]:
        return [(name, field.description) for name, field in model.model_fields.items()]  # type: ignore[attr-defined]

    from latentprobe import config

    models = [getattr(config, name) for name in config.__all__ if name.endswith(("Spec", "Test"))]
    assert len(models) >= 7
    assert not [(model, name) for model in models for name, text in fields(model) if not text]


def test_flat_settings_reach_every_field_of_a_classifiers_spec() -> None:
    changed: dict[str, Any] = {
        "model": "m", "revision": "r", "layer": 7, "hook": "mlp_out", "sae": "s", "tokens": "all", "bos": "never",
        "template": "chat", "max_norm_ratio": 2.0, "on_overflow": "error", "max_tokens": 9, "device": "cpu",
        "dtype": "bfloat16", "pooling": "sum", "binarize": 0.5, "selection": "l1", "penalty": "l1", "C": (3.0,),
        "class_weight": "none", "folds": 4, "seed": 1, "accept_model": True,
    }  # fmt: skip
    spec_fields = {*BackboneSpec.model_fields, *ProbeSpec.model_fields, *FitSpec.model_fields}
    fields = spec_fields - {"backbone", "probe", "also"}
    assert {*changed, "prompt", "select", "layers", "saes"} == fields | {"layer", "sae"}
    default = FitSpec.of()
    assert default.sae == "bundled:minilm-l3-4k" and default.backbone.layers == (3,)
    specs = [FitSpec.of(**{name: value}) for name, value in changed.items()]
    specs.append(FitSpec.of(prompt="{text}?", select="last"))
    assert all(spec != default for spec in specs)
    assert len({spec.model_dump_json() for spec in specs}) == len(specs)


def test_a_classifier_has_one_layer_and_one_sae() -> None:
    for backbone in ({"layers": (3,)}, {"layers": (1, 3), "saes": ("a",)}, {"layers": (3,), "saes": ("a", "b")}):
        with pytest.raises(ValueError, match="one layer and one SAE"):
            FitSpec(backbone=BackboneSpec(**backbone))
    with pytest.raises(SpecError, match="did you mean 'prompt'"):
        FitSpec.of(promt="{text}")
