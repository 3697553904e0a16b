"""What a run was made with: versions, machine, models, SAEs and fingerprints. Knows nothing of results."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from latentprobe.encode.sources import PlannedSource
from latentprobe.encode.zero_shot import PlannedAnswers

__all__ = ["Reporter", "Silent", "Stopwatch", "environment"]

PACKAGES = (
    "numpy", "scipy", "scikit-learn", "pyarrow", "safetensors", "pydantic", "torch", "transformers", "tokenizers",
    "huggingface_hub", "datasets", "pillow",
)  # fmt: skip


class Reporter(Protocol):
    """Who hears how far a run is. The command line shows bars; :class:`Silent` nothing."""

    def say(self, sentence: str) -> None:
        """Something worth a line."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` of a stage."""


class Silent:
    """A reporter that says nothing."""

    def say(self, sentence: str) -> None:
        """Nothing."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Nothing."""


class Stopwatch:
    """Seconds a stage.

    >>> watch = Stopwatch()
    >>> with watch.stage("nothing"):
    ...     pass
    >>> list(watch.seconds)
    ['nothing']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block; the same name twice adds up."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0) + time.perf_counter() - start, 3)


def environment(
    sources: Sequence[PlannedSource], seed: int, seconds: dict[str, float], answers: Sequence[PlannedAnswers] = ()
) -> dict[str, Any]:
    """The content of environment.json. ``answers``: models that were asked."""
    models = {made["weights"]: made for made in [*(one.made_from for one in answers), *(s.made_from for s in sources)]}
    saes = {source.sae.sha256: source.sae for source in sources if source.sae}
    return {
        "latentprobe": version("latentprobe"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "models": [
            {key: made[key] for key in ("model", "weights", "tokenizer", "device", "dtype")} for made in models.values()
        ],
        "saes": [
            {"reference": sae.reference, "sha256": digest, "hook": sae.hook.name, "width": sae.width}
            for digest, sae in saes.items()
        ],
        "fingerprints": {f"{source.model}/{source.hook.name}/{source.reads}": source.fingerprint for source in sources}
        | {f"{one.spec.model}/zero-shot": one.fingerprint for one in answers},
        "seed": seed,
        "seconds": seconds,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
