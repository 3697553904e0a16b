"""The two files of a bundle: written whole or not at all, and read with every check a damaged one would fail.

    probe.json           the manifest: everything but the numbers, and the hash of the file with the numbers
    probe.safetensors    encoder.weight [d_in, m], encoder.bias [m], encoder.threshold [m] (or .scale and .shift),
                         probe.weights [K, f], probe.intercept [K], probe.thresholds [f] where features are binarized,
                         calibration.slope and calibration.offset

Of a pruned bundle m = f, the features in use; else m is the width of the SAE. Knows nothing of running models.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from latentprobe.deploy.manifest import Manifest
from latentprobe.encode.activations import Activation, Gated, GroupMax, Threshold, TopK
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.sae import SAE
from latentprobe.errors import BundleError, OutputError, SAEError
from latentprobe.files import FORMAT, atomic_folder, read_json, write_json
from latentprobe.learn import Calibration, FittedProbe

__all__ = ["BUNDLE_FILES", "Parts", "read_folder", "serialized", "write_folder"]

MANIFEST, TENSORS = BUNDLE_FILES = ("probe.json", "probe.safetensors")

_GET_AGAIN = "get the folder again from where it came, or fit the classifier anew"

Parts = tuple[SAE, FittedProbe, Calibration]
"""Encoder, probe on the SAE's own numbering, and calibration: all that has numbers."""


def write_folder(path: Path, manifest: Manifest, parts: Parts) -> None:
    """Write a bundle, atomically. One that is there is replaced, with what else was put there kept; any other folder
    with content is refused.

    Raises:
        OutputError: ``path`` is a file, a folder with other content, or cannot be written.
    """
    if path.is_dir() and any(path.iterdir()) and not (path / MANIFEST).is_file():
        raise OutputError(
            "a classifier is saved into a new or empty folder, or over another classifier",
            got=f"{path}, which holds other files",
            fix="name a folder that does not exist yet",
        )
    with atomic_folder(path, BUNDLE_FILES) as folder:
        (folder / TENSORS).write_bytes(serialized(parts))
        write_json(folder / MANIFEST, manifest.model_dump(mode="json"))


def read_folder(path: Path) -> tuple[Manifest, Parts]:
    """Read what :func:`write_folder` wrote.

    Raises:
        BundleError: it is missing, damaged, was changed since it was written, or is of another format.
    """
    manifest = _read_manifest(path)
    tensors = _read_tensors(path / TENSORS, manifest.tensors.sha256)
    try:
        return manifest, _assemble(manifest, tensors)
    except (SAEError, _Misfit) as error:
        problem = "the numbers of a classifier must be those that its probe.json calls for"
        raise BundleError(problem, got=f"{path}: {error}", fix=_GET_AGAIN) from error


def serialized(parts: Parts) -> bytes:
    """The content of the file with the numbers; the same parts, the same bytes."""
    return safetensors.torch.save(_tensors(*parts))


