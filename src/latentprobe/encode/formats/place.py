"""Where the files of one SAE lie, what they say of it, and the first proofs that they are what they seem.

Knows no format: no file's name, and nothing of tensors.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentprobe.encode.hookpoints import HookPoint
from latentprobe.errors import SAEError
from latentprobe.files import sha256_file, sha256_json

__all__ = ["NOWHERE", "PICKLES", "Facts", "Place"]

#: The folder of an SAE of which no file was fetched.
NOWHERE = Path("/nonexistent")

#: Endings of files that run code when they are read.
PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})

_GET_AGAIN = "get the file again from where it came"


@dataclass(frozen=True)
class Facts:
    """What is known of an SAE without reading its weights."""

    architecture: str
    """As its family calls it."""
    d_in: int
    width: int
    hook: HookPoint
    model: str | None
    """The model it was trained on, as its maker calls it."""


@dataclass(frozen=True)
class Place:
    """A reference, resolved to a folder on this machine."""

    reference: str
    """What the user wrote."""
    folder: Path
    origin: str
    """Repository and path, or the full path here: what tells model, layer and width where no config does."""
    named: str = ""
    """The file that was named itself, where it is a file and not its folder."""

    def has(self, name: str) -> bool:
        """Whether a file is there; ``name`` may lead into another folder."""
        return (self.folder / name).is_file()

    def names(self) -> list[str]:
        """Names of the files in the folder; only that of the file that was named, where one was."""
        if self.named:
            return [self.named]
        return sorted(path.name for path in self.folder.iterdir() if path.is_file())

    def file(self, name: str) -> Path:
        """The path of a file that must be there.

        Raises:
            SAEError: it is missing, empty, unreadable, or a pointer that Git LFS left in its place.
        """
        path = self.folder / name
        if not path.is_file():
            there = self.names()
            pickled = any(Path(other).suffix in PICKLES for other in there)
            raise self.refusal(
                f"{name} is missing",
                got=f"in {self.folder}: {', '.join(there) or 'no files'}",
                fix="pickled weights are not read: convert them to safetensors with the library that wrote them"
                if pickled
                else "name the folder that holds it, or download it again",
            )
        try:
            with path.open("rb") as stream:
                head = stream.read(64)
        except OSError as error:
            raise self.refusal(f"{name} cannot be read", got=str(error.strerror), fix="check permissions") from error
        if head.startswith(b"version https://git-lfs"):
            raise self.refusal(
                f"{name} holds the file itself",
                got="a Git LFS pointer, the file was never downloaded",
                fix="run `git lfs pull` in the repository, or name it as hf:ORG/REPO/PATH",
            )
        if not head:
            raise self.refusal(f"{name} holds something", got="an empty file", fix=_GET_AGAIN)
        return path

    def config(self, name: str) -> dict[str, Any]:
        """The mapping in a JSON file that must be there."""
        path = self.file(name)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self.refusal(f"{name} is JSON", got=str(error), fix=_GET_AGAIN) from error
        if not isinstance(values, dict):
            raise self.refusal(f"{name} is a JSON mapping", got=type(values).__name__, fix=_GET_AGAIN)
        return values

    def sha256(self, names: Iterable[str]) -> str:
        """Content hash of some files and their names."""
        return sha256_json({name: _content_hash(self.file(name)) for name in names})

    def refusal(self, problem: str, *, got: object, fix: str = _GET_AGAIN) -> SAEError:
        """An error about this SAE, ready to be raised."""
        return SAEError(f"the SAE {self.reference} cannot be used: {problem}", got=got, fix=fix)

    def hook(self, name: object, *, key: str = "hook_name") -> HookPoint:
        """The hook point that a config names, as :meth:`HookPoint.parse` reads it.

        Raises:
            SAEError: another place, or none.
        """
        try:
            return HookPoint.parse(str(name))
        except SAEError as error:
            raise self.refusal(error.problem, got=f"{key} {name!r}", fix=error.fix) from error

    def count(self, values: Mapping[str, Any], key: str) -> int:
        """A whole number above 0 that a config must have."""
        value = values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.refusal(f"{key} is a whole number above 0", got=f"{key} = {value!r}", fix="correct the config")
        return value

    def flag(self, values: Mapping[str, Any], key: str, *, default: bool) -> bool:
        """A yes or no of a config."""
        value = values.get(key, default)
        if not isinstance(value, bool):
            raise self.refusal(f"{key} is true or false", got=f"{key} = {value!r}", fix="correct the config")
        return value

    def number(self, values: Mapping[str, Any], key: str) -> float:
        """A finite number of a config, at least 0."""
        value = values.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
            raise self.refusal(f"{key} is a number, at least 0", got=f"{key} = {value!r}", fix="correct the config")
        return float(value)

    def no_transcoder(self, got: str) -> SAEError:
        """The refusal of what reads one place and rebuilds another."""
        return self.refusal(
            "an SAE reads and rebuilds the same place of a model",
            got=got,
            fix="use an SAE: transcoders, cross-coders and skip connections are not read",
        )


def _content_hash(file: Path) -> str:
    """SHA-256 of a file. The hub's cache names large files by it, so those are not read for it."""
    target = file.resolve().name
    return target if re.fullmatch(r"[0-9a-f]{64}", target) else sha256_file(file)
