"""From YAML, or plain values, to a spec; every wrong field in one message."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from latentprobe.config.backbone import BackboneSpec
from latentprobe.config.behaviour import BehaviourSpec, ConditionSpec, QuestionSpec, TargetSpec
from latentprobe.config.data import DataSpec, FileTest
from latentprobe.config.experiment import EvaluateSpec, ExperimentSpec, ProbeSpec
from latentprobe.config.explain import ExplainSpec
from latentprobe.config.fields import Frozen
from latentprobe.config.models import MatchingSpec, ModelsSpec
from latentprobe.config.task import TaskSpec
from latentprobe.config.transfer import DomainSpec, TransferEvaluateSpec, TransferSpec
from latentprobe.errors import SpecError, nearest

AnySpec = TypeVar("AnySpec", ExperimentSpec, BehaviourSpec, ModelsSpec, MatchingSpec, TransferSpec)
AnyData = TypeVar("AnyData", DataSpec, QuestionSpec, DomainSpec)


def read_spec(path: Path) -> ExperimentSpec:
    """The spec in a YAML file, with the data paths in it made relative to the file's own folder.

    Raises:
        SpecError: no such file, not YAML, an unknown key or a value out of range.
    """
    return _read(ExperimentSpec, path)


def read_behaviour_spec(path: Path) -> BehaviourSpec:
    """The spec of questions to a model in a YAML file. Raises as :func:`read_spec` does."""
    return _read(BehaviourSpec, path)


def read_transfer_spec(path: Path) -> TransferSpec | ModelsSpec | MatchingSpec:
    """The spec of a transfer in a YAML file; its keys tell which: `targets` names the models whose answers others
    predict, `first` and `second` two models whose features are matched, and all else transfers between domains.

    Raises as :func:`read_spec` does.
    """
    values = _yaml(path)
    keys = values if isinstance(values, dict) else {}
    if "targets" in keys:
        return _from(values, ModelsSpec, path)
    if "first" in keys or "second" in keys:
        return _from(values, MatchingSpec, path)
    return _from(values, TransferSpec, path)


def parse_spec(values: Any, *, where: str = "the spec") -> ExperimentSpec:
    """Validate plain values as a spec. ``where`` names their source in messages.

    Raises:
        SpecError: with every wrong field in one message.
    """
    return parse_as(ExperimentSpec, values, where=where)


def parse_as(kind: type[AnySpec], values: Any, *, where: str = "the spec") -> AnySpec:
    """As :func:`parse_spec`, for a spec of some kind."""
    if not isinstance(values, dict):
        needed = [f"`{key}:`" for key, field in kind.model_fields.items() if field.is_required()]
        raise SpecError(
            f"{where} must be a mapping of keys to values",
            got=type(values).__name__,
            fix=f"start with {', '.join(needed[:-1])} and {needed[-1]}, as in the README",
        )
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SpecError(f"{where} cannot be used", **_explain(error, kind)) from error


def _read(kind: type[AnySpec], path: Path) -> AnySpec:
    return _from(_yaml(path), kind, path)


def _yaml(path: Path) -> Any:
    """The plain values in a YAML file."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(
            "a spec file was expected", got=f"{path}: {error.strerror}", fix="name a readable YAML file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError("the spec is not valid YAML", got=f"{path}: {error}", fix="mend the file there") from error


def _from(values: Any, kind: type[AnySpec], path: Path) -> AnySpec:
    """The values as a spec, with the paths in it resolved against the folder of its file."""
    spec, folder = parse_as(kind, values, where=str(path)), Path(path).parent
    changes: dict[str, Any] = {}
    if spec.data is not None:
        changes["data"] = _relative_to(spec.data, folder)
    if isinstance(spec, TransferSpec) and spec.domains is not None:
        changes["domains"] = {name: _relative_to(data, folder) for name, data in spec.domains.items()}
    return _with_models(spec.model_copy(update=changes), folder)


def _with_models(spec: AnySpec, folder: Path) -> AnySpec:
    """The spec with models and SAEs that are folders written from ``.`` resolved against the folder it lies in."""

    def resolved(part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(map(resolved, part))
        changes: dict[str, Any] = {}
        if isinstance(model := getattr(part, "model", None), str):
            changes["model"] = _from_here(model, folder)
        if isinstance(saes := getattr(part, "saes", None), tuple):
            changes["saes"] = tuple(_from_here(sae, folder) for sae in saes)
        return part.model_copy(update=changes) if changes else part

    parts = {
        key: getattr(spec, key) for key in ("backbones", "task", "target", "first", "second") if hasattr(spec, key)
    }
    changes = {key: resolved(part) for key, part in parts.items()}
    if isinstance(spec, ModelsSpec):
        changes["targets"] = {key: model and _from_here(model, folder) for key, model in spec.targets.items()}
    return spec.model_copy(update=changes)


def _from_here(name: str, folder: Path) -> str:
    return str((folder / name).resolve()) if name.startswith(".") else name


def _explain(error: ValidationError, kind: type[Frozen]) -> dict[str, str]:
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
            fixes.append(f"remove {place}{nearest(str(fault['loc'][-1]), _keys_beside(fault['loc'], kind))}")
        elif fault["type"] == "missing":
            got.append(f"no key {place}")
            fixes.append(f"add {place}")
        else:
            got.append(f"{place or 'spec'} = {fault['input']!r}" if place else str(fault["msg"]))
            fixes.append(f"{place}: {fault['msg'].removeprefix('Value error, ')}" if place else "see above")
    return {"got": "; ".join(got), "fix": "; ".join(fixes)}


def _keys_beside(location: tuple[int | str, ...], kind: type[Frozen]) -> list[str]:
    """The keys that are allowed where an unknown one stood."""
    transfer = kind is TransferSpec
    rooms: dict[str, type[Frozen]] = {
        "data": QuestionSpec if kind is BehaviourSpec else DomainSpec if transfer else DataSpec,
        "domains": DomainSpec,
        "backbones": BackboneSpec,
        "first": BackboneSpec,
        "second": BackboneSpec,
        "probe": ProbeSpec,
        "evaluate": TransferEvaluateSpec if transfer else EvaluateSpec,
        "explain": ExplainSpec,
        "target": TargetSpec,
        "conditions": ConditionSpec,
        "task": TaskSpec,
    }
    room = rooms.get(str(location[0]) if len(location) > 1 else "", kind)
    return list(room.model_fields)


def _relative_to(data: AnyData, folder: Path) -> AnyData:
    """Resolve the file names of the data of a spec against the folder it lies in."""

    def resolve(name: str) -> str:
        return name if name.startswith("hf:") else str((folder / name).resolve())

    changes: dict[str, Any] = {"path": resolve(data.path)}
    if isinstance(data, DataSpec) and data.labels_path is not None:
        changes["labels_path"] = resolve(data.labels_path)
    if isinstance(data, DataSpec) and isinstance(data.test, FileTest):
        labels = data.test.labels_path
        changes["test"] = FileTest(path=resolve(data.test.path), labels_path=labels and resolve(labels))
    return data.model_copy(update=changes)
