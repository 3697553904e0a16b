"""Why a probe decides as it does: the contributions behind one decision, the features and texts behind a class.

Works on stored features and fitted probes; knows nothing of models, tokenizers or files.
"""

from latentprobe.explain.contributions import Contribution, Contributions, contributions, top_contributions
from latentprobe.explain.evidence import class_evidence

__all__ = ["Contribution", "Contributions", "class_evidence", "contributions", "top_contributions"]
