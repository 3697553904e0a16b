"""The files of a run directory, read and checked for what the page cannot do without. Knows nothing of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from latentprobe.errors import SpecError
from latentprobe.files import read_json

__all__ = ["RunFiles", "read_comparison", "read_run", "read_transfer"]

REQUIRED = ("name", "metric", "n_train", "n_test", "classes", "selected", "best_baseline", "difference", "rows")

TRANSFER_REQUIRED = ("name", "domains", "training_sets", "families", "cells", "means", "choices", "overlap")


@dataclass(frozen=True)
class RunFiles:
    """What a run left behind."""

    results: dict[str, Any]
    environment: dict[str, Any]
    evidence: dict[str, Any]
    spec: str
    """The completed spec, as text."""
    predictions: dict[str, list[Any]]
    """Column to values, one a test row."""
    decisions: list[dict[str, Any]]
    """Test rows with what was decided and why; empty for a run of an older version."""


def read_run(folder: Path) -> RunFiles:
    """Read a run directory.

    Raises:
        SpecError: the folder is no run directory, or one of its files is missing, damaged or from another program.
    """
    results = _results(Path(folder), "results.json", REQUIRED, verb="run")
    return _files(Path(folder), results, evidence=_json(Path(folder) / "evidence.json"))


def read_transfer(folder: Path) -> RunFiles:
    """Read the directory of a transfer.

    Raises:
        SpecError: as `read_run`.
    """
    results = _results(Path(folder), "transfer.json", TRANSFER_REQUIRED, verb="transfer")
    rows = sum(domain["rows"] for domain in results["domains"])
    return _files(Path(folder), results | {"n_rows": rows, "n_train": rows, "n_test": rows}, evidence={})


def read_comparison(path: Path) -> dict[str, Any]:
    """Read comparison.json or edit.json.

    Raises:
        SpecError: it is damaged, or from another program.
    """
    found = _json(path)
    if missing := [key for key in ("scores", "data") if key not in found]:
        raise _unusable(path, f"no {', '.join(missing)}")
    return found


def _results(folder: Path, name: str, required: Sequence[str], *, verb: str) -> dict[str, Any]:
    """The results of a directory that a verb made, with all that a page needs."""
    if not folder.is_dir():
        raise SpecError(
            "a run directory was expected", got=str(folder), fix=f"name a folder that `latentprobe {verb}` made"
        )
    results = _json(folder / name)
    missing = [key for key in required if key not in results]
    if missing:
        raise SpecError(
            "the results of this run cannot be shown",
            got=f"{folder / name} has no {', '.join(missing)}",
            fix=f"repeat the run with this version: latentprobe {verb} SPEC.yaml",
        )
    return results


def _files(folder: Path, results: dict[str, Any], *, evidence: dict[str, Any]) -> RunFiles:
    decisions = folder / "decisions.parquet"
    return RunFiles(
        results,
        _json(folder / "environment.json"),
        evidence,
        _read(folder / "spec.yaml", lambda path: path.read_text(encoding="utf-8")),
        _read(folder / "predictions.parquet", lambda path: pq.read_table(path).to_pydict()),
        _read(decisions, lambda path: pq.read_table(path).to_pylist()) if decisions.exists() else [],
    )


def _json(path: Path) -> dict[str, Any]:
    value = _read(path, read_json)
    if not isinstance(value, dict):
        raise _unusable(path, f"a {type(value).__name__} where an object was expected")
    return value


def _read(path: Path, reader: Any) -> Any:
    try:
        return reader(path)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except (ValueError, pa.ArrowException) as error:
        raise _unusable(path, str(error)) from error


def _unusable(path: Path, reason: str) -> SpecError:
    return SpecError(
        f"a run directory with a readable {path.name} was expected",
        got=f"{path}: {reason}",
        fix="name a folder that `latentprobe run` finished, or repeat the run",
    )
