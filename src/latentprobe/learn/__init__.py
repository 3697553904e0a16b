"""Probes on pooled features, the baselines beside them, and what their scores are worth.

    split, inner_folds       which rows train, test, and are held out in turn
    evaluate                 every representation: chosen on inner folds, judged on the test part, with intervals
    choose                   one representation on training rows: the best C, refitted on all of them
    FittedProbe              the linear model that comes out
    calibrate                decision values to probabilities, labels unchanged

Works on arrays and lists of texts. Knows nothing of tokens, language models or files.
"""

from __future__ import annotations

from latentprobe.learn.baselines import SideBySide
from latentprobe.learn.calibration import Calibration, calibrate
from latentprobe.learn.evaluate import Comparison, Evaluation, Representation, evaluate
from latentprobe.learn.intervals import Difference
from latentprobe.learn.metrics import threshold_at_fpr
from latentprobe.learn.outcome import Detail
from latentprobe.learn.probes import Chosen, FittedProbe, Recipe, choose
from latentprobe.learn.splits import Split, inner_folds, split, units_of

__all__ = [
    "Calibration",
    "Chosen",
    "Comparison",
    "Detail",
    "Difference",
    "Evaluation",
    "FittedProbe",
    "Recipe",
    "Representation",
    "SideBySide",
    "Split",
    "calibrate",
    "choose",
    "evaluate",
    "inner_folds",
    "split",
    "threshold_at_fpr",
    "units_of",
]
