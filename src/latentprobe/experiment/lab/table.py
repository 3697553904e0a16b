"""The comparison itself on rows of a world: the project's own passes, pooling, folds and probes, from end to end.

Only the model is a stand-in: its tokens are numbers of planted states. Knows nothing of claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from latentprobe.config import BackboneSpec, EvaluateSpec, ProbeSpec
from latentprobe.corpus import Target
from latentprobe.encode.backbone import Backbone, Tokens
from latentprobe.encode.featurize import Source, featurize
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.experiment.lab.oracle import Kind, oracle
from latentprobe.experiment.lab.world import Emission
from latentprobe.learn import Evaluation, Representation, Split, evaluate
from latentprobe.store import SparseFeatures

__all__ = ["CLASSES", "Arm", "halves", "pooled", "table", "target_of"]

CLASSES = ("no", "yes")
#: One grid for all, short as fits are many; fewer resamples than a run has, as intervals here are over worlds.
PROBE = ProbeSpec(C=(0.01, 0.1, 1.0))
FOLDS, RESAMPLES = 3, 100


@dataclass(frozen=True)
class Arm:
    """A row of the table."""

    name: str
    """What it is called in figures."""
    pooling: str = "max"
    """From tokens to one row."""
    sae: Kind | None = "true"
    """Seen through which SAE; None: the hidden states."""
    binarize: str | float = "none"
    """After pooling."""
    selection: str = "all"
    """Of features."""
    layer: int = 0
    """Where."""
    max_norm_ratio: float | None = None
    """What tokens are left out as sinks."""


def halves(emission: Emission, train: int = 0, test: int = 0) -> Split:
    """The first half of the rows in one language to train on, the second half in another to test on."""
    rows = np.arange(len(emission.y))
    first = rows < len(rows) // 2
    return Split(rows[first & (emission.language == train)], rows[~first & (emission.language == test)])


def target_of(y: NDArray[np.int64]) -> Target:
    """Labels as the project's own."""
    return Target("binary", CLASSES, y)


def table(emission: Emission, arms: Sequence[Arm], split: Split, seed: int) -> Evaluation:
    """Every arm on the same rows and folds, judged by the project's own ``evaluate``, in this process."""
    rows = pooled(emission, arms, seed)
    representations = [
        Representation(
            kind="baseline" if arm.sae is None else "sae",
            name=arm.name,
            features="dense" if arm.sae is None else "sparse",
            load=lambda matrix=matrix: matrix,  # type: ignore[misc]
            source=arm.name,
            binarize=arm.binarize,
            selection=arm.selection,
            columns={"pooling": arm.pooling},
        )
        for arm, matrix in zip(arms, rows, strict=True)
    ]
    settings = EvaluateSpec(folds=FOLDS, bootstrap=RESAMPLES, seed=seed)
    units = np.arange(len(emission.y))
    return evaluate(representations, target_of(emission.y), units, split, PROBE, settings, jobs=1)


def pooled(emission: Emission, arms: Sequence[Arm], seed: int) -> list[Any]:
    """The pooled rows of each arm, [n, width], from one pass for each choice of tokens."""
    names = [str(row) for row in range(len(emission.y))]
    found: dict[tuple[float | None, int, Kind | None], Any] = {}
    for ratio in dict.fromkeys(arm.max_norm_ratio for arm in arms):
        poolings: dict[tuple[int, Kind | None], dict[str, None]] = {}
        for arm in arms:
            if arm.max_norm_ratio == ratio:
                poolings.setdefault((arm.layer, arm.sae), {})[arm.pooling] = None
        sources = [
            Source(HookPoint(layer, "resid_post"), kind and oracle(kind, emission, layer, seed), tuple(asked))
            for (layer, kind), asked in poolings.items()
        ]
        passed = featurize(names, names, cast(Backbone, PlantedModel(emission, ratio)), sources)
        found |= {(ratio, *place): features for place, features in zip(poolings, passed, strict=True)}
    rows = []
    for arm in arms:
        features = found[arm.max_norm_ratio, arm.layer, arm.sae]
        sparse = isinstance(features, SparseFeatures)
        rows.append(features.csr(arm.pooling) if sparse else features.values[arm.pooling])
    return rows


class PlantedModel:
    """What ``featurize`` asks of a backbone, on planted states: a text is the number of a row, a token that of a state.

    Args:
        emission: where the states are.
        max_norm_ratio: as in a spec.
    """

    def __init__(self, emission: Emission, max_norm_ratio: float | None) -> None:
        self.spec = BackboneSpec(layers=tuple(range(len(emission.states))), max_norm_ratio=max_norm_ratio)
        self.batch_tokens = 4096
        self._states = emission.states
        self._ends = np.cumsum(emission.lengths)
        self._lengths = emission.lengths

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The numbers of each row's states, all of them selected."""
        tokens = []
        for row in map(int, texts):
            numbers = np.arange(self._ends[row] - self._lengths[row], self._ends[row])
            place = np.arange(len(numbers), dtype=np.int32)
            spans = np.stack([place, place + 1], axis=1)
            tokens.append(Tokens((numbers,), (np.ones(len(numbers), bool),), spans))
        return tokens

    def hidden_states(self, batch: Sequence[Tokens], hooks: Sequence[HookPoint]) -> dict[HookPoint, torch.Tensor]:
        """The planted states of some rows."""
        numbers = np.concatenate([row.windows[0] for row in batch])
        return {hook: torch.from_numpy(self._states[hook.layer][numbers]) for hook in hooks}
