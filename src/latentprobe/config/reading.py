"""From YAML, or plain values, to a spec; every wrong field in one message."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from latentprobe.config.backbone import BackboneSpec
from latentprobe.config.data import DataSpec, FileTest
from latentprobe.config.experiment import EvaluateSpec, ExperimentSpec, ProbeSpec
from latentprobe.config.fields import Frozen
from latentprobe.config.transfer import DomainSpec, TransferEvaluateSpec, TransferSpec
from latentprobe.errors import SpecError, nearest

AnySpec = TypeVar("AnySpec", bound=Frozen)
AnyData = TypeVar("AnyData", bound=DataSpec)


def read_spec(path: Path) -> ExperimentSpec:
    """The spec in a YAML file, with the data paths in it made relative to the file's own folder.

    Raises:
        SpecError: no such file, not YAML, an unknown key or a value out of range.
    """
    spec = parse_spec(_yaml(path), where=str(path))
    return spec.model_copy(update={"data": _relative_to(spec.data, Path(path).parent)})


def read_transfer_spec(path: Path) -> TransferSpec:
    """The spec of a transfer in a YAML file, with the data paths in it made relative to the file's own folder.

    Raises:
        SpecError: no such file, not YAML, an unknown key or a value out of range.
    """
    spec = parse_transfer_spec(_yaml(path), where=str(path))
    folder = Path(path).parent
    changes: dict[str, Any] = {}
    if spec.domains is not None:
        changes["domains"] = {name: _relative_to(data, folder) for name, data in spec.domains.items()}
    if spec.data is not None:
        changes["data"] = _relative_to(spec.data, folder)
    return spec.model_copy(update=changes)


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


def parse_spec(values: Any, *, where: str = "the spec") -> ExperimentSpec:
    """Validate plain values as a spec. ``where`` names their source in messages.

    Raises:
        SpecError: with every wrong field in one message.
    """
    return _validated(ExperimentSpec, values, where, start="`name:`, `data:` and `backbones:`, as in the README")


def parse_transfer_spec(values: Any, *, where: str = "the spec") -> TransferSpec:
    """Validate plain values as the spec of a transfer. ``where`` names their source in messages.

    Raises:
        SpecError: with every wrong field in one message.
    """
    return _validated(TransferSpec, values, where, start="`name:`, `domains:` and `backbones:`")


def _validated(kind: type[AnySpec], values: Any, where: str, *, start: str) -> AnySpec:
    if not isinstance(values, dict):
        raise SpecError(
            f"{where} must be a mapping of keys to values", got=type(values).__name__, fix=f"start with {start}"
        )
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SpecError(f"{where} cannot be used", **_explain(error, kind)) from error


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
        "data": DomainSpec if transfer else DataSpec,
        "domains": DomainSpec,
        "backbones": BackboneSpec,
        "probe": ProbeSpec,
        "evaluate": TransferEvaluateSpec if transfer else EvaluateSpec,
    }
    room = rooms.get(str(location[0]) if len(location) > 1 else "", kind)
    return list(room.model_fields)


def _relative_to(data: AnyData, folder: Path) -> AnyData:
    """Resolve the file names of labelled data against the folder their spec lies in."""

    def resolve(name: str) -> str:
        return name if name.startswith("hf:") else str((folder / name).resolve())

    changes: dict[str, Any] = {"path": resolve(data.path)}
    if data.labels_path is not None:
        changes["labels_path"] = resolve(data.labels_path)
    if isinstance(data.test, FileTest):
        labels = data.test.labels_path
        changes["test"] = FileTest(path=resolve(data.test.path), labels_path=labels and resolve(labels))
    return data.model_copy(update=changes)
