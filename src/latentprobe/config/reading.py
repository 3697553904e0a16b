"""From YAML, or plain values, to a spec; every wrong field in one message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from latentprobe.config.backbone import BackboneSpec
from latentprobe.config.data import DataSpec, FileTest
from latentprobe.config.experiment import EvaluateSpec, ExperimentSpec, ProbeSpec
from latentprobe.config.fields import Frozen
from latentprobe.config.task import TaskSpec
from latentprobe.errors import SpecError, nearest


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
        "task": TaskSpec,
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
