"""The one table of formats that can be read, and which of them a folder or a file is of.

A format is known by its files; where two share a file, by a key of their config; where there is no config, by the path,
which must be the published one. To add one, write a module with ``facts``, ``load``, and ``FILES`` or ``PATH``, and put
it into the table. Knows nothing of references.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from latentprobe.encode.formats import (
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    llama_scope,
    llama_scope_r1,
    openai_v5,
    qwen_scope,
    saelens,
    sparsify,
    vit_prisma,
)
from latentprobe.encode.formats.place import PICKLES, Facts, Place
from latentprobe.encode.formats.relu_files import DEEPSEEK_R1, GOODFIRE
from latentprobe.errors import SAEError

if TYPE_CHECKING:
    from latentprobe.encode.sae import SAE

__all__ = ["CONFIGS", "FORMATS", "Format", "by_config", "by_path", "by_single_file", "of_folder", "refuse_pickle"]


class _Load(Protocol):
    def __call__(self, place: Place, *, decoder: bool) -> SAE: ...


@dataclass(frozen=True)
class Format:
    """One format and how it is read."""

    name: str
    facts: Callable[[Place], Facts]
    load: _Load
    files: tuple[str, ...] = ()
    """What its folder must hold, the config first; empty where it is a single file, named itself."""
    optional: tuple[str, ...] = ()
    """What its folder may hold, or the one above."""
    path: re.Pattern[str] | None = None
    """What tells it where there may be no config."""
    keys: tuple[str, ...] = ()
    """Of its config, one of which it has; formats that share a config's name are tried in the order of the table."""


FORMATS = (
    Format("SAELens", saelens.facts, saelens.load, saelens.FILES, keys=("d_sae", "architecture", "hook_point")),
    Format("sparsify", sparsify.facts, sparsify.load, sparsify.FILES, sparsify.OPTIONAL, keys=("d_in",)),
    Format("Gemma Scope 1", gemma_scope.facts, gemma_scope.load, gemma_scope.FILES, path=gemma_scope.PATH),
    Format(
        "Gemma Scope 2",
        gemma_scope_2.facts,
        gemma_scope_2.load,
        gemma_scope_2.FILES,
        gemma_scope_2.OPTIONAL,
        path=gemma_scope_2.PATH,
    ),
    Format("Llama Scope", llama_scope.facts, llama_scope.load, llama_scope.FILES, keys=("d_model",)),
    Format(
        "dictionary_learning",
        dictionary_learning.facts,
        dictionary_learning.load,
        dictionary_learning.FILES,
        keys=("trainer",),
    ),
    Format("Llama Scope R1", llama_scope_r1.facts, llama_scope_r1.load, llama_scope_r1.FILES, keys=("hook_point_in",)),
    Format("ViT-Prisma", vit_prisma.facts, vit_prisma.load, vit_prisma.FILES, keys=("hook_point_layer",)),
    Format("Qwen-Scope", qwen_scope.facts, qwen_scope.load, path=qwen_scope.PATH),
    Format("Goodfire", GOODFIRE.facts, GOODFIRE.load, path=GOODFIRE.path),
    Format("DeepSeek-R1 qresearch", DEEPSEEK_R1.facts, DEEPSEEK_R1.load, path=DEEPSEEK_R1.path),
    Format("OpenAI v5", openai_v5.facts, openai_v5.load, path=openai_v5.PATH),
)

#: Names of configs, in the order in which they are looked for.
CONFIGS = ("cfg.json", "hyperparams.json", "config.json")

_WEIGHTS = ", ".join(dict.fromkeys(kind.files[-1] for kind in FORMATS if kind.files))


def by_path(origin: str) -> Format | None:
    """The format of a folder or a file that its path tells, such as ``org/name/path``."""
    return next((kind for kind in FORMATS if kind.path is not None and kind.path.fullmatch(origin)), None)


def by_single_file(name: str) -> Format | None:
    """The format of whose folders one file is all they need, by the name of that file."""
    return next((kind for kind in FORMATS if kind.files == (name,)), None)


def by_config(place: Place, config: str) -> Format:
    """The format to which a config belongs.

    Raises:
        SAEError: the config is damaged, or of none.
    """
    values = place.config(config)
    sharing = [kind for kind in FORMATS if kind.files[:1] == (config,)]
    found = next((kind for kind in sharing if any(key in values for key in kind.keys)), None)
    if found is None:
        raise place.refusal(
            f"{config} is that of {' or '.join(kind.name for kind in sharing)}",
            got=f"the keys {', '.join(map(str, values)) or 'of nothing'}"[:200],
            fix="name the folder of an SAE of one of these formats",
        )
    return found


def of_folder(place: Place) -> Format:
    """The one format whose files lie in a folder.

    Raises:
        SAEError: there is none, more than one, or a file is missing.
    """
    whole = [kind for kind in FORMATS if kind.files and all(place.has(name) for name in kind.files)]
    if len(whole) == 1:
        return whole[0]
    if len(whole) > 1:
        raise place.refusal(
            "its folder holds the files of one format",
            got=f"those of {' and '.join(kind.name for kind in whole)}",
            fix="keep each SAE in a folder of its own",
        )
    part = [kind for kind in FORMATS if any(place.has(name) for name in kind.files)]
    missing = [f"{name} is missing ({kind.name})" for kind in part for name in kind.files if not place.has(name)]
    names = place.names()
    pickled = [name for name in names if PurePosixPath(name).suffix in PICKLES]
    if part:
        raise place.refusal(
            " or ".join(missing),
            got=f"in {place.folder}: {', '.join(names)}",
            fix="other pickled weights are not read: convert them to safetensors with the library that wrote them"
            if pickled
            else "name the folder that holds all, or download it again",
        )
    for name in pickled:
        refuse_pickle(place.reference, name)
    raise place.refusal(
        f"its folder holds one of {_WEIGHTS}",
        got=f"in {place.folder}: {', '.join(names) or 'no files'}",
        fix="name the folder in which the config and the weights lie, or a file of Qwen-Scope, Goodfire, qresearch or "
        "OpenAI under its published name",
    )


def refuse_pickle(reference: str, name: str) -> None:
    """Refuse a pickled file that is of no format here."""
    if PurePosixPath(name).suffix in PICKLES:
        raise SAEError(
            f"the SAE {reference} cannot be used: pickled files are read under the published names of their format "
            "only, and never if they hold code",
            got=name,
            fix="name the folder of its config, keep the published path, or convert the weights to safetensors with "
            "the library that wrote them",
        )
