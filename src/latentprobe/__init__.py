"""Text and image classifiers that people can read.

The door: everything public, resolved on first use, so that importing it costs nothing. The rooms behind it are open to
the curious and may change; these names do not without notice.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentprobe.config import ExperimentSpec
    from latentprobe.corpus import read_corpus
    from latentprobe.deploy import Classifier
    from latentprobe.encode.formats import load_sae
    from latentprobe.encode.vectorizer import SAEVectorizer
    from latentprobe.errors import LatentprobeError
    from latentprobe.experiment import run_experiment as run

    __version__: str

__all__ = [
    "Classifier",
    "ExperimentSpec",
    "LatentprobeError",
    "SAEVectorizer",
    "__version__",
    "load_sae",
    "read_corpus",
    "run",
]

_ROOMS = {
    "Classifier": "latentprobe.deploy",
    "ExperimentSpec": "latentprobe.config",
    "LatentprobeError": "latentprobe.errors",
    "SAEVectorizer": "latentprobe.encode.vectorizer",
    "load_sae": "latentprobe.encode.formats",
    "read_corpus": "latentprobe.corpus",
    "run": "latentprobe.experiment:run_experiment",
}

_ENCODE_EXTRA = ("torch", "transformers", "tokenizers", "huggingface_hub")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("latentprobe")
    if name not in _ROOMS:
        raise AttributeError(f"module 'latentprobe' has no attribute {name!r}")
    try:
        room, _, own = _ROOMS[name].partition(":")
        value = getattr(importlib.import_module(room), own or name)
    except ModuleNotFoundError as error:
        if error.name not in _ENCODE_EXTRA:
            raise
        from latentprobe.errors import MissingExtraError

        raise MissingExtraError("encode", needed_for=f"latentprobe.{name}", missing=error.name) from error
    globals()[name] = value  # found once, an ordinary name from then on
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
