"""From a backbone spec to the sources of features it asks for: each hidden state and SAE, and all that determines its
numbers.

Whatever does not belong together is refused here, before anything is computed. Knows nothing of texts but their
fingerprint.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from latentprobe.config import HIDDEN_POOLINGS, BackboneSpec, TaskSpec
from latentprobe.encode.families import require_site
from latentprobe.encode.formats import list_bundled, load_sae
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.image_families import hidden_size, require_rows
from latentprobe.encode.loading import choose_device, choose_dtype, read_config
from latentprobe.encode.model_files import MINILM, ModelFiles, find_model
from latentprobe.encode.random_sae import RandomSAE
from latentprobe.encode.sae import SAE
from latentprobe.encode.trained_on import is_another_model
from latentprobe.errors import SAEError, SpecError
from latentprobe.store.feature_store import fingerprint

__all__ = [
    "PlannedSource",
    "arranged",
    "bundled_saes",
    "plan_prompted",
    "plan_sources",
    "prompted_spec",
    "require_fit",
    "require_hook",
    "require_size",
    "settle_bos",
]

#: Raised when the same inputs would give other features than before.
FEATURES_VERSION = 1


_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True)
class PlannedSource:
    """One source of features and everything that determines its numbers."""

    model: str
    """The model as the spec names it."""
    files: ModelFiles
    """Where it is."""
    hook: HookPoint
    sae: SAE | RandomSAE | None
    """An SAE; the plan of a random one, as a baseline; or None: the hidden state, as a baseline."""
    poolings: tuple[str, ...]
    tokens: str
    """Which tokens are selected, in words."""
    made_from: dict[str, Any]
    """What the fingerprint is taken of."""
    prompted: bool = False
    """Whether this is the hidden state at the end of a task's prompt."""

    @property
    def reads(self) -> str:
        """The reference of the SAE, or ``hidden``, or ``prompted hidden``."""
        if self.sae is not None:
            return self.sae.reference
        return "prompted hidden" if self.prompted else "hidden"

    @property
    def fingerprint(self) -> str:
        """Name of the matrix in the store."""
        return fingerprint(self.made_from)


def plan_sources(
    spec: BackboneSpec,
    poolings: Sequence[str],
    texts_fingerprint: str,
    *,
    hidden: bool,
    random: bool = False,
    images: bool = False,
) -> list[PlannedSource]:
    """What a backbone spec asks for: for each layer the bare hidden state (if ``hidden``), then its SAEs, each followed
    by a random one (if ``random``).

    ``images`` says that the rows are images, not texts.

    Raises:
        ModelError, SAEError, SpecError: something cannot be found, or does not fit the rest. Nothing was computed.
    """
    files = find_model(spec.model, spec.revision)
    require_rows(spec, files.config, images=images)
    if spec.hook != "resid_post":
        require_site(read_config(files)[1], spec.hook)
    saes = _resolve_saes(spec, files)
    named = spec.selected
    if not images:  # whose prompt is the processor's own
        spec = settle_bos(spec, saes)
    shared = _made_from(spec, files, texts_fingerprint, images=images)
    return arranged(spec, files, saes, poolings, hidden=hidden, random=random, named=named, shared=shared)


def plan_prompted(
    spec: BackboneSpec, task: TaskSpec, texts_fingerprint: str
) -> tuple[BackboneSpec, list[PlannedSource]]:
    """The hidden states of a backbone's layers at the last token of a task's prompt, and the spec that reads them.

    Tillman and Mossing (2025, arXiv 2504.20271) call a probe on them prompted probing.

    Raises:
        ModelError: the model cannot be found, or takes no texts.
    """
    spec = prompted_spec(spec, task)
    files = find_model(spec.model, spec.revision)
    require_rows(spec, files.config, images=False)
    if spec.hook != "resid_post":
        require_site(read_config(files)[1], spec.hook)
    shared = _made_from(spec, files, texts_fingerprint, images=False)
    hooks = [HookPoint(layer, spec.hook) for layer in spec.layers]
    return spec, [
        PlannedSource(
            spec.model, files, hook, None, ("last",), spec.selected, _seen(shared, hook, None, ("last",)), True
        )
        for hook in hooks
    ]


def prompted_spec(spec: BackboneSpec, task: TaskSpec) -> BackboneSpec:
    """A backbone as it reads the prompt of a task."""
    asked = {"prompt": task.prompt, "template": task.template, "select": "last", "tokens": "content", "saes": ()}
    return spec.model_copy(update=asked)


def _made_from(spec: BackboneSpec, files: ModelFiles, texts_fingerprint: str, *, images: bool) -> dict[str, Any]:
    """What determines the hidden states of all layers."""
    device = choose_device(spec.device)
    return {
        "features": FEATURES_VERSION,
        "texts": texts_fingerprint,
        **files.identity,
        "tokens": spec.tokens,
        "bos": spec.bos,
        "template": spec.template,
        "prompt": spec.prompt,
        "select": spec.select,
        "max_norm_ratio": spec.max_norm_ratio,
        "on_overflow": spec.on_overflow,
        "max_tokens": spec.max_tokens,
        "device": device.split(":")[0],
        "dtype": choose_dtype(spec.dtype, device, files),
        "libraries": {name: version(name) for name in _LIBRARIES + ("pillow",) * images},
        "machine": platform.machine(),
    }


