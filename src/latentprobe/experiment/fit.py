"""From a labelled file to a saved classifier, without a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from latentprobe.config import DataSpec, FitSpec
from latentprobe.corpus import read_corpus
from latentprobe.deploy import fit_bundle
from latentprobe.experiment.environment import Reporter, Silent
from latentprobe.experiment.places import require_folder

__all__ = ["fit_classifier"]


def fit_classifier(data: DataSpec, out: Path, spec: FitSpec, *, reporter: Reporter | None = None) -> dict[str, Any]:
    """Fit on all rows of ``data``, texts or images, and save the classifier as the folder ``out``.

    Returns:
        The classifier's metrics, measured out of fold.

    Raises:
        LatentprobeError: data, model, SAE or folder cannot be used; nothing is fitted then.
    """
    reporter = reporter or Silent()
    require_folder(out, "probe.json")
    corpus = read_corpus(data.model_copy(update={"test": 0.2}), folds=spec.folds)
    for note in corpus.notes:
        reporter.say(f"note: {note}")
    bundle = fit_bundle(corpus, spec, progress=lambda done, total: reporter.progress("encode", done, total))
    bundle.save(out)
    return dict(bundle.manifest.metrics)
