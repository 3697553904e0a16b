"""A whole experiment, from a spec to a run directory; the only room that uses all the others.

run_experiment      one spec, one run directory
plan                what any spec would take
extract_features    only the features
run_transfer        train on each domain, test on each
run_models          whose features tell what other models answer right
run_matching        which features of two SAEs are the same, and a probe carried over
fit_classifier      a labelled file to a saved classifier, without a comparison
"""

from latentprobe.experiment.features import extract_features
from latentprobe.experiment.fit import fit_classifier
from latentprobe.experiment.matching import run_matching
from latentprobe.experiment.models import run_models
from latentprobe.experiment.planning import plan
from latentprobe.experiment.run import run_experiment
from latentprobe.experiment.transfer import run_transfer

__all__ = [
    "extract_features",
    "fit_classifier",
    "plan",
    "run_experiment",
    "run_matching",
    "run_models",
    "run_transfer",
]
