"""The frozen specs of an experiment: validated when made, and the one source of the YAML schema, the help and the
fingerprint. The string under a field is its documentation, everywhere.

Knows what may be asked for; knows nothing of how it is done.
"""

from latentprobe.config.backbone import BackboneSpec
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
from latentprobe.config.reading import parse_spec, parse_transfer_spec, read_spec, read_transfer_spec
from latentprobe.config.transfer import DomainSpec, TransferEvaluateSpec, TransferSpec

__all__ = [
    "HIDDEN_POOLINGS",
    "POOLINGS",
    "BackboneSpec",
    "Binarize",
    "ColumnTest",
    "DataSpec",
    "DomainSpec",
    "EvaluateSpec",
    "ExperimentSpec",
    "FileTest",
    "Frozen",
    "Pooling",
    "PositiveFloat",
    "ProbeSpec",
    "Selection",
    "TransferEvaluateSpec",
    "TransferSpec",
    "Unique",
    "parse_spec",
    "parse_transfer_spec",
    "read_spec",
    "read_transfer_spec",
]
