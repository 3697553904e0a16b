"""What is known of models and SAEs without fetching anything: for a plan of work whose weights may not be here yet.

What is on this machine is found as for the work itself; what is not is stood in for by the registry's facts. Computes
no features.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from latentprobe.config import BackboneSpec, TargetSpec, TaskSpec
from latentprobe.encode.activations import Threshold
from latentprobe.encode.answers import find_target
from latentprobe.encode.formats import describe, list_known
from latentprobe.encode.formats.references import on_hub, resolve
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.model_files import MINILM, ModelFiles, find_model
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import (
    PlannedSource,
    arranged,
    bundled_saes,
    plan_prompted,
    plan_sources,
    prompted_spec,
    require_hook,
    require_size,
)
from latentprobe.encode.zero_shot import PlannedAnswers, plan_answers
from latentprobe.errors import ModelError, SAEError

__all__ = [
    "Known",
    "known_answers",
    "known_model",
    "known_prompted",
    "known_sae",
    "known_sources",
    "known_target",
    "offline",
]


@dataclass(frozen=True)
class Known:
    """A model or an SAE that a spec names."""

    reference: str
    here: bool
    """Whether its weights are on this machine."""
    size: int | None
    """Bytes of its weights; of an SAE that is not here, an estimate from its shape; None where that is not known."""
    facts: dict[str, Any]
    """Of an SAE what :func:`describe` says, of a model its name; empty where the registry does not know it."""


@contextlib.contextmanager
def offline(*, data: bool = False) -> Iterator[None]:
    """Let nothing be fetched from the hub, nor, with ``data``, data sets: what its cache does not have is not there."""
    try:
        from huggingface_hub import constants
    except ImportError:  # then nothing can be fetched anyway
        yield
        return
    settings = [constants]
    if data:
        with contextlib.suppress(ImportError):
            from datasets import config

            settings.append(config)
    before = [one.HF_HUB_OFFLINE for one in settings]
    for one in settings:
        one.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for one, online in zip(settings, before, strict=True):
            one.HF_HUB_OFFLINE = online


def known_model(spec: BackboneSpec | TargetSpec) -> Known:
    """The model of a spec; to be asked :func:`offline`.

    Raises:
        ModelError: it is no name of a model, or a folder that cannot be used.
    """
    files = _files(spec)
    if files is None:
        in_registry = bool(list_known(model=spec.model)) or spec.model == "minilm"
        return Known(spec.model, False, None, {"model": spec.model} if in_registry else {})
    return Known(spec.model, True, sum(path.stat().st_size for path in files.folder.glob("*.safetensors")), {})


def _files(spec: BackboneSpec | TargetSpec) -> ModelFiles | None:
    """The model's files; None where they would have to be fetched."""
    try:
        return find_model(spec.model, spec.revision)
    except ModelError:
        on_the_hub = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", spec.model) and not Path(spec.model).is_dir()
        if not on_the_hub or spec.model.startswith("."):
            raise
        return None


def known_sae(reference: str) -> Known:
    """The SAE of a reference; to be asked :func:`offline`.

    Raises:
        SAEError: there is no such SAE, or none that is read.
    """
    where = on_hub(reference)
    if where is not None and where.entry is not None and where.entry.refused:
        raise SAEError(
            "an SAE that is read was expected", got=f"{reference}, {where.entry.refused}", fix="name another SAE"
        )
    try:
        facts = describe(reference)
    except SAEError:
        if where is None:
            raise
        return Known(reference, False, None, {})
    try:
        place, _ = resolve(reference)
    except SAEError:
        if where is None:
            raise
        shape = facts["d_in"], facts["width"]
        return Known(reference, False, None if None in shape else 8 * shape[0] * shape[1], facts)
    return Known(reference, True, sum(path.stat().st_size for path in place.folder.glob("*") if path.is_file()), facts)


def known_sources(
    spec: BackboneSpec,
    poolings: Sequence[str],
    texts_fingerprint: str,
    *,
    hidden: bool,
    random: bool = False,
    images: bool = False,
) -> list[PlannedSource]:
    """As :func:`plan_sources`, with stand-ins where something is not here; they are in no store.

    A stand-in has the reference, hook point and width of its SAE and no weights; width 1 where it is not known.
    """
    files = _files(spec)
    name = MINILM if spec.model == "minilm" else spec.model
    known = [] if spec.saes == "auto" else [known_sae(reference) for reference in spec.saes]
    if files is not None and all(sae.here for sae in known):
        return plan_sources(spec, poolings, texts_fingerprint, hidden=hidden, random=random, images=images)
    files = files or ModelFiles(name, Path(), spec.revision, {}, "", "")
    saes = bundled_saes(spec, files) if spec.saes == "auto" else [_stand_in(sae, spec, files) for sae in known]
    shared = {"not here": [spec.model, *(sae.reference for sae in known)], "texts": texts_fingerprint}
    return arranged(spec, files, saes, poolings, hidden=hidden, random=random, named=spec.selected, shared=shared)


def known_prompted(
    spec: BackboneSpec, task: TaskSpec, texts_fingerprint: str
) -> tuple[BackboneSpec, list[PlannedSource]]:
    """As :func:`plan_prompted`, with stand-ins where the model is not here."""
    if _files(spec) is not None:
        return plan_prompted(spec, task, texts_fingerprint)
    spec = prompted_spec(spec, task)
    files = ModelFiles(spec.model, Path(), spec.revision, {}, "", "")
    shared = {"not here": [spec.model], "texts": texts_fingerprint}
    hidden = arranged(spec, files, [], (), hidden=True, named=spec.selected, shared=shared)
    return spec, [replace(source, poolings=("last",), prompted=True) for source in hidden]


def known_target(spec: TargetSpec) -> ModelFiles:
    """As :func:`find_target`, with a stand-in where the model is not here; nothing it said is in any store.

    Raises:
        ModelError: it is no name of a model, or one that is here and does not answer.
    """
    if _files(spec) is not None:
        return find_target(spec)
    return ModelFiles(spec.model, Path(), spec.revision, {}, "", "")


def known_answers(
    task: TaskSpec, backbones: Sequence[BackboneSpec], classes: Sequence[str], texts_fingerprint: str
) -> list[PlannedAnswers]:
    """As :func:`plan_answers`, with stand-ins where a model is not here."""
    return plan_answers(task, backbones, classes, texts_fingerprint, find=known_target)


def _stand_in(sae: Known, spec: BackboneSpec, files: ModelFiles) -> SAE:
    """An SAE of the right name, place and width, without weights."""
    layer, d_in, width = (sae.facts.get(name) for name in ("layer", "d_in", "width"))
    site = spec.hook
    if "hook_resid" not in (sae.facts.get("hook") or "hook_resid"):
        site = HookPoint.parse(sae.facts["hook"]).site
    hook = HookPoint(spec.layers[0] if layer is None else layer, site)
    zeros = torch.zeros(1, width or 1)
    stand_in = SAE(sae.reference, sae.reference, hook, None, zeros, zeros[0], Threshold(zeros[0]))
    require_hook(stand_in, spec)
    if d_in is not None:
        require_size(sae.reference, d_in, sae.facts.get("model"), spec, files)
    return stand_in