def _tensors(encoder: SAE, probe: FittedProbe, calibration: Calibration) -> dict[str, Tensor]:
    """Every number of a bundle by name."""
    tensors = {"encoder.weight": encoder.W_enc, "encoder.bias": encoder.b_enc}
    match encoder.activation:
        case Threshold(theta):
            tensors["encoder.threshold"] = theta
        case Gated(scale, shift):
            tensors |= {"encoder.scale": scale, "encoder.shift": shift}
    arrays: dict[str, NDArray[Any]] = {"probe.weights": probe.weights, "probe.intercept": probe.intercept}
    if probe.thresholds is not None:
        arrays["probe.thresholds"] = probe.thresholds
    arrays |= {"calibration.slope": np.array(calibration.slope), "calibration.offset": np.array(calibration.offset)}
    tensors |= {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _read_manifest(path: Path) -> Manifest:
    """``probe.json``, proven to be of this format, well-formed and unchanged."""
    if not path.is_dir():
        raise BundleError(
            "a classifier is a folder with probe.json and probe.safetensors",
            got=f"{path} is a file" if path.exists() else f"{path} does not exist",
            fix="name a folder that `latentprobe fit`, `latentprobe run` or Classifier.save wrote",
        )
    try:
        values = read_json(path / MANIFEST)
        number = values["format"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        problem = "probe.json of a classifier must be there, and be JSON with a format number"
        raise BundleError(problem, got=f"{path / MANIFEST}: {error!r:.200}", fix=_GET_AGAIN) from error
    if number != FORMAT:
        raise BundleError(
            f"a classifier of format {FORMAT} was expected",
            got=f"format {number!r} in {path / MANIFEST}",
            fix="use the version of latentprobe that wrote it, or fit the classifier anew with this one",
        )
    try:
        manifest = Manifest.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or MANIFEST
        got = f"{place} in {path}: {fault['msg'].removeprefix('Value error, ')}"
        raise BundleError("probe.json must be as latentprobe writes it", got=got, fix=_GET_AGAIN) from error
    if manifest.content_hash() != manifest.fingerprint:
        raise BundleError(
            "probe.json must be as it was written, but for the card",
            got=f"its content does not have the fingerprint it names: {path / MANIFEST}",
            fix=_GET_AGAIN,
        )
    return manifest


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a file of that hash."""
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = "the numbers of a classifier must lie beside its probe.json"
        raise BundleError(problem, got=f"{path}: {error.strerror}", fix=_GET_AGAIN) from error
    if (came := hashlib.sha256(content).hexdigest()) != sha256:
        raise BundleError(
            f"the numbers of this classifier have sha256 {sha256}", got=f"{came} in {path}", fix=_GET_AGAIN
        )
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise BundleError("a safetensors file was expected", got=f"{path}: {error}", fix=_GET_AGAIN) from error


class _Misfit(Exception):
    """The tensors are not those that the manifest calls for."""


def _assemble(manifest: Manifest, tensors: dict[str, Tensor]) -> Parts:
    """The parts from the tensors: every one used, and of the right shape and type."""
    rest = dict(tensors)
    encoder = _encoder(manifest, rest)
    columns = len(manifest.features)
    outputs = 1 if manifest.kind == "binary" else len(manifest.classes)
    thresholds = None
    if manifest.binarize != "none":
        thresholds = _array(rest, "probe.thresholds", torch.float32, columns)
    probe = FittedProbe(
        features=np.array([feature.feature for feature in manifest.features], np.int64),
        thresholds=thresholds,
        weights=_array(rest, "probe.weights", torch.float64, outputs, columns),
        intercept=_array(rest, "probe.intercept", torch.float64, outputs),
        C=manifest.C,
        converged=manifest.converged,
    )
    said = manifest.calibration
    for name, numbers in (("slope", said.slope), ("offset", said.offset)):
        if tuple(_array(rest, f"calibration.{name}", torch.float64, len(numbers)).tolist()) != numbers:
            raise _Misfit(f"calibration.{name} is not what probe.json says")
    if rest:
        raise _Misfit(f"a tensor {sorted(rest)[0]} that has no place")
    return encoder, probe, Calibration(manifest.kind, said.slope, said.offset, said.ece_before, said.ece_after)


def _encoder(manifest: Manifest, tensors: dict[str, Tensor]) -> SAE:
    sae = manifest.sae
    width = len(manifest.features) if manifest.pruned else sae.width
    weight = _tensor(tensors, "encoder.weight", torch.float32, sae.d_in, width)
    bias = _tensor(tensors, "encoder.bias", torch.float32, width)
    activation: Activation
    if sae.activation == "threshold":
        activation = Threshold(_tensor(tensors, "encoder.threshold", torch.float32, width))
    elif sae.activation == "gated":
        names = ("encoder.scale", "encoder.shift")
        activation = Gated(*(_tensor(tensors, name, torch.float32, width) for name in names))
    else:
        assert sae.k is not None  # the manifest's own rule
        activation = TopK(sae.k) if sae.activation == "topk" else GroupMax(sae.k)
    hook = HookPoint(manifest.backbone.layer, manifest.backbone.hook)
    return SAE(sae.reference, sae.sha256, hook, sae.model, weight, bias, activation, sae.pre_ops)


def _tensor(tensors: dict[str, Tensor], name: str, dtype: torch.dtype, *shape: int) -> Tensor:
    """Take a tensor out of those read, or say how it does not fit."""
    tensor = tensors.pop(name, None)
    if tensor is None:
        raise _Misfit(f"no tensor {name}")
    if tensor.dtype != dtype or tuple(tensor.shape) != shape:
        raise _Misfit(f"{name} is {tensor.dtype} {list(tensor.shape)}, not {dtype} {list(shape)}")
    if not bool(torch.isfinite(tensor).all()):
        raise _Misfit(f"NaN or infinity in {name}")
    return tensor


def _array(tensors: dict[str, Tensor], name: str, dtype: torch.dtype, *shape: int) -> NDArray[Any]:
    return np.asarray(_tensor(tensors, name, dtype, *shape).numpy())
