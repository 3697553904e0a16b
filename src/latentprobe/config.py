"""The frozen specs of an experiment: validated when made, and the one source of the YAML schema, the help and the
fingerprint. The string under a field is its documentation, everywhere.

Knows what may be asked for; knows nothing of how it is done.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from latentprobe.errors import SpecError, nearest

__all__ = [
    "BackboneSpec",
    "ColumnTest",
    "DataSpec",
    "EvaluateSpec",
    "ExperimentSpec",
    "FileTest",
    "FitSpec",
    "ProbeSpec",
    "parse_spec",
    "read_spec",
]

POOLINGS = ("max", "sum", "mean", "last", "count", "rate", "top{N}", "rollmax{K}")
HIDDEN_POOLINGS = ("mean", "max", "last")


def _pooling(name: str) -> str:
    if re.fullmatch(r"max|sum|mean|last|count|rate|(top|rollmax)[1-9]\d{0,5}", name):
        return name
    raise ValueError(f"a pooling is one of {', '.join(POOLINGS)}{nearest(name, POOLINGS)}")


def _binarize(value: str | float) -> str | float:
    if isinstance(value, str) and value not in ("none", "auto"):
        raise ValueError("binarize is none, auto or a number of at least 0")
    if not isinstance(value, str) and not 0 <= value < float("inf"):
        raise ValueError("a binarization threshold is a finite number of at least 0")
    return value if isinstance(value, str) else float(value)


def _selection(name: str) -> str:
    if re.fullmatch(r"all|l1|top[1-9]\d{0,6}", name):
        return name
    raise ValueError("a selection is all, l1 or top{K} such as top256")


def _positive(value: float) -> float:
    if not 0 < value < float("inf"):
        raise ValueError("C, the inverse of the regularization strength, is a finite number above 0")
    return float(value)


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("the same value is listed twice")
    return values


Pooling = Annotated[str, AfterValidator(_pooling)]
Binarize = Annotated[str | float, AfterValidator(_binarize)]
Selection = Annotated[str, AfterValidator(_selection)]
PositiveFloat = Annotated[float, AfterValidator(_positive)]
Unique = AfterValidator(_unique)


class Frozen(BaseModel):
    """A value: no unknown keys, no changes after it is made, documentation under each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FileTest(Frozen):
    """The test part is a file of its own, with the same columns."""

    path: str
    """File of the test rows."""
    labels_path: str | None = None
    """For a text file with one row a line: the file with one label a line."""


class ColumnTest(Frozen):
    """The test part is marked in a column."""

    column: str
    """Column that tells the parts apart."""
    value: str = "test"
    """Value of that column on test rows; every other row trains."""


class DataSpec(Frozen):
    """Labelled examples: where they are, and which column means what."""

    path: str
    """A CSV, TSV, JSON, JSON Lines (each also .gz), Parquet or text file, `hf:org/name[:config][:split]`, or a folder
    of images with one sub-folder a class."""
    text: str = "text"
    """Column with the text; its number from 0 in a file without a header. Empty where `image` is given."""
    image: str | None = None
    """Column with images, or with their paths relative to the folder of the file: the rows are images, not texts."""
    label: str | Annotated[tuple[str, ...], Field(min_length=2), Unique] = "label"
    """Column with the label; or several columns of 0/1, which make a multi-label task."""
    labels_path: str | None = None
    """For a text file with one row a line: the file with one label a line."""
    group: str | None = None
    """Column whose rows must stay on one side of every split: author, template, pair."""
    id: str | None = None
    """Column with unique row names. Default: the row's number from 0, or its key in a JSON object of objects."""
    positive: str | None = None
    """For two classes, the one that is scored and flagged. Default: the last in sorted order."""
    test: Annotated[float, Field(gt=0, lt=1)] | FileTest | ColumnTest = 0.2
    """Share of rows to test on; or where the given test part is."""
    on_leak: Literal["refuse", "move"] = "refuse"
    """When a text or group is on both sides of a given split: refuse, or move its training copies to the test side."""

    @model_validator(mode="before")
    @classmethod
    def _images_or_texts(cls, values: Any) -> Any:
        """A row is an image or a text."""
        if not isinstance(values, dict) or values.get("image") is None:
            return values
        if values.get("text") or values.get("labels_path"):
            raise ValueError("`image` goes without `text` and `labels_path`")
        return {**values, "text": ""}