def arranged(
    spec: BackboneSpec,
    files: ModelFiles,
    saes: Sequence[SAE],
    poolings: Sequence[str],
    *,
    hidden: bool,
    random: bool = False,
    named: str,
    shared: Mapping[str, Any],
) -> list[PlannedSource]:
    """The sources of a backbone: for each layer the bare hidden state (if ``hidden``), then its SAEs, each followed by
    a random one (if ``random``).

    ``named`` says which tokens are selected, ``shared`` what else determines the numbers of all.
    """
    planned = []
    for layer in spec.layers:
        hook = HookPoint(layer, spec.hook)
        wanted: list[tuple[SAE | RandomSAE | None, tuple[str, ...]]] = [(None, HIDDEN_POOLINGS)] if hidden else []
        for sae in saes:
            if sae.hook == hook:
                wanted += [(one, tuple(poolings)) for one in (sae, RandomSAE(sae))[: 1 + random]]
        for one, own in wanted:
            planned.append(PlannedSource(spec.model, files, hook, one, own, named, _seen(shared, hook, one, own)))
    return planned


def _seen(
    shared: Mapping[str, Any], hook: HookPoint, sae: SAE | RandomSAE | None, poolings: Sequence[str]
) -> dict[str, Any]:
    """What determines one matrix."""
    return {
        **shared,
        "hook": hook.name,
        "sae": None if sae is None else sae.sha256,
        "pooling": sorted(poolings),
    }


def _resolve_saes(spec: BackboneSpec, files: ModelFiles) -> list[SAE]:
    """Load the SAEs of a spec and refuse those that do not belong to its model, hook or layers."""
    if spec.saes == "auto":
        return bundled_saes(spec, files)
    saes = [load_sae(reference) for reference in spec.saes]
    for sae in saes:
        require_fit(sae, spec, files)
    return saes


def settle_bos(spec: BackboneSpec, saes: Sequence[SAE]) -> BackboneSpec:
    """The spec with ``bos: auto`` made definite, where its SAEs say whether they were trained with a BOS token.

    Raises:
        SpecError: some were and some were not: one pass over the texts cannot serve both.
    """
    said = {sae.prepend_bos: sae.reference for sae in saes if sae.prepend_bos is not None}
    if spec.bos != "auto" or not said:
        return spec
    if len(said) == 2:
        raise SpecError(
            "the SAEs of one backbone are all trained with a BOS token before the text, or all without",
            got=f"{said[True]}, trained with one, and {said[False]}, without",
            fix="list them under two backbones, or decide for both with `bos: always` or `never`",
        )
    return spec.model_copy(update={"bos": "always" if True in said else "never"})


def require_fit(sae: SAE, spec: BackboneSpec, files: ModelFiles) -> None:
    """Refuse an SAE of another hook point or layer than asked for, for hidden states of another size, or, unless the
    spec accepts that, of another model."""
    require_hook(sae, spec)
    require_size(sae.reference, sae.d_in, sae.model, spec, files)


def require_hook(sae: SAE, spec: BackboneSpec) -> None:
    """Refuse an SAE of another hook point or layer than asked for."""
    hooks = {HookPoint(layer, spec.hook) for layer in spec.layers}
    if sae.hook not in hooks:
        raise SAEError(
            f"an SAE for {', '.join(sorted(hook.name for hook in hooks))} was expected",
            got=f"{sae.reference}, trained on {sae.hook.name}",
            fix=f"ask for layer {sae.hook.layer} and `hook: {sae.hook.site}`, or name an SAE of what you ask for",
        )


def require_size(reference: str, d_in: int, model: str | None, spec: BackboneSpec, files: ModelFiles) -> None:
    """Refuse an SAE for hidden states of another size than the model's, or, unless the spec accepts that, of another
    model."""
    width = hidden_size(files.config)
    if spec.hook != "attn_z" and width is not None and d_in != width:
        raise SAEError(
            f"an SAE for hidden states of size {width} was expected ({files.name})",
            got=f"{reference}, for size {d_in}" + (f", trained on {model}" if model else ""),
            fix="name an SAE that was trained on this model",
        )
    if not spec.accept_model and is_another_model(model, files):
        raise SAEError(
            f"an SAE that was trained on {files.name} was expected",
            got=f"{reference}, trained on {model}",
            fix="name one of this model; or, to see what an SAE of the base model does on a tuned one, write "
            "`accept_model: true` beside `saes` in a spec",
        )


def bundled_saes(spec: BackboneSpec, files: ModelFiles) -> list[SAE]:
    """What ``saes: auto`` means."""
    hooks = {HookPoint(layer, spec.hook).name for layer in spec.layers}
    cards = [card for card in list_bundled() if card.model == files.name == MINILM and card.hook in hooks]
    chosen = [load_sae(card.reference) for card in cards]
    bare = [layer for layer in spec.layers if layer not in {sae.hook.layer for sae in chosen}]
    if bare:
        raise SpecError(
            f"`saes: auto` takes the SAEs that come with latentprobe; layer {bare[0]} of {files.name} has none",
            got=f"model {spec.model}, layers {list(spec.layers)}, hook {spec.hook}",
            fix="list references under `saes:`; `latentprobe saes list` shows what there is",
        )
    return chosen
