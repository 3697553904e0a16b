"""What is measured on one world: named figures between 0 and 1, macro F1 on test rows where nothing else is said.

Each measure is a value that can be called with a world, a number of rows and a seed. Knows nothing of verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from latentprobe.experiment.lab.table import FOLDS, PROBE, Arm, halves, pooled, table, target_of
from latentprobe.experiment.lab.world import Emission, World, emit
from latentprobe.learn import Recipe, choose, inner_folds

__all__ = ["Chosen", "Compared", "Found", "Measure", "Transferred"]

Figures = dict[str, float]


class Measure(Protocol):
    """Named figures of one world."""

    def __call__(self, world: World, rows: int, seed: int) -> Figures:
        """Emit the world and measure."""


@dataclass(frozen=True)
class Compared:
    """Each arm on the same rows; and the best of some of them, under a name of their own."""

    arms: tuple[Arm, ...]
    best: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of a further figure -> the arms it is the best of, on test rows: a bar that is too high, if anything."""

    def __call__(self, world: World, rows: int, seed: int) -> Figures:
        """Macro F1 of each arm."""
        emission = emit(world, rows, seed)
        found = table(emission, self.arms, halves(emission), seed).rows
        figures = {row["name"]: float(row["macro_f1"]) for row in found}
        return figures | {name: max(figures[arm] for arm in arms) for name, arms in self.best.items()}


@dataclass(frozen=True)
class Chosen:
    """Many arms, as a user has them: the one chosen on inner folds beside the one that is best on test."""

    arms: tuple[Arm, ...]

    def __call__(self, world: World, rows: int, seed: int) -> Figures:
        """Macro F1 of the two, and of all arms on average, hidden states apart."""
        emission = emit(world, rows, seed)
        evaluation = table(emission, self.arms, halves(emission), seed)
        assert evaluation.selected is not None, "there are SAE rows among the arms"
        scores: dict[str, list[float]] = {"sae": [], "baseline": []}
        for row in evaluation.rows:
            scores[row["kind"]].append(row["macro_f1"])
        return {
            "chosen on inner folds": float(evaluation.rows[evaluation.selected]["macro_f1"]),
            "best on test": float(max(scores["sae"])),
            "mean of all SAE rows": float(np.mean(scores["sae"])),
            "mean of hidden states": float(np.mean(scores["baseline"])),
        }


@dataclass(frozen=True)
class Transferred:
    """Trained on one language; tested on it and on another. And what features the two languages would choose."""

    pooling: str

    def __call__(self, world: World, rows: int, seed: int) -> Figures:
        """Macro F1 at home and abroad, and the Jaccard overlap of each language's best features."""
        emission = emit(world, rows, seed)
        arms = (Arm("SAE", self.pooling), Arm("hidden", self.pooling, None))
        home, abroad = (table(emission, arms, halves(emission, 0, test), seed).rows for test in (0, 1))
        (matrix,) = pooled(emission, arms[:1], seed)
        chosen = [
            set(_features(matrix, emission, halves(emission, language).train, f"top{world.causal}", seed).tolist())
            for language in range(2)
        ]
        k, width = world.causal, world.features
        return {
            "at home": float(home[0]["macro_f1"]),
            "abroad": float(abroad[0]["macro_f1"]),
            "hidden states abroad": float(abroad[1]["macro_f1"]),
            "overlap of chosen features": len(chosen[0] & chosen[1]) / len(chosen[0] | chosen[1]),
            "overlap by chance": k / (2 * width - k),  # k * k / width expected in common
        }


@dataclass(frozen=True)
class Found:
    """Which features are selected, beside those that are causal."""

    pooling: str

    def __call__(self, world: World, rows: int, seed: int) -> Figures:
        """Precision of as many as are causal, precision and recall of L1, and the precision that chance has.

        Where nothing is causal, the features count that would be.
        """
        emission = emit(world, rows, seed)
        (matrix,) = pooled(emission, [Arm("SAE", self.pooling)], seed)
        train = halves(emission).train
        causal = set(emission.truth.causal[0].tolist())
        figures = {}
        for name, selection in ((f"top{world.causal}", f"top{world.causal}"), ("L1", "l1")):
            chosen = _features(matrix, emission, train, selection, seed).tolist()
            figures[f"precision of {name}"] = len(causal & set(chosen)) / max(len(chosen), 1)
            figures[f"recall of {name}"] = len(causal & set(chosen)) / len(causal)
        del figures[f"recall of top{world.causal}"]  # the same number as its precision
        return figures | {"by chance": len(causal) / world.features}


def _features(
    matrix: NDArray[np.float32], emission: Emission, train: NDArray[np.int64], selection: str, seed: int
) -> NDArray[np.int64]:
    """What the project's own selection keeps on some rows."""
    target = target_of(emission.y).take(train)
    folds = inner_folds(target, np.arange(len(train)), FOLDS, seed)
    recipe = Recipe("sparse", selection=selection)
    return choose(matrix[train], target, folds, recipe, PROBE).probe.features
