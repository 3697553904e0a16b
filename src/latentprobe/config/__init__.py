"""The frozen specs of an experiment: validated when made, and the one source of the YAML schema, the help and the
fingerprint. The string under a field is its documentation, everywhere.

Knows what may be asked for; knows nothing of how it is done.
"""

from latentprobe.config.backbone import BackboneSpec, Site
from latentprobe.config.behaviour import BehaviourSpec, ConditionSpec, QuestionSpec, TargetSpec
from latentprobe.config.data import ColumnTest, DataSpec, FileTest
from latentprobe.config.experiment import EvaluateSpec, ExperimentSpec, ProbeSpec
from latentprobe.config.explain import ExplainSpec
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
from latentprobe.config.models import MatchingSpec, ModelsSpec
from latentprobe.config.reading import (
    parse_as,
    parse_spec,
    read_behaviour_spec,
    read_spec,
    read_transfer_spec,
)
from latentprobe.config.regimes import RegimesSpec, ShiftSpec
from latentprobe.config.task import TaskSpec
from latentprobe.config.transfer import DomainSpec, TransferEvaluateSpec, TransferSpec

__all__ = [
    "HIDDEN_POOLINGS",
    "POOLINGS",
    "BackboneSpec",
    "BehaviourSpec",
    "Binarize",
    "ColumnTest",
    "ConditionSpec",
    "DataSpec",
    "DomainSpec",
    "EvaluateSpec",
    "ExperimentSpec",
    "ExplainSpec",
    "FileTest",
    "FitSpec",
    "Frozen",
    "MatchingSpec",
    "ModelsSpec",
    "Pooling",
    "PositiveFloat",
    "ProbeSpec",
    "QuestionSpec",
    "RegimesSpec",
    "Selection",
    "ShiftSpec",
    "Site",
    "TargetSpec",
    "TaskSpec",
    "TransferEvaluateSpec",
    "TransferSpec",
    "Unique",
    "parse_as",
    "parse_spec",
    "read_behaviour_spec",
    "read_spec",
    "read_transfer_spec",
]
