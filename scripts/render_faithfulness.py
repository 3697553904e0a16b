"""The tables of docs/faithfulness.md, and the figures behind them.

python scripts/render_faithfulness.py RUN_DIR ...     keep what some runs found in results/faithfulness.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from render_reference import table

__all__ = ["KEPT", "faithfulness_block"]

KEPT = Path(__file__).resolve().parents[1] / "results" / "faithfulness.json"


def keep(folders: list[Path]) -> None:
    """What the runs found, beside what is kept of others."""
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    for folder in folders:
        results, found, made = (
            json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("results", "faithfulness", "environment")
        )
        kept[results["name"]] = {
            "representation": results["selected"]["name"],
            "macro_f1": results["selected"]["macro_f1"],
            "seconds": made["seconds"]["faithfulness"],
            **found,
        }
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def faithfulness_block(kept: Mapping[str, Any]) -> str:
    """The ablation table: what decisions lose, by number of parts removed; the gaps; and the stability."""
    curves, whole = [], []
    for name, found in kept.items():
        for what, k in (("features", 1), ("features", 8), ("features", 32), ("tokens", 1), ("tokens", 3)):
            (point,) = (point for point in found[what]["comprehensiveness"]["curve"] if point["k"] == k)
            values = [point[key] for key in ("named", "random", "gap")]
            removed = f"{k} {what[:-1] if k == 1 else what}"
            curves.append([name, removed, *map(_number, values), str(point["gap"]["n"])])
        gaps = [
            found["features"]["comprehensiveness"],
            found["features"]["sufficiency"],
            found["tokens"]["comprehensiveness"],
        ]
        alike = [found["stability"][key] for key in ("folds", "seeds")]
        whole.append(
            [
                f"{name}: {found['representation']}",
                "hold" if found["verdict"]["faithful"] else "fail",
                f"{found['promise']['median_relative_error']:.1%}",
                f"{found['tokens']['promise']['correlation']:.2f}",
                *(_number(gap["mean"]) for gap in gaps),
                *(f"{one['jaccard']:.2f}" if one else "" for one in alike),
            ]
        )
    heads = ["data", "removed", "named", "random", "gap", "rows"]
    more = ["classifier", "explanations", "promise off by", "r of tokens", "gap, features removed"]
    more += ["gap, only they left", "gap, tokens deleted", "Jaccard, folds", "Jaccard, seeds"]
    first, second = table(heads, curves, right=(2, 3, 4, 5)), table(more, whole, right=(2, 3, 4, 5, 6, 7, 8))
    return f"{first}\n{second}"


def _number(mean: Mapping[str, float]) -> str:
    return f"{mean['value']:+.3f} [{mean['low']:+.3f}, {mean['high']:+.3f}]"


if __name__ == "__main__":
    keep([Path(name) for name in sys.argv[1:]])