class BackboneSpec(Frozen):
    """A model, the layers to look at, and the SAEs to look through."""

    model: str = "minilm"
    """A Hugging Face id, a folder, or the alias `minilm`."""
    revision: str | None = None
    """Branch, tag or commit on the hub. Default: the alias's pinned one, else the hub's main."""
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), Unique]
    """Blocks, counted from 0; layer L is the output of block L."""
    hook: Literal["resid_post", "mlp_out", "attn_z"] = "resid_post"
    """Where in the block the hidden state is taken."""
    saes: Literal["auto"] | Annotated[tuple[str, ...], Unique] = "auto"
    """`auto`: every bundled SAE of those layers; or a list of references."""
    tokens: Literal["content", "all", "image", "text"] = "content"
    """`content` leaves special tokens out, and of an image's tokens takes those of the image; `image` and `text` tell
    apart the tokens of a vision-language model; padding is never selected."""
    bos: Literal["auto", "always", "never"] = "auto"
    """BOS token before each window. `auto`: as the SAEs were trained, where they say it; else as the tokenizer does."""
    template: Literal["chat"] | None = None
    """`chat`: each text is a user's turn in the model's chat template; with `tokens: content`, only it is selected."""
    prompt: str | None = None
    """Words around each text, which stands where they say {text}: "Is this rude? {text} Answer:"."""
    select: Literal["text", "after", "last"] = "text"
    """With a prompt: features of the text's own tokens, of those after it, or of the last token."""
    max_norm_ratio: Annotated[float, Field(gt=1)] | None = None
    """Leave out tokens whose hidden state is more than this many times as long as the text's median one."""
    on_overflow: Literal["window", "truncate", "error"] = "window"
    """A text longer than the model takes: pool over several windows, each with the whole prompt or template, keep only
    the first, or refuse."""
    max_tokens: Annotated[int, Field(ge=8)] | None = None
    """Tokens a window, special ones included. Default: what the model takes."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type the model computes in. `auto`: float32 on a CPU, the checkpoint's own on an accelerator."""

    @field_validator("prompt")
    @classmethod
    def _prompt_holds_the_text(cls, prompt: str | None, info: ValidationInfo) -> str | None:
        if prompt is not None and prompt.count("{text}") != 1:
            raise ValueError("a prompt says once where the text stands: {text}")
        if prompt is not None and info.data.get("template"):
            raise ValueError("a prompt and a chat template exclude each other; leave one of them out")
        if prompt is not None and info.data.get("tokens") == "all":
            raise ValueError("with a prompt, `select` says which tokens are taken; leave `tokens: all` out")
        return prompt

    @field_validator("select")
    @classmethod
    def _selects_from_a_prompt(cls, select: str, info: ValidationInfo) -> str:
        prompt = info.data.get("prompt", "{text}")  # absent where the prompt itself is refused
        if select != "text" and prompt is None:
            raise ValueError("`select` goes with a prompt; add one, or leave `select` out")
        if select == "after" and not prompt.partition("{text}")[2].strip() and "prompt" in info.data:
            raise ValueError("`select: after` takes the tokens after the text; write words after {text}")
        return select

    @property
    def selected(self) -> str:
        """What is selected of a text, as tables name it.

        >>> BackboneSpec(layers=(3,)).selected
        'content'
        >>> BackboneSpec(layers=(3,), prompt="Is {text} rude?", select="last", bos="never").selected
        'last token in "Is {text} rude?", bos never'
        """
        if self.prompt is not None:
            where = {"text": "text", "after": "after the text", "last": "last token"}[self.select]
            what = f'{where} in "{self.prompt}"'
        else:
            what = f"{self.template} {self.tokens}" if self.template else self.tokens
        return what if self.bos == "auto" else f"{what}, bos {self.bos}"


class ProbeSpec(Frozen):
    """The linear model on top."""

    penalty: Literal["l2", "l1"] = "l2"
    """Logistic regression with this penalty."""
    C: Annotated[tuple[PositiveFloat, ...], Field(min_length=1), Unique] = (0.001, 0.01, 0.1, 1.0, 10.0)
    """Inverse regularization strengths; one is chosen on inner folds, for every representation from the same grid."""
    class_weight: Literal["balanced", "none"] = "balanced"
    """`balanced`: every class weighs the same in the fit."""


