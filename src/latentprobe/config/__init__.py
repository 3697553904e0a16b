"""The frozen specs of an experiment: validated when made, and the one source of the YAML schema, the help and the
fingerprint. The string under a field is its documentation, everywhere.

Knows what may be asked for; knows nothing of how it is done.
"""

from latentprobe.config.backbone import BackboneSpec, Site
from latentprobe.config.data import ColumnTest, DataSpec, FileTest
from latentprobe.config.experiment import EvaluateSpec, ExperimentSpec, ProbeSpec
from latentprobe.config.fields import (
    HIDDEN_POOLINGS,
    POOLINGS,
    Binarize,
    Frozen,
    Pooling,
    PositiveFloat,
    Selection,
    Unique,
)
from latentprobe.config.fit import FitSpec
from latentprobe.config.reading import parse_spec, read_spec
from latentprobe.config.regimes import RegimesSpec, ShiftSpec
from latentprobe.config.task import TaskSpec

__all__ = [
    "HIDDEN_POOLINGS",
    "POOLINGS",
    "BackboneSpec",
    "Binarize",
    "ColumnTest",
    "DataSpec",
    "EvaluateSpec",
    "ExperimentSpec",
    "FileTest",
    "FitSpec",
    "Frozen",
    "Pooling",
    "PositiveFloat",
    "ProbeSpec",
    "RegimesSpec",
    "Selection",
    "ShiftSpec",
    "Site",
    "TaskSpec",
    "Unique",
    "parse_spec",
    "read_spec",
]
