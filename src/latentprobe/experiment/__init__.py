"""A whole experiment, from a spec to a run directory; the only room that uses all the others.

run_experiment      one spec, one run directory
plan                what that would take
extract_features    only the features
fit_classifier      a labelled file to a saved classifier, without a comparison
"""

from latentprobe.experiment.features import extract_features
from latentprobe.experiment.fit import fit_classifier
from latentprobe.experiment.planning import plan
from latentprobe.experiment.run import run_experiment

__all__ = ["extract_features", "fit_classifier", "plan", "run_experiment"]