class EvaluateSpec(Frozen):
    """How the rows of the table are chosen and scored."""

    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Inner folds of the training part; everything that is chosen is chosen on them."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the split, the folds, the probes and the bootstrap."""
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Resamples of the test rows behind each interval."""
    metric: Literal["macro_f1"] = "macro_f1"
    """What the choice is made by."""


class ExperimentSpec(Frozen):
    """One experiment: extract once, compare everything, keep the best as a classifier."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """Short name: letters, digits, dots, dashes and underscores."""
    data: DataSpec
    """The labelled examples."""
    backbones: Annotated[tuple[BackboneSpec, ...], Field(min_length=1)]
    """The models and layers."""
    pooling: Annotated[tuple[Pooling, ...], Field(min_length=1), Unique] = ("max", "mean", "sum", "count", "top20")
    """From tokens to one row: max, sum, mean, last, count, rate, top{N}, rollmax{K}."""
    binarize: Annotated[tuple[Binarize, ...], Field(min_length=1), Unique] = ("none", 1.0, "auto")
    """After pooling: none, 1 above a number, or 1 above a threshold learned per feature."""
    selection: Annotated[tuple[Selection, ...], Field(min_length=1), Unique] = ("all",)
    """Features kept, chosen on training rows: all, top{K} by standardized mean difference, l1."""
    baselines: Annotated[tuple[Literal["hidden", "tfidf", "majority", "length"], ...], Unique] = (
        "hidden",
        "tfidf",
        "majority",
    )
    """What SAE features are compared with, on the same rows, tokens and grid."""
    probe: ProbeSpec = ProbeSpec()
    """The linear model."""
    evaluate: EvaluateSpec = EvaluateSpec()
    """Folds, seed and intervals."""

    @model_validator(mode="after")
    def _backbones_differ(self) -> ExperimentSpec:
        """Two equal (model, layer, hook, tokens) entries would put the same rows into the table twice."""
        places = [(b.model, layer, b.hook, b.selected) for b in self.backbones for layer in b.layers]
        if len(set(places)) != len(places):
            raise ValueError("the same model, layer, hook and tokens stand in two backbones; merge them")
        return self


class FitSpec(Frozen):
    """One classifier without a comparison: a model, one layer and SAE of it, and what is made of its features."""

    backbone: BackboneSpec
    """The model, with one layer and one SAE."""
    pooling: Pooling = "max"
    """From tokens to one row: max, sum, mean, last, count, rate, top{N}, rollmax{K}."""
    binarize: Binarize = "none"
    """After pooling: none, 1 above a number, or auto, 1 above a threshold learned per feature."""
    selection: Selection = "all"
    """Features kept: all, top{K} by standardized mean difference, l1."""
    probe: ProbeSpec = ProbeSpec()
    """The linear model."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Inner folds; rows of one group, and copies of a row, are held out together."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the folds and the interval."""

    @field_validator("backbone")
    @classmethod
    def _one_of_each(cls, backbone: BackboneSpec) -> BackboneSpec:
        if backbone.saes == "auto" or len(backbone.saes) != 1 or len(backbone.layers) != 1:
            raise ValueError("a classifier has one layer and one SAE, named by its reference")
        return backbone

    @property
    def sae(self) -> str:
        """Reference of the SAE."""
        return self.backbone.saes[0]

    @classmethod
    def of(cls, *, layer: int = 3, sae: str = "bundled:minilm-l3-4k", **settings: Any) -> FitSpec:
        """The spec of flat settings, as functions and the command line take them.

        Args:
            layer: the one layer.
            sae: reference of the one SAE.
            settings: other keys of ``BackboneSpec``, ``FitSpec`` and ``ProbeSpec``, by their names there.

        Raises:
            SpecError: naming the setting that is unknown or out of range.

        >>> FitSpec.of(prompt="Is {text} rude?", select="last", C=[0.1]).backbone.selected
        'last token in "Is {text} rude?"'
        """
        rooms: dict[str, type[Frozen]] = {"backbone": BackboneSpec, "probe": ProbeSpec}
        names = {name: room for room, spec in rooms.items() for name in spec.model_fields}
        known = [name for name in {**names, **cls.model_fields} if name not in (*rooms, "layers", "saes")]
        if unknown := [name for name in settings if name not in known]:
            raise SpecError(
                "a setting of a classifier was expected",
                got=unknown[0],
                fix=f"use one of {', '.join(['layer', 'sae', *known])}{nearest(unknown[0], known)}",
            )
        nested: dict[str, dict[str, Any]] = {"backbone": {"layers": (layer,), "saes": (sae,)}, "probe": {}}
        for name in names.keys() & settings.keys():
            nested[names[name]][name] = settings.pop(name)
        try:
            return cls.model_validate(nested | settings)
        except ValidationError as error:
            fault = error.errors()[0]
            name = next((str(part) for part in fault["loc"] if part not in rooms), "settings")
            raise SpecError(
                "a parameter cannot be used",
                got=f"{name.replace('layers', 'layer').replace('saes', 'sae')}={fault['input']!r}",
                fix=fault["msg"].removeprefix("Value error, "),
            ) from error


def read_spec(path: Path) -> ExperimentSpec:
    """The spec in a YAML file, with the data paths in it made relative to the file's own folder.

    Raises:
        SpecError: no such file, not YAML, an unknown key or a value out of range.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(
            "a spec file was expected", got=f"{path}: {error.strerror}", fix="name a readable YAML file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError("the spec is not valid YAML", got=f"{path}: {error}", fix="mend the file there") from error
    spec = parse_spec(values, where=str(path))
    return _relative_to(spec, path.parent)


def parse_spec(values: Any, *, where: str = "the spec") -> ExperimentSpec:
    """Validate plain values as a spec. ``where`` names their source in messages.

    Raises:
        SpecError: with every wrong field in one message.
    """
    if not isinstance(values, dict):
        raise SpecError(
            f"{where} must be a mapping of keys to values",
            got=type(values).__name__,
            fix="start with `name:`, `data:` and `backbones:`, as in the README",
        )
    try:
        return ExperimentSpec.model_validate(values)
    except ValidationError as error:
        raise SpecError(f"{where} cannot be used", **_explain(error)) from error


def _explain(error: ValidationError) -> dict[str, str]:
    """Pydantic's list of faults as one 'got' and one 'fix'."""
    faults = error.errors()
    places = [fault["loc"] for fault in faults]
    got, fixes = [], []
    for fault in faults:
        if any(len(other) > len(fault["loc"]) and other[: len(fault["loc"])] == fault["loc"] for other in places):
            continue  # a list is only wrong because something in it is: say the inner fault once
        place = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            got.append(f"unknown key {place}")
            fixes.append(f"remove {place}{nearest(str(fault['loc'][-1]), _keys_beside(fault['loc']))}")
        elif fault["type"] == "missing":
            got.append(f"no key {place}")
            fixes.append(f"add {place}")
        else:
            got.append(f"{place or 'spec'} = {fault['input']!r}" if place else str(fault["msg"]))
            fixes.append(f"{place}: {fault['msg'].removeprefix('Value error, ')}" if place else "see above")
    return {"got": "; ".join(got), "fix": "; ".join(fixes)}


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed where an unknown one stood."""
    rooms: dict[str, type[Frozen]] = {
        "data": DataSpec,
        "backbones": BackboneSpec,
        "probe": ProbeSpec,
        "evaluate": EvaluateSpec,
    }
    room = rooms.get(str(location[0]) if len(location) > 1 else "", ExperimentSpec)
    return list(room.model_fields)


def _relative_to(spec: ExperimentSpec, folder: Path) -> ExperimentSpec:
    """Resolve the file names of a spec against the folder it lies in."""

    def resolve(name: str) -> str:
        return name if name.startswith("hf:") else str((folder / name).resolve())

    data = spec.data
    changes: dict[str, Any] = {"path": resolve(data.path)}
    if data.labels_path is not None:
        changes["labels_path"] = resolve(data.labels_path)
    if isinstance(data.test, FileTest):
        labels = data.test.labels_path
        changes["test"] = FileTest(path=resolve(data.test.path), labels_path=labels and resolve(labels))
    return spec.model_copy(update={"data": data.model_copy(update=changes)})
