"""Every error raised on purpose, as one tree; each says what was wrong, what came, and what to do.

    LatentprobeError        catch this to catch all of them
      SpecError             a spec or an option is wrong: unknown key, negative C, impossible combination
      CorpusError           the labelled data cannot be used: missing column, bad encoding, one class
      ModelError            a backbone cannot be found, proven or hooked
      SAEError              an SAE cannot be found, proven, or does not fit the model and layer asked for
      StoreError            a feature store is missing, damaged or was made by something else
      BundleError           a saved classifier is missing, damaged or of an unknown format
      OutputError           a result cannot be written where it was asked for
      MissingExtraError     an optional part of the installation is missing

The command line prints the message and exits with status 2. Anything else that escapes is a bug.
This module knows nothing of any other.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BundleError",
    "CorpusError",
    "LatentprobeError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "SAEError",
    "SpecError",
    "StoreError",
    "nearest",
]


class LatentprobeError(Exception):
    """A refusal with a way forward.

    Args:
        problem: what was expected and is not so, one sentence without a final full stop.
        got: what came instead, as short as it can be said.
        fix: what to do now. Required: an error without a way forward is a dead end.

    >>> print(LatentprobeError("the label column is missing", got="text, lable", fix="use --label lable"))
    the label column is missing
      got: text, lable
      fix: use --label lable
    """

    def __init__(self, problem: str, *, got: object, fix: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.got = str(got)
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem}\n  got: {self.got}\n  fix: {self.fix}"


class SpecError(LatentprobeError):
    """A spec or an option is wrong."""


class CorpusError(LatentprobeError):
    """The labelled data cannot be used as asked."""


class ModelError(LatentprobeError):
    """A backbone cannot be found, proven or hooked."""


class SAEError(LatentprobeError):
    """An SAE cannot be found, proven, or does not fit."""


class StoreError(LatentprobeError):
    """A feature store is missing, damaged or foreign."""


class BundleError(LatentprobeError):
    """A saved classifier is missing, damaged or of an unknown format."""


class OutputError(LatentprobeError):
    """A result cannot be written where it was asked for."""


class MissingExtraError(LatentprobeError):
    """An optional part of the installation is missing.

    Args:
        extra: name of the extra in pyproject.toml, such as ``encode``.
        needed_for: what the user was doing, such as ``reading a model's hidden states``.
    """

    def __init__(self, extra: str, *, needed_for: str, missing: str) -> None:
        super().__init__(
            f"{needed_for} needs the extra '{extra}'",
            got=f"the package '{missing}' is not installed",
            fix=f"pip install 'latentprobe[{extra}]'",
        )
        self.extra = extra


def nearest(word: str, known: Iterable[str], *, n: int = 3) -> str:
    """The known words most like ``word``, as the end of a ``fix`` sentence; empty where none is close.

    >>> nearest("lable", ["text", "label"])
    "; did you mean 'label'?"
    """
    close = difflib.get_close_matches(word, list(known), n=n, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
