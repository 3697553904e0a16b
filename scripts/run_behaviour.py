"""Question sets from nothing to what is kept of them: ask the target model, then cross its answers with features.

Used by `run_results.py`. What is made on the way (questions, SAEs, tables of answers) is left in runs/; of it only
figures are kept, and single words that the model chose.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = ["BEHAVIOURS", "behaviour_results"]

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs"
SAES = RUNS / "stories260k-saes"

Timed = Callable[[list[str], Path], tuple[float, float]]
"""Seconds and peak GiB of a command that must succeed, and where it writes what it prints."""


class Behaviour(NamedTuple):
    """A question set: how it comes about, and what its answers are crossed with."""

    crossed: tuple[str, ...]
    """Specs of `latentprobe transfer` under specs/behaviour."""
    made_by: str | None = None
    """The script that makes the questions."""
    saes_by: str | None = None
    """The script that trains the target's own SAEs, if they are not in runs/ yet."""
    choices: int | None = None
    """Words to choose from, where each row has its own."""


BEHAVIOURS = {
    "behaviour/pubmedqa": Behaviour(("pubmedqa_models",)),
    "behaviour/cloze": Behaviour(
        ("cloze_models", "cloze_models_without"), "make_cloze.py", "train_stories_saes.py", choices=4
    ),
}


def behaviour_results(name: str, timed: Timed) -> dict[str, Any]:
    """Everything of one question set, without texts, with seconds and memory."""
    case, stem = BEHAVIOURS[name], Path(name).name
    specs, table = ROOT / "specs" / "behaviour", RUNS / f"{stem}.parquet"
    seconds: dict[str, float] = {}
    peaks = []
    RUNS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:

        def step(what: str, *arguments: str | Path) -> None:
            taken, peak = timed([sys.executable, *map(str, arguments)], Path(folder) / "log")
            seconds[what] = round(taken, 1)
            peaks.append(peak)

        if case.made_by:
            step("questions", ROOT / "scripts" / case.made_by, "--out", RUNS / f"{stem}.jsonl")
        if case.saes_by and not SAES.is_dir():
            step("saes", ROOT / "scripts" / case.saes_by, "--out", SAES)
        store = ("--store", Path(folder) / "store")
        step("ask", "-m", "latentprobe", "behaviour", specs / f"{stem}.yaml", "--out", table, *store)
        crossed = {}
        for spec in case.crossed:
            out = Path(folder) / spec
            step(spec, "-m", "latentprobe", "transfer", specs / f"{spec}.yaml", "--out", out, *store)
            crossed[spec] = json.loads((out / "models.json").read_text(encoding="utf-8"))
    results = {
        **asked(table, case),
        "saes": _figures(table) if case.saes_by else {},
        "models": crossed,
        "measured": {"seconds": seconds, "peak_gib": round(max(peaks), 2)},
    }
    kept: dict[str, Any] = json.loads(without_places(json.dumps(results)))
    return kept


def asked(table: Path, case: Behaviour) -> dict[str, Any]:
    """What the model said under each condition, how often it was right, and what the context is worth."""
    manifest = json.loads(table.with_name(f"{table.stem}.manifest.json").read_text(encoding="utf-8"))
    rows = pq.read_table(table)
    n = len(rows)
    units = np.array(rows["group" if "group" in rows.column_names else "id"].to_pylist())
    right = [np.array(rows[name], float) for name in rows.column_names if name.endswith("answered_right")]
    conditions = {
        name: told | {"accuracy": mean_with_interval(own, units)}
        for (name, told), own in zip(manifest["conditions"].items(), right, strict=True)
    }
    most = max(rows["expected"].to_pylist().count(answer) for answer in set(rows["expected"].to_pylist()))
    sources = np.array(rows["source"].to_pylist()) if "source" in rows.column_names else np.full(n, "")
    return {
        "name": manifest["name"],
        "target": manifest["target"]["model"],
        "rows": n,
        "groups": len(set(units)),
        "blind": 1 / case.choices if case.choices else most / n,
        "conditions": conditions,
        "first_minus_second": mean_with_interval(right[0] - right[1], units),
        "by_source": {
            source: {"rows": int((sources == source).sum())}
            | {name: float(own[sources == source].mean()) for name, own in zip(conditions, right, strict=True)}
            for source in sorted(set(sources))
            if source
        },
    }


def mean_with_interval(values: NDArray[np.float64], units: NDArray[np.str_]) -> dict[str, float]:
    """A mean over rows, and its 95 % interval by bootstrap over units, such as texts with several rows each.

    >>> mean_with_interval(np.array([1.0, 1.0, 1.0]), np.array(["a", "a", "b"]))
    {'value': 1.0, 'low': 1.0, 'high': 1.0}
    """
    _, codes = np.unique(units, return_inverse=True)
    sums, counts = np.bincount(codes, values), np.bincount(codes)
    drawn = np.random.default_rng(0).integers(0, len(sums), (1000, len(sums)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), [2.5, 97.5])
    return {"value": float(values.mean()), "low": float(low), "high": float(high)}


def _figures(table: Path) -> dict[str, Any]:
    """What the target's own SAEs do to its hidden states on the prompts, which they were not trained on."""
    from latentprobe.encode.check import check_sae

    manifest = json.loads(table.with_name(f"{table.stem}.manifest.json").read_text(encoding="utf-8"))
    prompts, model = pq.read_table(table)["prompt"].to_pylist(), manifest["spec"]["target"]["model"]
    found = {}
    for folder in sorted(SAES.iterdir()):
        checked = check_sae(str(folder), model=model, texts=prompts, device="cpu").as_dict()
        keys = ("tokens", "width", "l0", "dead_share", "explained_variance", "cosine", "cross_entropy", "verdict")
        found[folder.name] = {key: checked[key] for key in keys}
    return found


def without_places(text: str) -> str:
    """JSON with folders of this machine named as a reader elsewhere would: by their last part."""
    return re.sub(r"(?<![^\s\"])/[^\s\"]+", lambda found: Path(found[0]).name, text)
