"""A probe without some of its features: their weights removed, or fitted anew on those that remain.

What is removed adds nothing to any decision: the probe then decides a row as it decided that row with these features
off. Knows nothing of models, bundles or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentprobe.errors import SpecError

if TYPE_CHECKING:  # importing them for real would bring in scikit-learn, which an edit without a refit does not need
    from latentprobe.corpus import Target
    from latentprobe.learn.calibration import Calibration
    from latentprobe.learn.probes import Chosen, FittedProbe

__all__ = ["Refitted", "refitted", "require_features", "without"]


@dataclass(frozen=True, eq=False)
class Refitted:
    """A probe fitted anew on the features that an edit left, and how good it was on rows held out in turn."""

    chosen: Chosen
    calibration: Calibration


def require_features(probe: FittedProbe, drop: Sequence[int]) -> None:
    """Refuse features that the probe does not use, and to drop all that it uses.

    Raises:
        SpecError: naming them.
    """
    used = {int(feature) for feature in probe.features}
    unknown = [feature for feature in drop if feature not in used]
    if unknown or not drop:
        raise SpecError(
            "features to drop are numbers of features that the classifier uses",
            got=", ".join(map(str, unknown[:5])) or "none",
            fix=f"it uses {len(used)} features, listed in its probe.json and by `latentprobe explain`",
        )
    if used <= set(drop):
        raise SpecError(
            "a classifier needs a feature to decide by",
            got=f"all {len(used)} of them to be dropped",
            fix="leave at least one",
        )


def without(probe: FittedProbe, drop: Sequence[int]) -> FittedProbe:
    """The probe without some features; every other weight and the intercept stay as they are.

    Args:
        probe: the fitted probe.
        drop: feature numbers of the SAE.

    Raises:
        SpecError: the probe does not use one of them, or no others.

    >>> from latentprobe.learn import FittedProbe
    >>> probe = FittedProbe(np.array([3, 8]), None, np.array([[2.0, -1.0]]), np.array([0.5]), 1.0, True)
    >>> without(probe, [3]).decision(np.ones((1, 10)))
    array([[-0.5]])
    """
    require_features(probe, drop)
    kept = ~np.isin(probe.features, drop)
    return replace(
        probe,
        features=probe.features[kept],
        thresholds=None if probe.thresholds is None else probe.thresholds[kept],
        weights=np.ascontiguousarray(probe.weights[:, kept]),
    )


def refitted(
    rows: Any,
    target: Target,
    units: NDArray[Any],
    probe: FittedProbe,
    drop: Sequence[int],
    *,
    binarize: str | float,
    folds: int = 5,
    seed: int = 0,
) -> Refitted:
    """Fit the probe anew on the features it keeps; thresholds are learned anew where they were.

    The penalty is L2 with balanced classes, the default of every fit, and C is the one the probe had; of a probe that
    has none, C is chosen on the folds from the default grid of ``ProbeSpec``.

    Args:
        rows: pooled features, csr_matrix [n, width].
        target: their labels.
        units: unit of each row, [n]; held out together.
        probe: the probe as it was.
        drop: feature numbers of the SAE.
        binarize: as the probe was made.
        folds, seed: of the folds whose held-out decisions calibrate it.

    Raises:
        SpecError: as `without`.
        CorpusError: a class has too few rows for the folds.
    """
    from latentprobe.config import ProbeSpec
    from latentprobe.learn import Recipe, calibrate, choose, inner_folds

    left = without(probe, drop).features
    spec = ProbeSpec() if probe.C is None else ProbeSpec(C=(probe.C,))
    chosen = choose(rows[:, left], target, inner_folds(target, units, folds, seed), Recipe("sparse", binarize), spec)
    own = replace(chosen.probe, features=left[chosen.probe.features])
    return Refitted(replace(chosen, probe=own), calibrate(chosen.out_of_fold, target))
