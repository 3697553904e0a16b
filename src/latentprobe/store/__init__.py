"""Pooled features on disk, under the fingerprint of all that made them.

The seam of the system: everything that needs a model ends here, everything that compares, explains or reports starts
here. Knows nothing of models, SAEs or labels.
"""

from latentprobe.store.feature_store import FeatureStore, default_store
from latentprobe.store.features import DenseFeatures, SparseFeatures, concatenate
from latentprobe.store.outcomes import OutcomeStore

__all__ = ["DenseFeatures", "FeatureStore", "OutcomeStore", "SparseFeatures", "concatenate", "default_store"]
